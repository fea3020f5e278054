/** How many pods to make, which ones to delete, and what the status says. Pure. */
import { type Selector, selectorFromSet } from "#pkg/apimachinery/index.ts";
import type { ReplicaSetCondition, ReplicaSetStatus } from "#pkg/api/types/apps-v1.ts";
import type { Pod, PodTemplateSpec } from "#pkg/api/types/core-v1.ts";
import { condition, findCondition, withCondition, withoutCondition } from "../common/conditions.ts";
import { availableInMs, compareForDeletion, isPodReady } from "../common/pods.ts";
import { sameStatus } from "../common/status.ts";

/** At most this many pods are created or deleted in one turn. */
export const BURST_REPLICAS = 500;

/** The part of ReplicaSets and ReplicationControllers that the plan looks at. */
export interface ReplicaOwner {
  readonly generation: number;
  readonly replicas: number;
  readonly minReadySeconds: number;
  readonly selector: Selector;
  readonly template: PodTemplateSpec | undefined;
  readonly deleted: boolean;
  readonly status: ReplicaSetStatus;
}

/** How many pods to make, and which to delete; one of the two is empty. */
export interface ReplicaPlan {
  readonly create: number;
  readonly delete: Pod[];
}

const NOTHING: ReplicaPlan = { create: 0, delete: [] };

/** How many pods to make and which to delete, given the owner's active pods. */
export function planReplicas(
  owner: ReplicaOwner,
  active: readonly Pod[],
  relatedOnNode: (nodeName: string) => number,
  now: number,
): ReplicaPlan {
  if (owner.deleted) return NOTHING; // its pods belong to the garbage collector
  const missing = owner.replicas - active.length;
  if (missing > 0) return { create: Math.min(missing, BURST_REPLICAS), delete: [] };
  if (missing === 0) return NOTHING;
  const count = Math.min(-missing, BURST_REPLICAS);
  if (count === active.length) return { create: 0, delete: [...active] };
  const rank = (pod: Pod) => relatedOnNode(pod.spec.nodeName ?? "");
  const ordered = [...active].sort((a, b) => compareForDeletion(a, b, rank, now));
  return { create: 0, delete: ordered.slice(0, count) };
}

/** Why pods could not be made or deleted, for the condition ReplicaFailure. */
export interface ReplicaFailure {
  readonly reason: "FailedCreate" | "FailedDelete";
  readonly message: string;
}

/** The status the owner should have, and when to look again for pods that are about to become available. */
export function planStatus(
  owner: ReplicaOwner,
  active: readonly Pod[],
  terminating: number | undefined,
  failure: ReplicaFailure | undefined,
  now: number,
): { readonly status: ReplicaSetStatus; readonly recheckAfterMs: number | undefined } {
  const labels = selectorFromSet(owner.template?.metadata?.labels);
  let fullyLabeledReplicas = 0;
  let readyReplicas = 0;
  let availableReplicas = 0;
  let recheckAfterMs: number | undefined;
  for (const pod of active) {
    if (labels.matches(pod.metadata.labels)) fullyLabeledReplicas++;
    if (!isPodReady(pod)) continue;
    readyReplicas++;
    const wait = availableInMs(pod, owner.minReadySeconds, now);
    if (wait === 0) availableReplicas++;
    else if (wait !== undefined) recheckAfterMs = Math.min(recheckAfterMs ?? wait, wait);
  }
  const status: ReplicaSetStatus = {
    replicas: active.length,
    ...(fullyLabeledReplicas > 0 ? { fullyLabeledReplicas } : {}),
    ...(readyReplicas > 0 ? { readyReplicas } : {}),
    ...(availableReplicas > 0 ? { availableReplicas } : {}),
    ...(terminating === undefined ? {} : { terminatingReplicas: terminating }),
    observedGeneration: owner.generation,
  };
  const conditions = planConditions(owner.status.conditions, failure, now);
  if (conditions.length > 0) status.conditions = conditions;
  return { status, recheckAfterMs };
}

/**
 * Does this status tell of nothing but pods that have become ready while others are still to come? Whoever waits for all of
 * them loses nothing when such a status is a moment late: the next one, or the last one, says more.
 */
export function isInterim(owner: ReplicaOwner, next: ReplicaSetStatus): boolean {
  const { readyReplicas = 0, availableReplicas = 0 } = next;
  const { status: before } = owner;
  const grown = readyReplicas > (before.readyReplicas ?? 0) && availableReplicas >= (before.availableReplicas ?? 0);
  return grown && readyReplicas < owner.replicas && sameStatus({ ...before, readyReplicas, availableReplicas }, next);
}

function planConditions(
  current: readonly ReplicaSetCondition[] | undefined,
  failure: ReplicaFailure | undefined,
  now: number,
): ReplicaSetCondition[] {
  const present = findCondition(current, "ReplicaFailure") !== undefined;
  if (failure !== undefined && !present)
    return withCondition(current, condition("ReplicaFailure", "True", failure.reason, failure.message, now));
  if (failure === undefined && present) return withoutCondition(current, "ReplicaFailure");
  return [...(current ?? [])];
}
