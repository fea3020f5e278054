import type { FieldError } from "../validation/rules.ts";
import type { Job, JobStatus } from "../types/batch-v1.ts";
import { deepEqual } from "#pkg/apimachinery/index.ts";
import { duplicate, invalid, isEmpty, nonNegative, required } from "../validation/rules.ts";
import { countIndexes, indexRanges } from "./validation.ts";

/** An old and a new status, and what their conditions say. */
interface Change {
  readonly job: Job;
  readonly status: JobStatus;
  readonly old: JobStatus;
  is(type: string): boolean;
  was(type: string): boolean;
  /** Do the statuses differ in one of these fields? */
  differs(...fields: (keyof JobStatus)[]): boolean;
  /** Does one of these conditions come or go? */
  turns(...types: string[]): boolean;
}

function isTrue(status: JobStatus, type: string): boolean {
  return status.conditions?.some((condition) => condition.type === type && condition.status === "True") === true;
}

/**
 * Anybody may control a Job (spec.managedBy), so its status is held to what clients of the API rely on: a Job that has
 * ended stays ended, and what belongs together comes together. A rule speaks up only when what it is about changes,
 * so that a status that is wrong already can still be mended field by field.
 */
export function validateJobStatusUpdate(job: Job, before: Readonly<Job>): FieldError[] {
  const status = job.status ?? {};
  const old = before.status ?? {};
  const change: Change = {
    job,
    status,
    old,
    is: (type) => isTrue(status, type),
    was: (type) => isTrue(old, type),
    differs: (...fields) => fields.some((field) => !deepEqual(status[field], old[field])),
    turns: (...types) => types.some((type) => isTrue(status, type) !== isTrue(old, type)),
  };
  return [
    ...validateCounts(status),
    ...validateEnd(change),
    ...validateIndexes(change),
    ...validateSuccessCriteria(change),
    ...validateHistory(change),
  ];
}

/** An error about the conditions as a whole names no value. */
function badConditions(why: string): FieldError {
  return { type: "FieldValueInvalid", field: "status.conditions", message: `Invalid value: ${why}` };
}

function validateCounts(status: JobStatus): FieldError[] {
  const errors = (["active", "succeeded", "failed", "ready", "terminating"] as const).flatMap((field) =>
    nonNegative(status[field], `status.${field}`),
  );
  const seen = new Set<string>();
  for (const list of ["succeeded", "failed"] as const) {
    for (const [index, uid] of (status.uncountedTerminatedPods?.[list] ?? []).entries()) {
      const at = `status.uncountedTerminatedPods.${list}[${index}]`;
      if (isEmpty(uid)) errors.push(invalid(at, uid, "must not be empty"));
      else if (seen.has(uid)) errors.push(duplicate(at, uid));
      seen.add(uid);
    }
  }
  return errors;
}

/** What the end of a Job needs, and what must not be left over then. */
function validateEnd({ job, status, is, turns, differs }: Change): FieldError[] {
  const errors: FieldError[] = [];
  const complete = is("Complete");
  const finished = complete || is("Failed");
  const { completionTime, startTime, uncountedTerminatedPods: uncounted } = status;
  const ends = turns("Complete", "Failed");
  if (ends && complete && is("Failed"))
    errors.push(badConditions("cannot set Complete=True and Failed=true conditions"));
  if (turns("Complete", "FailureTarget") && complete && is("FailureTarget"))
    errors.push(badConditions("cannot set Complete=True and FailureTarget=true conditions"));
  if (turns("Complete") || differs("completionTime")) {
    if (completionTime !== undefined && !complete) {
      const why = "cannot set completionTime when there is no Complete=True condition";
      errors.push(invalid("status.completionTime", completionTime, why));
    }
    if (completionTime === undefined && complete)
      errors.push(required("status.completionTime", "completionTime is required for Complete jobs"));
  }
  if (differs("startTime", "completionTime") && Date.parse(completionTime ?? "") < Date.parse(startTime ?? ""))
    errors.push(invalid("status.completionTime", completionTime, "completionTime cannot be set before startTime"));
  if (turns("Failed", "FailureTarget") && is("Failed") && !is("FailureTarget"))
    errors.push(badConditions("cannot set Failed=True condition without the FailureTarget=true condition"));
  if (turns("Complete", "SuccessCriteriaMet") && complete && !is("SuccessCriteriaMet"))
    errors.push(badConditions("cannot set Complete=True condition without the SuccessCriteriaMet=true condition"));
  if ((ends || differs("active")) && finished && (status.active ?? 0) > 0)
    errors.push(invalid("status.active", status.active, "active>0 is invalid for finished job"));
  const startsNever = job.spec.suspend === true && job.spec.completions === 0;
  if ((ends || differs("startTime")) && !startsNever && finished && startTime === undefined)
    errors.push(required("status.startTime", "startTime is required for finished job"));
  const left = (uncounted?.failed ?? []).length + (uncounted?.succeeded ?? []).length;
  if ((ends || differs("uncountedTerminatedPods")) && finished && left > 0) {
    const why = "uncountedTerminatedPods needs to be empty for finished job";
    errors.push(invalid("status.uncountedTerminatedPods", uncounted, why));
  }
  return errors;
}

function validateIndexes({ job, status, is, turns, differs }: Change): FieldError[] {
  const errors: FieldError[] = [];
  const { completions, completionMode, backoffLimitPerIndex } = job.spec;
  const { completedIndexes = "", failedIndexes } = status;
  const parse = (field: "completedIndexes" | "failedIndexes", text: string) => {
    const counted = text === "" || completions === undefined ? { total: 0 } : countIndexes(text, completions);
    if ("why" in counted) errors.push(invalid(`status.${field}`, text, `error parsing ${field}: ${counted.why}`));
  };
  if (differs("completedIndexes")) parse("completedIndexes", completedIndexes);
  if (differs("failedIndexes") && backoffLimitPerIndex !== undefined) parse("failedIndexes", failedIndexes ?? "");
  if (differs("completedIndexes") && completedIndexes !== "" && completionMode !== "Indexed") {
    const why = "cannot set non-empty completedIndexes when non-indexed completion mode";
    errors.push(invalid("status.completedIndexes", completedIndexes, why));
  }
  if (differs("failedIndexes") && failedIndexes !== undefined && backoffLimitPerIndex === undefined) {
    const why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
    errors.push(invalid("status.failedIndexes", failedIndexes, why));
  }
  if (differs("completedIndexes", "failedIndexes") && completions !== undefined) {
    const common = firstCommonIndex(completedIndexes, failedIndexes ?? "");
    if (common !== undefined) {
      const why = `failedIndexes and completedIndexes overlap at index: ${common}`;
      errors.push(invalid("status.failedIndexes", failedIndexes, why));
    }
  }
  const finished = is("Complete") || is("Failed");
  if ((turns("Complete", "Failed") || differs("terminating")) && finished && (status.terminating ?? 0) > 0)
    errors.push(invalid("status.terminating", status.terminating, "terminating>0 is invalid for finished job"));
  if (differs("ready", "active") && (status.ready ?? 0) > (status.active ?? 0))
    errors.push(invalid("status.ready", status.ready, "cannot set more ready pods than active"));
  return errors;
}

function firstCommonIndex(completed: string, failed: string): number | undefined {
  const [mine, theirs] = [indexRanges(completed), indexRanges(failed)];
  for (let i = 0, j = 0; i < mine.length && j < theirs.length;) {
    const [a, b] = [mine[i]!, theirs[j]!];
    if (a.first <= b.last && b.first <= a.last) return Math.max(a.first, b.first);
    if (a.first <= b.first) i++;
    else j++;
  }
  return undefined;
}

function validateSuccessCriteria({ job, is }: Change): FieldError[] {
  const errors: FieldError[] = [];
  const met = is("SuccessCriteriaMet");
  if (met && is("Failed")) errors.push(badConditions("cannot set SuccessCriteriaMet=True and Failed=true conditions"));
  if (met && is("FailureTarget"))
    errors.push(badConditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"));
  if (job.spec.successPolicy !== undefined && !met && is("Complete"))
    errors.push(badConditions("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"));
  return errors;
}

/** What is over stays over, and what has been counted stays counted. */
function validateHistory({ job, status, old, is, was, differs }: Change): FieldError[] {
  const errors: FieldError[] = [];
  for (const type of ["Failed", "Complete", "FailureTarget"])
    if (was(type) && !is(type)) errors.push(badConditions(`cannot disable the terminal ${type}=True condition`));
  if ((status.failed ?? 0) < (old.failed ?? 0))
    errors.push(invalid("status.failed", status.failed ?? 0, "cannot decrease the failed counter"));
  // An Indexed Job of which all indexes run at once may be made smaller.
  const { completionMode, completions, parallelism } = job.spec;
  const elastic = completionMode === "Indexed" && completions === parallelism;
  if (!elastic && (status.succeeded ?? 0) < (old.succeeded ?? 0))
    errors.push(invalid("status.succeeded", status.succeeded ?? 0, "cannot decrease the succeeded counter"));
  if (old.completionTime !== undefined && status.completionTime !== undefined && differs("completionTime"))
    errors.push(invalid("status.completionTime", status.completionTime, "completionTime cannot be mutated"));
  const resumes = was("Suspended") && !is("Suspended");
  if (old.startTime !== undefined && differs("startTime") && job.spec.suspend !== true && !resumes) {
    const why = "field is immutable for unsuspended job once set";
    errors.push(invalid("status.startTime", status.startTime ?? null, why));
  }
  if (was("SuccessCriteriaMet") && !is("SuccessCriteriaMet"))
    errors.push(badConditions("cannot disable the SuccessCriteriaMet=True condition"));
  if (was("Complete") && !was("SuccessCriteriaMet") && is("SuccessCriteriaMet"))
    errors.push(badConditions("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"));
  return errors;
}
