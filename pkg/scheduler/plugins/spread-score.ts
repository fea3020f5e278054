import type { TopologySpreadConstraint } from "#pkg/api/types/core-v1.ts";
import type { SchedulerCache } from "../cache/cache.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import type { PodCounts } from "../cache/pod-counts.ts";
import { countsEveryNode, countsNode } from "./spread-constraints.ts";
import type { SpreadConstraint } from "./spread-constraints.ts";
import type { DefaultSelector } from "./pod-topology-spread.ts";

const HOSTNAME = "kubernetes.io/hostname";
const SYSTEM_DEFAULTS: readonly TopologySpreadConstraint[] = [
  { maxSkew: 3, topologyKey: HOSTNAME, whenUnsatisfiable: "ScheduleAnyway" },
  { maxSkew: 5, topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "ScheduleAnyway" },
];

interface Scored {
  readonly slot: number;
  readonly maxSkew: number;
  /** Larger topologies weigh more, so that few zones do not outweigh many nodes. */
  readonly weight: number;
  /** By domain; undefined where each node is its own domain and `byNode` says it all. */
  readonly counts: Int32Array | undefined;
  readonly byNode: PodCounts["byNode"];
}

/** What scoring nodes for one pod needs. */
export interface SpreadScoreState {
  readonly scored: readonly Scored[];
  /** Nodes without the topology labels: the worst place. */
  readonly ignored: ReadonlySet<NodeInfo>;
}

/** What the scorer is made of. */
export interface SpreadScorerDeps {
  readonly cache: SchedulerCache;
  readonly constraintsOf: (pod: PodInfo) => readonly SpreadConstraint[];
  readonly defaultSelector: DefaultSelector;
  readonly defaultingType?: "System" | "List";
  readonly defaultConstraints?: readonly TopologySpreadConstraint[];
}

/** Soft constraints: fewer of the selected pods in a node's domains is better. */
export class SpreadScorer {
  readonly #deps: SpreadScorerDeps;
  readonly #isSystem: boolean;
  readonly #defaults: readonly TopologySpreadConstraint[];

  constructor(deps: SpreadScorerDeps) {
    this.#deps = deps;
    this.#isSystem = (deps.defaultingType ?? "System") === "System";
    this.#defaults = this.#isSystem ? SYSTEM_DEFAULTS : (deps.defaultConstraints ?? []);
  }

  /** Constraints for a pod that states none, selecting what belongs to the same service or controller. */
  defaults(pod: PodInfo): SpreadConstraint[] {
    if (this.#defaults.length === 0) return [];
    const matcher = this.#deps.defaultSelector(pod.pod);
    if (matcher === undefined) return [];
    return this.#defaults.map(({ topologyKey, maxSkew, whenUnsatisfiable }) => ({
      topologyKey,
      maxSkew,
      minDomains: 1,
      hard: whenUnsatisfiable === "DoNotSchedule",
      honorsAffinity: true,
      honorsTaints: false,
      matcher,
    }));
  }

  prepare(pod: PodInfo, nodes: readonly NodeInfo[]): { readonly state: SpreadScoreState } | "skip" {
    const states = (pod.pod.spec.topologySpreadConstraints?.length ?? 0) > 0;
    const constraints = (states ? this.#deps.constraintsOf(pod) : this.defaults(pod)).filter(({ hard }) => !hard);
    if (constraints.length === 0) return "skip";
    const { cache } = this.#deps;
    const keys = constraints.map(({ topologyKey }) => cache.topology.track(topologyKey));
    const requiresAll = states || !this.#isSystem;
    const lacksOne = (node: NodeInfo) => keys.some(({ slot }) => (node.domains[slot] ?? -1) < 0);
    const ignored = new Set(requiresAll ? nodes.filter(lacksOne) : []);
    const namespaces = new Set([pod.namespace]);
    const scored = constraints.map((constraint, index): Scored => {
      const { slot, size } = keys[index]!;
      const { maxSkew } = constraint;
      const { byNode } = cache.podCounts.count(namespaces, constraint.matcher, { terminating: false });
      if (constraint.topologyKey === HOSTNAME) {
        return { slot, maxSkew, weight: Math.log(nodes.length - ignored.size + 2), counts: undefined, byNode };
      }
      const everyNode = countsEveryNode(constraint, pod);
      const counts = new Int32Array(size);
      for (const [node, count] of byNode) {
        const domain = node.domains[slot] ?? -1;
        if (domain < 0 || node.node === undefined || (requiresAll && lacksOne(node))) continue;
        if (everyNode || countsNode(constraint, pod, node)) counts[domain]! += count;
      }
      return { slot, maxSkew, weight: Math.log(domainsAmong(nodes, ignored, slot, size) + 2), counts, byNode };
    });
    return { state: { scored, ignored } };
  }

  score({ scored, ignored }: SpreadScoreState, node: NodeInfo): number {
    if (ignored.size > 0 && ignored.has(node)) return 0;
    let sum = 0;
    for (let i = 0; i < scored.length; i++) {
      const { slot, counts, byNode, weight, maxSkew } = scored[i]!;
      const domain = node.domains[slot] ?? -1;
      if (domain < 0) continue;
      const count = counts === undefined ? (byNode.get(node) ?? 0) : counts[domain]!;
      sum += count * weight + (maxSkew - 1);
    }
    return Math.round(sum);
  }
}

/** How many domains the feasible nodes have; all those without the label are one more. */
function domainsAmong(nodes: readonly NodeInfo[], ignored: ReadonlySet<NodeInfo>, slot: number, size: number): number {
  const seen = new Uint8Array(size + 1);
  let count = 0;
  for (const node of nodes) {
    if (ignored.size > 0 && ignored.has(node)) continue;
    const domain = (node.domains[slot] ?? -1) + 1;
    if (seen[domain] === 1) continue;
    seen[domain] = 1;
    count++;
  }
  return count;
}
