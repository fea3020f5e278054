/** How long to wait before a pod that keeps finishing on a node is replaced again. */
export class FailedPodBackoff {
  readonly #byKey = new Map<string, { delayMs: number; at: number }>();
  readonly #firstMs: number;
  readonly #maxMs: number;

  constructor(firstMs = 1000, maxMs = 15 * 60_000) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
  }
  /** Milliseconds still to wait. */
  remaining(key: string, now: number): number {
    const entry = this.#byKey.get(key);
    return entry === undefined ? 0 : Math.max(0, entry.at + entry.delayMs - now);
  }
  /** A finished pod is being replaced now. */
  next(key: string, now: number): void {
    const entry = this.#byKey.get(key);
    const expired = entry === undefined || now - entry.at > 2 * this.#maxMs;
    this.#byKey.set(key, { delayMs: expired ? this.#firstMs : Math.min(entry.delayMs * 2, this.#maxMs), at: now });
  }
  /** Drops what nobody has asked about for long. */
  collect(now: number): void {
    for (const [key, { at }] of this.#byKey) if (now - at > 2 * this.#maxMs) this.#byKey.delete(key);
  }
}
