import { intOrPercent } from "#pkg/apimachinery/index.ts";
import type { Deployment, ReplicaSet } from "#pkg/api/types/apps-v1.ts";

const MAX_INT32 = 2 ** 31 - 1;

function resolve(value: number | string | undefined, fallback: string, total: number, roundUp: boolean): number {
  try {
    return Math.max(0, intOrPercent(value ?? fallback, total, roundUp));
  } catch {
    return 0; // validated by the server; a broken value must not stop the controller
  }
}

/** Are old pods replaced step by step, not all at once? */
export function isRollingUpdate(deployment: Deployment): boolean {
  return deployment.spec.strategy?.type !== "Recreate";
}

/** The number of pods that is asked for. */
export function desiredReplicas(deployment: Deployment): number {
  return deployment.spec.replicas ?? 1;
}

/** Both bounds as numbers: surge rounded up, unavailable down, never both zero (nothing could move). */
function fenceposts(deployment: Deployment): { surge: number; unavailable: number } {
  const replicas = desiredReplicas(deployment);
  const rolling = deployment.spec.strategy?.rollingUpdate;
  const surge = resolve(rolling?.maxSurge, "25%", replicas, true);
  const unavailable = resolve(rolling?.maxUnavailable, "25%", replicas, false);
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

/** How many pods there may be beyond the desired ones. */
export function maxSurge(deployment: Deployment): number {
  return isRollingUpdate(deployment) ? fenceposts(deployment).surge : 0;
}

/** How many of the desired pods may be missing. */
export function maxUnavailable(deployment: Deployment): number {
  const replicas = desiredReplicas(deployment);
  if (!isRollingUpdate(deployment) || replicas === 0) return 0;
  return Math.min(fenceposts(deployment).unavailable, replicas);
}

/** How many pods have to be available all along. */
export function minAvailable(deployment: Deployment): number {
  return isRollingUpdate(deployment) ? desiredReplicas(deployment) - maxUnavailable(deployment) : 0;
}

/** Is there a time after which a rollout without progress counts as failed? The largest int32 means none. */
export function hasProgressDeadline(deployment: Deployment): boolean {
  const seconds = deployment.spec.progressDeadlineSeconds;
  return seconds !== undefined && seconds !== MAX_INT32;
}

/** Are old ReplicaSets removed at some number? The largest int32 means never. */
export function hasHistoryLimit(deployment: Deployment): boolean {
  const limit = deployment.spec.revisionHistoryLimit;
  return limit !== undefined && limit !== MAX_INT32;
}

/** The number of pods that the ReplicaSet is to have. */
export function sizeOf(replicaSet: ReplicaSet): number {
  return replicaSet.spec.replicas ?? 1;
}

/** The number of pods that the ReplicaSets are to have together. */
export function totalSize(replicaSets: readonly ReplicaSet[]): number {
  return replicaSets.reduce((sum, replicaSet) => sum + sizeOf(replicaSet), 0);
}

/** What the ReplicaSets' statuses count of one sort of pods, together. */
export function totalStatus(
  replicaSets: readonly ReplicaSet[],
  field: "replicas" | "readyReplicas" | "availableReplicas" | "terminatingReplicas",
): number {
  return replicaSets.reduce((sum, { status }) => sum + (status?.[field] ?? 0), 0);
}

/** Is the ReplicaSet to have any pods? */
export function isActive(replicaSet: ReplicaSet): boolean {
  return sizeOf(replicaSet) > 0;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Order: the oldest first. */
export function byAge(a: ReplicaSet, b: ReplicaSet): number {
  return (
    compareText(a.metadata.creationTimestamp, b.metadata.creationTimestamp) ||
    compareText(a.metadata.name, b.metadata.name)
  );
}

/** Order: the largest first, of equals the newest. */
export function bySizeThenNewer(a: ReplicaSet, b: ReplicaSet): number {
  return sizeOf(b) - sizeOf(a) || byAge(b, a);
}

/** Order: the largest first, of equals the oldest. */
export function bySizeThenOlder(a: ReplicaSet, b: ReplicaSet): number {
  return sizeOf(b) - sizeOf(a) || byAge(a, b);
}
