/** Runs many histories on several threads. */
import { Worker } from "node:worker_threads";
import type { PlantedMistake } from "./planted.ts";

export interface SeedResult {
  readonly seed: number;
  /** What went wrong, with the history that led to it. */
  readonly failure: string | undefined;
  /** Of every write and its time: equal for equal histories. */
  readonly digest: string;
}

export interface SeedOptions {
  readonly threads: number;
  readonly mistake?: PlantedMistake;
  /** Ends after this many failures. Default: none ends it. */
  readonly maxFailures?: number;
  readonly onResult?: (result: SeedResult) => void;
}

/** Room for the short-lived objects of a history: with the default most of them would be copied twice. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 96 };

/** Runs every seed once and answers with how they ended, in order of seeds. */
export async function runSeeds(seeds: readonly number[], options: SeedOptions): Promise<SeedResult[]> {
  const { threads, mistake, maxFailures = Infinity, onResult } = options;
  const results: SeedResult[] = [];
  let next = 0;
  let failures = 0;
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL("./seed-worker.ts", import.meta.url), {
        workerData: { mistake },
        resourceLimits: RESOURCE_LIMITS,
      });
      const send = () => {
        if (next < seeds.length && failures < maxFailures) worker.postMessage(seeds[next++], []);
        else void worker.terminate().then(() => resolve());
      };
      worker.on("error", reject);
      worker.on("message", (result: SeedResult) => {
        results.push(result);
        if (result.failure !== undefined) failures++;
        onResult?.(result);
        send();
      });
      send();
    });
  await Promise.all(Array.from({ length: Math.min(seeds.length, threads) }, work));
  return results.sort((a, b) => a.seed - b.seed);
}

/** The seeds `from`, `from + 1` and so on. */
export function seedsFrom(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => from + index);
}
