/** Exponential backoff by key: restarts of crashing containers and failed image pulls. Bounded by forget(). */
export class BackoffTable {
  readonly #initialMs: number;
  readonly #maxMs: number;
  readonly #entries = new Map<string, { delayMs: number; updatedAt: number }>();

  constructor(initialMs: number, maxMs: number) {
    this.#initialMs = initialMs;
    this.#maxMs = maxMs;
  }

  #current(key: string, since: number): number | undefined {
    const entry = this.#entries.get(key);
    // An entry is forgotten when nothing went wrong for twice the longest delay.
    if (entry === undefined || since - entry.updatedAt > 2 * this.#maxMs) return undefined;
    return entry.delayMs;
  }

  /**
   * The delay in force for something that failed at `since`, when `now` is still inside it. A failure that lies further in
   * the future than its delay is one from before the clock was set back: nobody knows how long ago that was.
   */
  waiting(key: string, since: number, now: number): { delayMs: number; untilMs: number } | undefined {
    const delayMs = this.#current(key, since);
    if (delayMs === undefined || Math.abs(now - since) >= delayMs) return undefined;
    return { delayMs, untilMs: Math.min(since, now) + delayMs };
  }

  /** Notes another attempt after a failure at `since`: the next one waits twice as long. */
  next(key: string, since: number, now: number): void {
    const current = this.#current(key, since);
    const delayMs = current === undefined ? this.#initialMs : Math.min(current * 2, this.#maxMs);
    this.#entries.set(key, { delayMs, updatedAt: now });
  }

  /** Drops all keys that begin with `prefix`. */
  forget(prefix: string): void {
    for (const key of this.#entries.keys()) if (key.startsWith(prefix)) this.#entries.delete(key);
  }
}

/** As Go prints a duration of whole seconds: 10s, 1m20s, 5m0s. */
export function formatSeconds(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
