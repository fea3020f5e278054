import type { NodeInfo } from "./cache/node-info.ts";
import type { PodInfo } from "./cache/pod-info.ts";
import type { PluginScores } from "./framework/scoring.ts";
import { messageOf } from "./framework/status.ts";
import type { Status } from "./framework/status.ts";
import type { Diagnosis } from "./framework/types.ts";
import type { SearchResult } from "./node-search.ts";
import type { QueueName } from "./queue/scheduling-queue.ts";

/** Why a pod is where it is, or is nowhere. Plain data: it crosses threads and becomes JSON. */
export interface Explanation {
  /** "namespace/name" of the pod. */
  readonly pod: string;
  /** Epoch milliseconds of the last attempt; undefined when there was none yet. */
  readonly at: number | undefined;
  readonly message: string;
  /** Where the pod waits; undefined when it no longer does. */
  readonly queue: QueueName | undefined;
  /** The node chosen; undefined when there was none. */
  readonly nodeName: string | undefined;
  /** For each node looked at and refused: the plugin and its reasons. */
  readonly refusals: readonly { readonly node: string; readonly plugin: string; readonly reasons: readonly string[] }[];
  /** The best candidates with each plugin's score (0 to 100, before weighting), best first. */
  readonly candidates: readonly {
    readonly node: string;
    readonly total: number;
    readonly scores: Readonly<Record<string, number>>;
  }[];
  /** What each plugin's score is multiplied with in the total. */
  readonly weights: Readonly<Record<string, number>>;
}

/** The queue has no more to say of a pod than this. */
export interface Wait {
  readonly queue: QueueName;
  /** Why it may not be tried yet. */
  readonly gate?: Status;
}

interface Kept {
  readonly pod: string;
  readonly at: number;
  readonly message: string;
  readonly nodeName: string | undefined;
  readonly statuses: Diagnosis["statuses"];
  readonly scores: readonly PluginScores[];
  readonly nodes: readonly NodeInfo[];
  readonly cost: number;
}

/** All explanations together may speak of this many nodes; the oldest go first. */
const MAX_NODES_KEPT = 200_000;
const MAX_CANDIDATES = 10;
const NOTHING_TRIED = { at: undefined, nodeName: undefined, refusals: [], candidates: [], weights: {} };
type FoundNode = Extract<SearchResult, { readonly found: NodeInfo }>;

/** Keeps the last attempt of each pod, as it was: the readable form is made when somebody asks. */
export class Explanations {
  readonly #kept = new Map<string, Kept>();
  #cost = 0;

  refused(pod: PodInfo, at: number, message: string, { statuses }: Diagnosis): void {
    this.#keep({
      pod: pod.key,
      at,
      message,
      nodeName: undefined,
      statuses,
      scores: [],
      nodes: [],
      cost: statuses.size + 1,
    });
  }
  placed(pod: PodInfo, at: number, { found, candidates, scores, refused }: FoundNode): void {
    const best = highest(candidates, scores);
    const excerpt = scores.map((one) => ({ ...one, scores: Float64Array.from(best, (i) => one.scores[i]!) }));
    this.#keep({
      pod: pod.key,
      at,
      message: `placed on ${found.name}`,
      nodeName: found.name,
      statuses: refused,
      scores: excerpt,
      nodes: best.map((i) => candidates[i]!),
      cost: best.length + refused.size + 1,
    });
  }
  forget(key: string): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    this.#kept.delete(key);
    this.#cost -= kept.cost;
  }
  /** `wait` is what the queue says of the pod. Undefined: nobody here knows it. */
  explain(key: string, wait: Wait | undefined): Explanation | undefined {
    const kept = this.#kept.get(key);
    const queue = wait?.queue;
    if (wait?.gate !== undefined || kept === undefined) {
      if (wait === undefined) return undefined;
      const message = wait.gate === undefined ? "not tried yet" : messageOf(wait.gate);
      return { ...NOTHING_TRIED, pod: key, message, queue };
    }
    const { pod, at, message, nodeName, statuses, scores, nodes } = kept;
    const refusals = [...statuses].map(([node, { plugin = "", reasons }]) => ({ node: node.name, plugin, reasons }));
    const candidates = nodes.map((node, i) => ({
      node: node.name,
      total: scores.reduce((sum, { scores: each, weight }) => sum + each[i]! * weight, 0),
      scores: Object.fromEntries(scores.map(({ plugin, scores: each }) => [plugin, each[i]!])),
    }));
    const weights = Object.fromEntries(scores.map(({ plugin, weight }) => [plugin, weight]));
    return { pod, at, message, queue, nodeName, refusals, candidates, weights };
  }

  #keep(kept: Kept): void {
    this.forget(kept.pod);
    this.#kept.set(kept.pod, kept);
    this.#cost += kept.cost;
    for (const key of this.#kept.keys()) {
      if (this.#cost <= MAX_NODES_KEPT) break;
      this.forget(key);
    }
  }
}

/** Positions of the nodes with the highest totals. */
function highest(nodes: readonly NodeInfo[], scores: readonly PluginScores[]): number[] {
  const best: { index: number; total: number }[] = [];
  for (let index = 0; index < nodes.length; index++) {
    let total = 0;
    for (const one of scores) total += one.scores[index]! * one.weight;
    if (best.length === MAX_CANDIDATES && total <= best.at(-1)!.total) continue;
    let position = best.length;
    while (position > 0 && best[position - 1]!.total < total) position--;
    best.splice(position, 0, { index, total });
    if (best.length > MAX_CANDIDATES) best.pop();
  }
  return best.map(({ index }) => index);
}
