/** What tests of all modules share. */
import { setTimeout as delay } from "node:timers/promises";

/** Generous: a busy machine is slow, and only what never happens takes so long. */
const PATIENCE_MS = 60_000;
const INTERVAL_MS = 20;

/** Asks until the answer is neither undefined nor false, and gives that; fails, naming what did not happen, after a minute. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await probe();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`it did not happen within a minute: ${what}`);
    await delay(INTERVAL_MS);
  }
}
