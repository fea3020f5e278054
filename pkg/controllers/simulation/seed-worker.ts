/** A thread that runs the histories it is sent, one at a time, and answers with what went wrong in each. */
import { parentPort } from "node:worker_threads";
import { runScenario, scenarioOf } from "./scenario.ts";

export interface SeedResult {
  readonly seed: number;
  readonly failure: string | undefined;
}

parentPort!.on("message", (seed: number) => {
  runScenario(scenarioOf(seed)).then(
    () => parentPort!.postMessage({ seed, failure: undefined } satisfies SeedResult, []),
    (error: unknown) =>
      parentPort!.postMessage({ seed, failure: error instanceof Error ? error.message : String(error) }, []),
  );
});
