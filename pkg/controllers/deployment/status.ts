import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from "#pkg/api/types/apps-v1.ts";
import { formatTime, parseTime } from "#pkg/util/index.ts";
import { findCondition, withCondition, withoutCondition } from "../common/conditions.ts";
import { desiredReplicas, hasProgressDeadline, maxUnavailable, sizeOf, totalSize, totalStatus } from "./arithmetic.ts";
import { allOf, type Sets } from "./scaling.ts";

/** A condition of now, with the update time that Deployments have besides the transition time. */
export function deploymentCondition(
  type: string,
  status: "True" | "False" | "Unknown",
  reason: string,
  message: string,
  now: number,
): DeploymentCondition {
  const time = formatTime(now);
  return { type, status, lastUpdateTime: time, lastTransitionTime: time, reason, message };
}

/** Counts and the Available condition; progress is the roll-out's business. */
export function countedStatus(
  deployment: Deployment,
  sets: Sets,
  conditions: readonly DeploymentCondition[] | undefined,
  collisionCount: number | undefined,
  now: number,
): DeploymentStatus {
  const all = allOf(sets);
  const availableReplicas = totalStatus(all, "availableReplicas");
  const status: DeploymentStatus = {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: totalStatus(all, "replicas"),
    updatedReplicas: sets.current?.status?.replicas ?? 0,
    readyReplicas: totalStatus(all, "readyReplicas"),
    availableReplicas,
    unavailableReplicas: Math.max(0, totalSize(all) - availableReplicas),
  };
  if (all.some((replicaSet) => replicaSet.status?.terminatingReplicas !== undefined))
    status.terminatingReplicas = totalStatus(all, "terminatingReplicas");
  if (collisionCount !== undefined) status.collisionCount = collisionCount;
  const enough = availableReplicas >= desiredReplicas(deployment) - maxUnavailable(deployment);
  status.conditions = withCondition(
    conditions,
    enough
      ? deploymentCondition(
          "Available",
          "True",
          "MinimumReplicasAvailable",
          "Deployment has minimum availability.",
          now,
        )
      : deploymentCondition(
          "Available",
          "False",
          "MinimumReplicasUnavailable",
          "Deployment does not have minimum availability.",
          now,
        ),
  );
  return status;
}

/** Is the rollout over: all pods new, all of them available, none left over? */
export function isComplete(deployment: Deployment, status: DeploymentStatus | undefined): boolean {
  const replicas = desiredReplicas(deployment);
  return (
    (status?.updatedReplicas ?? 0) === replicas &&
    (status?.replicas ?? 0) === replicas &&
    (status?.availableReplicas ?? 0) === replicas &&
    (status?.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function isProgressing(before: DeploymentStatus, after: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus) => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

function deadlineOf(deployment: Deployment, progressing: DeploymentCondition): number {
  return (parseTime(progressing.lastUpdateTime) ?? 0) + (deployment.spec.progressDeadlineSeconds ?? 0) * 1000;
}

function isTimedOut(deployment: Deployment, progressing: DeploymentCondition | undefined, now: number): boolean {
  if (progressing === undefined || progressing.reason === "NewReplicaSetAvailable") return false;
  return progressing.reason === "ProgressDeadlineExceeded" || deadlineOf(deployment, progressing) < now;
}

/** `counted` with the Progressing and ReplicaFailure conditions of a roll-out under way. */
export function rolloutStatus(
  deployment: Deployment,
  sets: Sets,
  counted: DeploymentStatus,
  now: number,
): { readonly status: DeploymentStatus; readonly requeueAfterMs: number | undefined } {
  const before = deployment.status ?? {};
  let conditions = counted.conditions ?? [];
  if (!hasProgressDeadline(deployment)) conditions = withoutCondition(conditions, "Progressing");
  const progressing = findCondition(conditions, "Progressing");
  const settled =
    (counted.replicas ?? 0) === (counted.updatedReplicas ?? 0) && progressing?.reason === "NewReplicaSetAvailable";
  if (hasProgressDeadline(deployment) && !settled)
    conditions = withProgress(deployment, sets, { ...counted, conditions }, before, progressing, now);
  const failure = replicaFailure(sets);
  if (failure === undefined) conditions = withoutCondition(conditions, "ReplicaFailure");
  else conditions = withCondition(conditions, failure);
  const status = { ...counted, conditions };
  return { status, requeueAfterMs: stuckAfter(deployment, status, now) };
}

function withProgress(
  deployment: Deployment,
  { current }: Sets,
  status: DeploymentStatus,
  before: DeploymentStatus,
  progressing: DeploymentCondition | undefined,
  now: number,
): DeploymentCondition[] {
  const conditions = status.conditions ?? [];
  const subject =
    current === undefined ? `Deployment "${deployment.metadata.name}"` : `ReplicaSet "${current.metadata.name}"`;
  const make = (state: "True" | "False", reason: string, rest: string) =>
    deploymentCondition("Progressing", state, reason, `${subject} ${rest}`, now);
  if (isComplete(deployment, status))
    return withCondition(conditions, make("True", "NewReplicaSetAvailable", "has successfully progressed."));
  if (isProgressing(before, status)) {
    const fresh = make("True", "ReplicaSetUpdated", "is progressing.");
    if (progressing?.status === "True") fresh.lastTransitionTime = progressing.lastTransitionTime;
    // Replaced even when the reason is the same: its update time is what the deadline counts from.
    return [...withoutCondition(conditions, "Progressing"), fresh];
  }
  if (isTimedOut(deployment, progressing, now))
    return withCondition(conditions, make("False", "ProgressDeadlineExceeded", "has timed out progressing."));
  return [...conditions];
}

/** The new ReplicaSet's failure counts first, else any old one's. */
function replicaFailure({ current, old }: Sets): DeploymentCondition | undefined {
  const of = (replicaSet: ReplicaSet | undefined) => findCondition(replicaSet?.status?.conditions, "ReplicaFailure");
  const found = of(current) ?? old.map(of).find((failure) => failure !== undefined);
  if (found === undefined) return undefined;
  return { ...found, lastUpdateTime: found.lastTransitionTime };
}

/** Milliseconds until a roll-out that shows no progress must be judged again. */
function stuckAfter(deployment: Deployment, status: DeploymentStatus, now: number): number | undefined {
  const progressing = findCondition(status.conditions, "Progressing");
  if (!hasProgressDeadline(deployment) || progressing === undefined) return undefined;
  if (isComplete(deployment, status) || progressing.reason === "ProgressDeadlineExceeded") return undefined;
  if (progressing.reason === "NewReplicaSetAvailable") return undefined;
  return Math.max(0, deadlineOf(deployment, progressing) - now) + 1000;
}

/** Is some pod of an old ReplicaSet still there, as far as sizes and statuses tell? */
export function hasOldReplicas(old: readonly ReplicaSet[]): boolean {
  return old.some((replicaSet) => sizeOf(replicaSet) > 0 || (replicaSet.status?.replicas ?? 0) > 0);
}
