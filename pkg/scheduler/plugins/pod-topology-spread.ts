import { isRecord } from "#pkg/apimachinery/index.ts";
import type { Node, Pod, TopologySpreadConstraint } from "#pkg/api/types/core-v1.ts";
import type { SchedulerCache } from "../cache/cache.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import { labelOf, NO_LABELS } from "../cache/selectors.ts";
import type { TopologyKey } from "../cache/topology-index.ts";
import type { LabelMatcher } from "../cache/selectors.ts";
import { unresolvable, unschedulable } from "../framework/status.ts";
import { isItself, MAX_NODE_SCORE } from "../framework/types.ts";
import type { ClusterEvent, Plugin } from "../framework/types.ts";
import { SpreadScorer } from "./spread-score.ts";
import type { SpreadScoreState } from "./spread-score.ts";
import { countsEveryNode, countsNode, ownConstraints } from "./spread-constraints.ts";
import type { SpreadConstraint } from "./spread-constraints.ts";

const SKEWED = unschedulable("node(s) didn't match pod topology spread constraints");
const MISSING_LABEL = unresolvable("node(s) didn't match pod topology spread constraints (missing required label)");
/** The lowest count where no domain is eligible: nothing can be too far above it. */
const NO_DOMAINS = 2 ** 31 - 1;

/** Arguments of PodTopologySpread. */
export interface PodTopologySpreadArgs {
  readonly defaultingType?: "System" | "List";
  /** For pods that state none, with defaultingType "List". */
  readonly defaultConstraints?: readonly TopologySpreadConstraint[];
}
/** Selects what belongs together with a pod by its services and controller; undefined when there is nothing. */
export type DefaultSelector = (pod: Pod) => LabelMatcher | undefined;

interface Domains {
  readonly constraint: SpreadConstraint;
  readonly slot: number;
  readonly selectsItself: 0 | 1;
  /** Pods by domain; domains that do not count stay at 0. */
  readonly counts: Int32Array;
  readonly eligible: Uint8Array;
  /** How many domains count. */
  readonly size: number;
  /** The fewest pods in a domain that counts; undefined: to be found anew. */
  lowest: number | undefined;
}
interface FilterState {
  readonly domains: readonly Domains[];
}

/** Keeps the pods a constraint selects spread evenly over zones, nodes or any other topology. */
export function podTopologySpread(
  cache: SchedulerCache,
  defaultSelector: DefaultSelector,
  args: PodTopologySpreadArgs = {},
): Plugin<FilterState, SpreadScoreState> {
  const compiled = new WeakMap<PodInfo, SpreadConstraint[]>();
  const constraintsOf = (pod: PodInfo): SpreadConstraint[] => {
    let constraints = compiled.get(pod);
    if (constraints === undefined) compiled.set(pod, (constraints = ownConstraints(pod)));
    return constraints;
  };
  const scorer = new SpreadScorer({ cache, constraintsOf, defaultSelector, ...args });
  return {
    name: "PodTopologySpread",
    events: [
      {
        resource: "AssignedPod",
        actions: ["Add", "UpdatePodLabel", "Delete"],
        hint: (pod, event) => concerns(pod, constraintsOf(pod), event),
      },
      {
        resource: "Node",
        actions: ["Add", "Delete", "UpdateNodeLabel", "UpdateNodeTaint"],
        hint: ({ pod }, { object, old }) => changesDomains(pod, object as Node | undefined, old as Node | undefined),
      },
      {
        resource: "UnscheduledPod",
        actions: ["UpdatePodLabel", "UpdatePodToleration"],
        hint: isItself,
      },
    ],
    preFilter: (pod, nodes) => {
      if ((pod.pod.spec.topologySpreadConstraints?.length ?? 0) === 0) {
        const defaults = scorer.defaults(pod).filter(({ hard }) => hard);
        return defaults.length === 0 ? "skip" : { state: countDomains(cache, pod, nodes, defaults) };
      }
      const hard = constraintsOf(pod).filter((constraint) => constraint.hard);
      return hard.length === 0 ? "skip" : { state: countDomains(cache, pod, nodes, hard) };
    },
    cloneState: ({ domains }) => ({ domains: domains.map((one) => ({ ...one, counts: one.counts.slice() })) }),
    addPod: (state, pod, added, node) => change(state, pod, added, node, 1),
    removePod: (state, pod, removed, node) => change(state, pod, removed, node, -1),
    filter: ({ domains }, _pod, node) => {
      for (const one of domains) {
        const domain = node.domains[one.slot];
        if (domain === undefined || domain < 0) return MISSING_LABEL;
        const skew = (one.counts[domain] ?? 0) + one.selectsItself - lowestOf(one);
        if (skew > one.constraint.maxSkew) return SKEWED;
      }
      return undefined;
    },
    preScore: (pod, nodes) => scorer.prepare(pod, nodes),
    score: (state, _pod, node) => scorer.score(state, node),
    normalizeScore: ({ ignored }, _pod, nodes, scores) => {
      let lowest = Infinity;
      let highest = 0;
      for (let i = 0; i < scores.length; i++) {
        if (ignored.has(nodes[i]!)) continue;
        lowest = Math.min(lowest, scores[i]!);
        highest = Math.max(highest, scores[i]!);
      }
      for (let i = 0; i < scores.length; i++) {
        if (ignored.has(nodes[i]!)) scores[i] = 0;
        else if (highest === 0) scores[i] = MAX_NODE_SCORE;
        else scores[i] = Math.trunc((MAX_NODE_SCORE * (highest + lowest - scores[i]!)) / highest);
      }
    },
  };
}

function countDomains(
  cache: SchedulerCache,
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  constraints: readonly SpreadConstraint[],
): FilterState {
  const keys = constraints.map(({ topologyKey }) => cache.topology.track(topologyKey));
  const slots = keys.map(({ slot }) => slot);
  const namespaces = new Set([pod.namespace]);
  const domains = constraints.map((constraint, index): Domains => {
    const key = keys[index]!;
    const { slot } = key;
    const counts = new Int32Array(key.size);
    const everyNode = countsEveryNode(constraint, pod);
    const isCounted = (node: NodeInfo) => hasAll(node, slots) && (everyNode || countsNode(constraint, pod, node));
    // Nothing restricts the nodes: every value that a node has is a domain.
    const unrestricted = everyNode && slots.length === 1;
    const { eligible, size } = unrestricted
      ? { eligible: key.present(), size: key.used }
      : eligibleDomains(key, nodes, isCounted);
    const { byNode } = cache.podCounts.count(namespaces, constraint.matcher, { terminating: false });
    for (const [node, count] of byNode)
      if (node.node !== undefined && isCounted(node)) counts[node.domains[slot]!]! += count;
    const selectsItself = constraint.matcher.matches(pod.labels) ? 1 : 0;
    return { constraint, slot, selectsItself, counts, eligible, size, lowest: undefined };
  });
  return { domains };
}

function eligibleDomains(
  { slot, size: capacity, used }: TopologyKey,
  nodes: readonly NodeInfo[],
  isCounted: (node: NodeInfo) => boolean,
): { eligible: Uint8Array; size: number } {
  const eligible = new Uint8Array(capacity);
  let size = 0;
  for (const node of nodes) {
    const domain = node.domains[slot]!;
    if (domain < 0 || eligible[domain] === 1 || !isCounted(node)) continue;
    eligible[domain] = 1;
    size++;
    if (size === used) break; // there are no others
  }
  return { eligible, size };
}

function hasAll({ domains }: NodeInfo, slots: readonly number[]): boolean {
  for (let i = 0; i < slots.length; i++) {
    const domain = domains[slots[i]!];
    if (domain === undefined || domain < 0) return false;
  }
  return true;
}

function lowestOf(domains: Domains): number {
  if (domains.lowest !== undefined) return domains.lowest;
  const { counts, eligible, constraint, size } = domains;
  let lowest = NO_DOMAINS;
  for (let i = 0; i < counts.length; i++) if (eligible[i] === 1 && counts[i]! < lowest) lowest = counts[i]!;
  // Too few domains: missing ones count as empty (KEP-3022).
  domains.lowest = size < constraint.minDomains ? 0 : lowest;
  return domains.lowest;
}

function change({ domains }: FilterState, pod: PodInfo, other: PodInfo, node: NodeInfo, sign: 1 | -1): void {
  if (other.namespace !== pod.namespace) return;
  const slots = domains.map(({ slot }) => slot);
  if (!hasAll(node, slots)) return;
  for (const one of domains) {
    if (!countsNode(one.constraint, pod, node) || !one.constraint.matcher.matches(other.labels)) continue;
    // Pods being deleted are not in the counts, so their going changes nothing.
    if (other.pod.metadata.deletionTimestamp !== undefined) continue;
    one.counts[node.domains[one.slot]!]! += sign;
    one.lowest = undefined;
  }
}

function concerns(waiting: PodInfo, constraints: readonly SpreadConstraint[], { pod, oldPod }: ClusterEvent): boolean {
  if (pod === undefined || pod.namespace !== waiting.namespace) return false;
  if (constraints.length === 0) return true; // the profile's defaults, whose selector may have changed
  return constraints.some(
    ({ matcher }) => matcher.matches(pod.labels) || (oldPod !== undefined && matcher.matches(oldPod.labels)),
  );
}

function changesDomains(pod: Pod, object: Node | undefined, old: Node | undefined): boolean {
  const keys = (pod.spec.topologySpreadConstraints ?? []).map(({ topologyKey }) => topologyKey);
  if (keys.length === 0) return true;
  const has = (node: Node | undefined) =>
    node !== undefined && keys.every((key) => labelOf(node.metadata.labels ?? NO_LABELS, key) !== undefined);
  if (old === undefined || !isRecord(old)) return has(object);
  return has(object) || has(old);
}
