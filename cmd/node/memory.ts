import { getHeapStatistics } from "node:v8";
import { type Clock, type Logger, pause } from "#pkg/util/index.ts";
import { giveBackByLibrary } from "./give-back.ts";

const PERIOD_MS = 10_000;
/** Garbage that is worth a collection, of some 50 ms of CPU time. */
const WORTH_BYTES = 24 * 1024 * 1024;
/** Who allocates more than this in a period is at work, and collects by itself. */
const AT_REST_BYTES = 4 * 1024 * 1024;

export interface Memory {
  /** Bytes allocated since the program started, garbage included. */
  allocated(): number;
  collect(): void;
}

/** The program's memory; undefined where it was not started with --expose-gc. */
export function programMemory(log: Logger): Memory | undefined {
  const { gc } = globalThis;
  if (gc === undefined) return undefined;
  const giveBack = giveBackByLibrary(log);
  return {
    allocated: () => getHeapStatistics().total_allocated_bytes,
    collect() {
      // Only what V8 calls its last resort shrinks the young generation and returns emptied pages.
      gc({ type: "major", execution: "sync", flavor: "last-resort" });
      giveBack?.freed();
      giveBack?.code();
    },
  };
}

/**
 * Collects garbage once the work that left it is over. The engine collects as a program allocates: one that has come to
 * rest would keep for long what its last burst of pods left behind.
 */
export async function collectAtRest(memory: Memory, clock: Clock, signal: AbortSignal): Promise<void> {
  let collectedAt = 0;
  let before = memory.allocated();
  while (!signal.aborted) {
    await pause(clock, PERIOD_MS, signal);
    const allocated = memory.allocated();
    if (allocated - before < AT_REST_BYTES && allocated - collectedAt >= WORTH_BYTES) {
      memory.collect();
      collectedAt = allocated;
    }
    before = allocated;
  }
}
