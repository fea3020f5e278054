import { keyString } from "#pkg/apimachinery/index.ts";
import type {
  NodeSelector,
  Pod,
  PodAffinityTerm,
  Toleration,
  WeightedPodAffinityTerm,
} from "#pkg/api/types/core-v1.ts";
import type { LabelSelector } from "#pkg/api/types/meta-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { noResources, podRequests } from "./resources.ts";
import type { PodRequests, Resources } from "./resources.ts";
import { compileLabelSelector, compileNodeSelector, labelOf, NO_LABELS } from "./selectors.ts";
import type { LabelMatcher, Labels, NodeMatcher } from "./selectors.ts";

/** A pod affinity term, compiled. */
export interface AffinityTerm {
  /** Equal for terms that select the same pods in the same topology. */
  readonly id: string;
  readonly topologyKey: string;
  readonly namespaces: ReadonlySet<string>;
  /** Selects further namespaces by their labels; undefined when there is no namespaceSelector. */
  readonly namespaceMatcher: LabelMatcher | undefined;
  readonly matcher: LabelMatcher;
}

/** A preferred affinity term. */
export interface WeightedTerm {
  readonly term: AffinityTerm;
  readonly weight: number;
}

/** A port of the node that a container takes. */
export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

const NO_TOLERATIONS: readonly Toleration[] = [];
const NO_REQUESTS: PodRequests = { requests: noResources(), nonZero: { milliCpu: 0, memory: 0 } };

/** Each term costs every attempt; a pod with more than this could keep all others waiting. */
const MAX_TERMS = 1_000;

function countTerms({ spec }: Pod): number {
  const { nodeAffinity, podAffinity, podAntiAffinity } = spec.affinity ?? {};
  const nodeTerms = [
    ...(nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []),
    ...(nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ preference }) => preference),
  ];
  const lists = [
    ...nodeTerms.map(({ matchExpressions }) => matchExpressions),
    podAffinity?.requiredDuringSchedulingIgnoredDuringExecution,
    podAffinity?.preferredDuringSchedulingIgnoredDuringExecution,
    podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution,
    podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution,
  ];
  const spread = spec.topologySpreadConstraints?.length ?? 0;
  return lists.reduce<number>((sum, list) => sum + (list?.length ?? 0), spread);
}

/** The scheduler, and the profile, of pods that name none. */
export const DEFAULT_SCHEDULER = "default-scheduler";

/** The name of the scheduler that the pod waits for. */
export function schedulerNameOf({ spec }: Pod): string {
  return spec.schedulerName ?? DEFAULT_SCHEDULER;
}

/** One version of a pod with what scheduling asks about it, worked out once (on first use where it is rare). */
export class PodInfo {
  readonly pod: Pod;
  /** "namespace/name" */
  readonly key: string;
  readonly uid: string;
  readonly namespace: string;
  readonly schedulerName: string;
  readonly labels: Labels;
  readonly priority: number;
  readonly requests: Resources;
  readonly nonZeroMilliCpu: number;
  readonly nonZeroMemory: number;
  readonly tolerations: readonly Toleration[];
  readonly hostPorts: readonly HostPort[];
  readonly requiredAffinity: readonly AffinityTerm[];
  readonly requiredAntiAffinity: readonly AffinityTerm[];
  readonly preferredAffinity: readonly WeightedTerm[];
  readonly preferredAntiAffinity: readonly WeightedTerm[];
  /** Why the pod cannot be understood; it is then counted as far as it can be, and not scheduled. */
  readonly problem: string | undefined;
  #nodeMatcher: NodeMatcher | undefined | "none" = undefined;

  constructor(pod: Pod) {
    this.pod = pod;
    const { namespace = "", name, uid, labels } = pod.metadata;
    this.key = keyString({ namespace, name });
    this.uid = uid;
    this.namespace = namespace;
    this.schedulerName = schedulerNameOf(pod);
    this.labels = labels ?? NO_LABELS;
    this.priority = pod.spec.priority ?? 0;
    let problem: string | undefined;
    const understood = <T>(read: () => T, otherwise: T): T => {
      try {
        return read();
      } catch (error) {
        problem ??= errorMessage(error);
        return otherwise;
      }
    };
    const { requests, nonZero } = understood(() => podRequests(pod), NO_REQUESTS);
    this.requests = requests;
    this.nonZeroMilliCpu = nonZero.milliCpu;
    this.nonZeroMemory = nonZero.memory;
    this.tolerations = pod.spec.tolerations ?? NO_TOLERATIONS;
    this.hostPorts = hostPortsOf(pod);
    const termCount = countTerms(pod);
    const { podAffinity, podAntiAffinity } = termCount > MAX_TERMS ? {} : (pod.spec.affinity ?? {});
    const compile = (terms: readonly PodAffinityTerm[] = []) =>
      understood(() => terms.map((term) => compileTerm(term, this)), []);
    const compileWeighted = (terms: readonly WeightedPodAffinityTerm[] = []) =>
      understood(
        () => terms.map(({ podAffinityTerm, weight }) => ({ term: compileTerm(podAffinityTerm, this), weight })),
        [],
      );
    this.requiredAffinity = compile(podAffinity?.requiredDuringSchedulingIgnoredDuringExecution);
    this.requiredAntiAffinity = compile(podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution);
    this.preferredAffinity = compileWeighted(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution);
    this.preferredAntiAffinity = compileWeighted(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution);
    if (termCount > MAX_TERMS)
      problem ??= `pod states ${termCount} affinity terms and spread constraints, more than ${MAX_TERMS}`;
    this.problem = problem;
  }
  /** Does it say anything about other pods? */
  get hasAffinity(): boolean {
    return (
      this.requiredAffinity.length > 0 ||
      this.requiredAntiAffinity.length > 0 ||
      this.preferredAffinity.length > 0 ||
      this.preferredAntiAffinity.length > 0
    );
  }
  /** spec.nodeSelector and required node affinity together; undefined when the pod restricts nothing. */
  get nodeMatcher(): NodeMatcher | undefined {
    this.#nodeMatcher ??= compileNodeRequirements(this.pod) ?? "none";
    return this.#nodeMatcher === "none" ? undefined : this.#nodeMatcher;
  }
}

function compileNodeRequirements({ spec }: Pod): NodeMatcher | undefined {
  const selector = Object.entries(spec.nodeSelector ?? {});
  const required: NodeSelector | undefined =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const affinity = required === undefined ? undefined : compileNodeSelector(required);
  if (selector.length === 0) return affinity;
  const hasAll = (labels: Labels) => selector.every(([key, value]) => labelOf(labels, key) === value);
  return affinity === undefined ? hasAll : (labels, name) => hasAll(labels) && affinity(labels, name);
}

function hostPortsOf({ spec }: Pod): HostPort[] {
  const ports: HostPort[] = [];
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  for (const container of [...spec.containers, ...sidecars]) {
    for (const { hostPort = 0, hostIP, protocol } of container.ports ?? []) {
      if (hostPort <= 0) continue;
      ports.push({
        ip: hostIP === undefined || hostIP === "" ? "0.0.0.0" : hostIP,
        protocol: protocol ?? "TCP",
        port: hostPort,
      });
    }
  }
  return ports;
}

function compileTerm(
  term: PodAffinityTerm,
  { namespace, labels }: { namespace: string; labels: Labels },
): AffinityTerm {
  const selector = withLabelKeys(term.labelSelector, labels, term.matchLabelKeys, term.mismatchLabelKeys);
  const matcher = compileLabelSelector(selector);
  const named = term.namespaces ?? [];
  // Neither names nor a selector: the pod's own namespace (a namespaceSelector of null means the same).
  const namespaces = named.length === 0 && !term.namespaceSelector ? [namespace] : [...named].sort();
  const namespaceMatcher = term.namespaceSelector ? compileLabelSelector(term.namespaceSelector) : undefined;
  const id = JSON.stringify([term.topologyKey, namespaces, namespaceMatcher?.id ?? null, matcher.id]);
  return { id, topologyKey: term.topologyKey, namespaces: new Set(namespaces), namespaceMatcher, matcher };
}

/**
 * Adds the pod's own values of the given keys to a selector (KEP-3243, KEP-3633). The API server does this too when a
 * pod is created; saying it twice changes nothing.
 */
export function withLabelKeys(
  selector: LabelSelector | undefined,
  labels: Labels,
  matchKeys: readonly string[] = [],
  mismatchKeys: readonly string[] = [],
): LabelSelector | undefined {
  if (selector === undefined || (matchKeys.length === 0 && mismatchKeys.length === 0)) return selector;
  const matchExpressions = [...(selector.matchExpressions ?? [])];
  const add = (keys: readonly string[], operator: "In" | "NotIn") => {
    for (const key of keys) {
      const value = labelOf(labels, key);
      if (value !== undefined) matchExpressions.push({ key, operator, values: [value] });
    }
  };
  add(matchKeys, "In");
  add(mismatchKeys, "NotIn");
  return { ...selector, matchExpressions };
}

/** Does the term select a pod with these labels in this namespace? */
export function termSelects(term: AffinityTerm, pod: PodInfo, namespaceLabels: Labels): boolean {
  const inNamespace = term.namespaces.has(pod.namespace) || term.namespaceMatcher?.matches(namespaceLabels) === true;
  return inNamespace && term.matcher.matches(pod.labels);
}
