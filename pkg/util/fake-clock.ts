import type { Clock } from "./clock.ts";

interface Timer {
  at: number;
  order: number;
  callback: () => void;
}

/** A clock that moves only when told to. Timers fire in order of due time, then of creation. */
export class FakeClock implements Clock {
  #now: number;
  readonly #start: number;
  /** What the clock of the day is ahead of the time that timers run by. */
  #skew = 0;
  #order = 0;
  #timers: Timer[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#now = startMs;
    this.#start = startMs;
  }
  now(): number {
    return this.#now + this.#skew;
  }
  /** Sets the clock of the day, as an administrator or NTP does; no timer runs earlier or later for that. */
  set(epochMs: number): void {
    this.#skew = epochMs - this.#now;
  }
  monotonic(): number {
    return this.#now - this.#start;
  }
  schedule(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { at: this.#now + Math.max(delayMs, 0), order: this.#order++, callback };
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#timers[middle]!.at <= timer.at) low = middle + 1;
      else high = middle;
    }
    this.#timers.splice(low, 0, timer);
    return () => {
      const index = this.#timers.indexOf(timer);
      if (index >= 0) this.#timers.splice(index, 1);
    };
  }
  /** Due time of the next timer in epoch milliseconds, or undefined when none is set. */
  nextTimer(): number | undefined {
    const [next] = this.#timers;
    return next === undefined ? undefined : next.at + this.#skew;
  }
  /** Fires every timer due within the next `durationMs`, yielding to promises after each, and ends at that time. */
  async advance(durationMs: number): Promise<void> {
    const end = this.#now + durationMs;
    for (;;) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      const next = this.#timers[0];
      if (next === undefined || next.at > end) break;
      this.#timers.shift();
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = end;
  }
}
