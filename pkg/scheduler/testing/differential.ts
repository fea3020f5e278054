/** One random history in the scheduler's cache and in plain lists alike, for the differential test. */
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import type { PodDisruptionBudget } from "#pkg/api/types/policy-v1.ts";
import { FakeClock, SeededRandom } from "#pkg/util/index.ts";
import { PodInfo } from "../cache/pod-info.ts";
import { preFilter } from "../framework/filter-run.ts";
import { scoreNodes } from "../framework/scoring.ts";
import { CycleState } from "../framework/types.ts";
import type { Plugin } from "../framework/types.ts";
import { pickBest, selectVictims } from "../preemption/victims.ts";
import type { Candidate } from "../preemption/victims.ts";
import { offlineScheduler } from "./offline.ts";
import type { Offline } from "./offline.ts";
import { Draw, NAMESPACES } from "./random-cluster.ts";
import { drawStorage, storageInformers } from "./random-volumes.ts";
import type { Storage } from "./random-volumes.ts";
import type { World } from "./reference-basics.ts";
import { comparePreemptions, preemptionOn } from "./reference-preemption.ts";
import type { Preemption } from "./reference-preemption.ts";
import { REFERENCE_SCORES, refusedBy } from "./reference.ts";

/** A fault to plant in the fast scheduler, which the comparison must find. */
export interface Mutation {
  plugin?(plugin: Plugin): Plugin;
  offline?(offline: Offline): void;
  readonly takesNothing?: boolean;
  readonly ignoresBudgets?: boolean;
}
/** What came up, to know that the histories are worth comparing. */
export interface Tally {
  readonly refusals: Map<string, number>;
  readonly scores: Set<string>;
  preemptions: number;
  violations: number;
}

const NODE_NAMES = Array.from({ length: 10 }, (_, i) => `n${i}`);
const POD_NAMES = Array.from({ length: 40 }, (_, i) => `p${i}`);

export class DifferentialHistory {
  readonly #offline: Offline;
  readonly #draw: Draw;
  readonly #mutation: Mutation;
  readonly #nodes = new Map<string, Node>();
  readonly #pods = new Map<string, Pod>();
  readonly #storage: Storage;
  readonly #budgets: readonly PodDisruptionBudget[];
  readonly #recurring: Pod;

  constructor(seed: number, mutation: Mutation = {}) {
    const random = new SeededRandom(seed);
    this.#draw = new Draw(random);
    this.#mutation = mutation;
    this.#storage = drawStorage(this.#draw, Object.keys(NAMESPACES), NODE_NAMES);
    this.#budgets = this.#draw.few(4, () => this.#draw.budget(`b${this.#draw.int(100)}`));
    this.#recurring = this.#draw.pod("recurring");
    this.#offline = offlineScheduler({
      clock: new FakeClock(),
      random,
      namespaces: NAMESPACES,
      handle: { volumes: storageInformers(this.#storage) },
      ...(mutation.plugin === undefined ? {} : { replace: (plugin) => mutation.plugin!(plugin) }),
    });
    mutation.offline?.(this.#offline);
  }

  get #world(): World {
    return {
      nodes: [...this.#nodes.values()],
      pods: [...this.#pods.values()],
      namespaces: NAMESPACES,
      storage: this.#storage,
      budgets: this.#budgets,
    };
  }

  /** Something comes, changes or goes. */
  step(): void {
    const action = this.#draw.int(10);
    if (this.#nodes.size < 3 || action === 0) this.#setNode(this.#draw.node(this.#draw.one(NODE_NAMES)));
    else if (action === 1 && this.#draw.chance(0.3)) this.#removeNode(this.#draw.one([...this.#nodes.keys()]));
    else if (action <= 2 && this.#pods.size > 0) this.#removePod(this.#draw.one([...this.#pods.keys()]));
    else this.#place(this.#draw.pod(this.#draw.one(POD_NAMES)), this.#draw.one([...this.#nodes.keys()]));
  }
  #setNode(node: Node): void {
    this.#nodes.set(node.metadata.name, node);
    this.#offline.cache.setNode(node);
  }
  #removeNode(name: string): void {
    this.#nodes.delete(name);
    this.#offline.cache.removeNode(name);
  }
  #removePod(name: string): void {
    const pod = this.#pods.get(name);
    if (pod !== undefined) this.#offline.cache.removePod(pod.metadata.uid);
    this.#pods.delete(name);
  }
  #place(drawn: Pod, nodeName: string): void {
    this.#removePod(drawn.metadata.name);
    const pod = { ...drawn, spec: { ...drawn.spec, nodeName } };
    this.#pods.set(pod.metadata.name, pod);
    this.#offline.cache.setPod(new PodInfo(pod), nodeName);
    if (this.#mutation.takesNothing === true) this.#offline.cache.node(nodeName)!.requested.milliCpu = 0;
  }

  /** Refusals and scores for a new pod; says where they differ. */
  compare(tally: Tally): string | undefined {
    // Pods that are alike have to be judged anew where nodes have changed.
    const pod = this.#draw.chance(0.5) ? this.#recurring : this.#draw.pod("incoming");
    const info = new PodInfo(pod);
    const world = this.#world;
    const { cache, profile } = this.#offline;
    const prepared = preFilter(profile, info, cache.nodes, new CycleState());
    const feasible = [];
    if (cache.nodes.length !== this.#nodes.size) return `${cache.nodes.length} nodes, not ${this.#nodes.size}`;
    for (const node of cache.nodes) {
      const status = "rejected" in prepared ? prepared.rejected : prepared.run.filter(node);
      const expected = refusedBy(world, pod, this.#nodes.get(node.name)!);
      if (status?.plugin !== expected) return `${node.name} is refused by ${status?.plugin}, not by ${expected}`;
      if (expected === undefined) feasible.push(node);
      else tally.refusals.set(expected, (tally.refusals.get(expected) ?? 0) + 1);
    }
    if (feasible.length < 2) return undefined;
    const remembered = "rejected" in prepared ? undefined : prepared.run.remembered;
    const { byPlugin } = scoreNodes(profile.score, info, feasible, new CycleState(), remembered);
    const nodes = feasible.map(({ name }) => this.#nodes.get(name)!);
    for (const [plugin, reference] of Object.entries(REFERENCE_SCORES)) {
      const expected = reference(world, pod, nodes);
      const scores = byPlugin.find((one) => one.plugin === plugin)?.scores;
      if (scores !== undefined) tally.scores.add(plugin);
      // A plugin may step back where it prefers nothing.
      if (scores === undefined ? new Set(expected).size === 1 : expected.every((score, i) => score === scores[i]))
        continue;
      return `${plugin} scores ${scores?.join()}, not ${expected.join()}`;
    }
    return undefined;
  }

  /** Whom an important pod would displace on each node, and which node hurts least; says where that differs. */
  comparePreemption(tally: Tally): string | undefined {
    const drawn = this.#draw.pod("incoming");
    const pod = { ...drawn, spec: { ...drawn.spec, priority: 1 + this.#draw.int(4) } };
    const info = new PodInfo(pod);
    const { cache, profile, nominator } = this.#offline;
    const prepared = preFilter(profile, info, cache.nodes, new CycleState());
    if ("rejected" in prepared) return undefined;
    const budgets = this.#mutation.ignoresBudgets === true ? [] : this.#budgets;
    const candidates: Candidate[] = [];
    const expected = new Map<string, Preemption>();
    for (const node of cache.nodes) {
      const outcome = selectVictims({ pod: info, run: prepared.run, budgets, nominator }, node);
      const preemption = preemptionOn(this.#world, pod, this.#nodes.get(node.name)!);
      const found = "victims" in outcome ? described(outcome.victims, outcome.violations) : "none";
      const right =
        preemption === undefined
          ? "none"
          : described(
              preemption.victims.map((one) => new PodInfo(one)),
              preemption.violations,
            );
      if (found !== right) return `victims on ${node.name} are ${found}, not ${right}`;
      if (!("victims" in outcome) || preemption === undefined) continue;
      candidates.push(outcome);
      expected.set(node.name, preemption);
      tally.preemptions++;
      tally.violations += preemption.violations;
    }
    const best = pickBest(candidates);
    if (best === undefined) return undefined;
    const chosen = expected.get(best.node.name)!;
    const better = [...expected.values()].find((other) => comparePreemptions(other, chosen) < 0);
    return better === undefined ? undefined : `room is made on ${chosen.node}, not on ${better.node}`;
  }
}

/** Equally important victims may stand in any order. */
function described(victims: readonly PodInfo[], violations: number): string {
  return `${victims
    .map(({ key }) => key)
    .sort()
    .join()} (${violations})`;
}
