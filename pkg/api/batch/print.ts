import { parseTime } from "#pkg/util/index.ts";
import { age, ageOf, humanDuration, NONE } from "../printers/cells.ts";
import { containerCells, formatBool, formatSelector } from "../printers/format.ts";
import type { CronJob, Job } from "../types/batch-v1.ts";

function jobStatus(job: Readonly<Job>): string {
  const has = (type: string) =>
    job.status?.conditions?.some((condition) => condition.type === type && condition.status === "True") === true;
  if (has("Complete")) return "Complete";
  if (has("Failed")) return "Failed";
  if (job.metadata.deletionTimestamp !== undefined) return "Terminating";
  return ["Suspended", "FailureTarget", "SuccessCriteriaMet"].find(has) ?? "Running";
}

function completions({ spec, status }: Readonly<Job>): string {
  const succeeded = status?.succeeded ?? 0;
  if (spec?.completions !== undefined) return `${succeeded}/${spec.completions}`;
  const parallelism = spec?.parallelism ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function jobDuration({ status }: Readonly<Job>, now: number): string {
  const start = parseTime(status?.startTime);
  return start === undefined ? "" : humanDuration((parseTime(status?.completionTime) ?? now) - start);
}

export function printJob(job: Readonly<Job>, now: number): unknown[] {
  return [
    job.metadata.name,
    jobStatus(job),
    completions(job),
    jobDuration(job, now),
    ageOf(job, now),
    ...containerCells(job.spec?.template),
    formatSelector(job.spec?.selector),
  ];
}

export function printCronJob(cronJob: Readonly<CronJob>, now: number): unknown[] {
  const { spec, status } = cronJob;
  return [
    cronJob.metadata.name,
    spec?.schedule ?? "",
    spec?.timeZone ?? NONE,
    formatBool(spec?.suspend),
    status?.active?.length ?? 0,
    status?.lastScheduleTime === undefined ? NONE : age(status.lastScheduleTime, now),
    ageOf(cronJob, now),
    ...containerCells(spec?.jobTemplate?.spec?.template),
    formatSelector(spec?.jobTemplate?.spec?.selector),
  ];
}
