import { keyString } from "#pkg/apimachinery/index.ts";
import type { ObjectKey } from "#pkg/apimachinery/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { WorkQueue } from "../contract.ts";
import { AbortFanout } from "../transport/abort.ts";
import { DelayedSet } from "./delayed-set.ts";

export interface RateLimitingQueueOptions<K> {
  readonly clock: Clock;
  /** Text that is equal for equal keys; by default strings are themselves and object keys are "namespace/name". */
  readonly keyOf?: (key: K) => string;
  /** First delay of `addRateLimited`, doubling up to the second. Default 5 ms and 1000 s. */
  readonly baseDelayMs?: number;
  readonly maxDelayMs?: number;
}

/** First in, first out; a key that is added while being processed comes again afterwards. */
export class RateLimitingQueue<K> implements WorkQueue<K> {
  readonly #idOf: (key: K) => string;
  readonly #baseDelayMs: number;
  readonly #maxDelayMs: number;
  /** Waiting to be taken, in order. */
  readonly #waiting = new Map<string, K>();
  /** Taken and not done; the value says whether it was added again meanwhile. */
  readonly #processing = new Map<string, { again: K | undefined; isAgain: boolean }>();
  readonly #failures = new Map<string, number>();
  readonly #delayed: DelayedSet<K>;
  readonly #aborts = new AbortFanout();
  /** Workers waiting for a key, the longest first. */
  readonly #takers = new Set<() => void>();

  constructor({ clock, keyOf, baseDelayMs = 5, maxDelayMs = 1_000_000 }: RateLimitingQueueOptions<K>) {
    this.#idOf = keyOf ?? defaultIdOf;
    this.#baseDelayMs = baseDelayMs;
    this.#maxDelayMs = maxDelayMs;
    this.#delayed = new DelayedSet(clock, (key) => this.add(key));
  }
  get length(): number {
    return this.#waiting.size;
  }
  add(key: K): void {
    const id = this.#idOf(key);
    const processing = this.#processing.get(id);
    if (processing !== undefined) {
      processing.again = key;
      processing.isAgain = true;
      return;
    }
    if (this.#waiting.has(id)) return;
    this.#waiting.set(id, key);
    const [first] = this.#takers;
    first?.();
  }
  addAfter(key: K, delayMs: number): void {
    if (delayMs <= 0) this.add(key);
    else this.#delayed.add(this.#idOf(key), key, delayMs);
  }
  addRateLimited(key: K): void {
    const id = this.#idOf(key);
    const failures = this.#failures.get(id) ?? 0;
    this.#failures.set(id, failures + 1);
    this.addAfter(key, Math.min(this.#baseDelayMs * 2 ** Math.min(failures, 40), this.#maxDelayMs));
  }
  forget(key: K): void {
    this.#failures.delete(this.#idOf(key));
  }
  /** How often the key has failed in a row. */
  failures(key: K): number {
    return this.#failures.get(this.#idOf(key)) ?? 0;
  }
  /** The next key, as soon as there is one; rejects with the signal's reason. Call `done` when finished with it. */
  async take(signal: AbortSignal): Promise<K> {
    for (;;) {
      signal.throwIfAborted();
      const first = this.#waiting.entries().next();
      if (first.done !== true) {
        const [id, key] = first.value;
        this.#waiting.delete(id);
        this.#processing.set(id, { again: undefined, isAgain: false });
        return key;
      }
      await this.#arrival(signal);
    }
  }
  done(key: K): void {
    const id = this.#idOf(key);
    const processing = this.#processing.get(id);
    this.#processing.delete(id);
    if (processing?.isAgain === true) this.add(processing.again as K);
  }
  /** Forgets everything that is waiting and cancels the timer behind delayed keys. */
  shutDown(): void {
    this.#waiting.clear();
    this.#delayed.clear();
    this.#failures.clear();
  }

  #arrival(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = () => {
        this.#takers.delete(wake);
        unlink();
        resolve();
      };
      const unlink = this.#aborts.on(signal, () => {
        this.#takers.delete(wake);
        reject(signal.reason);
      });
      if (!signal.aborted) this.#takers.add(wake);
    });
  }
}

function defaultIdOf(key: unknown): string {
  if (typeof key === "string") return key;
  const { namespace, name } = key as Partial<ObjectKey>;
  if (namespace === undefined || name === undefined) throw new Error("a queue of such keys needs keyOf");
  return keyString({ namespace, name });
}
