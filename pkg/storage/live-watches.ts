import type { StoreEvent, StoreWatchBatch } from "./store.ts";

/** Reads committed events with `from` < revision <= `to`; may stop early, at the batch's revision. */
export type ReadHistory = (prefix: string, from: number, to: number) => Promise<StoreWatchBatch>;

/** Events a consumer may lag behind before its queue is dropped and re-read from history. */
const MAX_QUEUED_EVENTS = 10_000;

/** One live watch: what was committed since its consumer last looked. */
interface Tail {
  readonly prefix: string;
  /** Events up to here have been queued or are none of its business. */
  revision: number;
  events: StoreEvent[];
  wake: (() => void) | undefined;
  overflowed: boolean;
}

/**
 * Watches of a store that lives in this process: history first, then what `publish` brings, without gap or repetition.
 * A consumer that falls far behind costs no memory: it goes back to reading history.
 */
export class LiveWatches {
  readonly #readHistory: ReadHistory;
  readonly #tails = new Set<Tail>();
  #revision: number;
  #closed = false;

  constructor(revision: number, readHistory: ReadHistory) {
    this.#revision = revision;
    this.#readHistory = readHistory;
  }
  /** The last published revision. */
  get revision(): number {
    return this.#revision;
  }
  /** Everything up to `revision` is committed; `events` are the new ones, in order. */
  publish(events: readonly StoreEvent[], revision: number): void {
    this.#revision = revision;
    for (const tail of this.#tails) {
      if (revision <= tail.revision) continue;
      for (const event of events) {
        if (event.modRevision > tail.revision && event.key.startsWith(tail.prefix)) tail.events.push(event);
      }
      if (tail.events.length > MAX_QUEUED_EVENTS) {
        tail.overflowed = true;
        tail.events = [];
        this.#tails.delete(tail);
      } else {
        tail.revision = revision;
      }
      tail.wake?.();
    }
  }
  close(): void {
    this.#closed = true;
    for (const tail of this.#tails) tail.wake?.();
  }

  async *watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncGenerator<StoreWatchBatch> {
    let delivered = fromRevision;
    while (!signal.aborted && !this.#closed) {
      // At least one page is read, so that a compacted start is noticed.
      do {
        const page = await this.#readHistory(prefix, delivered, Math.max(delivered, this.#revision));
        delivered = page.revision;
        if (signal.aborted || this.#closed) return;
        if (page.events.length > 0) yield page;
      } while (delivered < this.#revision);
      const tail: Tail = { prefix, revision: delivered, events: [], wake: undefined, overflowed: false };
      this.#tails.add(tail);
      try {
        if (delivered === this.#revision) yield { revision: delivered, events: [] };
        delivered = yield* this.#follow(tail, delivered, signal);
      } finally {
        this.#tails.delete(tail);
      }
    }
  }

  /** Yields what is published until the end or until the tail overflows; returns the revision delivered up to. */
  async *#follow(tail: Tail, from: number, signal: AbortSignal): AsyncGenerator<StoreWatchBatch, number> {
    let delivered = from;
    const onAbort = () => tail.wake?.();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted && !this.#closed && !tail.overflowed) {
        if (tail.revision === delivered) {
          await new Promise<void>((resolve) => (tail.wake = resolve));
          tail.wake = undefined;
          continue;
        }
        const events = tail.events;
        tail.events = [];
        delivered = tail.revision;
        yield { revision: delivered, events };
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
    return delivered;
  }
}
