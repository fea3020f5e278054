import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { runScenario, scenarioOf } from "./scenario.ts";
import type { SeedResult } from "./seed-worker.ts";

/** SIMULATION_SEEDS=100..2000 runs these; one number runs that one, as a failure names it. */
function seeds(): number[] {
  const [first = "1", last] = (process.env["SIMULATION_SEEDS"] ?? "1..100").split("..");
  const from = Number(first);
  return Array.from({ length: Number(last ?? first) - from + 1 }, (_, index) => from + index);
}

/** Runs histories on all cores. Threads also keep them clear of the test runner's hooks, which cost a third. */
async function failuresOf(all: readonly number[]): Promise<string[]> {
  const failures: string[] = [];
  let next = 0;
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL("./seed-worker.ts", import.meta.url));
      const send = () => {
        if (next < all.length) worker.postMessage(all[next++], []);
        else void worker.terminate().then(() => resolve());
      };
      worker.on("error", reject);
      worker.on("message", ({ failure }: SeedResult) => {
        if (failure !== undefined) failures.push(failure);
        send();
      });
      send();
    });
  await Promise.all(Array.from({ length: Math.min(all.length, availableParallelism()) }, work));
  return failures;
}

const chosen = seeds();

test(`histories ${chosen[0]} to ${chosen.at(-1)} end well`, async () => {
  const failures = await failuresOf(chosen);
  assert.equal(failures.length, 0, failures.join("\n\n"));
});

test("a seed replays exactly", async () => {
  const some = { ...scenarioOf(30), steps: 10 };
  const first = await runScenario(some);
  assert.deepEqual(await runScenario(some), first);
});
