/** Whether a pod has room on the node, and who has to go when a critical one has not. Pure. */
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import { podSums } from "./cgroups/resources.ts";
import { isCriticalPod, qosClass } from "./pod/spec.ts";

/** A resource that pods share, and how much of it a pod asks for: millicores of CPU, else whole units. */
interface Demand {
  readonly name: string;
  readonly of: (pod: Pod) => number;
}

/** A resource that there is too little of for one more pod; amounts as in Demand. */
export interface Shortage extends Demand {
  readonly requested: number;
  readonly used: number;
  readonly capacity: number;
}

function extendedRequest(pod: Pod, name: string): number {
  const of = (list: Readonly<Record<string, string | number>> | undefined) =>
    list?.[name] === undefined ? 0 : parseQuantity(list[name]).toNumber();
  const init = Math.max(0, ...(pod.spec.initContainers ?? []).map(({ resources }) => of(resources?.requests)));
  return Math.max(
    init,
    pod.spec.containers.reduce((sum, { resources }) => sum + of(resources?.requests), 0),
  );
}

/** What the node has too little of for `pod` beside `others`, all with the resources they were granted. */
export function shortages(
  pod: Pod,
  others: readonly Pod[],
  allocatable: Readonly<Record<string, string | number>>,
): Shortage[] {
  // Before the node has registered nothing is known that could be judged.
  if (Object.keys(allocatable).length === 0) return [];
  const limit = (name: string) => (allocatable[name] === undefined ? 0 : parseQuantity(allocatable[name]).toNumber());
  // Resources that the node knows nothing of are the cluster's own: the scheduler has judged them.
  const extended = new Set(
    pod.spec.containers
      .flatMap(({ resources }) => Object.keys(resources?.requests ?? {}))
      .filter((name) => name.includes("/") && allocatable[name] !== undefined),
  );
  const demands: Demand[] = [
    { name: "pods", of: () => 1 },
    { name: "cpu", of: (p) => podSums(p).milliCpuRequest },
    { name: "memory", of: (p) => podSums(p).memoryRequest },
    ...["ephemeral-storage", ...extended].map((name) => ({ name, of: (p: Pod) => extendedRequest(p, name) })),
  ];
  return demands
    .map(({ name, of }) => ({
      name,
      of,
      requested: of(pod),
      used: others.reduce((sum, other) => sum + of(other), 0),
      capacity: name === "cpu" ? limit(name) * 1000 : limit(name),
    }))
    .filter(({ requested, used, capacity }) => requested > 0 && used + requested > capacity);
}

/** What is still missing once `leaving` are gone. */
function missing(short: readonly Shortage[], leaving: readonly Pod[]): { readonly of: Demand["of"]; amount: number }[] {
  return short
    .map(({ of, requested, used, capacity }) => ({
      of,
      amount: used + requested - capacity - leaving.reduce((sum, pod) => sum + of(pod), 0),
    }))
    .filter(({ amount }) => amount > 0);
}

/** How far from enough the pod's leaving would be: 0 is enough. */
function distance(pod: Pod, wanted: ReturnType<typeof missing>): number {
  return wanted.reduce((sum, { of, amount }) => sum + Math.max(0, (amount - of(pod)) / amount) ** 2, 0);
}

/** Of these pods few that free what is missing: the one that comes nearest to it first, of equals the smallest. */
function nearest(pods: readonly Pod[], short: readonly Shortage[], leaving: readonly Pod[]): Pod[] {
  const chosen: Pod[] = [];
  let rest = [...pods];
  for (;;) {
    const wanted = missing(short, [...leaving, ...chosen]);
    if (wanted.length === 0 || rest.length === 0) return chosen;
    const best = rest.reduce((a, b) => {
      const nearer = distance(a, wanted) - distance(b, wanted);
      return nearer < 0 || (nearer === 0 && podSums(a).memoryRequest <= podSums(b).memoryRequest) ? a : b;
    });
    chosen.push(best);
    rest = rest.filter((pod) => pod !== best);
  }
}

/**
 * Pods that have to end so that a critical one gets what is missing; undefined when even all of them would not do. Those that
 * were promised least go first: a better class only gives what the lesser ones, all gone, could not (the kubelet's
 * preemption; see "Guaranteed scheduling for critical add-on pods" in the Kubernetes documentation).
 */
export function podsToPreempt(critical: Pod, others: readonly Pod[], short: readonly Shortage[]): Pod[] | undefined {
  const mayGo = others.filter(
    (pod) => !isCriticalPod(pod) || (critical.spec.priority ?? 0) > (pod.spec.priority ?? Infinity),
  );
  if (missing(short, mayGo).length > 0) return undefined;
  const of = (wanted: string) => mayGo.filter((pod) => qosClass(pod) === wanted);
  const [bestEffort, burstable] = [of("BestEffort"), of("Burstable")];
  const guaranteedToGo = nearest(of("Guaranteed"), short, [...bestEffort, ...burstable]);
  const burstableToGo = nearest(burstable, short, [...bestEffort, ...guaranteedToGo]);
  const bestEffortToGo = nearest(bestEffort, short, [...burstableToGo, ...guaranteedToGo]);
  return [...bestEffortToGo, ...burstableToGo, ...guaranteedToGo];
}
