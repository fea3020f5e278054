import type { Clock, Random } from "#pkg/util/index.ts";

export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
  /** After this long without a failure the next delay is the first again. */
  readonly resetAfterMs: number;
  /** Each delay is lengthened by up to this share of itself. */
  readonly jitter: number;
  readonly clock: Clock;
  readonly random: Random | undefined;
}

/** Delays that double with each failure in a row. */
export class Backoff {
  readonly #options: BackoffOptions;
  #nextMs: number;
  #lastAt: number | undefined;

  constructor(options: BackoffOptions) {
    this.#options = options;
    this.#nextMs = options.baseMs;
  }
  /** How long to wait before trying again, in milliseconds. */
  next(): number {
    const { baseMs, maxMs, resetAfterMs, jitter, clock, random } = this.#options;
    const now = clock.monotonic();
    if (this.#lastAt !== undefined && now - this.#lastAt > resetAfterMs) this.#nextMs = baseMs;
    this.#lastAt = now;
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(this.#nextMs * 2, maxMs);
    return delayMs * (1 + jitter * (random?.float() ?? 0));
  }
}
