import type { Clock } from "#pkg/util/index.ts";

/** Keys that expire within the same quarter of a second share one timer. */
const BUCKET_MS = 250;
const RETRY_MS = 1000;

/**
 * Remembers which version of which key expires when, and deletes it then through the store's ordinary write path.
 * A key written again without a lifetime is forgotten here.
 */
export class ExpiryTimers {
  readonly #clock: Clock;
  /** Deletes `key` if it still is at that revision. */
  readonly #expire: (key: string, modRevision: number) => Promise<void>;
  readonly #buckets = new Map<number, Map<string, number>>();
  readonly #bucketOf = new Map<string, number>();
  /** Times of the buckets, ascending. */
  readonly #times: number[] = [];
  #cancel: (() => void) | undefined;
  #closed = false;

  constructor(clock: Clock, expire: (key: string, modRevision: number) => Promise<void>) {
    this.#clock = clock;
    this.#expire = expire;
  }
  /** `atMs` is epoch milliseconds. */
  set(key: string, modRevision: number, atMs: number): void {
    this.clear(key);
    const time = Math.ceil(atMs / BUCKET_MS) * BUCKET_MS;
    let bucket = this.#buckets.get(time);
    if (bucket === undefined) {
      bucket = new Map();
      this.#buckets.set(time, bucket);
      let index = this.#times.length;
      while (index > 0 && this.#times[index - 1]! > time) index--;
      this.#times.splice(index, 0, time);
      if (index === 0) this.#arm();
    }
    bucket.set(key, modRevision);
    this.#bucketOf.set(key, time);
  }
  clear(key: string): void {
    const time = this.#bucketOf.get(key);
    if (time === undefined) return;
    this.#bucketOf.delete(key);
    this.#buckets.get(time)?.delete(key);
  }
  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const time = this.#times[0];
    if (time === undefined || this.#closed) return;
    this.#cancel = this.#clock.schedule(Math.max(time - this.#clock.now(), 0), () => this.#fire());
  }
  #fire(): void {
    const now = this.#clock.now();
    while (this.#times.length > 0 && this.#times[0]! <= now) {
      const time = this.#times.shift()!;
      const bucket = this.#buckets.get(time)!;
      this.#buckets.delete(time);
      for (const [key, modRevision] of bucket) {
        this.#bucketOf.delete(key);
        this.#expire(key, modRevision).catch(() => {
          // The disk may be full for a while: what did not go now goes later.
          if (!this.#closed && !this.#bucketOf.has(key)) this.set(key, modRevision, this.#clock.now() + RETRY_MS);
        });
      }
    }
    this.#arm();
  }
}
