import type { SchedulerCache } from "../cache/cache.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import { termSelects } from "../cache/pod-info.ts";
import type { AffinityTerm, PodInfo } from "../cache/pod-info.ts";
import type { PodCounts } from "../cache/pod-counts.ts";
import type { LabelMatcher, Labels } from "../cache/selectors.ts";
import { unresolvable, unschedulable } from "../framework/status.ts";
import { DomainSums } from "./domain-sums.ts";
import { isItself, MAX_NODE_SCORE } from "../framework/types.ts";
import type { ClusterEvent, Plugin } from "../framework/types.ts";

const AFFINITY = unresolvable("node(s) didn't match pod affinity rules");
const ANTI_AFFINITY = unschedulable("node(s) didn't match pod anti-affinity rules");
const EXISTING_ANTI_AFFINITY = unschedulable("node(s) didn't satisfy existing pods anti-affinity rules");

/** Arguments of InterPodAffinity. */
export interface InterPodAffinityArgs {
  /** What a required affinity term of an existing pod counts as in scoring. Default 1. */
  readonly hardPodAffinityWeight?: number;
  readonly ignorePreferredTermsOfExistingPods?: boolean;
}

/** Labels of namespaces, and the names of those that a selector matches. */
export interface NamespaceLister {
  labelsOf(namespace: string): Labels;
  matching(matcher: LabelMatcher): string[];
}

/** Pods (or weights) per domain of one topology key. */
interface DomainCounts {
  readonly slot: number;
  readonly counts: DomainSums;
}
interface TermCounts extends DomainCounts {
  readonly term: AffinityTerm;
}
interface FilterState {
  /** Pods that meet all affinity terms at once, by each term's topology. */
  readonly affinity: readonly TermCounts[];
  affinityTotal: number;
  readonly selectsItself: boolean;
  readonly antiAffinity: readonly TermCounts[];
  /** Existing pods whose anti-affinity is against this pod. */
  readonly existing: DomainCounts[];
}

/** Required terms refuse nodes, preferred ones of this pod and of those already there score them. */
export function interPodAffinity(
  cache: SchedulerCache,
  namespaces: NamespaceLister,
  args: InterPodAffinityArgs = {},
): Plugin<FilterState, readonly DomainCounts[]> {
  const { hardPodAffinityWeight = 1, ignorePreferredTermsOfExistingPods = false } = args;
  const evaluator = new Evaluator(cache, namespaces);
  return {
    name: "InterPodAffinity",
    events: [
      {
        resource: "AssignedPod",
        actions: ["Add", "UpdatePodLabel", "Delete"],
        hint: (pod, event) => concerns(pod, event, namespaces),
      },
      {
        resource: "UnscheduledPod",
        actions: ["UpdatePodLabel"],
        hint: isItself,
      },
      { resource: "Node", actions: ["Add", "UpdateNodeLabel"] },
    ],
    preFilter: (pod) => {
      const state = evaluator.filterState(pod);
      const idle = state.affinity.length === 0 && state.antiAffinity.length === 0 && state.existing.length === 0;
      return idle ? "skip" : { state };
    },
    cloneState: (state) => ({
      ...state,
      affinity: state.affinity.map(copyCounts),
      antiAffinity: state.antiAffinity.map(copyCounts),
      existing: state.existing.map(copyCounts),
    }),
    addPod: (state, pod, added, node) => evaluator.change(state, pod, added, node, 1),
    removePod: (state, pod, removed, node) => evaluator.change(state, pod, removed, node, -1),
    filter: (state, _pod, node) => {
      if (!meetsAffinity(state, node)) return AFFINITY;
      if (state.antiAffinity.some((counts) => countAt(counts, node) > 0)) return ANTI_AFFINITY;
      if (state.existing.some((counts) => countAt(counts, node) > 0)) return EXISTING_ANTI_AFFINITY;
      return undefined;
    },
    preScore: (pod) => {
      const state = evaluator.scoreState(pod, hardPodAffinityWeight, ignorePreferredTermsOfExistingPods);
      return state.length === 0 ? "skip" : { state };
    },
    score: (state, _pod, node) => {
      let sum = 0;
      for (const counts of state) sum += countAt(counts, node);
      return sum;
    },
    normalizeScore: (_state, _pod, _nodes, scores) => {
      let lowest = Infinity;
      let highest = -Infinity;
      for (const score of scores) {
        if (score < lowest) lowest = score;
        if (score > highest) highest = score;
      }
      const range = highest - lowest;
      for (let i = 0; i < scores.length; i++) {
        scores[i] = range > 0 ? Math.trunc((MAX_NODE_SCORE * (scores[i]! - lowest)) / range) : 0;
      }
    },
  };
}

function countAt({ slot, counts }: DomainCounts, node: NodeInfo): number {
  const domain = node.domains[slot];
  return domain === undefined || domain < 0 ? 0 : counts.at(domain);
}

function copyCounts<C extends DomainCounts>(counts: C): C {
  return { ...counts, counts: counts.counts.copy() };
}

function meetsAffinity({ affinity, affinityTotal, selectsItself }: FilterState, node: NodeInfo): boolean {
  let met = true;
  for (const counts of affinity) {
    const domain = node.domains[counts.slot];
    if (domain === undefined || domain < 0) return false; // a node outside of the topology never does
    if (counts.counts.at(domain) <= 0) met = false;
  }
  // The first pod of a group that wants to be together may go anywhere.
  return met || (affinityTotal === 0 && selectsItself);
}

class Evaluator {
  readonly #cache: SchedulerCache;
  readonly #namespaces: NamespaceLister;

  constructor(cache: SchedulerCache, namespaces: NamespaceLister) {
    this.#cache = cache;
    this.#namespaces = namespaces;
  }

  filterState(pod: PodInfo): FilterState {
    const namespaceLabels = this.#namespaces.labelsOf(pod.namespace);
    const existing = new Map<string, DomainCounts>();
    for (const { term, byNode } of this.#cache.statedTerms.requiredAntiAffinity.selecting(pod, namespaceLabels)) {
      this.#addTo(existing, term.topologyKey, byNode, 1);
    }
    const antiAffinity = pod.requiredAntiAffinity.map((term) => this.#termCounts(term, this.#count(term)));
    const together = pod.requiredAffinity.length === 0 ? undefined : this.#countAll(pod.requiredAffinity);
    const affinity = together === undefined ? [] : pod.requiredAffinity.map((term) => this.#termCounts(term, together));
    return {
      affinity,
      affinityTotal: affinity.reduce((sum, { counts }) => sum + counts.total, 0),
      selectsItself: pod.requiredAffinity.every((term) => termSelects(term, pod, namespaceLabels)),
      antiAffinity,
      existing: [...existing.values()],
    };
  }

  scoreState(pod: PodInfo, hardWeight: number, ignoreExisting: boolean): DomainCounts[] {
    const sums = new Map<string, DomainCounts>();
    for (const { term, weight } of pod.preferredAffinity)
      this.#addTo(sums, term.topologyKey, this.#count(term).byNode, weight);
    for (const { term, weight } of pod.preferredAntiAffinity)
      this.#addTo(sums, term.topologyKey, this.#count(term).byNode, -weight);
    const own = pod.preferredAffinity.length > 0 || pod.preferredAntiAffinity.length > 0;
    if (own || !ignoreExisting) {
      const { requiredAffinity, preferredAffinity, preferredAntiAffinity } = this.#cache.statedTerms;
      const labels = this.#namespaces.labelsOf(pod.namespace);
      if (hardWeight > 0) {
        for (const { term, byNode } of requiredAffinity.selecting(pod, labels))
          this.#addTo(sums, term.topologyKey, byNode, hardWeight);
      }
      for (const { term, byNode } of preferredAffinity.selecting(pod, labels))
        this.#addTo(sums, term.topologyKey, byNode, 1);
      for (const { term, byNode } of preferredAntiAffinity.selecting(pod, labels))
        this.#addTo(sums, term.topologyKey, byNode, -1);
    }
    return [...sums.values()];
  }

  /** What one pod more (or less) on the node changes. */
  change(state: FilterState, pod: PodInfo, other: PodInfo, node: NodeInfo, sign: 1 | -1): void {
    const ownLabels = this.#namespaces.labelsOf(pod.namespace);
    const otherLabels = this.#namespaces.labelsOf(other.namespace);
    const bump = (target: DomainCounts): boolean => {
      const domain = node.domains[target.slot];
      if (domain === undefined || domain < 0) return false;
      target.counts.add(domain, sign);
      return true;
    };
    for (const term of other.requiredAntiAffinity) {
      if (!termSelects(term, pod, ownLabels)) continue;
      const { slot, size } = this.#cache.topology.track(term.topologyKey);
      let counts = state.existing.find((candidate) => candidate.slot === slot);
      if (counts === undefined) state.existing.push((counts = { slot, counts: DomainSums.of(size, 1) }));
      bump(counts);
    }
    for (const counts of state.antiAffinity) if (termSelects(counts.term, other, otherLabels)) bump(counts);
    if (state.affinity.length === 0 || !state.affinity.every(({ term }) => termSelects(term, other, otherLabels)))
      return;
    for (const counts of state.affinity) if (bump(counts)) state.affinityTotal += sign;
  }

  #termCounts(term: AffinityTerm, { byNode }: PodCounts): TermCounts {
    const { slot, size } = this.#cache.topology.track(term.topologyKey);
    const counts = DomainSums.of(size, byNode.size);
    addByNode(counts, slot, byNode, 1);
    return { term, slot, counts };
  }
  #addTo(
    sums: Map<string, DomainCounts>,
    topologyKey: string,
    byNode: ReadonlyMap<NodeInfo, number>,
    factor: number,
  ): void {
    if (byNode.size === 0) return;
    let sum = sums.get(topologyKey);
    if (sum === undefined) {
      const { slot, size } = this.#cache.topology.track(topologyKey);
      sums.set(topologyKey, (sum = { slot, counts: DomainSums.of(size, byNode.size) }));
    }
    addByNode(sum.counts, sum.slot, byNode, factor);
  }
  #count(term: AffinityTerm): PodCounts {
    return this.#cache.podCounts.count(this.#resolve(term), term.matcher, { terminating: true });
  }
  /** Pods that meet every one of the terms. */
  #countAll(terms: readonly AffinityTerm[]): PodCounts {
    if (terms.length === 1) return this.#count(terms[0]!);
    const namespaces = terms.map((term) => this.#resolve(term)).reduce((left, right) => left.intersection(right));
    const matcher: LabelMatcher = {
      id: JSON.stringify(terms.map((term) => term.matcher.id)),
      anchor: terms.find((term) => term.matcher.anchor !== undefined)?.matcher.anchor,
      matches: (labels) => terms.every((term) => term.matcher.matches(labels)),
    };
    return this.#cache.podCounts.count(namespaces, matcher, { terminating: true });
  }
  #resolve({ namespaces, namespaceMatcher }: AffinityTerm): ReadonlySet<string> {
    return namespaceMatcher === undefined
      ? namespaces
      : namespaces.union(new Set(this.#namespaces.matching(namespaceMatcher)));
  }
}

function addByNode(counts: DomainSums, slot: number, byNode: ReadonlyMap<NodeInfo, number>, factor: number): void {
  for (const [node, amount] of byNode) {
    const domain = node.domains[slot];
    if (domain !== undefined && domain >= 0) counts.add(domain, amount * factor);
  }
}

/** Could another pod's coming, change or going matter to the waiting one? */
function concerns(waiting: PodInfo, { pod: now, oldPod }: ClusterEvent, namespaces: NamespaceLister): boolean {
  if (now === undefined) return true;
  const before = oldPod ?? now;
  const selects = (term: AffinityTerm, other: PodInfo) =>
    termSelects(term, other, namespaces.labelsOf(other.namespace));
  if (waiting.requiredAffinity.some((term) => selects(term, now) || selects(term, before))) return true;
  if (waiting.requiredAntiAffinity.some((term) => selects(term, before))) return true;
  return before.requiredAntiAffinity.some((term) => selects(term, waiting));
}
