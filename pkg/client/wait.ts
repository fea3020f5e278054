import { isConflict } from "#pkg/apimachinery/index.ts";
import { sleep } from "#pkg/util/index.ts";
import type { Clock } from "#pkg/util/index.ts";

export interface WaitOptions {
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** The condition was not met in time. */
export class WaitTimeoutError extends Error {}

/** Asks `condition` at once and then every interval until it returns something else than undefined or false. */
export async function waitFor<T>(
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  options: WaitOptions,
): Promise<T> {
  const { clock, intervalMs, timeoutMs, signal } = options;
  const deadline = clock.monotonic() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    const result = await condition();
    if (result !== undefined && result !== false) return result;
    const leftMs = deadline - clock.monotonic();
    if (leftMs <= 0) throw new WaitTimeoutError(`timed out after ${timeoutMs} ms`);
    await sleep(clock, Math.min(intervalMs, leftMs), signal);
  }
}

const CONFLICT_STEPS = 5;
const CONFLICT_DELAY_MS = 10;

/** Repeats a read-modify-write that met a newer version, up to five times. `attempt` must read again each time. */
export async function retryOnConflict<T>(clock: Clock, attempt: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (let step = 1; ; step++) {
    try {
      return await attempt();
    } catch (error) {
      if (!isConflict(error) || step >= CONFLICT_STEPS) throw error;
      await sleep(clock, CONFLICT_DELAY_MS, signal);
    }
  }
}
