import type { Pod, PodCondition } from "#pkg/api/types/core-v1.ts";
import { parseTime } from "#pkg/util/index.ts";

/** The pod's condition of this type, if there is one. */
export function podCondition(pod: Pod, type: string): PodCondition | undefined {
  return pod.status?.conditions?.find((condition) => condition.type === type);
}

/** Is the pod's condition Ready true? */
export function isPodReady(pod: Pod): boolean {
  return podCondition(pod, "Ready")?.status === "True";
}

/** Finished: no container of the pod will run again. */
export function isPodTerminal(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Counts towards its owner's replicas: neither finished nor being deleted. */
export function isPodActive(pod: Pod): boolean {
  return !isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined;
}

/** Is it being deleted and has not ended yet? */
export function isPodTerminating(pod: Pod): boolean {
  return !isPodTerminal(pod) && pod.metadata.deletionTimestamp !== undefined;
}

/** Milliseconds until a ready pod becomes available; 0 when it is; undefined when it is not ready. */
export function availableInMs(pod: Pod, minReadySeconds: number, now: number): number | undefined {
  const ready = podCondition(pod, "Ready");
  if (ready?.status !== "True") return undefined;
  if (minReadySeconds <= 0) return 0;
  const since = parseTime(ready.lastTransitionTime);
  return since === undefined ? undefined : Math.max(0, since + minReadySeconds * 1000 - now);
}

const PHASE_ORDER: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/** metadata.annotations value of the pod deletion cost; 0 when absent or malformed. */
function deletionCost(pod: Pod): number {
  const text = pod.metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"];
  return text !== undefined && /^-?(0|[1-9][0-9]*)$/.test(text) ? Number(text) : 0;
}

/** Time on a logarithmic scale: among old pods small differences in age must not decide. */
function logarithmicAge(time: string | null | undefined, now: number): number {
  const since = parseTime(time);
  return since === undefined ? 0 : Math.floor(Math.log2(Math.max(1, (now - since) * 1e6))); // of nanoseconds
}

function maxRestarts(pod: Pod): { regular: number; sidecar: number } {
  let regular = 0;
  let sidecar = 0;
  for (const { restartCount } of pod.status?.containerStatuses ?? []) regular = Math.max(regular, restartCount);
  const sidecars = new Set(
    (pod.spec.initContainers ?? []).flatMap(({ name, restartPolicy }) => (restartPolicy === "Always" ? [name] : [])),
  );
  for (const { name, restartCount } of pod.status?.initContainerStatuses ?? [])
    if (sidecars.has(name)) sidecar = Math.max(sidecar, restartCount);
  return { regular, sidecar };
}

/**
 * Orders pods for deletion, first to go first: unassigned, then Pending before Unknown before Running, not ready, lower
 * deletion cost, on nodes with more of the owner's related pods, ready for a shorter time, more restarts, younger.
 * `rank` says how many related active pods share the pod's node.
 */
export function compareForDeletion(a: Pod, b: Pod, rank: (pod: Pod) => number, now: number): number {
  const assigned = (pod: Pod) => (pod.spec.nodeName === undefined || pod.spec.nodeName === "" ? 0 : 1);
  if (assigned(a) !== assigned(b)) return assigned(a) - assigned(b);
  const phase = (pod: Pod) => PHASE_ORDER[pod.status?.phase ?? ""] ?? 0;
  if (phase(a) !== phase(b)) return phase(a) - phase(b);
  const ready = (pod: Pod) => (isPodReady(pod) ? 1 : 0);
  if (ready(a) !== ready(b)) return ready(a) - ready(b);
  if (deletionCost(a) !== deletionCost(b)) return deletionCost(a) - deletionCost(b);
  if (rank(a) !== rank(b)) return rank(b) - rank(a);
  if (ready(a) === 1) {
    const since = (pod: Pod) => logarithmicAge(podCondition(pod, "Ready")?.lastTransitionTime, now);
    if (since(a) !== since(b)) return since(a) - since(b);
  }
  const [restartsA, restartsB] = [maxRestarts(a), maxRestarts(b)];
  if (restartsA.regular !== restartsB.regular) return restartsB.regular - restartsA.regular;
  if (restartsA.sidecar !== restartsB.sidecar) return restartsB.sidecar - restartsA.sidecar;
  const age = (pod: Pod) => logarithmicAge(pod.metadata.creationTimestamp, now);
  if (age(a) !== age(b)) return age(a) - age(b);
  return a.metadata.uid < b.metadata.uid ? -1 : a.metadata.uid > b.metadata.uid ? 1 : 0;
}
