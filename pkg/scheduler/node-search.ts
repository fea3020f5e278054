/** Filters and scores nodes for one pod. */
import type { Random } from "#pkg/util/index.ts";
import type { SchedulerCache } from "./cache/cache.ts";
import type { NodeInfo } from "./cache/node-info.ts";
import type { PodInfo } from "./cache/pod-info.ts";
import { preFilter } from "./framework/filter-run.ts";
import type { PluginFilterRun } from "./framework/filter-run.ts";
import { NO_NODES } from "./framework/profile.ts";
import type { Profile } from "./framework/profile.ts";
import { scoreNodes } from "./framework/scoring.ts";
import type { PluginScores } from "./framework/scoring.ts";
import { messageOf, unresolvable } from "./framework/status.ts";
import type { Status } from "./framework/status.ts";
import type { CycleState, Diagnosis } from "./framework/types.ts";
import { filterWithNominated } from "./framework/nominated.ts";
import type { Extenders } from "./extenders.ts";
import type { Nominator } from "./queue/nominator.ts";

const MIN_FEASIBLE_NODES = 100;
const MIN_PERCENTAGE = 5;
/** What the scores of all extenders together are shown as. */
const EXTENDERS = "extenders";

/** The node that was found, or why there is none. */
export type SearchResult =
  | {
      readonly found: NodeInfo;
      readonly feasible: number;
      readonly evaluated: number;
      readonly candidates: readonly NodeInfo[];
      /** Of the candidates, by position; none when there was no choice. */
      readonly scores: readonly PluginScores[];
      readonly refused: ReadonlyMap<NodeInfo, Status>;
    }
  | { readonly unschedulable: Diagnosis };

/** What the search for a node needs. */
export interface NodeSearchDeps {
  readonly cache: SchedulerCache;
  readonly nominator: Nominator;
  readonly random: Random;
  readonly extenders: Extenders;
}

/** Finds the best node for a pod: filters until enough nodes fit, scores those, breaks ties at random. */
export class NodeSearch {
  readonly #deps: NodeSearchDeps;
  /** Where the next search begins, so that all nodes get their turn. */
  #nextStart = 0;

  constructor(deps: NodeSearchDeps) {
    this.#deps = deps;
  }

  /** @throws Error when a plugin or an indispensable extender fails. A promise only where an extender is asked. */
  search(profile: Profile, pod: PodInfo, cycle: CycleState, signal: AbortSignal): SearchResult | Promise<SearchResult> {
    const { cache, extenders } = this.#deps;
    const nodes = cache.nodes;
    if (nodes.length === 0) return { unschedulable: diagnosisOf(0, new Map(), "", undefined, new Set([NO_NODES])) };
    const prepared = preFilter(profile, pod, nodes, cycle);
    if ("rejected" in prepared) return refusedByPreFilter(prepared.rejected, nodes);
    const statuses = new Map<NodeInfo, Status>();
    const among = this.#restrict(prepared.nodes, prepared.narrowedBy, nodes, statuses);
    const feasible = this.#findFeasible(profile, prepared.run, pod, among, nodes.length, statuses);
    const interested = extenders.interestedIn(pod);
    if (interested.length === 0) return this.#conclude(profile, pod, cycle, prepared.run, feasible, statuses);
    return this.#askExtenders(profile, pod, cycle, feasible, statuses, signal);
  }

  async #askExtenders(
    profile: Profile,
    pod: PodInfo,
    cycle: CycleState,
    feasible: NodeInfo[],
    statuses: Map<NodeInfo, Status>,
    signal: AbortSignal,
  ): Promise<SearchResult> {
    const { extenders, cache } = this.#deps;
    const kept = await extenders.filter(pod, feasible, statuses, signal);
    const extra = kept.length > 1 ? await extenders.prioritize(pod, kept, signal) : undefined;
    // The cluster has gone on while we waited, so our own verdicts are given anew.
    const again = preFilter(profile, pod, cache.nodes, cycle);
    if ("rejected" in again) return refusedByPreFilter(again.rejected, cache.nodes);
    const still = kept.filter((node) => {
      if (cache.node(node.name) !== node) return false;
      const status = this.#check(again.run, pod, node);
      if (status !== undefined) statuses.set(node, status);
      return status === undefined;
    });
    return this.#conclude(profile, pod, cycle, again.run, still, statuses, extra);
  }

  #conclude(
    profile: Profile,
    pod: PodInfo,
    cycle: CycleState,
    run: PluginFilterRun,
    feasible: readonly NodeInfo[],
    statuses: Map<NodeInfo, Status>,
    extra?: ReadonlyMap<string, number>,
  ): SearchResult {
    const [only] = feasible;
    const total = this.#deps.cache.nodes.length;
    if (only === undefined) return { unschedulable: diagnosisOf(total, statuses, "", run, pluginsIn(statuses)) };
    const evaluated = feasible.length + statuses.size;
    const result = { feasible: feasible.length, evaluated, candidates: feasible, refused: statuses };
    if (feasible.length === 1) return { ...result, found: only, scores: [] };
    const { totals, byPlugin } = scoreNodes(profile.score, pod, feasible, cycle, run.remembered);
    if (extra !== undefined) {
      const scores = Float64Array.from(feasible, (node) => extra.get(node.name) ?? 0);
      for (let i = 0; i < scores.length; i++) totals[i]! += scores[i]!;
      byPlugin.push({ plugin: EXTENDERS, weight: 1, scores });
    }
    return { ...result, found: this.#pickHighest(feasible, totals), scores: byPlugin };
  }

  #pickHighest(nodes: readonly NodeInfo[], scores: Float64Array): NodeInfo {
    let highest = -Infinity;
    let ties = 0;
    for (let i = 0; i < scores.length; i++) {
      if (scores[i]! > highest) {
        highest = scores[i]!;
        ties = 1;
      } else if (scores[i] === highest) ties++;
    }
    // One draw decides between all the best, however many there are.
    let skip = ties === 1 ? 0 : this.#deps.random.int(ties);
    return nodes.find((_node, i) => scores[i] === highest && skip-- === 0)!;
  }

  #restrict(
    names: ReadonlySet<string> | undefined,
    narrowedBy: readonly string[],
    nodes: readonly NodeInfo[],
    statuses: Map<NodeInfo, Status>,
  ): readonly NodeInfo[] {
    if (names === undefined) return nodes;
    const refused: Status = {
      ...unresolvable(`node(s) didn't satisfy plugin(s) [${narrowedBy.join(" ")}]`),
      plugin: narrowedBy[0],
    };
    if (names.size < nodes.length / 4) {
      // A pod that may go to a few nodes only (a DaemonSet's) does not pay for the others.
      const among: NodeInfo[] = [];
      for (const name of names) {
        const node = this.#deps.cache.node(name);
        if (node !== undefined) among.push(node);
      }
      if (among.length === 0) for (const node of nodes) statuses.set(node, refused);
      return among;
    }
    return nodes.filter((node) => {
      if (names.has(node.name)) return true;
      statuses.set(node, refused);
      return false;
    });
  }

  #findFeasible(
    profile: Profile,
    run: PluginFilterRun,
    pod: PodInfo,
    nodes: readonly NodeInfo[],
    total: number,
    statuses: Map<NodeInfo, Status>,
  ): NodeInfo[] {
    const nominated = this.#deps.nominator.nodeOf(pod.uid) ?? pod.pod.status?.nominatedNodeName;
    if (nominated !== undefined && nominated !== "") {
      const node = this.#deps.cache.node(nominated);
      if (node !== undefined && nodes.includes(node) && this.#check(run, pod, node) === undefined) return [node];
    }
    const wanted = feasibleNodesToFind(total, nodes.length, profile.percentageOfNodesToScore);
    const feasible: NodeInfo[] = [];
    const count = nodes.length;
    const start = count === 0 ? 0 : this.#nextStart % count;
    let looked = 0;
    while (looked < count && feasible.length < wanted) {
      const node = nodes[(start + looked) % count]!;
      looked++;
      const status = this.#check(run, pod, node);
      if (status === undefined) feasible.push(node);
      else if (status.code === "Error") throw errorOf(status);
      else statuses.set(node, status);
    }
    if (count > 0) this.#nextStart = (start + looked) % count;
    return feasible;
  }

  #check(run: PluginFilterRun, pod: PodInfo, node: NodeInfo): Status | undefined {
    return filterWithNominated(run, pod, node, this.#deps.nominator);
  }
}

/** How many nodes that fit are enough, by the size of the cluster. */
function feasibleNodesToFind(total: number, among: number, percentage: number): number {
  if (among < MIN_FEASIBLE_NODES) return among;
  const share = percentage > 0 ? percentage : Math.max(Math.trunc(50 - total / 125), MIN_PERCENTAGE);
  return share >= 100 ? among : Math.max(Math.floor((among * share) / 100), MIN_FEASIBLE_NODES);
}

function refusedByPreFilter(status: Status, nodes: readonly NodeInfo[]): SearchResult {
  if (status.code === "Error") throw errorOf(status);
  const statuses = new Map(nodes.map((node) => [node, status]));
  const message = messageOf(status);
  return { unschedulable: diagnosisOf(nodes.length, statuses, message, undefined, pluginsIn(statuses)) };
}

function diagnosisOf(
  nodeCount: number,
  statuses: ReadonlyMap<NodeInfo, Status>,
  preFilterMessage: string,
  filterRun: PluginFilterRun | undefined,
  unschedulablePlugins: ReadonlySet<string>,
): Diagnosis {
  return { nodeCount, statuses, preFilterMessage, filterRun, unschedulablePlugins };
}

function pluginsIn(statuses: ReadonlyMap<NodeInfo, Status>): Set<string> {
  const plugins = new Set<string>();
  for (const { plugin } of statuses.values()) if (plugin !== undefined) plugins.add(plugin);
  return plugins;
}

function errorOf(status: Status): Error {
  if (status.error instanceof Error) return status.error;
  return new Error(`running "${status.plugin ?? "plugin"}": ${messageOf(status)}`);
}
