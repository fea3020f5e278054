import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import { runSeeds, seedsFrom } from "./seeds.ts";

const SEEDS = 600;
/** So many to a test: a slow machine gets the time of many tests. */
const SEEDS_PER_TEST = 100;
const threads = availableParallelism();

// In threads, which also keeps the histories clear of the test runner's hooks: those cost a third.
for (let from = 1; from <= SEEDS; from += SEEDS_PER_TEST)
  test(`histories ${from} to ${from + SEEDS_PER_TEST - 1} end well`, async () => {
    const results = await runSeeds(seedsFrom(from, SEEDS_PER_TEST), { threads });
    assert.equal(results.length, SEEDS_PER_TEST);
    const failures = results.flatMap(({ failure }) => failure ?? []);
    assert.equal(failures.length, 0, failures.join("\n\n"));
  });

test("a seed replays exactly, whatever ran before it", async () => {
  const [, , afterOthers] = await runSeeds([28, 29, 30], { threads: 1 });
  const [alone] = await runSeeds([30], { threads: 1 });
  assert.equal(afterOthers?.failure, undefined);
  assert.equal(alone?.digest, afterOthers?.digest);
});
