import { deepCopy, isQualifiedName } from "#pkg/apimachinery/index.ts";
import type { CronJob, Job, JobSpec, PodFailurePolicyRule } from "../types/batch-v1.ts";
import type { PodTemplateSpec } from "../types/core-v1.ts";
import { validatePodTemplate } from "../core/validation/pod-spec.ts";
import {
  allInvalid,
  duplicate,
  each,
  type FieldError,
  forbidden,
  immutable,
  inRange,
  invalid,
  isEmpty,
  nonNegative,
  notSupported,
  oneOf,
  required,
  sameValue,
} from "../validation/rules.ts";
import { selectorMatches, validateLabelSelector } from "../validation/selectors.ts";
import { CronScheduleError, isTimeZone, parseCronSchedule } from "./cron-schedule.ts";

const UID_LABEL = "batch.kubernetes.io/controller-uid";
const MAX_PARALLELISM = 100_000;
const MAX_MANAGED_BY = 63;

const ACTIONS = ["Count", "FailIndex", "FailJob", "Ignore"];
const MAX_RULES = 20;
const MAX_EXIT_CODES = 255;

function validateFailureRule(rule: PodFailurePolicyRule, spec: JobSpec, path: string): FieldError[] {
  const errors = oneOf(rule.action, ACTIONS, `${path}.action`);
  if (rule.action === "FailIndex" && spec.backoffLimitPerIndex === undefined) {
    errors.push(invalid(`${path}.action`, "FailIndex", "requires the backoffLimitPerIndex to be set"));
  }
  const { onExitCodes, onPodConditions } = rule;
  if (onExitCodes !== undefined) {
    const at = `${path}.onExitCodes`;
    errors.push(...oneOf(onExitCodes.operator, ["In", "NotIn"], `${at}.operator`));
    const { containerName, values = [] } = onExitCodes;
    const containers = [...(spec.template?.spec?.containers ?? []), ...(spec.template?.spec?.initContainers ?? [])];
    if (containerName !== undefined && !containers.some(({ name }) => name === containerName)) {
      const why = "must be one of the container or initContainer names in the pod template";
      errors.push(invalid(`${at}.containerName`, containerName, why));
    }
    if (values.length === 0) errors.push(invalid(`${at}.values`, values, "at least one value is required"));
    else if (values.length > MAX_EXIT_CODES) {
      errors.push(invalid(`${at}.values`, values.length, `must have at most ${MAX_EXIT_CODES} items`));
    }
    for (const [index, value] of values.entries()) {
      if (onExitCodes.operator === "In" && value === 0) {
        errors.push(invalid(`${at}.values[${index}]`, value, "must not be 0 for the In operator"));
      }
      if (values.indexOf(value) < index) errors.push(duplicate(`${at}.values[${index}]`, value));
      else if (index > 0 && values[index - 1]! > value) {
        errors.push(invalid(`${at}.values`, values, "must be ordered"));
      }
    }
  }
  errors.push(
    ...each(onPodConditions, `${path}.onPodConditions`, ({ type, status }, at) => [
      ...allInvalid(`${at}.type`, type ?? "", isQualifiedName(type ?? "")),
      ...oneOf(status, ["False", "True", "Unknown"], `${at}.status`),
    ]),
  );
  if (onExitCodes !== undefined && (onPodConditions ?? []).length > 0) {
    errors.push(invalid(path, "", "specifying both OnExitCodes and OnPodConditions is not supported"));
  }
  if (onExitCodes === undefined && (onPodConditions ?? []).length === 0) {
    errors.push(invalid(path, "", "specifying one of OnExitCodes and OnPodConditions is required"));
  }
  return errors;
}

function validateFailurePolicy(spec: JobSpec, path: string): FieldError[] {
  const policy = spec.podFailurePolicy;
  if (policy === undefined) return [];
  const errors: FieldError[] = [];
  const rules = policy.rules ?? [];
  if (rules.length > MAX_RULES)
    errors.push(invalid(`${path}.podFailurePolicy.rules`, rules.length, `must have at most ${MAX_RULES} items`));
  errors.push(...each(rules, `${path}.podFailurePolicy.rules`, (rule, at) => validateFailureRule(rule, spec, at)));
  const restartPolicy = spec.template?.spec?.restartPolicy;
  if (restartPolicy !== "Never") {
    const why = 'only "Never" is supported when podFailurePolicy is specified';
    errors.push(invalid(`${path}.template.spec.restartPolicy`, restartPolicy ?? "", why));
  }
  return errors;
}

const INDEXES = /^(?:0|[1-9][0-9]*)(?:-(?:0|[1-9][0-9]*))?$/;

/** The parts of a text such as "0,2-4"; those that are no such thing are left out. */
export function indexRanges(text: string): { readonly first: number; readonly last: number }[] {
  return text.split(",").flatMap((part) => {
    if (!INDEXES.test(part)) return [];
    const [first, last = first] = part.split("-").map(Number) as [number, number?];
    return [{ first, last }];
  });
}

/** How many indexes below `completions` a text such as "0,2-4" names, or what is wrong with it. */
export function countIndexes(text: string, completions: number): { readonly total: number } | { readonly why: string } {
  let total = 0;
  let last = -1;
  for (const part of text.split(",")) {
    const [range] = indexRanges(part);
    if (range === undefined) return { why: `cannot convert string to integer for index: ${JSON.stringify(part)}` };
    const { first, last: end } = range;
    if (first <= last || end < first) return { why: `non-increasing order, previous: ${last}, current: ${first}` };
    if (end >= completions) return { why: `too large index: ${JSON.stringify(String(end))}` };
    total += end - first + 1;
    last = end;
  }
  return { total };
}

function validateSuccessPolicy(spec: JobSpec, path: string): FieldError[] {
  const policy = spec.successPolicy;
  if (policy === undefined) return [];
  const at = `${path}.successPolicy`;
  if (spec.completionMode !== "Indexed") return [invalid(at, policy, "requires indexed completion mode")];
  const rules = policy.rules ?? [];
  if (rules.length === 0)
    return [required(`${at}.rules`, "at least one rules must be specified when the successPolicy is specified")];
  return each(rules, `${at}.rules`, ({ succeededIndexes, succeededCount }, rule) => {
    if (succeededCount === undefined && succeededIndexes === undefined) {
      return [required(rule, "at least one of succeededCount or succeededIndexes must be specified")];
    }
    const errors: FieldError[] = [];
    const completions = spec.completions ?? 0;
    let most = completions;
    if (succeededIndexes !== undefined) {
      const counted = countIndexes(succeededIndexes, completions);
      if ("why" in counted) {
        errors.push(
          invalid(`${rule}.succeededIndexes`, succeededIndexes, `error parsing succeededIndexes: ${counted.why}`),
        );
      } else most = counted.total;
    }
    if (succeededCount !== undefined) {
      errors.push(...nonNegative(succeededCount, `${rule}.succeededCount`));
      if (succeededCount > most) {
        const what =
          succeededIndexes === undefined
            ? "the number of specified completions"
            : "the number of indexes in the specified succeededIndexes";
        errors.push(
          invalid(`${rule}.succeededCount`, succeededCount, `must be less than or equal to ${most} (${what})`),
        );
      }
    }
    return errors;
  });
}

function validateNumbers(spec: JobSpec, path: string): FieldError[] {
  const fields = [
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
  ] as const;
  const errors = fields.flatMap((field) => nonNegative(spec[field], `${path}.${field}`));
  if (spec.backoffLimitPerIndex !== undefined && spec.completionMode !== "Indexed") {
    errors.push(invalid(`${path}.backoffLimitPerIndex`, spec.backoffLimitPerIndex, "requires indexed completion mode"));
  }
  if (spec.maxFailedIndexes !== undefined) {
    if (spec.completions !== undefined && spec.maxFailedIndexes > spec.completions) {
      errors.push(
        invalid(`${path}.maxFailedIndexes`, spec.maxFailedIndexes, "must be less than or equal to completions"),
      );
    }
    if (spec.backoffLimitPerIndex === undefined) {
      errors.push(required(`${path}.backoffLimitPerIndex`, "when maxFailedIndexes is specified"));
    }
  }
  return errors;
}

function validateModes(spec: JobSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.completionMode !== undefined) {
    if (!["Indexed", "NonIndexed"].includes(spec.completionMode)) {
      errors.push(notSupported(`${path}.completionMode`, spec.completionMode, ["Indexed", "NonIndexed"]));
    } else if (spec.completionMode === "Indexed") {
      if (spec.completions === undefined)
        errors.push(required(`${path}.completions`, "when completion mode is Indexed"));
      errors.push(
        ...inRange(spec.parallelism, 0, MAX_PARALLELISM, `${path}.parallelism`).slice(
          0,
          (spec.parallelism ?? 0) < 0 ? 0 : 1,
        ),
      );
    }
  }
  if (spec.managedBy !== undefined) {
    errors.push(...allInvalid(`${path}.managedBy`, spec.managedBy, isQualifiedName(spec.managedBy)));
    if (!spec.managedBy.includes("/")) {
      errors.push(
        invalid(`${path}.managedBy`, spec.managedBy, 'must be a domain-prefixed path (such as "acme.io/foo")'),
      );
    }
    if (spec.managedBy.length > MAX_MANAGED_BY) {
      errors.push(invalid(`${path}.managedBy`, spec.managedBy, `must be no more than ${MAX_MANAGED_BY} characters`));
    }
  }
  if (spec.podReplacementPolicy !== undefined) {
    const at = `${path}.podReplacementPolicy`;
    if (spec.podFailurePolicy !== undefined && spec.podReplacementPolicy !== "Failed") {
      errors.push(notSupported(at, spec.podReplacementPolicy, ["Failed"]));
    } else errors.push(...oneOf(spec.podReplacementPolicy, ["Failed", "TerminatingOrFailed"], at));
  }
  return errors;
}

function validateJobTemplate(template: PodTemplateSpec | undefined, path: string): FieldError[] {
  const errors = validatePodTemplate(template, `${path}.template`);
  const policy = template?.spec?.restartPolicy;
  const at = `${path}.template.spec.restartPolicy`;
  if (policy === "Always") errors.push(required(at, 'valid values: "OnFailure", "Never"'));
  return errors;
}

/** The part of a job's rules that templates of jobs share. */
function validateJobSpecBase(spec: JobSpec, path: string): FieldError[] {
  return [
    ...validateNumbers(spec, path),
    ...validateModes(spec, path),
    ...validateFailurePolicy(spec, path),
    ...validateSuccessPolicy(spec, path),
    ...validateJobTemplate(spec.template, path),
  ];
}

function validateSpec(spec: JobSpec): FieldError[] {
  const errors = validateJobSpecBase(spec, "spec");
  if (spec.selector === undefined) errors.push(required("spec.selector"));
  else {
    errors.push(...validateLabelSelector(spec.selector, "spec.selector"));
    if (!selectorMatches(spec.selector, spec.template?.metadata?.labels)) {
      const why = "`selector` does not match template `labels`";
      errors.push(invalid("spec.template.metadata.labels", spec.template?.metadata?.labels ?? null, why));
    }
  }
  return errors;
}

export function validateJob(job: Job): FieldError[] {
  const { selector, manualSelector } = job.spec;
  const errors: FieldError[] = [];
  const labels = Object.keys(selector?.matchLabels ?? {});
  const generated = labels.length === 1 && labels[0] === UID_LABEL && (selector?.matchExpressions ?? []).length === 0;
  if (manualSelector !== true && selector !== undefined && !generated) {
    errors.push(invalid("spec.selector", selector, "`selector` not auto-generated"));
  }
  return [...errors, ...validateSpec(job.spec)];
}

/** Scheduling directives that may change while a job is suspended and none of its pods has started (KEP-2926). */
const DIRECTIVES = ["nodeSelector", "tolerations", "schedulingGates", "affinity"] as const;

function maySchedule(old: Readonly<Job>): boolean {
  const suspended = old.spec.suspend === true;
  return suspended && (old.status?.startTime === undefined || (old.status.active ?? 0) === 0);
}

/** The new template as it would be without the changes a suspended job allows. */
function mungeTemplate(template: PodTemplateSpec | undefined, old: PodTemplateSpec | undefined): PodTemplateSpec {
  const munged = deepCopy(template ?? {});
  if (munged.spec === undefined || old?.spec === undefined) return munged;
  for (const field of DIRECTIVES) {
    if (old.spec[field] === undefined) delete munged.spec[field];
    else Object.assign(munged.spec, { [field]: old.spec[field] });
  }
  for (const field of ["containers", "initContainers"] as const) {
    for (const [index, container] of (munged.spec[field] ?? []).entries()) {
      const before = old.spec[field]?.[index]?.resources;
      if (before === undefined) delete container.resources;
      else container.resources = before;
    }
  }
  munged.metadata ??= {};
  for (const field of ["labels", "annotations"] as const) {
    if (old.metadata?.[field] === undefined) delete munged.metadata[field];
    else munged.metadata[field] = old.metadata[field];
  }
  return munged;
}

export function validateJobUpdate(job: Job, old: Readonly<Job>): FieldError[] {
  if (job.spec === old.spec) return []; // What was stored has been found valid.
  const { spec } = job;
  const before = old.spec;
  const errors = validateSpec(spec);
  if (!sameValue(spec.completions ?? null, before.completions ?? null)) {
    // Indexed jobs are elastic: completions and parallelism may move together.
    const elastic = before.completionMode === "Indexed" && spec.completions !== undefined;
    if (!elastic) errors.push(...immutable(spec.completions, before.completions, "spec.completions"));
    else if (spec.completions !== spec.parallelism) {
      const why = `can only be modified in tandem with parallelism`;
      errors.push(invalid("spec.completions", spec.completions, why));
    }
  }
  errors.push(...immutable(spec.selector, before.selector, "spec.selector"));
  const template = maySchedule(old) ? mungeTemplate(spec.template, before.template) : spec.template;
  if (!sameValue(template, before.template)) errors.push(...immutable(spec.template, before.template, "spec.template"));
  for (const field of [
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
  ] as const) {
    errors.push(...immutable(spec[field], before[field], `spec.${field}`));
  }
  return errors;
}

function validateSchedule(schedule: string | undefined, timeZone: string | undefined): FieldError[] {
  const path = "spec.schedule";
  if (isEmpty(schedule)) return [required(path)];
  const errors: FieldError[] = [];
  try {
    parseCronSchedule(schedule!);
  } catch (error) {
    if (!(error instanceof CronScheduleError)) throw error;
    errors.push(invalid(path, schedule, error.message));
  }
  if (schedule!.includes("TZ")) {
    errors.push(invalid(path, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"));
  } else if (timeZone !== undefined) errors.push(...validateTimeZone(timeZone));
  return errors;
}

const ZONE_NAME = /^[A-Za-z0-9._+/-]+$/;

function validateTimeZone(timeZone: string): FieldError[] {
  const path = "spec.timeZone";
  if (timeZone === "") return [invalid(path, timeZone, "timeZone must be nil or non-empty string")];
  if (!ZONE_NAME.test(timeZone)) {
    return [invalid(path, timeZone, `unknown time zone ${timeZone}`)];
  }
  if (timeZone.toLowerCase() === "local") {
    const why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
    return [invalid(path, timeZone, why)];
  }
  return isTimeZone(timeZone) ? [] : [invalid(path, timeZone, `unknown time zone ${timeZone}`)];
}

/** Jobs get eleven characters behind the name of their CronJob. */
const MAX_CRON_JOB_NAME = 52;

function validateCronJobSpec({ spec }: CronJob): FieldError[] {
  const template = spec.jobTemplate?.spec ?? { template: {} };
  const errors = validateSchedule(spec.schedule, spec.timeZone);
  errors.push(
    ...nonNegative(spec.startingDeadlineSeconds, "spec.startingDeadlineSeconds"),
    ...oneOf(spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"], "spec.concurrencyPolicy"),
    ...validateJobSpecBase(template, "spec.jobTemplate.spec"),
    ...nonNegative(spec.successfulJobsHistoryLimit, "spec.successfulJobsHistoryLimit"),
    ...nonNegative(spec.failedJobsHistoryLimit, "spec.failedJobsHistoryLimit"),
  );
  if (template.manualSelector === true) {
    errors.push(notSupported("spec.jobTemplate.spec.manualSelector", true, []));
  }
  if (template.selector !== undefined && template.manualSelector !== true) {
    errors.push(forbidden("spec.jobTemplate.spec.selector", "`selector` will be auto-generated"));
  }
  return errors;
}

export function validateCronJob(cronJob: CronJob): FieldError[] {
  const name = cronJob.metadata.name ?? "";
  const tooLong = name.length > MAX_CRON_JOB_NAME;
  return [
    ...(tooLong ? [invalid("metadata.name", name, `must be no more than ${MAX_CRON_JOB_NAME} characters`)] : []),
    ...validateCronJobSpec(cronJob),
  ];
}

export const validateCronJobUpdate = (cronJob: CronJob): FieldError[] => validateCronJobSpec(cronJob);
