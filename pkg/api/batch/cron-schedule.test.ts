import assert from "node:assert/strict";
import { test } from "node:test";
import { CronScheduleError, parseCronSchedule } from "./cron-schedule.ts";

const at = (text: string): number => Date.parse(text);
const iso = (epochMs: number | undefined): string | undefined =>
  epochMs === undefined ? undefined : new Date(epochMs).toISOString().slice(0, 16);

const table: readonly [schedule: string, after: string, next: string | undefined, zone?: string][] = [
  ["*/1 * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:01"],
  ["* * * * ?", "2026-01-01T00:00:00Z", "2026-01-01T00:01"],
  ["5/15 * * * *", "2026-01-01T00:21:00Z", "2026-01-01T00:35"],
  ["0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00"],
  ["0 0 30 2 *", "2026-03-01T00:00:00Z", undefined],
  ["30 9 * * mon-fri", "2026-01-02T10:00:00Z", "2026-01-05T09:30"],
  ["0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00"],
  ["0 0 1 JAN *", "2026-01-01T00:00:00Z", "2027-01-01T00:00"],
  ["@daily", "2026-01-01T00:00:00Z", "2026-01-02T00:00"],
  ["@every 1h30m", "2026-01-01T00:00:00Z", "2026-01-01T01:30"],
  ["0 12 * * *", "2026-06-01T00:00:00Z", "2026-06-01T10:00", "Europe/Berlin"],
  ["CRON_TZ=Asia/Tokyo 0 9 * * *", "2026-06-01T00:00:00Z", "2026-06-02T00:00", "Europe/Berlin"],
  // 02:30 does not exist on that night.
  ["30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T00:30", "Europe/Berlin"],
  ["0 * * * *", "2026-03-29T00:30:00Z", "2026-03-29T01:00", "Europe/Berlin"],
];

for (const [schedule, after, next, zone] of table) {
  test(`${schedule} after ${after}${zone === undefined ? "" : ` in ${zone}`}`, () => {
    assert.equal(iso(parseCronSchedule(schedule).next(at(after), zone)), next);
  });
}

const wrong: readonly [schedule: string, message: string][] = [
  ["", "empty spec string"],
  ["* * * *", "expected exactly 5 fields, found 4: [* * * *]"],
  ["60 * * * *", "end of range (60) above maximum (59): 60"],
  ["* * * * 7", "end of range (7) above maximum (6): 7"],
  ["*/0 * * * *", "step of range should be a positive number: */0"],
  ["x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'],
  ["* * L * *", 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'],
  ["5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"],
  ["@never", "unrecognized descriptor: @never"],
  ["TZ=Moon/Base * * * * *", "provided bad location Moon/Base: unknown time zone Moon/Base"],
];

for (const [schedule, message] of wrong) {
  test(`refuses ${JSON.stringify(schedule)}`, () => {
    assert.throws(
      () => parseCronSchedule(schedule),
      (error) => error instanceof CronScheduleError && error.message === message,
    );
  });
}
