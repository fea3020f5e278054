import { defineResource } from "../define.ts";
import { defaultPodTemplate } from "../core/pod-defaults.ts";
import type { CronJob, Job } from "../types/batch-v1.ts";
import { podTemplateWarnings } from "../core/validation/pod-warnings.ts";
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
    warnings: (job) => podTemplateWarnings(job.spec?.template, "spec.template"),
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
    warnings: (cronJob) =>
      podTemplateWarnings(cronJob.spec?.jobTemplate?.spec?.template, "spec.jobTemplate.spec.template"),
  },
});
