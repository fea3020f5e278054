import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#pkg/util/index.ts";
import { collectAtRest } from "./memory.ts";

const MI = 1024 * 1024;

test("what a burst leaves is collected once, when the burst is over", async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  let allocated = 10 * MI;
  let collections = 0;
  const running = collectAtRest({ allocated: () => allocated, collect: () => void collections++ }, clock, stop.signal);
  const periods = async (count: number, bytes: number) => {
    for (let period = 0; period < count; period++) {
      allocated += bytes;
      await clock.advance(10_000);
    }
  };
  await periods(5, 50 * MI);
  assert.equal(collections, 0);
  await periods(5, MI);
  assert.equal(collections, 1);
  // At rest garbage comes slowly, and is collected when there is enough of it.
  await periods(18, MI);
  assert.equal(collections, 1);
  await periods(10, MI);
  assert.equal(collections, 2);
  stop.abort();
  await clock.advance(10_000);
  await running;
});
