import type { Controller } from "#pkg/client/index.ts";
import { type Clock, type Logger, sleep } from "#pkg/util/index.ts";
import { type Source, untilSynced } from "./loop.ts";

/** Runs `step` now and then every `periodMs` until aborted. A failed step is logged and retried at the next turn. */
export async function every(
  { clock, log }: { clock: Clock; log: Logger },
  periodMs: number,
  signal: AbortSignal,
  step: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await step();
    } catch (err) {
      if (signal.aborted) return;
      log.warn({ err }, "Periodic step failed, will retry");
    }
    try {
      await sleep(clock, periodMs, signal);
    } catch {
      return; // the sleep ends early only because the signal aborted
    }
  }
}

/** A controller that has no queue: its step runs every `periodMs` over caches that have synced. */
export function createPeriodic(options: {
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly periodMs: number;
  readonly sources: readonly Source[];
  step(signal: AbortSignal): Promise<void>;
}): Controller {
  return {
    name: options.name,
    async run(signal) {
      const detach = options.sources.map((source) => source.attach());
      try {
        if (!(await untilSynced(options.sources, signal))) return;
        await every(options, options.periodMs, signal, () => options.step(signal));
      } finally {
        for (const stop of detach) stop();
      }
    },
  };
}
