/** Counts a Job's pods exactly once each, across restarts: uid by uid, through status.uncountedTerminatedPods. */
import type { Job, JobStatus } from "#pkg/api/types/batch-v1.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { judgeFailure } from "./failure-policy.ts";
import { IndexSet } from "./intervals.ts";
import { completionsOf, failuresBefore, indexOf, isFailed, isIndexed, isTracked } from "./pod.ts";

/** status.uncountedTerminatedPods holds at most this many uids at a time. */
const MAX_UNCOUNTED = 500;

/** What has become of a Job's pods so far. */
export interface Tally {
  /** Pods that have succeeded, counted or about to be; for Indexed Jobs, indexes. */
  readonly succeeded: number;
  readonly failed: number;
  readonly succeededIndexes: IndexSet;
  /** Undefined unless failures are limited per index. */
  readonly failedIndexes: IndexSet | undefined;
  /** The same counts split into what is final and what is still written down by uid. */
  readonly countedSucceeded: number;
  readonly countedFailed: number;
  readonly uncounted: { readonly succeeded: readonly string[]; readonly failed: readonly string[] };
  /** Pods whose finalizer may go once this tally has been written. */
  readonly finalize: readonly Pod[];
  /** Not everything fitted: another turn is needed. */
  readonly truncated: boolean;
  /** The last failed pod of each index that has no replacement yet: it carries the count of failures. */
  readonly lastFailures: ReadonlyMap<number, Pod>;
}

/** What counting has to know besides the pods. */
export interface TallyOptions {
  /** Uids whose finalizer we have removed, though the cache still shows it. */
  readonly finalized: ReadonlySet<string>;
  /** How the Job has ended: a failed one counts every pod that has not ended as failed, a successful one lets it go. */
  readonly outcome: { readonly success: boolean } | undefined;
  /** The Job is over (or going): failed pods need not wait for replacements. */
  readonly over: boolean;
}

/** Does each index have a number of failures of its own? */
export function limitsPerIndex(job: Job): boolean {
  return isIndexed(job) && job.spec.backoffLimitPerIndex !== undefined;
}

/** What the pods say about how far the Job is: numbers for its status, and the pods that may now lose their finalizer. */
export function tallyPods(job: Job, pods: readonly Pod[], options: TallyOptions): Tally {
  const status: JobStatus = job.status ?? {};
  const indexed = isIndexed(job);
  const limit = completionsOf(job);
  const tracked = pods.filter((pod) => isTracked(pod) && !options.finalized.has(pod.metadata.uid));
  const held = new Set(tracked.map(({ metadata }) => metadata.uid));
  const before = status.uncountedTerminatedPods ?? {};
  // A uid whose pod has lost the finalizer has been dealt with: it becomes part of the plain number.
  const succeededUids = (before.succeeded ?? []).filter((uid) => held.has(uid));
  const failedUids = (before.failed ?? []).filter((uid) => held.has(uid));
  const countedFailed = (status.failed ?? 0) + (before.failed ?? []).length - failedUids.length;
  const countedSucceeded = (status.succeeded ?? 0) + (before.succeeded ?? []).length - succeededUids.length;
  const knownSucceeded = new Set(succeededUids);
  const knownFailed = new Set(failedUids);
  const oldIndexes = indexed ? IndexSet.parse(status.completedIndexes, limit) : IndexSet.empty;
  const newIndexes: number[] = [];
  const failedNow: number[] = [];
  const finalize: Pod[] = [];
  const lastFailures =
    limitsPerIndex(job) && !options.over ? lastFailureByIndex(job, tracked, oldIndexes) : new Map<number, Pod>();
  let truncated = false;
  for (const pod of tracked) {
    const { uid } = pod.metadata;
    if (succeededUids.length + failedUids.length + newIndexes.length >= MAX_UNCOUNTED) {
      truncated = true;
      break;
    }
    const index = indexed ? indexOf(job, pod) : undefined;
    if (pod.status?.phase === "Succeeded" && !knownFailed.has(uid)) {
      if (indexed) {
        if (index !== undefined && !oldIndexes.has(index)) newIndexes.push(index);
      } else if (!knownSucceeded.has(uid)) succeededUids.push(uid);
      finalize.push(pod);
      continue;
    }
    const failed = isFailed(job, pod);
    if (!failed && options.outcome === undefined) continue;
    if (!failed && options.outcome?.success === true) {
      finalize.push(pod); // about to be deleted, but not for any failure
      continue;
    }
    if (failed && index !== undefined && limitsPerIndex(job) && hasFailedIndex(job, pod)) failedNow.push(index);
    else if (failed && index !== undefined && lastFailures.get(index) === pod) continue; // its replacement needs it
    const counts = !indexed || index !== undefined;
    const ignored = failed && judgeFailure(job, pod).action === "Ignore";
    if (counts && !ignored && !knownFailed.has(uid)) failedUids.push(uid);
    finalize.push(pod);
  }
  const succeededIndexes = oldIndexes.union(IndexSet.of(newIndexes));
  const failedIndexes = limitsPerIndex(job)
    ? IndexSet.of(failedNow.filter((index) => !succeededIndexes.has(index))).union(
        IndexSet.parse(status.failedIndexes, limit),
      )
    : undefined;
  return {
    succeeded: indexed ? succeededIndexes.size : countedSucceeded + succeededUids.length,
    failed: countedFailed + failedUids.length,
    succeededIndexes,
    failedIndexes,
    countedSucceeded: indexed ? succeededIndexes.size : countedSucceeded,
    countedFailed,
    uncounted: { succeeded: succeededUids, failed: failedUids },
    finalize,
    truncated,
    lastFailures,
  };
}

/** Did this pod's failure use up what its index may fail? */
function hasFailedIndex(job: Job, pod: Pod): boolean {
  const { action } = judgeFailure(job, pod);
  if (action === "FailIndex") return true;
  return action !== "Ignore" && failuresBefore(pod).counted >= (job.spec.backoffLimitPerIndex ?? Infinity);
}

function lastFailureByIndex(job: Job, tracked: readonly Pod[], succeeded: IndexSet): Map<number, Pod> {
  const result = new Map<number, Pod>();
  const replaced = new Set<number>();
  for (const pod of tracked) {
    const index = indexOf(job, pod);
    if (index === undefined || succeeded.has(index)) continue;
    if (!isFailed(job, pod)) {
      replaced.add(index);
      continue;
    }
    if (hasFailedIndex(job, pod)) continue;
    const known = result.get(index);
    if (known === undefined || total(pod) > total(known)) result.set(index, pod);
  }
  for (const index of replaced) result.delete(index);
  return result;
}

function total(pod: Pod): number {
  const { counted, ignored } = failuresBefore(pod);
  return counted + ignored;
}

/** What the replacement of a failed pod inherits. */
export function failuresAfter(job: Job, pod: Pod): { counted: number; ignored: number } {
  const { counted, ignored } = failuresBefore(pod);
  return judgeFailure(job, pod).action === "Ignore"
    ? { counted, ignored: ignored + 1 }
    : { counted: counted + 1, ignored };
}
