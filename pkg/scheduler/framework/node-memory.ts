import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import type { Status } from "./status.ts";
import type { Plugin } from "./types.ts";

/** Pods of this many kinds are remembered at the same time. */
const MAX_KINDS = 16;
const FIRST_CAPACITY = 64;

/** What plugins that look at one node alone said of each node, for pods of one kind; good until the node changes. */
export class RememberedNodes {
  /** By slot: the generation of the node that the rest is about. */
  #generations: Float64Array = new Float64Array(FIRST_CAPACITY).fill(-1);
  readonly #verdicts: (Status | undefined)[] = [];
  /** By plugin and slot; NaN: not asked yet. */
  readonly #scores = new Map<Plugin, Float64Array>();

  knows(node: NodeInfo): boolean {
    return this.#generations[node.slot] === node.generation;
  }
  /** Of a node that it knows. */
  verdict({ slot }: NodeInfo): Status | undefined {
    return this.#verdicts[slot];
  }
  learn({ slot, generation }: NodeInfo, verdict: Status | undefined): void {
    if (slot >= this.#generations.length) this.#generations = grown(this.#generations, slot, -1);
    this.#generations[slot] = generation;
    this.#verdicts[slot] = verdict;
    for (const scores of this.#scores.values()) scores[slot] = NaN;
  }
  /** The plugin's scores by slot, to read and to add to for nodes that it knows. */
  scores(plugin: Plugin): Float64Array {
    let scores = this.#scores.get(plugin);
    if (scores === undefined || scores.length < this.#generations.length) {
      scores = grown(scores ?? new Float64Array(0), this.#generations.length - 1, NaN);
      this.#scores.set(plugin, scores);
    }
    return scores;
  }
}

/** Remembers verdicts and scores between pods that are alike in all that node-local plugins go by. */
export class NodeMemory {
  readonly #plugins: readonly Plugin[];
  readonly #prefix: ReadonlySet<Plugin>;
  /** In order of use, the longest unused first; a kind that has come up only once has nothing yet. */
  readonly #kinds = new Map<string, RememberedNodes | undefined>();

  /** `filters` in their order: verdicts are remembered of those before the first that looks at more than the node. */
  constructor(filters: readonly Plugin[], scorers: readonly Plugin[]) {
    const end = filters.findIndex(({ nodeLocal }) => nodeLocal === undefined);
    this.#prefix = new Set(end === -1 ? filters : filters.slice(0, end));
    this.#plugins = [...this.#prefix.union(new Set(scorers.filter(({ nodeLocal }) => nodeLocal !== undefined)))];
  }
  /** Is the plugin's verdict part of what is remembered? */
  covers(plugin: Plugin): boolean {
    return this.#prefix.has(plugin);
  }
  /** What is known for pods like this one; undefined when this is the first of its kind. */
  recall(pod: PodInfo): RememberedNodes | undefined {
    const kind = JSON.stringify(this.#plugins.map((plugin) => plugin.nodeLocal!(pod)));
    const remembered = this.#kinds.has(kind) ? (this.#kinds.get(kind) ?? new RememberedNodes()) : undefined;
    this.#kinds.delete(kind);
    this.#kinds.set(kind, remembered);
    if (this.#kinds.size > MAX_KINDS) {
      const [oldest] = this.#kinds.keys();
      this.#kinds.delete(oldest!);
    }
    return remembered;
  }
}

function grown(array: Float64Array, index: number, filler: number): Float64Array {
  const larger = new Float64Array(Math.max(index + 1, array.length * 2)).fill(filler);
  larger.set(array);
  return larger;
}
