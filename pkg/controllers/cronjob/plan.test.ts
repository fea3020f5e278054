import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { CronJob, CronJobSpec, CronJobStatus, Job } from "#pkg/api/types/batch-v1.ts";
import { meta } from "../testing/objects.ts";
import { jobName, planCronJob, scheduledTimestamp } from "./plan.ts";

const NOW = Date.UTC(2026, 0, 1, 12, 0, 30);
const at = (text: string) => Date.parse(text);
const cron = (spec: Partial<CronJobSpec>, status: CronJobStatus = {}): CronJob => ({
  metadata: meta("tick", { creationTimestamp: "2026-01-01T11:59:50Z" }),
  spec: { schedule: "* * * * *", jobTemplate: {}, ...spec },
  status,
});
const jobOf = (name: string, end?: "Complete" | "Failed", startTime = "2026-01-01T11:00:00Z"): Job => ({
  metadata: meta(name),
  spec: { template: {} },
  status: {
    startTime,
    ...(end === undefined ? {} : { conditions: [{ type: end, status: "True" }], completionTime: startTime }),
  },
});
const reasons = (plan: ReturnType<typeof planCronJob>) => plan.events.map(({ reason }) => reason);

test("starts when a time has come that was not served", () => {
  const plan = planCronJob(cron({}), [], NOW);
  assert.equal(plan.start, at("2026-01-01T12:00:00Z"));
  assert.equal(plan.requeueAfterMs, 30_100);
  assert.equal(planCronJob(cron({}, { lastScheduleTime: "2026-01-01T12:00:00Z" }), [], NOW).start, undefined);
  assert.equal(planCronJob(cron({ suspend: true }), [], NOW).start, undefined);
  assert.equal(jobName(cron({}), plan.start!), `tick-${Math.floor(plan.start! / 60_000)}`);
});

test("the concurrency policy decides beside a running job", () => {
  const running = jobOf("tick-1");
  const status = { active: [{ uid: running.metadata.uid, name: "tick-1" }] };
  assert.ok(planCronJob(cron({ concurrencyPolicy: "Allow" }, status), [running], NOW).start !== undefined);
  const forbidden = planCronJob(cron({ concurrencyPolicy: "Forbid" }, status), [running], NOW);
  assert.deepEqual([forbidden.start, reasons(forbidden)], [undefined, ["JobAlreadyActive"]]);
  const replaced = planCronJob(cron({ concurrencyPolicy: "Replace" }, status), [running], NOW);
  assert.deepEqual(replaced.replace, [running]);
  assert.ok(replaced.start !== undefined);
});

test("a job that was made by hand is none of the schedule's", () => {
  for (const concurrencyPolicy of ["Forbid", "Replace"] as const) {
    const plan = planCronJob(cron({ concurrencyPolicy }), [jobOf("by-hand")], NOW);
    assert.deepEqual([plan.active, plan.replace, reasons(plan)], [[], [], ["UnexpectedJob"]]);
    assert.ok(plan.start !== undefined);
  }
  const forgotten = jobOf("tick-1");
  forgotten.metadata.annotations = { "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T11:00:00Z" };
  const plan = planCronJob(cron({}), [forgotten], NOW);
  assert.deepEqual([plan.active, reasons(plan)], [[forgotten], []]);
});

test("a start that is too late is missed, and many missed ones are reported", () => {
  const late = planCronJob(
    cron({ startingDeadlineSeconds: 10 }, { lastScheduleTime: "2026-01-01T11:00:00Z" }),
    [],
    NOW,
  );
  assert.equal(late.start, undefined);
  const many = planCronJob(cron({}, { lastScheduleTime: "2026-01-01T00:00:00Z" }), [], NOW);
  assert.equal(many.start, at("2026-01-01T12:00:00Z"));
  assert.deepEqual(reasons(many), ["TooManyMissedTimes"]);
});

test("finished jobs are noticed and kept within the limits", () => {
  const done = ["a", "b", "c"].map((name, index) => jobOf(name, "Complete", `2026-01-01T1${index}:00:00Z`));
  const status = {
    active: [
      { uid: "uid-a", name: "a" },
      { uid: "uid-gone", name: "gone" },
    ],
  };
  const plan = planCronJob(
    cron({ successfulJobsHistoryLimit: 1, suspend: true }, status),
    [...done, jobOf("f", "Failed")],
    NOW,
  );
  assert.deepEqual(
    plan.expired.map(({ metadata }) => metadata.name),
    ["a", "b"],
  );
  assert.deepEqual(reasons(plan), ["SawCompletedJob", "MissingJob"]);
  assert.equal(plan.lastSuccessfulTime, "2026-01-01T12:00:00Z");
});

test("schedules and zones that cannot be read are reported, impossible dates never start", () => {
  assert.deepEqual(reasons(planCronJob(cron({ schedule: "nonsense" }), [], NOW)), ["UnparseableSchedule"]);
  assert.deepEqual(reasons(planCronJob(cron({ timeZone: "Mars/Olympus" }), [], NOW)), ["UnknownTimeZone"]);
  const never = planCronJob(cron({ schedule: "0 0 31 2 *" }), [], NOW);
  assert.deepEqual([never.start, never.requeueAfterMs, never.events.length], [undefined, undefined, 0]);
});

test("time zones shift schedule and annotation", () => {
  const zoned = cron({ schedule: "0 13 * * *", timeZone: "Europe/Berlin" });
  const plan = planCronJob(zoned, [], NOW);
  assert.equal(plan.start, at("2026-01-01T12:00:00Z"));
  assert.equal(scheduledTimestamp(zoned, plan.start!), "2026-01-01T13:00:00+01:00");
  assert.equal(scheduledTimestamp(cron({}), plan.start!), "2026-01-01T12:00:00Z");
});

test("whatever was missed, the start is the latest time that has come", () => {
  const schedules = fc.constantFrom(
    "* * * * *",
    "*/7 * * * *",
    "0 * * * *",
    "30 2 * * 1-5",
    "0 0 1 * *",
    "0,1 0 * * *",
  );
  fc.assert(
    fc.property(schedules, fc.integer({ min: 60, max: 90 * 24 * 3600 }), (schedule, seconds) => {
      const last = new Date(NOW - seconds * 1000).toISOString();
      const plan = planCronJob(cron({ schedule }, { lastScheduleTime: last }), [], NOW);
      if (plan.start === undefined) return;
      assert.ok(plan.start > NOW - seconds * 1000 && plan.start <= NOW);
      const later = planCronJob(cron({ schedule }, { lastScheduleTime: new Date(plan.start).toISOString() }), [], NOW);
      assert.equal(later.start, undefined);
    }),
  );
});
