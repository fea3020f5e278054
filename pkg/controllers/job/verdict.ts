/** Is the Job over, and why? */
import type { Job, SuccessPolicyRule } from "#pkg/api/types/batch-v1.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { judgeFailure } from "./failure-policy.ts";
import { IndexSet } from "./intervals.ts";
import { completionsOf, isFailed, isIndexed } from "./pod.ts";
import type { Tally } from "./tally.ts";

/** The outcome that has been decided; pods may still have to end before the Job shows it. */
export interface Outcome {
  readonly success: boolean;
  readonly reason: string;
  readonly message: string;
}

const MAX_INT32 = 2 ** 31 - 1;

/** An outcome that the Job's conditions show already stands, whatever happens to its pods afterwards. */
export function decidedOutcome(job: Job): Outcome | undefined {
  const found = job.status?.conditions?.find(
    ({ type, status }) => (type === "FailureTarget" || type === "SuccessCriteriaMet") && status === "True",
  );
  if (found === undefined) return undefined;
  return { success: found.type === "SuccessCriteriaMet", reason: found.reason ?? "", message: found.message ?? "" };
}

/** Failures and criteria that end a Job although pods are still active. */
export function decideEarly(job: Job, pods: readonly Pod[], tally: Tally, now: number): Outcome | undefined {
  for (const pod of pods) {
    if (job.spec.podFailurePolicy === undefined || !isFailed(job, pod)) continue;
    const { action, message } = judgeFailure(job, pod);
    if (action === "FailJob") return fail("PodFailurePolicy", message);
  }
  const limit = job.spec.backoffLimit ?? (job.spec.backoffLimitPerIndex === undefined ? 6 : MAX_INT32);
  if (tally.failed > limit || restartsExceed(job, pods, limit))
    return fail("BackoffLimitExceeded", "Job has reached the specified backoff limit");
  if (isPastDeadline(job, now)) return fail("DeadlineExceeded", "Job was active longer than specified deadline");
  const { maxFailedIndexes } = job.spec;
  if (maxFailedIndexes !== undefined && (tally.failedIndexes?.size ?? 0) > maxFailedIndexes)
    return fail("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes");
  return matchSuccessPolicy(job, tally.succeededIndexes);
}

function fail(reason: string, message: string): Outcome {
  return { success: false, reason, message };
}

/** Containers restarted in place count towards the limit when the pod itself never fails. */
function restartsExceed(job: Job, pods: readonly Pod[], limit: number): boolean {
  if (job.spec.template.spec?.restartPolicy !== "OnFailure") return false;
  let restarts = 0;
  for (const { status, metadata } of pods) {
    if (metadata.deletionTimestamp !== undefined || (status?.phase !== "Running" && status?.phase !== "Pending"))
      continue;
    for (const { restartCount } of status.initContainerStatuses ?? []) restarts += restartCount;
    for (const { restartCount } of status.containerStatuses ?? []) restarts += restartCount;
  }
  return limit === 0 ? restarts > 0 : restarts >= limit;
}

/** Milliseconds until the active deadline; undefined without one. */
export function deadlineInMs(job: Job, now: number): number | undefined {
  const { activeDeadlineSeconds, suspend } = job.spec;
  const startTime = job.status?.startTime;
  if (activeDeadlineSeconds === undefined || startTime === undefined || suspend === true) return undefined;
  return Date.parse(startTime) + activeDeadlineSeconds * 1000 - now;
}

function isPastDeadline(job: Job, now: number): boolean {
  const left = deadlineInMs(job, now);
  return left !== undefined && left <= 0;
}

function matchSuccessPolicy(job: Job, succeeded: IndexSet): Outcome | undefined {
  if (job.spec.successPolicy === undefined || !isIndexed(job)) return undefined;
  const limit = completionsOf(job);
  const index = job.spec.successPolicy.rules.findIndex((rule) => ruleMatches(rule, succeeded, limit));
  if (index < 0) return undefined;
  return { success: true, reason: "SuccessPolicy", message: `Matched rules at index ${index}` };
}

function ruleMatches(
  { succeededIndexes, succeededCount }: SuccessPolicyRule,
  succeeded: IndexSet,
  limit: number,
): boolean {
  if (succeededIndexes === undefined) return succeededCount !== undefined && succeeded.size >= succeededCount;
  const wanted = IndexSet.parse(succeededIndexes, limit);
  return succeeded.intersectionSize(wanted) >= (succeededCount ?? wanted.size);
}

/** Has everything been done that was to be done? `active` pods are the ones left after this turn. */
export function decideCompletion(job: Job, tally: Tally, active: number): Outcome | undefined {
  const { completions } = job.spec;
  if (completions === undefined) {
    return tally.succeeded > 0 && active === 0 ? reached() : undefined;
  }
  const failed = tally.failedIndexes?.size ?? 0;
  if (failed > 0 && tally.succeeded + failed >= completions) return fail("FailedIndexes", "Job has failed indexes");
  return tally.succeeded >= completions && active === 0 ? reached() : undefined;
}

function reached(): Outcome {
  return { success: true, reason: "CompletionsReached", message: "Reached expected number of succeeded pods" };
}
