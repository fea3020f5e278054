import assert from "node:assert/strict";
import { test } from "node:test";
import { BackoffTable, formatSeconds } from "./backoff.ts";

test("the first restart is immediate, later ones wait twice as long each, up to the limit", () => {
  const table = new BackoffTable(10_000, 300_000);
  const delays: number[] = [];
  let now = 0;
  for (let crash = 0; crash < 8; crash++) {
    const waiting = table.waiting("k", now, now);
    delays.push(waiting?.delayMs ?? 0);
    now = waiting?.untilMs ?? now;
    assert.equal(table.waiting("k", now - (waiting?.delayMs ?? 0), now), undefined, "over when it is over");
    table.next("k", now, now);
    now += 1000;
  }
  assert.deepEqual(delays, [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
});

test("a long quiet time makes it forget", () => {
  const table = new BackoffTable(10_000, 300_000);
  table.next("k", 0, 0);
  assert.equal(table.waiting("k", 600_001, 600_001), undefined);
  table.next("k", 0, 0);
  table.forget("k");
  assert.equal(table.waiting("k", 1, 1), undefined);
});

test("a clock that has been set holds nothing back for longer than its delay", () => {
  const table = new BackoffTable(10_000, 300_000);
  const crash = 50_000_000;
  table.next("k", crash, crash);
  assert.equal(table.waiting("k", crash, crash - 7_200_000), undefined, "set back by hours");
  assert.equal(table.waiting("k", crash, crash + 7_200_000), undefined, "set forward by hours");
  const little = table.waiting("k", crash, crash - 2000);
  assert.deepEqual(little, { delayMs: 10_000, untilMs: crash - 2000 + 10_000 });
});

test("durations read as Go prints them", () => {
  assert.deepEqual([10_000, 80_000, 300_000].map(formatSeconds), ["10s", "1m20s", "5m0s"]);
});
