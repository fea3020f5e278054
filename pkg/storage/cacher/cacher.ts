import { type Clock, type Logger, RealClock, silentLogger, pause } from "#pkg/util/index.ts";
import { CompactedError, type Store, type StoreWatchBatch } from "../store.ts";
import type { ResourceCache } from "./contract.ts";
import type { EventRingLimits } from "./event-ring.ts";
import { Progress } from "./progress.ts";
import { CachedResource, type ResourceOptions } from "./resource-cache.ts";

export interface CacherOptions {
  readonly store: Store;
  readonly clock?: Clock;
  readonly log?: Logger;
  /** Everything cached lies under it. Default "/registry/". */
  readonly rootPrefix?: string;
  /** How often idle watchers learn how far they are, in milliseconds. Default one minute. */
  readonly progressIntervalMs?: number;
  /** History kept per resource for watches that start in the past. */
  readonly history?: Partial<EventRingLimits>;
}

const DEFAULT_HISTORY: EventRingLimits = { maxEvents: 4096, maxBytes: 32 * 1024 * 1024 };
const MIN_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;
/** Watches that re-read history from the store at the same time, and that wait for their turn to. */
const MAX_HISTORY_READERS = 16;
const MAX_HISTORY_WAITING = 2000;
/**
 * Written when a reader waits for progress and nobody writes under the root (others may use the same etcd): the
 * store's own progress reports are rare, and out of order in etcd before 3.4.25.
 */
const BOOKMARK = "kubits.dev/progress";

/**
 * Keeps everything under one root prefix in memory through a single watch of the store, demultiplexed by resource.
 * One watch, because then any write brings progress for every resource.
 */
export class Cacher {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly rootPrefix: string;
  readonly progress: Progress;
  readonly history: EventRingLimits;
  readonly #resources = new Map<string, CachedResource>();
  readonly #abort = new AbortController();
  readonly #started = Promise.withResolvers<void>();
  readonly #running: Promise<void>;
  readonly #progressIntervalMs: number;
  #cancelTick: (() => void) | undefined;
  #nudging = false;
  #historyReaders = 0;
  readonly #historyWaiting: (() => void)[] = [];

  constructor(options: CacherOptions) {
    this.store = options.store;
    this.clock = options.clock ?? new RealClock();
    this.log = options.log ?? silentLogger;
    this.rootPrefix = options.rootPrefix ?? "/registry/";
    this.history = { ...DEFAULT_HISTORY, ...options.history };
    this.progress = new Progress(this.clock, () => this.nudge());
    this.#progressIntervalMs = options.progressIntervalMs ?? 60_000;
    this.#running = this.#run();
    this.#tick();
  }
  /** Aborted by close. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }
  /** Resolves when the revision is known that the watch of the store begins at; loads are newer than that. */
  started(): Promise<void> {
    return this.#started.promise;
  }
  /** The cache of one resource; the same one for the same prefix. Loading begins at once. */
  resource(options: ResourceOptions): ResourceCache {
    if (this.signal.aborted) throw new Error("the watch cache is closed");
    let { prefix } = options;
    if (!prefix.startsWith(this.rootPrefix)) prefix = this.rootPrefix + prefix;
    if (!prefix.endsWith("/")) prefix += "/";
    const present = this.#resources.get(prefix);
    if (present !== undefined) return present;
    const created = new CachedResource(this, { ...options, prefix }, () => this.#resources.delete(prefix));
    this.#resources.set(prefix, created);
    return created;
  }
  async close(): Promise<void> {
    this.#abort.abort(new Error("the watch cache is closed"));
    this.#cancelTick?.();
    this.progress.close(new Error("the watch cache is closed"));
    this.#started.resolve();
    await Promise.all([...this.#resources.values()].map((resource) => resource.close()));
    await this.#running;
  }
  /** Makes the store's watch deliver something although nobody writes. */
  nudge(): void {
    if (this.#nudging || this.signal.aborted) return;
    this.#nudging = true;
    this.store
      .write({ key: this.rootPrefix + BOOKMARK, value: Buffer.from("{}") })
      .catch((err: unknown) => this.log.debug({ err }, "Could not write the progress bookmark"))
      .finally(() => (this.#nudging = false));
  }
  /** Runs `read` when it is its turn; false when too many are waiting already. */
  async readingHistory(read: () => Promise<void>): Promise<boolean> {
    if (this.#historyReaders >= MAX_HISTORY_READERS) {
      if (this.#historyWaiting.length >= MAX_HISTORY_WAITING) return false;
      await new Promise<void>((resolve) => this.#historyWaiting.push(resolve));
    } else {
      this.#historyReaders++;
    }
    try {
      await read();
    } finally {
      // The next one takes over our place.
      const next = this.#historyWaiting.shift();
      if (next === undefined) this.#historyReaders--;
      else next();
    }
    return true;
  }

  async #run(): Promise<void> {
    let backoffMs = MIN_BACKOFF_MS;
    let known = false;
    while (!this.signal.aborted) {
      try {
        if (!known) {
          const revision = await this.store.currentRevision();
          known = true;
          this.progress.advance(revision);
          for (const resource of this.#resources.values()) resource.reload();
          this.#started.resolve();
        }
        for await (const batch of this.store.watch(this.rootPrefix, this.progress.revision, this.signal)) {
          backoffMs = MIN_BACKOFF_MS;
          this.#apply(batch);
        }
        if (!this.signal.aborted) throw new Error("the store ended the watch");
      } catch (err) {
        if (this.signal.aborted) return;
        if (err instanceof CompactedError) {
          known = false; // What happened meanwhile is gone: load everything again.
          this.log.warn({ compactRevision: err.compactRevision }, "Watch cache fell behind compaction, reloading");
        } else {
          this.log.warn({ err, backoffMs }, "Watch of the store failed, trying again");
        }
        await pause(this.clock, backoffMs, this.signal);
        backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
      }
    }
  }
  #apply(batch: StoreWatchBatch): void {
    for (const event of batch.events) this.#resourceOf(event.key)?.apply(event);
    this.progress.advance(batch.revision);
  }
  /** The resource a key belongs to: the shortest registered prefix that ends in a slash of the key. */
  #resourceOf(key: string): CachedResource | undefined {
    let slash = key.indexOf("/", this.rootPrefix.length);
    for (; slash >= 0; slash = key.indexOf("/", slash + 1)) {
      const resource = this.#resources.get(key.slice(0, slash + 1));
      if (resource !== undefined) return resource;
    }
    return undefined;
  }
  #tick(): void {
    this.#cancelTick = this.clock.schedule(this.#progressIntervalMs, () => {
      for (const resource of this.#resources.values()) resource.tick();
      this.#tick();
    });
  }
}
