/**
 * Decides the next steps of a StatefulSet. In order (OrderedReady): missing pods from the lowest ordinal up, each only
 * when those below are available, then surplus ones from the highest down, then updates from the highest down.
 * Parallel sets wait for nothing. Pure.
 */
import { intOrPercent } from "#pkg/apimachinery/index.ts";
import type { StatefulSet, StatefulSetStatus } from "#pkg/api/types/apps-v1.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { REVISION_LABEL } from "../common/history.ts";
import { availableInMs, isPodReady } from "../common/pods.ts";
import { ordinalOf, repairedPod } from "./identity.ts";

/** At most this many pods are created or deleted in one turn, however large the set. */
const MAX_STEPS = 500;

/**
 * One change to the pods of a set. `current` says of which revision a new pod is: the one that is rolled out already, or the
 * newest.
 */
export type Step =
  | { readonly type: "create"; readonly ordinal: number; readonly current: boolean }
  | { readonly type: "delete"; readonly pod: Pod; readonly why: "scale" | "update" | "failed" | "succeeded" }
  | { readonly type: "repair"; readonly pod: Pod };

/** What to do about a set's pods, in order, and the status after it. */
export interface StatefulSetPlan {
  readonly steps: readonly Step[];
  readonly status: StatefulSetStatus;
  readonly requeueAfterMs: number | undefined;
  /** Pods beyond the wanted ordinals. */
  readonly condemned: readonly Pod[];
}

/** The two revisions between which a rolling update goes on; equal when none does. */
export interface Revisions {
  /** Names of ControllerRevisions. */
  readonly current: string;
  readonly update: string;
}

function startOrdinal(set: StatefulSet): number {
  return set.spec.ordinals?.start ?? 0;
}
function replicasOf(set: StatefulSet): number {
  return set.spec.replicas ?? 1;
}
function isParallel(set: StatefulSet): boolean {
  return set.spec.podManagementPolicy === "Parallel";
}
function isTerminating(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}
function isRunningAndReady(pod: Pod): boolean {
  return pod.status?.phase === "Running" && isPodReady(pod);
}

/** Name of the ControllerRevision that the pod was made of; "" when it does not say. */
export function revisionOf(pod: Pod): string {
  return pod.metadata.labels?.[REVISION_LABEL] ?? "";
}
function partitionOf(set: StatefulSet): number {
  return set.spec.updateStrategy?.rollingUpdate?.partition ?? 0;
}
function isRolling(set: StatefulSet): boolean {
  return (set.spec.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate";
}

/** Pods of the set, sorted: wanted ones by ordinal, others by falling ordinal. */
interface Population {
  readonly wanted: Map<number, Pod>;
  readonly condemned: Pod[];
}

function populate(set: StatefulSet, pods: readonly Pod[]): Population {
  const first = startOrdinal(set);
  const end = first + replicasOf(set);
  const wanted = new Map<number, Pod>();
  const condemned: Pod[] = [];
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal === undefined) continue;
    if (ordinal >= first && ordinal < end) wanted.set(ordinal, pod);
    else condemned.push(pod);
  }
  condemned.sort((a, b) => ordinalOf(set, b)! - ordinalOf(set, a)!);
  return { wanted, condemned };
}

/**
 * Does a missing pod of this ordinal belong to the old revision? Only while a roll-out has not reached it. Without a partition
 * the pods above tell how far it is: the status, which counts those of the old revision, may be older than the pods.
 */
function needsCurrent(set: StatefulSet, { update }: Revisions, { wanted }: Population, ordinal: number): boolean {
  if (!isRolling(set)) return false;
  if (set.spec.updateStrategy?.rollingUpdate !== undefined) return ordinal < startOrdinal(set) + partitionOf(set);
  return [...wanted].some(([other, pod]) => other > ordinal && revisionOf(pod) !== update);
}

/** What to do next about a StatefulSet with these pods. Pure. */
export function planStatefulSet(
  set: StatefulSet,
  revisions: Revisions,
  pods: readonly Pod[],
  collisionCount: number | undefined,
  now: number,
): StatefulSetPlan {
  const population = populate(set, pods);
  const clock = new Availability(set.spec.minReadySeconds ?? 0, now);
  const status = countStatus(set, revisions, pods, collisionCount, clock);
  const steps = set.metadata.deletionTimestamp === undefined ? planSteps(set, revisions, population, clock) : [];
  return { steps, status, requeueAfterMs: clock.nextMs, condemned: population.condemned };
}

/** Judges availability and remembers when the next pod will become available. */
class Availability {
  readonly #minReadySeconds: number;
  readonly #now: number;
  nextMs: number | undefined;

  constructor(minReadySeconds: number, now: number) {
    this.#minReadySeconds = minReadySeconds;
    this.#now = now;
  }
  isAvailable(pod: Pod): boolean {
    if (!isRunningAndReady(pod)) return false;
    const wait = availableInMs(pod, this.#minReadySeconds, this.#now);
    if (wait === undefined) return false;
    if (wait > 0) this.nextMs = Math.min(this.nextMs ?? wait, wait);
    return wait === 0;
  }
}

function planSteps(set: StatefulSet, revisions: Revisions, population: Population, clock: Availability): Step[] {
  const steps: Step[] = [];
  if (!planReplicas(set, revisions, population, clock, steps)) return steps;
  if (!planCondemned(set, population, clock, steps)) return steps;
  // Pods of the right ordinals are there and well; only then may an update take one away.
  if (isRolling(set) && (isParallel(set) ? true : steps.length === 0))
    planUpdate(set, revisions, population, clock, steps);
  return steps;
}

/** Makes missing pods and replaces finished ones. False: wait here before doing anything else. */
function planReplicas(
  set: StatefulSet,
  revisions: Revisions,
  population: Population,
  clock: Availability,
  steps: Step[],
): boolean {
  const { wanted } = population;
  const first = startOrdinal(set);
  const ordered = !isParallel(set);
  for (let ordinal = first; ordinal < first + replicasOf(set); ordinal++) {
    if (steps.length >= MAX_STEPS) return false;
    const pod = wanted.get(ordinal);
    if (pod === undefined) {
      steps.push({ type: "create", ordinal, current: needsCurrent(set, revisions, population, ordinal) });
      if (ordered) return false;
      continue;
    }
    const phase = pod.status?.phase;
    if (phase === "Failed" || phase === "Succeeded") {
      if (!isTerminating(pod)) steps.push({ type: "delete", pod, why: phase === "Failed" ? "failed" : "succeeded" });
      if (ordered) return false;
      continue;
    }
    if (ordered && (isTerminating(pod) || !isRunningAndReady(pod) || !clock.isAvailable(pod))) {
      repair(set, pod, ordinal, steps);
      return false;
    }
    repair(set, pod, ordinal, steps);
  }
  return true;
}

function repair(set: StatefulSet, pod: Pod, ordinal: number, steps: Step[]): void {
  if (isTerminating(pod)) return;
  const repaired = repairedPod(set, pod, ordinal);
  if (repaired !== undefined) steps.push({ type: "repair", pod: repaired });
}

/** Removes pods beyond the wanted number, highest ordinal first; one by one unless the set is parallel. */
function planCondemned(set: StatefulSet, population: Population, clock: Availability, steps: Step[]): boolean {
  const ordered = !isParallel(set);
  const firstUnhealthy = lowestUnhealthy(set, population);
  for (const pod of population.condemned) {
    if (steps.length >= MAX_STEPS) return false;
    if (isTerminating(pod)) {
      if (ordered) return false;
      continue;
    }
    if (ordered && pod !== firstUnhealthy && !clock.isAvailable(pod)) return false;
    steps.push({ type: "delete", pod, why: "scale" });
    if (ordered) return false;
  }
  return true;
}

/** The unhealthy pod with the lowest ordinal: scaling down must not wait for the one that it would remove anyway. */
function lowestUnhealthy(set: StatefulSet, { wanted, condemned }: Population): Pod | undefined {
  const unhealthy = [...wanted.values(), ...condemned].filter((pod) => isTerminating(pod) || !isRunningAndReady(pod));
  return unhealthy.sort((a, b) => ordinalOf(set, a)! - ordinalOf(set, b)!)[0];
}

function maxUnavailable(set: StatefulSet): number {
  const value = set.spec.updateStrategy?.rollingUpdate?.maxUnavailable;
  if (value === undefined) return 1;
  try {
    return Math.max(1, intOrPercent(value, replicasOf(set), false));
  } catch {
    return 1; // validated by the server
  }
}

/** Takes away pods of the old revision from the highest ordinal down to the partition. */
function planUpdate(
  set: StatefulSet,
  revisions: Revisions,
  { wanted }: Population,
  clock: Availability,
  steps: Step[],
): void {
  const first = startOrdinal(set);
  const lowest = first + partitionOf(set);
  let budget = maxUnavailable(set);
  const unavailable = (pod: Pod | undefined) => pod === undefined || isTerminating(pod) || !clock.isAvailable(pod);
  if (budget > 1)
    for (let ordinal = lowest; ordinal < first + replicasOf(set); ordinal++)
      if (unavailable(wanted.get(ordinal))) budget--;
  for (let ordinal = first + replicasOf(set) - 1; ordinal >= lowest && steps.length < MAX_STEPS; ordinal--) {
    const pod = wanted.get(ordinal);
    const outdated = pod !== undefined && revisionOf(pod) !== revisions.update && !isTerminating(pod);
    if (outdated && (budget > 0 || unavailable(pod)) && isUnfinished(pod)) {
      if (!unavailable(pod) || maxUnavailable(set) === 1) budget--;
      steps.push({ type: "delete", pod, why: "update" });
      if (maxUnavailable(set) === 1) return;
    } else if (maxUnavailable(set) === 1 && unavailable(pod)) return; // wait for it before the next
  }
}

/** Finished pods are being replaced already. */
function isUnfinished(pod: Pod): boolean {
  return pod.status?.phase !== "Failed" && pod.status?.phase !== "Succeeded";
}

function countStatus(
  set: StatefulSet,
  revisions: Revisions,
  pods: readonly Pod[],
  collisionCount: number | undefined,
  clock: Availability,
): StatefulSetStatus {
  const status = {
    observedGeneration: set.metadata.generation ?? 0,
    replicas: 0,
    readyReplicas: 0,
    availableReplicas: 0,
    currentReplicas: 0,
    updatedReplicas: 0,
    currentRevision: revisions.current,
    updateRevision: revisions.update,
    collisionCount: collisionCount ?? 0,
    ...(set.status?.conditions === undefined ? {} : { conditions: set.status.conditions }),
  };
  for (const pod of pods) {
    if (ordinalOf(set, pod) === undefined) continue;
    status.replicas++;
    if (isRunningAndReady(pod)) {
      status.readyReplicas++;
      if (clock.isAvailable(pod)) status.availableReplicas++;
    }
    if (isTerminating(pod)) continue;
    if (revisionOf(pod) === revisions.current) status.currentReplicas++;
    if (revisionOf(pod) === revisions.update) status.updatedReplicas++;
  }
  const wanted = replicasOf(set);
  // The roll-out is complete: what was the update is the current revision now.
  if (
    isRolling(set) &&
    status.updatedReplicas === wanted &&
    status.replicas === wanted &&
    status.readyReplicas === wanted
  ) {
    status.currentReplicas = status.updatedReplicas;
    status.currentRevision = revisions.update;
  }
  return status;
}
