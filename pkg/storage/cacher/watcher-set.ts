import type { CacheEvent, CacheWatchOptions } from "./contract.ts";
import type { Entry, IndexValues } from "./entry.ts";
import type { EntryEvent, EventRing } from "./event-ring.ts";

export type EndReason = Parameters<CacheWatchOptions["onEnd"]>[0];

/** One watch: what it selects, and delivery with its ends. */
export class Watcher {
  readonly options: CacheWatchOptions;
  /** Position of `options.index` in the resource's index list, or -1. */
  readonly indexAt: number;
  /** Events up to this sequence have been delivered, do not concern it, or are contained in what it began with. */
  sequence = 0;
  /** Events up to this revision are older than what was asked for. */
  readonly #afterRevision: number;
  readonly #onAbort: () => void;
  /** Where it finds what it has not been told; known once it follows. */
  #ring: EventRing | undefined;
  /** Takes events as they happen, because it is up to date and its consumer is not busy. */
  #current = false;
  #ended = false;
  onRemoved: (() => void) | undefined;

  constructor(options: CacheWatchOptions, indexAt: number) {
    this.options = options;
    this.indexAt = indexAt;
    this.#afterRevision = options.fromRevision ?? 0;
    this.#onAbort = () => this.end("aborted");
    options.signal.addEventListener("abort", this.#onAbort, { once: true });
  }
  get ended(): boolean {
    return this.#ended;
  }
  selects(entry: Entry): boolean {
    const { namespace, name, index } = this.options;
    if (namespace !== undefined && namespace !== "" && entry.namespace !== namespace) return false;
    if (name !== undefined && entry.name !== name) return false;
    return index === undefined || this.indexAt < 0 || entry.indexValues[this.indexAt]!.includes(index.value);
  }
  /** Is the object selected, before or after the change? */
  concerns({ entry, previous }: CacheEvent): boolean {
    return this.selects(entry as Entry) || (previous !== undefined && this.selects(previous as Entry));
  }
  /** From now on: first what the ring has behind the sequence, then each event as it happens. */
  follow(ring: EventRing): void {
    this.#ring = ring;
    this.#catchUp(ring);
  }
  /** Delivers what has just happened, unless the watcher is not there yet. */
  offer(event: EntryEvent): void {
    if (!this.#current || event.sequence <= this.sequence) return;
    this.sequence = event.sequence;
    if (!this.concerns(event)) return;
    const busy = this.deliver(event);
    if (busy === undefined) return;
    this.#current = false;
    busy.then(
      () => this.#catchUp(this.#ring!),
      (error: unknown) => this.#failed(error),
    );
  }
  /** Hands over an event; returns what has to be waited for before the next one. */
  deliver(event: CacheEvent): Promise<void> | undefined {
    if (this.#ended || event.revision <= this.#afterRevision) return undefined;
    try {
      return this.options.onEvent(event);
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }
  /** Everything up to the revision has been delivered. */
  progress(revision: number): void {
    if (!this.#ended && revision >= this.#afterRevision) this.options.onProgress?.(revision);
  }
  /** Called now and then. `ring` is the recent history. */
  look(revision: number, ring: EventRing): void {
    if (this.#current) this.progress(revision);
    else if (!ring.reaches(this.sequence)) this.end("slow");
  }
  end(reason: EndReason, error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#current = false;
    this.options.signal.removeEventListener("abort", this.#onAbort);
    this.onRemoved?.();
    this.options.onEnd(reason, error);
  }

  #catchUp(ring: EventRing): void {
    if (this.#ended) return;
    if (!ring.reaches(this.sequence)) {
      this.end("slow");
      return;
    }
    this.#current = true;
    for (let event = ring.next(this.sequence); event !== undefined && this.#current; event = ring.next(this.sequence)) {
      this.offer(event);
    }
  }
  #failed(cause: unknown): void {
    this.end("error", cause instanceof Error ? cause : new Error("the watcher failed", { cause }));
  }
}

/** The watchers of one resource, filed by the most selective thing they ask for: an event visits only its audience. */
export class WatcherSet {
  readonly #indexNames: readonly string[];
  readonly #everything = new Set<Watcher>();
  readonly #byNamespace = new Map<string, Set<Watcher>>();
  readonly #byName = new Map<string, Set<Watcher>>();
  /** Per index, by value. */
  readonly #byIndex: readonly Map<string, Set<Watcher>>[];
  #size = 0;

  constructor(indexNames: readonly string[]) {
    this.#indexNames = indexNames;
    this.#byIndex = indexNames.map(() => new Map<string, Set<Watcher>>());
  }
  get size(): number {
    return this.#size;
  }
  indexAt(index: CacheWatchOptions["index"]): number {
    return index === undefined ? -1 : this.#indexNames.indexOf(index.index);
  }
  add(watcher: Watcher): void {
    const { name, namespace, index } = watcher.options;
    this.#size++;
    if (name !== undefined) this.#file(watcher, this.#byName, name);
    else if (index !== undefined && watcher.indexAt >= 0)
      this.#file(watcher, this.#byIndex[watcher.indexAt]!, index.value);
    else if (namespace !== undefined && namespace !== "") this.#file(watcher, this.#byNamespace, namespace);
    else {
      this.#everything.add(watcher);
      watcher.onRemoved = () => {
        this.#size--;
        this.#everything.delete(watcher);
      };
    }
  }
  dispatch(event: EntryEvent): void {
    const { entry, previous } = event;
    offerAll(this.#everything, event);
    offerAll(this.#byNamespace.get(entry.namespace), event);
    offerAll(this.#byName.get(entry.name), event);
    for (const [at, buckets] of this.#byIndex.entries()) {
      if (buckets.size === 0) continue;
      this.#offerIndexed(buckets, entry.indexValues, at, event);
      if (previous !== undefined) this.#offerIndexed(buckets, previous.indexValues, at, event);
    }
  }
  forEach(visit: (watcher: Watcher) => void): void {
    for (const watcher of this.#everything) visit(watcher);
    for (const buckets of [this.#byNamespace, this.#byName, ...this.#byIndex]) {
      for (const bucket of buckets.values()) for (const watcher of bucket) visit(watcher);
    }
  }

  #offerIndexed(buckets: Map<string, Set<Watcher>>, values: IndexValues, at: number, event: EntryEvent): void {
    for (const value of values[at] ?? []) offerAll(buckets.get(value), event);
  }
  #file(watcher: Watcher, buckets: Map<string, Set<Watcher>>, value: string): void {
    let bucket = buckets.get(value);
    if (bucket === undefined) {
      bucket = new Set();
      buckets.set(value, bucket);
    }
    bucket.add(watcher);
    const filed = bucket;
    watcher.onRemoved = () => {
      this.#size--;
      filed.delete(watcher);
      if (filed.size === 0 && buckets.get(value) === filed) buckets.delete(value);
    };
  }
}

function offerAll(watchers: Set<Watcher> | undefined, event: EntryEvent): void {
  if (watchers === undefined) return;
  for (const watcher of watchers) watcher.offer(event);
}
