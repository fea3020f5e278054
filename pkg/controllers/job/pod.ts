import type { Draft } from "#pkg/client/index.ts";
import type { Job } from "#pkg/api/types/batch-v1.ts";
import type { Container, Pod } from "#pkg/api/types/core-v1.ts";
import { parseTime } from "#pkg/util/index.ts";
import { controllerRef, podFromTemplate } from "../common/pod-template.ts";
import { isPodTerminal } from "../common/pods.ts";

/** Keeps finished pods until they have been counted. */
export const TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking";
const INDEX = "batch.kubernetes.io/job-completion-index";
const INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count";
const INDEX_IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count";
const INDEX_ENV = "JOB_COMPLETION_INDEX";
const MAX_HOSTNAME = 63;

/** Has each pod of the Job an index of its own? */
export function isIndexed(job: Job): boolean {
  return job.spec.completionMode === "Indexed";
}
/** Indexes of an Indexed Job lie below this. */
export function completionsOf(job: Job): number {
  return job.spec.completions ?? 1;
}

/** Is the pod still held until it has been counted in the Job's status? */
export function isTracked(pod: Pod): boolean {
  return pod.metadata.finalizers?.includes(TRACKING_FINALIZER) === true;
}
/** The pod's index; undefined when it has none or one the Job does not have. */
export function indexOf(job: Job, pod: Pod): number | undefined {
  const text = pod.metadata.annotations?.[INDEX];
  if (text === undefined || !/^(0|[1-9][0-9]{0,9})$/.test(text)) return undefined;
  const index = Number(text);
  return index < completionsOf(job) ? index : undefined;
}
function count(pod: Pod, annotation: string): number {
  const text = pod.metadata.annotations?.[annotation];
  return text !== undefined && /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
}
/** Failures of the pod's index before this pod. */
export function failuresBefore(pod: Pod): { counted: number; ignored: number } {
  return { counted: count(pod, INDEX_FAILURES), ignored: count(pod, INDEX_IGNORED_FAILURES) };
}

/** Replacements wait until pods have really ended (podReplacementPolicy Failed, or a failure policy that needs to see why). */
export function replacesOnlyFailed(job: Job): boolean {
  return job.spec.podReplacementPolicy === "Failed" || job.spec.podFailurePolicy !== undefined;
}

/** Failed, or on its way out where that already counts. */
export function isFailed(job: Job, pod: Pod): boolean {
  if (pod.status?.phase === "Failed") return true;
  if (replacesOnlyFailed(job)) return false;
  return pod.metadata.deletionTimestamp !== undefined && pod.status?.phase !== "Succeeded";
}

/** When a pod ended, in epoch milliseconds, as well as it can be known. */
export function finishedAt(pod: Pod): number {
  let latest = 0;
  for (const { state } of pod.status?.containerStatuses ?? []) {
    const time = state?.terminated?.finishedAt;
    if (time !== undefined && time !== null) latest = Math.max(latest, Date.parse(time));
  }
  if (latest > 0) return latest;
  const ready = pod.status?.conditions?.find(({ type }) => type === "Ready")?.lastTransitionTime;
  const readyChanged = parseTime(ready);
  if (isPodTerminal(pod) && readyChanged !== undefined) return readyChanged;
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, creationTimestamp } = pod.metadata;
  if (deletionTimestamp !== undefined) return Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000;
  return Date.parse(creationTimestamp);
}

/** The index of a pod to be made. */
export interface NewIndex {
  readonly index: number;
  /** Failures of this index so far; undefined where failures are not counted per index. */
  readonly failures: { readonly counted: number; readonly ignored: number } | undefined;
}

function withIndexEnv(containers: readonly Container[] | undefined): Container[] {
  return (containers ?? []).map((container) =>
    (container.env ?? []).some(({ name }) => name === INDEX_ENV)
      ? container
      : {
          ...container,
          env: [
            ...(container.env ?? []),
            { name: INDEX_ENV, valueFrom: { fieldRef: { fieldPath: `metadata.labels['${INDEX}']` } } },
          ],
        },
  );
}

/** A pod of the Job; of an Indexed one, for this index. */
export function draftJobPod(job: Job, newIndex: NewIndex | undefined): Draft<Pod> {
  const draft = podFromTemplate(job.spec.template, job, controllerRef(job, { apiVersion: "batch/v1", kind: "Job" }));
  const finalizers = [...new Set([...(draft.metadata.finalizers ?? []), TRACKING_FINALIZER])];
  if (newIndex === undefined) return { ...draft, metadata: { ...draft.metadata, finalizers } };
  const { index, failures } = newIndex;
  const { name } = job.metadata;
  return {
    ...draft,
    metadata: {
      ...draft.metadata,
      generateName: `${name}-${index}-`,
      finalizers,
      labels: { ...draft.metadata.labels, [INDEX]: String(index) },
      annotations: {
        ...draft.metadata.annotations,
        [INDEX]: String(index),
        ...(failures === undefined ? {} : { [INDEX_FAILURES]: String(failures.counted) }),
        ...(failures === undefined || failures.ignored === 0
          ? {}
          : { [INDEX_IGNORED_FAILURES]: String(failures.ignored) }),
      },
    },
    spec: {
      ...draft.spec,
      hostname: `${name}-${index}`.slice(-MAX_HOSTNAME).replace(/^-+/, ""),
      containers: withIndexEnv(draft.spec.containers),
      ...(draft.spec.initContainers === undefined ? {} : { initContainers: withIndexEnv(draft.spec.initContainers) }),
    },
  };
}
