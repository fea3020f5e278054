/**
 * Decides whether a CronJob is due, what its concurrency policy says of Jobs that still run, and which finished ones
 * go. Pure.
 */
import { type CronSchedule, CronScheduleError, isTimeZone, parseCronSchedule } from "#pkg/api/index.ts";
import { endOfJob } from "#pkg/api/rules/index.ts";
import type { CronJob, Job } from "#pkg/api/types/batch-v1.ts";
import { formatTime, parseTime } from "#pkg/util/index.ts";

/** Start times of a schedule are not counted beyond this. */
const MANY_MISSED = 100;
const NAME_LIMIT = 52;
/** On Jobs that a schedule has started: when it said so. */
export const SCHEDULED_ANNOTATION = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/** An event to be recorded on the CronJob. */
export interface PlannedEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** What is due, and what the status says after it. */
export interface CronJobPlan {
  readonly events: readonly PlannedEvent[];
  /** Entries of status.active that go; `finished` with what became of the job. */
  readonly lastSuccessfulTime: string | undefined;
  readonly active: readonly Job[];
  /** Jobs that Replace removes before the new one starts. */
  readonly replace: readonly Job[];
  /** The start time to make a Job for, in epoch milliseconds. */
  readonly start: number | undefined;
  /** Finished jobs beyond the history limits. */
  readonly expired: readonly Job[];
  readonly requeueAfterMs: number | undefined;
}

/** "<cronjob>-<minutes since the epoch>": the same start time has the same name, so it cannot run twice. */
export function jobName(cronJob: CronJob, start: number): string {
  return `${cronJob.metadata.name.slice(0, NAME_LIMIT)}-${Math.floor(start / 60_000)}`;
}

/** What to do about a CronJob and the Jobs it owns. Pure. */
export function planCronJob(cronJob: CronJob, jobs: readonly Job[], now: number): CronJobPlan {
  const events: PlannedEvent[] = [];
  const running = jobs.filter((job) => isOfSchedule(cronJob, job) && endOfJob(job)?.type === undefined);
  reportFinished(cronJob, jobs, events);
  const base = {
    events,
    lastSuccessfulTime: lastSuccess(cronJob, jobs),
    active: running,
    replace: [],
    start: undefined,
    expired: expiredJobs(cronJob, jobs),
    requeueAfterMs: undefined,
  };
  if (cronJob.metadata.deletionTimestamp !== undefined || cronJob.spec.suspend === true) return base;
  let schedule: CronSchedule;
  try {
    schedule = scheduleOf(cronJob);
  } catch (error) {
    events.push(badSchedule(cronJob, error));
    return base; // until the object changes
  }
  return { ...base, ...decideStart(cronJob, schedule, running, now, events) };
}

function scheduleOf(cronJob: CronJob): CronSchedule {
  const { schedule, timeZone } = cronJob.spec;
  const parsed = parseCronSchedule(schedule);
  if (timeZone === undefined) return parsed;
  if (!isTimeZone(timeZone)) throw new UnknownTimeZoneError(timeZone);
  return { next: (after) => parsed.next(after, timeZone) };
}

/** A zone that the time zone database of the server knew, and ours does not. */
class UnknownTimeZoneError extends Error {}

function badSchedule({ spec }: CronJob, error: unknown): PlannedEvent {
  if (error instanceof UnknownTimeZoneError) {
    const message = `invalid timeZone: ${JSON.stringify(spec.timeZone)}: unknown time zone ${spec.timeZone}`;
    return { type: "Warning", reason: "UnknownTimeZone", message };
  }
  const why = error instanceof CronScheduleError ? error.message : String(error);
  const reason = "UnparseableSchedule";
  return { type: "Warning", reason, message: `unparseable schedule: ${JSON.stringify(spec.schedule)} : ${why}` };
}

/**
 * Whether it was the schedule that started a Job. Those that somebody made by hand (`kubectl create job --from`) run beside it:
 * they are not active, and concurrency policies do not ask about them.
 */
function isOfSchedule({ status }: CronJob, { metadata }: Job): boolean {
  // The status may not know yet of one that was started just before the controller was restarted.
  if (metadata.annotations?.[SCHEDULED_ANNOTATION] !== undefined) return true;
  return status?.active?.some(({ uid }) => uid === metadata.uid) === true;
}

function reportFinished(cronJob: CronJob, jobs: readonly Job[], events: PlannedEvent[]): void {
  const byUid = new Map(jobs.map((job) => [job.metadata.uid, job]));
  for (const { uid, name } of cronJob.status?.active ?? []) {
    const job = byUid.get(uid ?? "");
    if (job === undefined)
      events.push({ type: "Normal", reason: "MissingJob", message: `Active job went missing: ${name}` });
    else {
      const status = endOfJob(job)?.type;
      if (status === undefined) continue;
      const message = `Saw completed job: ${name}, condition: ${status}`;
      events.push({ type: "Normal", reason: "SawCompletedJob", message });
    }
  }
  for (const job of jobs)
    if (!isOfSchedule(cronJob, job) && endOfJob(job)?.type === undefined)
      events.push({
        type: "Warning",
        reason: "UnexpectedJob",
        message: `Saw a job that the controller did not create or forgot: ${job.metadata.name}`,
      });
}

function lastScheduled({ status }: CronJob): number {
  return parseTime(status?.lastScheduleTime) ?? 0;
}

function lastSuccess(cronJob: CronJob, jobs: readonly Job[]): string | undefined {
  let latest = cronJob.status?.lastSuccessfulTime;
  for (const job of jobs) {
    const time = job.status?.completionTime;
    if (time === undefined || endOfJob(job)?.type !== "Complete") continue;
    if (latest === undefined || Date.parse(time) > Date.parse(latest)) latest = time;
  }
  return latest;
}

function expiredJobs(cronJob: CronJob, jobs: readonly Job[]): Job[] {
  const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec;
  const oldest = (status: "Complete" | "Failed", limit: number | undefined) => {
    if (limit === undefined) return [];
    const ended = jobs.filter((job) => endOfJob(job)?.type === status);
    ended.sort((a, b) => startOf(a) - startOf(b) || (a.metadata.name < b.metadata.name ? -1 : 1));
    return ended.slice(0, Math.max(0, ended.length - limit));
  };
  return [...oldest("Complete", successfulJobsHistoryLimit), ...oldest("Failed", failedJobsHistoryLimit)];
}

function startOf({ status, metadata }: Job): number {
  return Date.parse(status?.startTime ?? metadata.creationTimestamp);
}

function decideStart(
  cronJob: CronJob,
  schedule: CronSchedule,
  running: readonly Job[],
  now: number,
  events: PlannedEvent[],
): Pick<CronJobPlan, "replace" | "start" | "requeueAfterMs"> {
  const due = mostRecentStart(cronJob, schedule, now, events);
  const next = schedule.next(now);
  // A little late rather than early: the clock of timers and the clock of schedules may differ by a trifle.
  const requeueAfterMs = next === undefined ? undefined : next - now + 100;
  const nothing = { replace: [], start: undefined, requeueAfterMs };
  if (due === undefined) return nothing;
  const deadline = cronJob.spec.startingDeadlineSeconds;
  if (deadline !== undefined && due + deadline * 1000 < now) {
    events.push({
      type: "Warning",
      reason: "MissSchedule",
      message: `Missed scheduled time to start a job: ${new Date(due).toUTCString().replace("GMT", "UTC")}`,
    });
    return nothing;
  }
  if (isActive(cronJob, running, due)) return nothing;
  switch (cronJob.spec.concurrencyPolicy) {
    case "Forbid":
      if (running.length === 0) break;
      events.push({
        type: "Normal",
        reason: "JobAlreadyActive",
        message: "Not starting job because prior execution is running and concurrency policy is Forbid",
      });
      return nothing;
    case "Replace":
      return { replace: running, start: due, requeueAfterMs };
    default:
      break;
  }
  return { replace: [], start: due, requeueAfterMs };
}

function isActive(cronJob: CronJob, running: readonly Job[], due: number): boolean {
  const name = jobName(cronJob, due);
  return running.some(({ metadata }) => metadata.name === name) || lastScheduled(cronJob) === due;
}

/** The latest start time that has come and was not served, looked for from the last one or the deadline on. */
function mostRecentStart(
  cronJob: CronJob,
  schedule: CronSchedule,
  now: number,
  events: PlannedEvent[],
): number | undefined {
  let earliest = Date.parse(cronJob.status?.lastScheduleTime ?? cronJob.metadata.creationTimestamp);
  const deadline = cronJob.spec.startingDeadlineSeconds;
  if (deadline !== undefined) earliest = Math.max(earliest, now - deadline * 1000);
  const first = schedule.next(earliest);
  if (first === undefined || first > now) return undefined;
  const second = schedule.next(first);
  if (second === undefined || second > now) return first;
  // Many may have been missed: jump near the end instead of walking through all of them.
  const interval = Math.max(1000, second - first);
  const missed = Math.floor((now - first) / interval) + 1;
  let latest = first;
  let from = Math.max(first, now - 2 * interval);
  for (let step = 0; step < 2 * MANY_MISSED; step++) {
    const candidate = schedule.next(from);
    if (candidate === undefined || candidate > now) break;
    latest = candidate;
    from = candidate;
  }
  if (latest === first) latest = walk(schedule, first, now);
  if (missed > MANY_MISSED)
    events.push({
      type: "Warning",
      reason: "TooManyMissedTimes",
      message: `too many missed start times: ${missed}. Set or decrease .spec.startingDeadlineSeconds or check clock skew`,
    });
  return latest;
}

/** For uneven schedules (weekdays, months) the jump can land behind the last start: walk, with an end. */
function walk(schedule: CronSchedule, first: number, now: number): number {
  let latest = first;
  for (let step = 0; step < 10_000; step++) {
    const next = schedule.next(latest);
    if (next === undefined || next > now) break;
    latest = next;
  }
  return latest;
}

/** RFC 3339 of a start time, as an annotation of its Job. */
export function scheduledTimestamp(cronJob: CronJob, start: number): string {
  const zone = cronJob.spec.timeZone;
  return zone === undefined || !isTimeZone(zone) ? formatTime(start) : inZone(start, zone);
}

function inZone(epochMs: number, timeZone: string): string {
  const parts = new Intl.DateTimeFormat("en-CA", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    timeZoneName: "longOffset",
  }).formatToParts(epochMs);
  const part = (type: string) => parts.find((candidate) => candidate.type === type)?.value ?? "";
  const offset = part("timeZoneName").replace("GMT", "");
  const local = `${part("year")}-${part("month")}-${part("day")}T${part("hour")}:${part("minute")}:${part("second")}`;
  return `${local}${offset === "" ? "Z" : offset}`;
}
