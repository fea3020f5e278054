import type { NodeInfo } from "./node-info.ts";
import type { PodInfo } from "./pod-info.ts";
import type { LabelMatcher } from "./selectors.ts";

/** How many pods a query selects on each node; nodes with none are absent. */
export interface PodCounts {
  readonly byNode: ReadonlyMap<NodeInfo, number>;
  readonly total: number;
}

class Query implements PodCounts {
  readonly id: string;
  readonly namespaces: ReadonlySet<string>;
  readonly matcher: LabelMatcher;
  readonly #countsTerminating: boolean;
  readonly byNode = new Map<NodeInfo, number>();
  total = 0;

  constructor(id: string, namespaces: ReadonlySet<string>, matcher: LabelMatcher, countsTerminating: boolean) {
    this.id = id;
    this.#countsTerminating = countsTerminating;
    this.namespaces = namespaces;
    this.matcher = matcher;
  }
  selects(pod: PodInfo): boolean {
    if (!this.namespaces.has(pod.namespace) || !this.matcher.matches(pod.labels)) return false;
    return this.#countsTerminating || pod.pod.metadata.deletionTimestamp === undefined;
  }
  add(node: NodeInfo, amount: 1 | -1): void {
    this.total += amount;
    const count = (this.byNode.get(node) ?? 0) + amount;
    if (count === 0) this.byNode.delete(node);
    else this.byNode.set(node, count);
  }
}

/** Queries that nobody asked for this long ago (counted in questions) are forgotten beyond this many. */
const MAX_QUERIES = 2048;

/**
 * Answers "how many pods on each node match this selector in these namespaces" without looking at pods: each question
 * is counted once and then kept up to date. A pod meets only the queries that its labels can match.
 */
export class PodCountIndex {
  /** In order of use, the longest unused first. */
  readonly #queries = new Map<string, Query>();
  readonly #anchored = new Map<string, Set<Query>>();
  readonly #others = new Set<Query>();
  readonly #podsOf: (namespace: string) => Iterable<{ readonly pod: PodInfo; readonly node: NodeInfo }>;

  constructor(podsOf: (namespace: string) => Iterable<{ readonly pod: PodInfo; readonly node: NodeInfo }>) {
    this.#podsOf = podsOf;
  }
  /** Pods being deleted count only with `terminating`. */
  count(namespaces: ReadonlySet<string>, matcher: LabelMatcher, { terminating }: { terminating: boolean }): PodCounts {
    const names = namespaces.size === 1 ? [...namespaces] : [...namespaces].sort();
    const id = `${terminating} ${names.join(",")} ${matcher.id}`;
    const known = this.#queries.get(id);
    if (known !== undefined) {
      this.#queries.delete(id);
      this.#queries.set(id, known);
      return known;
    }
    const query = new Query(id, namespaces, matcher, terminating);
    for (const namespace of names) {
      for (const { pod, node } of this.#podsOf(namespace)) if (query.selects(pod)) query.add(node, 1);
    }
    this.#queries.set(id, query);
    this.#bucket(query).add(query);
    if (this.#queries.size > MAX_QUERIES) this.#forgetOldest();
    return query;
  }
  podAdded(pod: PodInfo, node: NodeInfo): void {
    this.#change(pod, node, 1);
  }
  podRemoved(pod: PodInfo, node: NodeInfo): void {
    this.#change(pod, node, -1);
  }

  #change(pod: PodInfo, node: NodeInfo, amount: 1 | -1): void {
    if (this.#anchored.size > 0) {
      for (const key of Object.keys(pod.labels)) {
        const bucket = this.#anchored.get(`${key}=${pod.labels[key]}`);
        if (bucket === undefined) continue;
        for (const query of bucket) if (query.selects(pod)) query.add(node, amount);
      }
    }
    for (const query of this.#others) if (query.selects(pod)) query.add(node, amount);
  }
  #bucket({ matcher: { anchor } }: Query): Set<Query> {
    if (anchor === undefined) return this.#others;
    const id = `${anchor.key}=${anchor.value}`;
    let bucket = this.#anchored.get(id);
    if (bucket === undefined) this.#anchored.set(id, (bucket = new Set()));
    return bucket;
  }
  #forgetOldest(): void {
    const [oldest] = this.#queries.values();
    if (oldest === undefined) return;
    this.#queries.delete(oldest.id);
    const bucket = this.#bucket(oldest);
    bucket.delete(oldest);
    const { anchor } = oldest.matcher;
    if (anchor !== undefined && bucket.size === 0) this.#anchored.delete(`${anchor.key}=${anchor.value}`);
  }
}
