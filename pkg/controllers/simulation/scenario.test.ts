import assert from "node:assert/strict";
import { test } from "node:test";
import { runScenario, type ScenarioOptions } from "./scenario.ts";

/** SIMULATION_SEEDS=100..200 runs these; one number runs that one, as a failure names it. */
function seeds(): number[] {
  const [first = "1", last] = (process.env["SIMULATION_SEEDS"] ?? "1..8").split("..");
  const from = Number(first);
  return Array.from({ length: Number(last ?? first) - from + 1 }, (_, index) => from + index);
}

/** Which troubles a seed brings, and which scheduler. */
function scenarioOf(seed: number): ScenarioOptions {
  return {
    seed,
    steps: 25,
    network: seed % 2 === 0,
    crashes: seed % 3 === 0,
    nodeLoss: seed % 4 === 0,
    realScheduler: seed % 5 < 2,
  };
}

for (const seed of seeds())
  test(`history ${seed} ends well`, () => runScenario(scenarioOf(seed)).then(() => undefined));

test("a seed replays exactly", async () => {
  const first = await runScenario({ ...scenarioOf(12), steps: 8 });
  assert.deepEqual(await runScenario({ ...scenarioOf(12), steps: 8 }), first);
});
