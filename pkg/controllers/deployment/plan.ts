/**
 * Decides one turn of a Deployment from the ReplicaSets that it owns: which of them is current, how large each should
 * be, which old ones go, and what the status says. Sizes are scaling.ts, the status is status.ts. Pure.
 */
import { deepCopy, deepEqual } from "#pkg/apimachinery/index.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from "#pkg/api/types/apps-v1.ts";
import type { Pod, PodTemplateSpec } from "#pkg/api/types/core-v1.ts";
import { findCondition, withCondition } from "../common/conditions.ts";
import { hashOf } from "../common/hash.ts";
import { isPodTerminal } from "../common/pods.ts";
import { controllerRef } from "../common/pod-template.ts";
import { newReplicaSetAnnotations, REVISION, revisionOf, sizeAnnotations } from "./annotations.ts";
import {
  byAge,
  hasHistoryLimit,
  hasProgressDeadline,
  isActive,
  isRollingUpdate,
  sizeOf,
  totalSize,
} from "./arithmetic.ts";
import { allOf, isScalingEvent, newReplicaSetSize, planRolling, planScale, type Sets, type Sizes } from "./scaling.ts";
import { countedStatus, deploymentCondition, hasOldReplicas, isComplete, rolloutStatus } from "./status.ts";

const POD_TEMPLATE_HASH = "pod-template-hash";

/** Everything one turn writes, in this order: create, update, delete, then the Deployment itself. */
export interface DeploymentPlan {
  readonly create: Draft<ReplicaSet> | undefined;
  /** ReplicaSets to write back; `resizedFrom` is set when the number of replicas changes (an event says so). */
  readonly update: { readonly replicaSet: ReplicaSet; readonly resizedFrom: number | undefined }[];
  readonly delete: ReplicaSet[];
  /** Annotation deployment.kubernetes.io/revision; undefined leaves it alone. */
  readonly revision: string | undefined;
  readonly status: DeploymentStatus;
  readonly requeueAfterMs: number | undefined;
}

/** Templates are equal when they differ in the hash label only. */
export function sameTemplate(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  return deepEqual(withoutHash(a), withoutHash(b));
}

function withoutHash(template: PodTemplateSpec | undefined): PodTemplateSpec | undefined {
  if (template?.metadata?.labels?.[POD_TEMPLATE_HASH] === undefined) return emptyLabelsAsAbsent(template);
  const { [POD_TEMPLATE_HASH]: _, ...labels } = template.metadata.labels;
  return emptyLabelsAsAbsent({ ...template, metadata: { ...template.metadata, labels } });
}

function emptyLabelsAsAbsent(template: PodTemplateSpec | undefined): PodTemplateSpec | undefined {
  if (template === undefined) return undefined;
  const { labels, annotations, ...rest } = template.metadata ?? {};
  return {
    ...template,
    metadata: {
      ...rest,
      ...(labels === undefined || Object.keys(labels).length === 0 ? {} : { labels }),
      ...(annotations === undefined || Object.keys(annotations).length === 0 ? {} : { annotations }),
      creationTimestamp: undefined,
    },
  };
}

/** The oldest ReplicaSet with the present template is the current one; all others are old. */
function splitReplicaSets(deployment: Deployment, owned: readonly ReplicaSet[]): Sets {
  const sorted = [...owned].sort(byAge);
  const current = sorted.find((replicaSet) => sameTemplate(replicaSet.spec.template, deployment.spec.template));
  return { current, old: sorted.filter((replicaSet) => replicaSet !== current) };
}

function draftReplicaSet(deployment: Deployment, old: readonly ReplicaSet[], revision: bigint): Draft<ReplicaSet> {
  const hash = hashOf(withoutHash(deployment.spec.template), deployment.status?.collisionCount);
  const template = deepCopy(deployment.spec.template);
  const labels = { ...template.metadata?.labels, [POD_TEMPLATE_HASH]: hash };
  const { matchLabels, ...selector } = deployment.spec.selector;
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: replicaSetName(deployment.metadata.name, hash),
      namespace: deployment.metadata.namespace,
      labels: { ...labels },
      annotations: { ...newReplicaSetAnnotations(deployment, undefined, revision), ...sizeAnnotations(deployment) },
      ownerReferences: [controllerRef(deployment, { apiVersion: "apps/v1", kind: "Deployment" })],
    },
    spec: {
      replicas: newReplicaSetSize(deployment, 0, totalSize(old)),
      ...(deployment.spec.minReadySeconds === undefined ? {} : { minReadySeconds: deployment.spec.minReadySeconds }),
      selector: { ...selector, matchLabels: { ...matchLabels, [POD_TEMPLATE_HASH]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}

/** "<deployment>-<hash>", the first part shortened where the whole would exceed a name's 253 characters. */
function replicaSetName(deployment: string, hash: string): string {
  return `${deployment.slice(0, 253 - hash.length - 1)}-${hash}`;
}

/** What to do about one Deployment, given the ReplicaSets it owns and their pods. Pure. */
export function planDeployment(
  deployment: Deployment,
  owned: readonly ReplicaSet[],
  pods: () => readonly Pod[],
  now: number,
): DeploymentPlan {
  const sets = splitReplicaSets(deployment, owned);
  const conditions = pausedConditions(deployment, now);
  if (deployment.metadata.deletionTimestamp !== undefined) return settle(deployment, sets, conditions, now);
  if (deployment.spec.paused === true || isScalingEvent(deployment, sets)) {
    const plan = settle(deployment, synced(deployment, sets), conditions, now, planScale(deployment, sets), sets);
    return deployment.spec.paused === true ? { ...plan, delete: expired(deployment, sets.old) } : plan;
  }
  return isRollingUpdate(deployment)
    ? rolling(deployment, sets, conditions, now)
    : recreate(deployment, sets, pods, conditions, now);
}

/** Pausing and resuming stop and restart the progress deadline. */
function pausedConditions(deployment: Deployment, now: number): DeploymentCondition[] {
  const conditions = deployment.status?.conditions ?? [];
  const progressing = findCondition(conditions, "Progressing");
  if (!hasProgressDeadline(deployment) || progressing?.reason === "ProgressDeadlineExceeded") return [...conditions];
  const paused = progressing?.reason === "DeploymentPaused";
  if (deployment.spec.paused === true && !paused)
    return withCondition(
      conditions,
      deploymentCondition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now),
    );
  if (deployment.spec.paused !== true && paused)
    return withCondition(
      conditions,
      deploymentCondition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now),
    );
  return [...conditions];
}

function nextRevision(old: readonly ReplicaSet[]): bigint {
  return old.map(revisionOf).reduce((highest, revision) => (revision > highest ? revision : highest), 0n) + 1n;
}

/** The sets with the current ReplicaSet's revision, annotations and minReadySeconds brought up to date. */
function synced(deployment: Deployment, { current, old }: Sets): Sets {
  if (current === undefined) return { current, old };
  const annotations = newReplicaSetAnnotations(deployment, current.metadata.annotations, nextRevision(old));
  const minReadySeconds = deployment.spec.minReadySeconds ?? 0;
  const annotated = deepEqual(annotations, current.metadata.annotations ?? {});
  if (annotated && (current.spec.minReadySeconds ?? 0) === minReadySeconds) return { current, old };
  const spec = { ...current.spec };
  if (minReadySeconds === 0) delete spec.minReadySeconds;
  else spec.minReadySeconds = minReadySeconds;
  return { current: { ...current, metadata: { ...current.metadata, annotations }, spec }, old };
}

function resized(deployment: Deployment, replicaSet: ReplicaSet, size: number): ReplicaSet {
  const annotations = { ...replicaSet.metadata.annotations, ...sizeAnnotations(deployment) };
  return {
    ...replicaSet,
    metadata: { ...replicaSet.metadata, annotations },
    spec: { ...replicaSet.spec, replicas: size },
  };
}

function updatesOf(before: Sets, after: Sets): DeploymentPlan["update"] {
  const previous = new Map(allOf(before).map((replicaSet) => [replicaSet.metadata.name, replicaSet]));
  return allOf(after).flatMap((replicaSet) => {
    const old = previous.get(replicaSet.metadata.name);
    if (old === undefined || old === replicaSet || deepEqual(old, replicaSet)) return [];
    return [{ replicaSet, resizedFrom: sizeOf(old) === sizeOf(replicaSet) ? undefined : sizeOf(old) }];
  });
}

function withSizes(deployment: Deployment, { current, old }: Sets, sizes: Sizes): Sets {
  const apply = (replicaSet: ReplicaSet) => {
    const size = sizes.get(replicaSet.metadata.name);
    return size === undefined ? replicaSet : resized(deployment, replicaSet, size);
  };
  return { current: current === undefined ? undefined : apply(current), old: old.map(apply) };
}

/** A turn that resizes and counts but does not move a roll-out on. */
function settle(
  deployment: Deployment,
  sets: Sets,
  conditions: DeploymentCondition[],
  now: number,
  sizes: Sizes = new Map(),
  before: Sets = sets,
): DeploymentPlan {
  const after = withSizes(deployment, sets, sizes);
  const revision = revisionToWrite(deployment, after.current);
  const status = countedStatus(deployment, after, conditions, deployment.status?.collisionCount, now);
  return {
    create: undefined,
    update: updatesOf(before, after),
    delete: [],
    revision,
    status,
    requeueAfterMs: undefined,
  };
}

function revisionToWrite(deployment: Deployment, current: ReplicaSet | undefined): string | undefined {
  const revision = current?.metadata.annotations?.[REVISION];
  return revision === deployment.metadata.annotations?.[REVISION] ? undefined : revision;
}

/** Both kinds of roll-out end here: the status speaks of the sets as they will be. */
function finish(
  deployment: Deployment,
  before: Sets,
  after: Sets,
  conditions: DeploymentCondition[],
  now: number,
  done: boolean,
): DeploymentPlan {
  const withFound =
    after.current !== undefined &&
    hasProgressDeadline(deployment) &&
    findCondition(conditions, "Progressing") === undefined
      ? withCondition(
          conditions,
          deploymentCondition(
            "Progressing",
            "True",
            "FoundNewReplicaSet",
            `Found new replica set "${after.current.metadata.name}"`,
            now,
          ),
        )
      : conditions;
  const counted = countedStatus(deployment, after, withFound, deployment.status?.collisionCount, now);
  const { status, requeueAfterMs } = rolloutStatus(deployment, after, counted, now);
  return {
    create: undefined,
    update: updatesOf(before, after),
    delete: done ? expired(deployment, after.old) : [],
    revision: revisionToWrite(deployment, after.current),
    status,
    requeueAfterMs,
  };
}

/** The turn that makes the current ReplicaSet; the next one, when it is in the cache, goes on. */
function create(deployment: Deployment, sets: Sets, conditions: DeploymentCondition[], now: number): DeploymentPlan {
  const revision = nextRevision(sets.old);
  const draft = draftReplicaSet(deployment, sets.old, revision);
  const progressing = hasProgressDeadline(deployment)
    ? withCondition(
        conditions,
        deploymentCondition(
          "Progressing",
          "True",
          "NewReplicaSetCreated",
          `Created new replica set "${draft.metadata.name}"`,
          now,
        ),
      )
    : conditions;
  const made = { ...draft, status: { replicas: 0 } } as ReplicaSet;
  const after: Sets = { current: made, old: sets.old };
  const counted = countedStatus(deployment, after, progressing, deployment.status?.collisionCount, now);
  const { status, requeueAfterMs } = rolloutStatus(deployment, after, counted, now);
  const text = String(revision);
  return {
    create: draft,
    update: [],
    delete: [],
    revision: deployment.metadata.annotations?.[REVISION] === text ? undefined : text,
    status,
    requeueAfterMs,
  };
}

function rolling(deployment: Deployment, sets: Sets, conditions: DeploymentCondition[], now: number): DeploymentPlan {
  const { current, old } = synced(deployment, sets);
  if (current === undefined) return create(deployment, sets, conditions, now);
  const sizes = planRolling(deployment, { current, old });
  const after = withSizes(deployment, { current, old }, sizes);
  const done = sizes.size === 0 && isComplete(deployment, deployment.status);
  return finish(deployment, sets, after, conditions, now, done);
}

function recreate(
  deployment: Deployment,
  sets: Sets,
  pods: () => readonly Pod[],
  conditions: DeploymentCondition[],
  now: number,
): DeploymentPlan {
  const present = synced(deployment, sets);
  const down: Sizes = new Map(sets.old.filter(isActive).map((replicaSet) => [replicaSet.metadata.name, 0]));
  if (down.size > 0) return finish(deployment, sets, withSizes(deployment, present, down), conditions, now, false);
  if (hasOldReplicas(sets.old) || oldPodsRunning(sets, pods()))
    return finish(deployment, sets, present, conditions, now, false);
  if (present.current === undefined) return create(deployment, sets, conditions, now);
  const wanted = newReplicaSetSize(deployment, sizeOf(present.current), 0);
  const up: Sizes = wanted === sizeOf(present.current) ? new Map() : new Map([[present.current.metadata.name, wanted]]);
  const done = up.size === 0 && isComplete(deployment, deployment.status);
  return finish(deployment, sets, withSizes(deployment, present, up), conditions, now, done);
}

/** Recreate promises that no two versions ever run side by side, so it waits for the last container to stop. */
function oldPodsRunning({ current }: Sets, pods: readonly Pod[]): boolean {
  return pods.some(
    (pod) =>
      !isPodTerminal(pod) &&
      !(pod.metadata.ownerReferences ?? []).some(
        ({ controller, uid }) => controller === true && uid === current?.metadata.uid,
      ),
  );
}

function byRevisionAndAge(a: ReplicaSet, b: ReplicaSet): number {
  const [first, second] = [revisionOf(a), revisionOf(b)];
  return first === second ? byAge(a, b) : first < second ? -1 : 1;
}

/** Old ReplicaSets beyond the history limit, oldest revision first. */
function expired(deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] {
  if (!hasHistoryLimit(deployment)) return [];
  const cleanable = old.filter((replicaSet) => replicaSet.metadata.deletionTimestamp === undefined);
  const surplus = cleanable.length - (deployment.spec.revisionHistoryLimit ?? 10);
  if (surplus <= 0) return [];
  return cleanable
    .sort(byRevisionAndAge)
    .slice(0, surplus)
    .filter(
      (replicaSet) =>
        (replicaSet.status?.replicas ?? 0) === 0 &&
        sizeOf(replicaSet) === 0 &&
        (replicaSet.metadata.generation ?? 0) <= (replicaSet.status?.observedGeneration ?? 0),
    );
}
