import type { Clock } from "./clock.ts";

const MAX_CACHED = 1024;

/** Answers that stay true for a while; the oldest go first when there are too many. */
export class ExpiringMap<V> {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { value: V; until: number }>();
  constructor(clock: Clock) {
    this.#clock = clock;
  }
  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.until <= this.#clock.monotonic()) return undefined;
    return entry.value;
  }
  set(key: string, value: V, ttlMs: number): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, until: this.#clock.monotonic() + ttlMs });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > MAX_CACHED && oldest !== undefined) this.#entries.delete(oldest);
  }
}
