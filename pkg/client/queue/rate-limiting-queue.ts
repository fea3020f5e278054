import { keyString } from "#pkg/apimachinery/index.ts";
import type { ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Clock, Histogram } from "#pkg/util/index.ts";
import type { WorkQueue } from "../contract.ts";
import { AbortFanout } from "../transport/abort.ts";
import { DelayedSet } from "./delayed-set.ts";
import { type QueueState, WORK_BUCKETS } from "./queue-state.ts";

export interface RateLimitingQueueOptions<K> {
  readonly clock: Clock;
  /** Text that is equal for equal keys; by default strings are themselves and object keys are "namespace/name". */
  readonly keyOf?: (key: K) => string;
  /** First delay of `addRateLimited`, doubling up to the second. Default 5 ms and 1000 s. */
  readonly baseDelayMs?: number;
  readonly maxDelayMs?: number;
}

/** A key on its way, with when it was added or taken (monotonic milliseconds). */
interface Waiting<K> {
  readonly key: K;
  readonly since: number;
}
interface Processing<K> {
  readonly since: number;
  /** It was added again meanwhile. */
  again: Waiting<K> | undefined;
}

/** First in, first out; a key that is added while being processed comes again afterwards. */
export class RateLimitingQueue<K> implements WorkQueue<K> {
  readonly #clock: Clock;
  readonly #idOf: (key: K) => string;
  readonly #baseDelayMs: number;
  readonly #maxDelayMs: number;
  /** Waiting to be taken, in order. */
  readonly #waiting = new Map<string, Waiting<K>>();
  /** Taken and not done. */
  readonly #processing = new Map<string, Processing<K>>();
  readonly #failures = new Map<string, number>();
  readonly #delayed: DelayedSet<K>;
  readonly #aborts = new AbortFanout();
  /** Workers waiting for a key, the longest first. */
  readonly #takers = new Set<() => void>();
  readonly #queued = new Histogram(WORK_BUCKETS);
  readonly #worked = new Histogram(WORK_BUCKETS);
  #adds = 0;
  #retries = 0;

  constructor({ clock, keyOf, baseDelayMs = 5, maxDelayMs = 1_000_000 }: RateLimitingQueueOptions<K>) {
    this.#clock = clock;
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
      if (processing.again === undefined) this.#adds++;
      processing.again = { key, since: processing.again?.since ?? this.#clock.monotonic() };
      return;
    }
    if (this.#waiting.has(id)) return;
    this.#adds++;
    this.#wait(id, { key, since: this.#clock.monotonic() });
  }
  #wait(id: string, waiting: Waiting<K>): void {
    this.#waiting.set(id, waiting);
    const [first] = this.#takers;
    first?.();
  }
  addAfter(key: K, delayMs: number): void {
    this.#retries++;
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
        const [id, { key, since }] = first.value;
        const now = this.#clock.monotonic();
        this.#waiting.delete(id);
        this.#processing.set(id, { since: now, again: undefined });
        this.#queued.add((now - since) / 1000);
        return key;
      }
      await this.#arrival(signal);
    }
  }
  done(key: K): void {
    const id = this.#idOf(key);
    const processing = this.#processing.get(id);
    if (processing === undefined) return;
    this.#processing.delete(id);
    this.#worked.add((this.#clock.monotonic() - processing.since) / 1000);
    if (processing.again !== undefined) this.#wait(id, processing.again);
  }
  /** For those who watch over it. */
  state(): QueueState {
    const now = this.#clock.monotonic();
    return {
      adds: this.#adds,
      retries: this.#retries,
      depth: this.#waiting.size,
      queued: this.#queued,
      worked: this.#worked,
      unfinished: Array.from(this.#processing.values(), ({ since }) => (now - since) / 1000),
    };
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
