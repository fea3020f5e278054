import { deepCopy, fieldOmitted, goQuote, isDns1123Label, isQualifiedName } from "#pkg/apimachinery/index.ts";
import type { CronJob, Job, JobSpec, PodFailurePolicyRule } from "../types/batch-v1.ts";
import type { PodTemplateSpec } from "../types/core-v1.ts";
import { validatePodTemplate } from "../core/validation/pod-spec.ts";
import {
  allInvalid,
  duplicate,
  each,
  type FieldError,
  immutable,
  invalid,
  isEmpty,
  nonNegative,
  notSupported,
  oneOf,
  required,
  shownMap,
  sameValue,
  tooLong,
  tooMany,
  given,
  domainPrefixedPath,
} from "../validation/rules.ts";
import { selectorMatches, validateLabelSelector } from "../validation/selectors.ts";
import { CronScheduleError, isTimeZone, parseCronSchedule } from "./cron-schedule.ts";

const MAX_PARALLELISM = 100_000;
const MAX_MANAGED_BY = 63;

const ACTIONS = ["Count", "FailIndex", "FailJob", "Ignore"];
const MAX_RULES = 20;
const MAX_EXIT_CODES = 255;

type ExitCodes = NonNullable<PodFailurePolicyRule["onExitCodes"]>;
type ConditionPattern = NonNullable<PodFailurePolicyRule["onPodConditions"]>[number];

/** A word out of a list whose members are named, as a Go list, when there is none. */
function namedWord(value: string | undefined, supported: readonly string[], path: string): FieldError[] {
  if (isEmpty(value)) return [required(path, `valid values: [${supported.map(goQuote).join(" ")}]`)];
  return oneOf(value, supported, path);
}

function validateExitCodes(codes: ExitCodes, template: PodTemplateSpec | undefined, path: string): FieldError[] {
  const { containerName, operator, values = [] } = codes;
  const errors = namedWord(operator, ["In", "NotIn"], `${path}.operator`);
  const containers = [...(template?.spec?.containers ?? []), ...(template?.spec?.initContainers ?? [])];
  if (containerName !== undefined && !containers.some(({ name }) => name === containerName)) {
    const why = "must be one of the container or initContainer names in the pod template";
    errors.push(invalid(`${path}.containerName`, containerName, why));
  }
  const at = `${path}.values`;
  if (values.length === 0) errors.push(invalid(at, codes.values ?? null, "at least one value is required"));
  else if (values.length > MAX_EXIT_CODES) errors.push(tooMany(at, values.length, MAX_EXIT_CODES));
  const seen = new Set<number>();
  for (const [index, value] of values.entries()) {
    if (operator === "In" && value === 0) {
      errors.push(invalid(`${at}[${index}]`, value, "must not be 0 for the In operator"));
    }
    if (seen.has(value)) errors.push(duplicate(`${at}[${index}]`, value));
    seen.add(value);
  }
  const ordered = values.every((value, index) => index === 0 || values[index - 1]! <= value);
  return ordered ? errors : [...errors, invalid(at, values, "must be ordered")];
}

const CONDITION_STATUSES = ["False", "True", "Unknown"];

function validateConditions(patterns: readonly ConditionPattern[], path: string): FieldError[] {
  const errors = patterns.length > MAX_RULES ? [tooMany(path, patterns.length, MAX_RULES)] : [];
  errors.push(
    ...each(patterns, path, ({ type, status }, at) => [
      ...allInvalid(`${at}.type`, type ?? "", isQualifiedName(type ?? "")),
      ...namedWord(status, CONDITION_STATUSES, `${at}.status`),
    ]),
  );
  return errors;
}

function validateFailureRule(rule: PodFailurePolicyRule, spec: JobSpec, path: string): FieldError[] {
  const { action, onExitCodes, onPodConditions = [] } = rule;
  const errors = namedWord(action, ACTIONS, `${path}.action`);
  if (action === "FailIndex" && spec.backoffLimitPerIndex === undefined) {
    errors.push(invalid(`${path}.action`, action, "requires the backoffLimitPerIndex to be set"));
  }
  if (onExitCodes !== undefined) errors.push(...validateExitCodes(onExitCodes, spec.template, `${path}.onExitCodes`));
  errors.push(...validateConditions(onPodConditions, `${path}.onPodConditions`));
  if (onExitCodes !== undefined && onPodConditions.length > 0) {
    errors.push(fieldOmitted(path, "specifying both OnExitCodes and OnPodConditions is not supported"));
  }
  if (onExitCodes === undefined && onPodConditions.length === 0) {
    errors.push(fieldOmitted(path, "specifying one of OnExitCodes and OnPodConditions is required"));
  }
  return errors;
}

function validateFailurePolicy(spec: JobSpec, path: string): FieldError[] {
  if (spec.podFailurePolicy === undefined) return [];
  const rules = spec.podFailurePolicy.rules ?? [];
  const at = `${path}.podFailurePolicy.rules`;
  return [
    ...(rules.length > MAX_RULES ? [tooMany(at, rules.length, MAX_RULES)] : []),
    ...each(rules, at, (rule, item) => validateFailureRule(rule, spec, item)),
  ];
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

/** Where a Job with very many indexes must not also count failures per index. */
const MANY_COMPLETIONS = 100_000;
const MANY_PARALLELISM = 10_000;
const MANY_FAILED_INDEXES = 10_000;

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
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined) {
    errors.push(required(`${path}.backoffLimitPerIndex`, "when maxFailedIndexes is specified"));
  }
  return errors;
}

function validateManagedBy(managedBy: string | undefined, path: string): FieldError[] {
  if (managedBy === undefined) return [];
  const errors = domainPrefixedPath(managedBy, path);
  return managedBy.length > MAX_MANAGED_BY ? [...errors, tooLong(path, MAX_MANAGED_BY)] : errors;
}

function validateManyIndexes(spec: JobSpec, path: string): FieldError[] {
  const { completions, parallelism, maxFailedIndexes, backoffLimitPerIndex } = spec;
  if ((completions ?? 0) <= MANY_COMPLETIONS || backoffLimitPerIndex === undefined) return [];
  const errors: FieldError[] = [];
  const when = `when completions are above ${MANY_COMPLETIONS} and used with backoff limit per index`;
  if (maxFailedIndexes === undefined) {
    const why = `must be specified when completions is above ${MANY_COMPLETIONS}`;
    errors.push(required(`${path}.maxFailedIndexes`, why));
  }
  if ((parallelism ?? 0) > MANY_PARALLELISM) {
    const why = `must be less than or equal to ${MANY_PARALLELISM} ${when}`;
    errors.push(invalid(`${path}.parallelism`, parallelism, why));
  }
  if ((maxFailedIndexes ?? 0) > MANY_FAILED_INDEXES) {
    const why = `must be less than or equal to ${MANY_FAILED_INDEXES} ${when}`;
    errors.push(invalid(`${path}.maxFailedIndexes`, maxFailedIndexes, why));
  }
  return errors;
}

function validateIndexed(spec: JobSpec, path: string): FieldError[] {
  const { completions, parallelism, maxFailedIndexes } = spec;
  const errors: FieldError[] = [];
  if (completions === undefined) errors.push(required(`${path}.completions`, "when completion mode is Indexed"));
  if ((parallelism ?? 0) > MAX_PARALLELISM) {
    const why = `must be less than or equal to ${MAX_PARALLELISM} when completion mode is Indexed`;
    errors.push(invalid(`${path}.parallelism`, parallelism, why));
  }
  const at = `${path}.maxFailedIndexes`;
  if (maxFailedIndexes !== undefined && completions !== undefined && maxFailedIndexes > completions) {
    errors.push(invalid(at, maxFailedIndexes, "must be less than or equal to completions"));
  }
  if ((maxFailedIndexes ?? 0) > MAX_PARALLELISM) {
    errors.push(invalid(at, maxFailedIndexes, `must be less than or equal to ${MAX_PARALLELISM}`));
  }
  return [...errors, ...validateManyIndexes(spec, path)];
}

const COMPLETION_MODES = ["NonIndexed", "Indexed"];

function validateModes(spec: JobSpec, path: string): FieldError[] {
  const { completionMode: mode } = spec;
  const errors = given(mode, COMPLETION_MODES, `${path}.completionMode`);
  if (mode === "Indexed") return validateIndexed(spec, path);
  if (mode !== undefined && mode !== "NonIndexed") return errors;
  for (const field of ["backoffLimitPerIndex", "maxFailedIndexes"] as const) {
    if (spec[field] === undefined) continue;
    errors.push(invalid(`${path}.${field}`, spec[field], "requires indexed completion mode"));
  }
  return errors;
}

function validateReplacement({ podReplacementPolicy: policy, podFailurePolicy }: JobSpec, path: string): FieldError[] {
  // Who decides by how pods failed must wait until they have.
  const supported = podFailurePolicy === undefined ? ["Failed", "TerminatingOrFailed"] : ["Failed"];
  return given(policy, supported, path);
}

const JOB_RESTART_POLICIES = ["OnFailure", "Never"];

function validateJobRestart(spec: JobSpec, path: string): FieldError[] {
  const policy = spec.template?.spec?.restartPolicy ?? "";
  if (policy === "" || policy === "Always") return [required(path, 'valid values: "OnFailure", "Never"')];
  if (!JOB_RESTART_POLICIES.includes(policy)) return [notSupported(path, policy, JOB_RESTART_POLICIES)];
  if (spec.podFailurePolicy === undefined || policy === "Never") return [];
  return [invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')];
}

/** The part of a job's rules that templates of jobs share. */
function validateJobSpecBase(spec: JobSpec, path: string): FieldError[] {
  return [
    ...validateNumbers(spec, path),
    ...validateManagedBy(spec.managedBy, `${path}.managedBy`),
    ...validateModes(spec, path),
    ...validateFailurePolicy(spec, path),
    ...validateSuccessPolicy(spec, path),
    ...validateReplacement(spec, `${path}.podReplacementPolicy`),
    ...validatePodTemplate(spec.template, `${path}.template`),
    ...validateJobRestart(spec, `${path}.template.spec.restartPolicy`),
  ];
}

function validateSpec(spec: JobSpec): FieldError[] {
  const errors = validateJobSpecBase(spec, "spec");
  if (spec.selector === undefined) errors.push(required("spec.selector"));
  else errors.push(...validateLabelSelector(spec.selector, "spec.selector"));
  const labels = spec.template?.metadata?.labels;
  if (!selectorMatches(spec.selector, labels)) {
    const why = "`selector` does not match template `labels`";
    errors.push(invalid("spec.template.metadata.labels", shownMap(labels), why));
  }
  return errors;
}

/** What the server has written into selector and template is there, and nobody else has written what differs. */
function validateGenerated({ metadata, spec }: Job): FieldError[] {
  if (spec.manualSelector === true || spec.selector === undefined) return [];
  const errors: FieldError[] = [];
  const labels = spec.template?.metadata?.labels ?? {};
  const expected = generatedLabels(metadata.name ?? "", metadata.uid ?? "");
  for (const [label, value] of Object.entries(expected)) {
    const path = `spec.template.metadata.labels[${label}]`;
    if (labels[label] === undefined) errors.push(required(path, `must be '${value}'`));
    else if (labels[label] !== value) errors.push(invalid(path, shownMap(labels), `must be '${value}'`));
  }
  if (!selectorMatches(spec.selector, expected)) {
    errors.push(invalid("spec.selector", spec.selector, "`selector` not auto-generated"));
  }
  return errors;
}

/** Labels by which a Job knows its pods, in the order in which they are asked for; the old names are still written. */
export const generatedLabels = (name: string, uid: string): Record<string, string> => ({
  "controller-uid": uid,
  "job-name": name,
  "batch.kubernetes.io/controller-uid": uid,
  "batch.kubernetes.io/job-name": name,
});

export function validateJob(job: Job): FieldError[] {
  const { completionMode, completions = 0 } = job.spec;
  const errors = [...validateGenerated(job), ...validateSpec(job.spec)];
  if (completionMode !== "Indexed" || completions <= 0) return errors;
  // Pods are named after their index, and their names are host names.
  const name = job.metadata.name ?? "";
  const host = `${name}-${completions - 1}`;
  if (isDns1123Label(host).length === 0) return errors;
  return [...errors, invalid("metadata.name", name, `will not able to create pod with invalid DNS label: ${host}`)];
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
  const errors = validateJob(job);
  if (!sameValue(spec.completions ?? null, before.completions ?? null)) {
    // Indexed jobs are elastic: completions and parallelism may move together.
    const elastic = before.completionMode === "Indexed" && spec.completions !== undefined;
    if (!elastic) errors.push(...immutable(spec.completions, before.completions, "spec.completions"));
    else if (spec.completions !== spec.parallelism) {
      const why = `can only be modified in tandem with spec.parallelism`;
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

function validateSchedule(schedule: string | undefined, timeZone: string | undefined, old?: string): FieldError[] {
  const path = "spec.schedule";
  if (isEmpty(schedule)) return [required(path)];
  const errors: FieldError[] = [];
  try {
    parseCronSchedule(schedule!);
  } catch (error) {
    if (!(error instanceof CronScheduleError)) throw error;
    errors.push(invalid(path, schedule, error.message));
  }
  if (!schedule!.includes("TZ")) return errors;
  // Schedules with a zone in them go back to times without the field.
  if (old?.includes("TZ") !== true) {
    errors.push(invalid(path, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"));
  } else if (timeZone !== undefined) {
    errors.push(invalid(path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"));
  }
  return errors;
}

const ZONE_PART = /^(?!-|\.\.?$)[A-Za-z0-9._+-]{1,14}$/;

function validateTimeZone(timeZone: string | undefined): FieldError[] {
  if (timeZone === undefined) return [];
  const path = "spec.timeZone";
  if (timeZone === "") return [invalid(path, timeZone, "timeZone must be nil or non-empty string")];
  const unknown = invalid(path, timeZone, `unknown time zone ${timeZone}`);
  if (!timeZone.split("/").every((part) => ZONE_PART.test(part))) return [unknown];
  const errors: FieldError[] = [];
  const local = timeZone.toLowerCase() === "local";
  if (local) {
    const why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
    errors.push(invalid(path, timeZone, why));
  }
  // Go knows a zone of that name, in this spelling alone.
  return timeZone === "Local" || isTimeZone(timeZone) ? errors : [...errors, unknown];
}

/** Jobs get eleven characters behind the name of their CronJob. */
const MAX_CRON_JOB_NAME = 52;

function validateCronJobSpec({ spec }: CronJob, old?: CronJob["spec"]): FieldError[] {
  const template = spec.jobTemplate?.spec ?? { template: {} };
  const errors = validateSchedule(spec.schedule, spec.timeZone, old?.schedule);
  errors.push(...nonNegative(spec.startingDeadlineSeconds, "spec.startingDeadlineSeconds"));
  if (old === undefined || old.timeZone !== spec.timeZone) errors.push(...validateTimeZone(spec.timeZone));
  errors.push(
    ...oneOf(spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"], "spec.concurrencyPolicy"),
    ...validateJobSpecBase(template, "spec.jobTemplate.spec"),
  );
  if (template.selector !== undefined) {
    errors.push(invalid("spec.jobTemplate.spec.selector", template.selector, "`selector` will be auto-generated"));
  }
  if (template.manualSelector === true) {
    errors.push(notSupported("spec.jobTemplate.spec.manualSelector", true, ["nil", "false"]));
  }
  return [
    ...errors,
    ...nonNegative(spec.successfulJobsHistoryLimit, "spec.successfulJobsHistoryLimit"),
    ...nonNegative(spec.failedJobsHistoryLimit, "spec.failedJobsHistoryLimit"),
  ];
}

export function validateCronJob(cronJob: CronJob): FieldError[] {
  const name = cronJob.metadata.name ?? "";
  const errors = validateCronJobSpec(cronJob);
  if (name.length <= MAX_CRON_JOB_NAME) return errors;
  return [...errors, invalid("metadata.name", name, `must be no more than ${MAX_CRON_JOB_NAME} characters`)];
}

export const validateCronJobUpdate = (cronJob: CronJob, old: Readonly<CronJob>): FieldError[] =>
  validateCronJobSpec(cronJob, old.spec);
