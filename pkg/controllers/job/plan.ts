/**
 * Decides one turn of a Job: counts its ended pods, judges whether that ends it (verdict.ts), and makes or removes
 * pods up to the wanted parallelism, with a growing pause after failures. Pure.
 */
import type { Job, JobCondition, JobStatus } from "#pkg/api/types/batch-v1.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { formatTime } from "#pkg/util/index.ts";
import { compareForDeletion, isPodActive, isPodReady, isPodTerminal, isPodTerminating } from "../common/pods.ts";
import { judgeFailure } from "./failure-policy.ts";
import { IndexSet } from "./intervals.ts";
import { completionsOf, finishedAt, indexOf, isFailed, isIndexed, type NewIndex, replacesOnlyFailed } from "./pod.ts";
import { failuresAfter, limitsPerIndex, type Tally, tallyPods } from "./tally.ts";
import { deadlineInMs, decidedOutcome, decideCompletion, decideEarly, type Outcome } from "./verdict.ts";

/** At most this many pods are created or deleted in one turn. */
const MAX_PODS_PER_TURN = 500;
const BACKOFF_MS = 10_000;
const MAX_BACKOFF_MS = 600_000;

/** A Job and what there is to decide by. */
export interface JobView {
  readonly job: Job;
  /** All pods of the Job. */
  readonly pods: readonly Pod[];
  /** False: own writes are not in the cache yet, so no pods may be made or deleted. */
  readonly cacheIsCurrent: boolean;
  readonly finalized: ReadonlySet<string>;
  readonly now: number;
}

/** What to do about a Job's pods, and what its status counts. */
export interface JobPlan {
  readonly delete: readonly Pod[];
  /** One entry per pod to make; undefined entries for Jobs without indexes. */
  readonly create: readonly (NewIndex | undefined)[];
  readonly tally: Tally;
  /** Active pods before this turn. */
  readonly active: number;
  readonly outcome: Outcome | undefined;
  readonly events: readonly {
    readonly type: "Normal" | "Warning";
    readonly reason: string;
    readonly message: string;
  }[];
  readonly conditions: readonly JobCondition[];
  readonly startTime: string | undefined;
  readonly requeueAfterMs: number | undefined;
}

/** What to do next about a Job that is not finished. Pure. */
export function planJob(view: JobView): JobPlan {
  const { job, pods, finalized, now } = view;
  const events: JobPlan["events"][number][] = [];
  const decided = decidedOutcome(job);
  const deleted = job.metadata.deletionTimestamp !== undefined;
  const first = tallyPods(job, pods, {
    finalized,
    outcome: decided,
    over: decided !== undefined || deleted,
  });
  const early = decided ?? decideEarly(job, pods, first, now);
  const active = pods.filter(isPodActive);
  const work: Work =
    early !== undefined
      ? { delete: active, create: [], requeueAfterMs: undefined }
      : deleted || !view.cacheIsCurrent
        ? NO_WORK
        : planWork(job, pods, active, first, now);
  const activeAfter = active.length - work.delete.length + work.create.length;
  const outcome = early ?? decideCompletion(job, first, activeAfter);
  // Deciding changes what may be counted: the tally is taken again under the outcome.
  const tally =
    outcome === undefined || decided !== undefined ? first : tallyPods(job, pods, { finalized, outcome, over: true });
  const suspension = planSuspension(job, outcome, view.cacheIsCurrent && !deleted, now, events);
  const waits = [work.requeueAfterMs, deadlineInMs(job, now)].filter((ms) => ms !== undefined && ms > 0) as number[];
  return {
    delete: view.cacheIsCurrent ? work.delete.slice(0, MAX_PODS_PER_TURN) : [],
    create: work.create,
    tally,
    active: active.length,
    outcome,
    events,
    conditions: suspension.conditions,
    startTime: suspension.startTime,
    requeueAfterMs: waits.length === 0 ? undefined : Math.min(...waits),
  };
}

interface Work {
  readonly delete: readonly Pod[];
  readonly create: readonly (NewIndex | undefined)[];
  readonly requeueAfterMs: number | undefined;
}
const NO_WORK: Work = { delete: [], create: [], requeueAfterMs: undefined };

function suspended(job: Job): boolean {
  return job.spec.suspend === true;
}

function planWork(job: Job, pods: readonly Pod[], active: readonly Pod[], tally: Tally, now: number): Work {
  if (suspended(job)) return { ...NO_WORK, delete: active };
  const wanted = wantedActive(job, active.length, tally);
  const remove = podsToRemove(job, active, active.length - wanted, now);
  if (remove.length > 0) return { ...NO_WORK, delete: remove };
  const terminating = replacesOnlyFailed(job) ? pods.filter(isPodTerminating).length : 0;
  const missing = Math.min(wanted - active.length - terminating, MAX_PODS_PER_TURN);
  if (missing <= 0) return NO_WORK;
  if (limitsPerIndex(job)) return planIndexes(job, pods, active, tally, missing, now);
  const wait = backoffInMs(job, pods, now);
  if (wait > 0) return { ...NO_WORK, requeueAfterMs: wait };
  if (!isIndexed(job)) return { ...NO_WORK, create: Array.from({ length: missing }, () => undefined) };
  const indexes = takenIndexes(job, pods, active, tally).firstMissing(missing, completionsOf(job));
  return { ...NO_WORK, create: indexes.map((index) => ({ index, failures: undefined })) };
}

function wantedActive(job: Job, active: number, tally: Tally): number {
  const parallelism = job.spec.parallelism ?? 1;
  const { completions } = job.spec;
  // A work queue that has begun to succeed is being emptied: no new workers.
  if (completions === undefined) return tally.succeeded > 0 ? Math.min(active, parallelism) : parallelism;
  return Math.max(0, Math.min(parallelism, completions - tally.succeeded - (tally.failedIndexes?.size ?? 0)));
}

/** Pods with the same or an impossible index go in any case, then the least active ones. */
function podsToRemove(job: Job, active: readonly Pod[], surplus: number, now: number): Pod[] {
  const ordered = [...active].sort((a, b) => compareForDeletion(a, b, () => 0, now));
  const remove = new Set<Pod>();
  if (isIndexed(job)) {
    const seen = new Set<number>();
    for (const pod of [...ordered].reverse()) {
      const index = indexOf(job, pod);
      if (index === undefined || seen.has(index)) remove.add(pod);
      else seen.add(index);
    }
  }
  for (const pod of ordered) {
    if (remove.size >= surplus) break;
    remove.add(pod);
  }
  return [...remove];
}

/** Indexes that need no new pod. */
function takenIndexes(job: Job, pods: readonly Pod[], active: readonly Pod[], tally: Tally): IndexSet {
  const occupied = replacesOnlyFailed(job) ? [...active, ...pods.filter(isPodTerminating)] : active;
  const busy = IndexSet.of(occupied.flatMap((pod) => indexOf(job, pod) ?? []));
  return tally.succeededIndexes.union(busy).union(tally.failedIndexes ?? IndexSet.empty);
}

/** New pods where each index has a count of failures, and a backoff, of its own. */
function planIndexes(
  job: Job,
  pods: readonly Pod[],
  active: readonly Pod[],
  tally: Tally,
  missing: number,
  now: number,
): Work {
  const waiting: number[] = [];
  let requeueAfterMs: number | undefined;
  for (const [index, pod] of tally.lastFailures) {
    const { counted, ignored } = failuresAfter(job, pod);
    const wait = finishedAt(pod) + delayOf(counted + ignored) - now;
    if (wait <= 0) continue;
    waiting.push(index);
    requeueAfterMs = Math.min(requeueAfterMs ?? wait, wait);
  }
  const taken = takenIndexes(job, pods, active, tally).union(IndexSet.of(waiting));
  const create = taken.firstMissing(missing, completionsOf(job)).map((index): NewIndex => {
    const last = tally.lastFailures.get(index);
    return { index, failures: last === undefined ? { counted: 0, ignored: 0 } : failuresAfter(job, last) };
  });
  return { delete: [], create, requeueAfterMs };
}

function delayOf(failures: number): number {
  return failures <= 0 ? 0 : Math.min(BACKOFF_MS * 2 ** Math.min(failures - 1, 20), MAX_BACKOFF_MS);
}

/** Milliseconds to wait after failures in a row, since the last success. */
function backoffInMs(job: Job, pods: readonly Pod[], now: number): number {
  const ended = pods
    .filter((pod) => isPodTerminal(pod) || isFailed(job, pod))
    .map((pod) => ({ pod, at: finishedAt(pod), failed: isFailed(job, pod) && pod.status?.phase !== "Succeeded" }))
    .sort((a, b) => b.at - a.at);
  let failures = 0;
  for (const { failed, pod } of ended) {
    if (!failed) break;
    if (judgeFailure(job, pod).action !== "Ignore" || job.spec.podFailurePolicy === undefined) failures++;
  }
  return failures === 0 ? 0 : Math.max(0, ended[0]!.at + delayOf(failures) - now);
}

function planSuspension(
  job: Job,
  outcome: Outcome | undefined,
  mayChange: boolean,
  now: number,
  events: JobPlan["events"][number][],
): { conditions: readonly JobCondition[]; startTime: string | undefined } {
  const conditions = job.status?.conditions ?? [];
  const startTime = job.status?.startTime;
  const current = conditions.find(({ type }) => type === "Suspended");
  if (outcome !== undefined || !mayChange)
    return { conditions, startTime: startTime ?? (suspended(job) ? undefined : formatTime(now)) };
  if (suspended(job)) {
    if (current?.status === "True") return { conditions, startTime: undefined };
    events.push({ type: "Normal", reason: "Suspended", message: "Job suspended" });
    return {
      conditions: replaced(conditions, "Suspended", "True", "JobSuspended", "Job suspended", now),
      startTime: undefined,
    };
  }
  if (current?.status !== "True") return { conditions, startTime: startTime ?? formatTime(now) };
  events.push({ type: "Normal", reason: "Resumed", message: "Job resumed" });
  // The deadline counts from the resumption.
  return {
    conditions: replaced(conditions, "Suspended", "False", "JobResumed", "Job resumed", now),
    startTime: formatTime(now),
  };
}

function jobCondition(type: string, status: string, reason: string, message: string, now: number): JobCondition {
  const time = formatTime(now);
  return { type, status, lastProbeTime: time, lastTransitionTime: time, reason, message };
}

function replaced(
  conditions: readonly JobCondition[],
  type: string,
  status: string,
  reason: string,
  message: string,
  now: number,
): JobCondition[] {
  const next = jobCondition(type, status, reason, message, now);
  return conditions.some((condition) => condition.type === type)
    ? conditions.map((condition) => (condition.type === type ? next : condition))
    : [...conditions, next];
}

/** What a turn really did; some requests may have failed. */
export interface Applied {
  readonly created: number;
  readonly deleted: number;
}

/** The Job's status after this turn, and whether that finishes it. */
export function jobStatus(view: JobView, plan: JobPlan, applied: Applied): { status: JobStatus; finished: boolean } {
  const { job, pods, now } = view;
  const { tally, outcome } = plan;
  const active = plan.active + applied.created - applied.deleted;
  const terminating = pods.filter(isPodTerminating).length + applied.deleted;
  const doomed = new Set(plan.delete);
  const ready = pods.filter((pod) => isPodActive(pod) && isPodReady(pod) && !doomed.has(pod)).length;
  const base: JobStatus = { ...job.status };
  for (const field of [
    "active",
    "ready",
    "terminating",
    "succeeded",
    "failed",
    "startTime",
    "completedIndexes",
  ] as const)
    delete base[field];
  const status: JobStatus = {
    ...base,
    ...(plan.startTime === undefined ? {} : { startTime: plan.startTime }),
    ...(active > 0 ? { active } : {}),
    terminating,
    ready: Math.min(ready, active),
    ...(tally.countedSucceeded > 0 ? { succeeded: tally.countedSucceeded } : {}),
    ...(tally.countedFailed > 0 ? { failed: tally.countedFailed } : {}),
    uncountedTerminatedPods: {
      ...(tally.uncounted.succeeded.length > 0 ? { succeeded: [...tally.uncounted.succeeded] } : {}),
      ...(tally.uncounted.failed.length > 0 ? { failed: [...tally.uncounted.failed] } : {}),
    },
  };
  if (isIndexed(job) && tally.succeededIndexes.size > 0) status.completedIndexes = tally.succeededIndexes.toString();
  if (tally.failedIndexes !== undefined) status.failedIndexes = tally.failedIndexes.toString();
  let conditions: readonly JobCondition[] = plan.conditions;
  let finished = false;
  if (outcome !== undefined) {
    const { success, reason, message } = outcome;
    const interim = success ? "SuccessCriteriaMet" : "FailureTarget";
    if (!conditions.some(({ type, status: state }) => type === interim && state === "True"))
      conditions = replaced(conditions, interim, "True", reason, message, now);
    // The last condition comes when every pod has ended and has been counted, also those that the cache has not shown yet.
    finished =
      view.cacheIsCurrent &&
      job.status?.conditions?.some(({ type, status: state }) => type === interim && state === "True") === true &&
      active === 0 &&
      status.terminating === 0 &&
      !tally.truncated &&
      tally.finalize.length === 0 &&
      tally.uncounted.succeeded.length + tally.uncounted.failed.length === 0;
    if (finished) {
      conditions = replaced(conditions, success ? "Complete" : "Failed", "True", reason, message, now);
      if (success) status.completionTime = formatTime(now);
      status.ready = 0;
      // A suspended Job may end too, by pods that ended as it was suspended.
      if (job.spec.completions !== 0 || !suspended(job)) status.startTime ??= formatTime(now);
    }
  }
  if (conditions.length > 0) status.conditions = [...conditions];
  return { status, finished };
}
