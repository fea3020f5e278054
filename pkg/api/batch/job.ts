import { defineResource } from "../define.ts";
import { defaultPodTemplate } from "../core/pod-defaults.ts";
import type { CronJob, Job, JobSpec } from "../types/batch-v1.ts";
import { hostNameWarnings, templateWarnings } from "../core/validation/pod-warnings.ts";
import {
  generatedLabels,
  validateCronJob,
  validateCronJobUpdate,
  validateJob,
  validateJobUpdate,
} from "./validation.ts";
import { validateJobStatusUpdate } from "./job-status.ts";
import { printCronJob, printJob } from "./print.ts";

const DEFAULT_BACKOFF_LIMIT = 6;
const UNLIMITED_BACKOFF = 2 ** 31 - 1;

function defaultJob(job: Job): void {
  const spec = job.spec;
  if (spec === undefined) return;
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? DEFAULT_BACKOFF_LIMIT : UNLIMITED_BACKOFF;
  spec.podReplacementPolicy ??= spec.podFailurePolicy === undefined ? "TerminatingOrFailed" : "Failed";
  // Labels of a job come from its template when it has none of its own.
  const labels = spec.template?.metadata?.labels;
  // They are the template's own until the server has added what selects the job's pods.
  if (labels !== undefined && Object.keys(job.metadata.labels ?? {}).length === 0) job.metadata.labels = labels;
  defaultPodTemplate(spec.template);
}

function generateSelector(job: Job): void {
  const { spec, metadata } = job;
  if (spec?.template === undefined || spec.manualSelector === true) return;
  const uid = metadata.uid ?? "";
  spec.template.metadata ??= {};
  const before = spec.template.metadata.labels;
  const labels = { ...before };
  for (const [label, value] of Object.entries(generatedLabels(metadata.name ?? "", uid))) labels[label] ??= value;
  spec.template.metadata.labels = labels;
  if (before === metadata.labels || Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
  spec.selector ??= {};
  spec.selector.matchLabels = { ...spec.selector.matchLabels, "batch.kubernetes.io/controller-uid": uid };
}

const MANY_COMPLETIONS = 100_000;
const MANY_PODS = 10_000;
const MANY_INDEXES =
  "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail";
/** New schedules may not say a zone; old ones keep it. */
const ZONE_WARNING =
  "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details";

type Owner = Parameters<typeof templateWarnings>[0];

function jobSpecWarnings(owner: Owner, old: Owner | undefined, spec: JobSpec | undefined, path: string): string[] {
  const { completionMode, completions = 0, parallelism = 0, template } = spec ?? {};
  const isNew = old === undefined || old.metadata.generation !== owner.metadata.generation;
  const many = completionMode === "Indexed" && completions > MANY_COMPLETIONS && parallelism > MANY_PODS;
  return [
    ...(isNew && many ? [`${path}: ${MANY_INDEXES}`] : []),
    ...templateWarnings(owner, old, template, `${path}.template`),
  ];
}

export const job = defineResource<Job>({
  group: "batch",
  version: "v1",
  kind: "Job",
  printRow: printJob,
  strategy: {
    sharesUnchanged: true,
    defaultGarbageCollection: "orphan",
    defaults: defaultJob,
    prepareForCreate: generateSelector,
    validate: validateJob,
    validateUpdate: validateJobUpdate,
    warnings: (job, old) => [
      ...hostNameWarnings(job, old, "Pod names and hostnames"),
      ...jobSpecWarnings(job, old, job.spec, "spec"),
    ],
  },
  status: { validateUpdate: validateJobStatusUpdate },
});

export const cronJob = defineResource<CronJob>({
  group: "batch",
  version: "v1",
  kind: "CronJob",
  printRow: printCronJob,
  strategy: {
    defaults(cronJob) {
      defaultPodTemplate(cronJob.spec?.jobTemplate?.spec?.template);
    },
    validate: validateCronJob,
    validateUpdate: validateCronJobUpdate,
    warnings: (cronJob, old) => [
      ...hostNameWarnings(cronJob, old, "Pod names and hostnames"),
      ...jobSpecWarnings(cronJob, old, cronJob.spec?.jobTemplate?.spec, "spec.jobTemplate.spec"),
      ...(old !== undefined && cronJob.spec.schedule.includes("TZ") ? [ZONE_WARNING] : []),
    ],
  },
});
