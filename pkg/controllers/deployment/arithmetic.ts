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

export function isRollingUpdate(deployment: Deployment): boolean {
  return deployment.spec.strategy?.type !== "Recreate";
}

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

export function maxSurge(deployment: Deployment): number {
  return isRollingUpdate(deployment) ? fenceposts(deployment).surge : 0;
}

export function maxUnavailable(deployment: Deployment): number {
  const replicas = desiredReplicas(deployment);
  if (!isRollingUpdate(deployment) || replicas === 0) return 0;
  return Math.min(fenceposts(deployment).unavailable, replicas);
}

export function minAvailable(deployment: Deployment): number {
  return isRollingUpdate(deployment) ? desiredReplicas(deployment) - maxUnavailable(deployment) : 0;
}

export function hasProgressDeadline(deployment: Deployment): boolean {
  const seconds = deployment.spec.progressDeadlineSeconds;
  return seconds !== undefined && seconds !== MAX_INT32;
}

export function hasHistoryLimit(deployment: Deployment): boolean {
  const limit = deployment.spec.revisionHistoryLimit;
  return limit !== undefined && limit !== MAX_INT32;
}

export function sizeOf(replicaSet: ReplicaSet): number {
  return replicaSet.spec.replicas ?? 1;
}

export function totalSize(replicaSets: readonly ReplicaSet[]): number {
  return replicaSets.reduce((sum, replicaSet) => sum + sizeOf(replicaSet), 0);
}

export function totalStatus(
  replicaSets: readonly ReplicaSet[],
  field: "replicas" | "readyReplicas" | "availableReplicas" | "terminatingReplicas",
): number {
  return replicaSets.reduce((sum, { status }) => sum + (status?.[field] ?? 0), 0);
}

export function isActive(replicaSet: ReplicaSet): boolean {
  return sizeOf(replicaSet) > 0;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function byAge(a: ReplicaSet, b: ReplicaSet): number {
  return (
    compareText(a.metadata.creationTimestamp, b.metadata.creationTimestamp) ||
    compareText(a.metadata.name, b.metadata.name)
  );
}

export function bySizeThenNewer(a: ReplicaSet, b: ReplicaSet): number {
  return sizeOf(b) - sizeOf(a) || byAge(b, a);
}

export function bySizeThenOlder(a: ReplicaSet, b: ReplicaSet): number {
  return sizeOf(b) - sizeOf(a) || byAge(a, b);
}
