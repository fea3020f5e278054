import type { NodeInfo } from "./node-info.ts";
import { termSelects } from "./pod-info.ts";
import type { AffinityTerm, PodInfo, WeightedTerm } from "./pod-info.ts";
import type { Labels } from "./selectors.ts";

/** One term as stated by pods of the cluster: on which nodes such pods are, and with what weight in sum. */
export interface StatedTerm {
  readonly term: AffinityTerm;
  /** Sum of weights (for required terms: the number of pods) by node. */
  readonly byNode: ReadonlyMap<NodeInfo, number>;
}

class Group implements StatedTerm {
  readonly term: AffinityTerm;
  readonly byNode = new Map<NodeInfo, number>();

  constructor(term: AffinityTerm) {
    this.term = term;
  }
  add(node: NodeInfo, weight: number): void {
    const sum = (this.byNode.get(node) ?? 0) + weight;
    if (sum === 0) this.byNode.delete(node);
    else this.byNode.set(node, sum);
  }
}

/** The affinity terms that pods on nodes state, equal terms together, found by the labels they select. */
class TermIndex {
  readonly #groups = new Map<string, Group>();
  readonly #anchored = new Map<string, Set<Group>>();
  readonly #others = new Set<Group>();

  get size(): number {
    return this.#groups.size;
  }
  add(term: AffinityTerm, node: NodeInfo, weight: number): void {
    let group = this.#groups.get(term.id);
    if (group === undefined) {
      group = new Group(term);
      this.#groups.set(term.id, group);
      this.#bucket(term).add(group);
    }
    group.add(node, weight);
    if (group.byNode.size > 0) return;
    this.#groups.delete(term.id);
    const bucket = this.#bucket(term);
    bucket.delete(group);
    const { anchor } = term.matcher;
    if (anchor !== undefined && bucket.size === 0) this.#anchored.delete(`${anchor.key}=${anchor.value}`);
  }
  /** All stated terms that select the pod. */
  *selecting(pod: PodInfo, namespaceLabels: Labels): Generator<StatedTerm> {
    if (this.#anchored.size > 0) {
      for (const key of Object.keys(pod.labels)) {
        const bucket = this.#anchored.get(`${key}=${pod.labels[key]}`);
        if (bucket === undefined) continue;
        for (const group of bucket) if (termSelects(group.term, pod, namespaceLabels)) yield group;
      }
    }
    for (const group of this.#others) if (termSelects(group.term, pod, namespaceLabels)) yield group;
  }

  #bucket({ matcher: { anchor } }: AffinityTerm): Set<Group> {
    if (anchor === undefined) return this.#others;
    const id = `${anchor.key}=${anchor.value}`;
    let bucket = this.#anchored.get(id);
    if (bucket === undefined) this.#anchored.set(id, (bucket = new Set()));
    return bucket;
  }
}

/** The four kinds of terms, kept up to date with the pods. */
export class StatedTerms {
  readonly requiredAffinity = new TermIndex();
  readonly requiredAntiAffinity = new TermIndex();
  readonly preferredAffinity = new TermIndex();
  readonly preferredAntiAffinity = new TermIndex();

  podAdded(pod: PodInfo, node: NodeInfo): void {
    if (pod.hasAffinity) this.#change(pod, node, 1);
  }
  podRemoved(pod: PodInfo, node: NodeInfo): void {
    if (pod.hasAffinity) this.#change(pod, node, -1);
  }
  #change(pod: PodInfo, node: NodeInfo, sign: 1 | -1): void {
    const all = (index: TermIndex, terms: readonly AffinityTerm[]) => {
      for (const term of terms) index.add(term, node, sign);
    };
    const weighted = (index: TermIndex, terms: readonly WeightedTerm[]) => {
      for (const { term, weight } of terms) index.add(term, node, sign * weight);
    };
    all(this.requiredAffinity, pod.requiredAffinity);
    all(this.requiredAntiAffinity, pod.requiredAntiAffinity);
    weighted(this.preferredAffinity, pod.preferredAffinity);
    weighted(this.preferredAntiAffinity, pod.preferredAntiAffinity);
  }
}
