/**
 * A thread that runs the histories it is sent, one at a time, and answers with how each ended. With a planted mistake in
 * `workerData` it runs the program with that one passage of its source replaced.
 */
import { createHash } from "node:crypto";
import { registerHooks } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import { errorMessage } from "#pkg/util/index.ts";
import type { SeedResult } from "./seeds.ts";
import { plant, type PlantedMistake } from "./planted.ts";

const { mistake } = workerData as { readonly mistake: PlantedMistake | undefined };
if (mistake !== undefined) registerHooks({ load: plant(mistake) });

// Only now: what is planted must be there before anything is loaded.
const { runScenario, scenarioOf } = await import("./scenario.ts");
const { SimulatedCluster } = await import("./cluster.ts");

const foundation = await SimulatedCluster.found();

async function run(seed: number): Promise<SeedResult> {
  try {
    const writes = await runScenario(scenarioOf(seed), foundation);
    return { seed, failure: undefined, digest: createHash("sha256").update(writes.join("\n")).digest("hex") };
  } catch (error) {
    return { seed, failure: errorMessage(error), digest: "" };
  }
}

parentPort!.on("message", (seed: number) => {
  void run(seed).then((result) => parentPort!.postMessage(result, []));
});
