import { test } from "node:test";
import { runScenario } from "./scenario.ts";

/** SIMULATION_SEEDS=100..200 runs these; one number runs that one, as a failure names it. */
function seeds(): number[] {
  const [first = "1", last] = (process.env["SIMULATION_SEEDS"] ?? "1..12").split("..");
  const from = Number(first);
  return Array.from({ length: Number(last ?? first) - from + 1 }, (_, index) => from + index);
}

for (const seed of seeds())
  test(`history ${seed} ends well`, () =>
    runScenario({
      seed,
      steps: 25,
      network: seed % 2 === 0,
      crashes: seed % 3 === 0,
      nodeLoss: seed % 4 === 0,
      realScheduler: seed % 2 === 1,
    }));
