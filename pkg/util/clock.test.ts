import assert from "node:assert/strict";
import { test } from "node:test";
import { scheduleLimit } from "./clock.ts";
import { FakeClock } from "./fake-clock.ts";

test("a limit is reached after its time, and not when it is cancelled", async () => {
  const clock = new FakeClock();
  const reached: string[] = [];
  scheduleLimit(clock, 250, () => reached.push("kept"));
  const cancel = scheduleLimit(clock, 250, () => reached.push("cancelled"));
  await clock.advance(249);
  assert.deepEqual(reached, []);
  cancel();
  await clock.advance(1);
  assert.deepEqual(reached, ["kept"]);
  cancel();
  assert.equal(clock.nextTimer(), undefined);
});

test("time in which the process did not run hardly counts", () => {
  const timers: Array<() => void> = [];
  const schedule = (_ms: number, fire: () => void) => {
    timers.push(fire);
    return () => undefined;
  };
  let reached = false;
  scheduleLimit({ now: () => 0, monotonic: () => 0, schedule }, 1000, () => {
    reached = true;
  });
  // However late the machine fires a timer, each is worth one step.
  let fired = 0;
  for (let next = timers.shift(); next !== undefined; next = timers.shift(), fired++) next();
  assert.deepEqual({ reached, fired }, { reached: true, fired: 10 });
});
