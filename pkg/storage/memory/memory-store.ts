import { type Clock, RealClock } from "#pkg/util/index.ts";
import { ExpiryTimers } from "../expiry-timers.ts";
import { compareKeys, prefixEnd } from "../keys.ts";
import { LiveWatches } from "../live-watches.ts";
import { SortedMap } from "../sorted-map.ts";
import {
  CompactedError,
  FutureRevisionError,
  type KeyValue,
  type RangeOptions,
  type RangeResult,
  type Store,
  type StoreEvent,
  type StoreWatchBatch,
  type WriteOperation,
  type WriteResult,
} from "../store.ts";

export interface MemoryStoreOptions {
  /** For expiry; a simulated cluster passes its own. */
  readonly clock?: Clock;
  /** What it holds from the start, as a range of another store returned it: history before that is compacted. */
  readonly contents?: readonly KeyValue[];
}

/** An empty database is at revision 1, like etcd's. */
const FIRST_REVISION = 1;

/** A store that lives and dies with the process: for simulations and tests. */
export function openMemoryStore(options: MemoryStoreOptions = {}): Store {
  return new MemoryStore(options.clock ?? new RealClock(), options.contents ?? []);
}

class MemoryStore implements Store {
  readonly #clock: Clock;
  readonly #live = new SortedMap<KeyValue>();
  /** All versions of each key since the last compaction, oldest first; a deletion is an event without value. */
  readonly #versions = new SortedMap<StoreEvent[]>();
  /** Every event behind `#logStart`, one per revision. */
  #log: StoreEvent[] = [];
  #logStart: number;
  #revision: number;
  #compacted = 0;
  #bytes = 0;
  #closed = false;
  readonly #watches: LiveWatches;
  readonly #expiry: ExpiryTimers;

  constructor(clock: Clock, contents: readonly KeyValue[]) {
    this.#clock = clock;
    this.#revision = contents.reduce((newest, { modRevision }) => Math.max(newest, modRevision), FIRST_REVISION);
    this.#logStart = this.#revision;
    for (const kv of contents) this.#take(kv);
    if (contents.length > 0) this.#compacted = this.#revision;
    this.#watches = new LiveWatches(this.#revision, async (prefix, from, to) => this.#history(prefix, from, to));
    this.#expiry = new ExpiryTimers(clock, async (key, expectedModRevision) => {
      await this.write({ key, value: undefined, expectedModRevision });
    });
  }
  async currentRevision(): Promise<number> {
    return this.#revision;
  }
  async get(key: string, options: { revision?: number } = {}): Promise<{ kv: KeyValue | undefined; revision: number }> {
    const { revision } = options;
    if (revision === undefined) return { kv: this.#live.get(key), revision: this.#revision };
    this.#checkReadable(revision);
    return { kv: versionAt(this.#versions.get(key), revision), revision };
  }
  async range(prefix: string, options: RangeOptions = {}): Promise<RangeResult> {
    const { revision, limit = Infinity, startAfter } = options;
    const start = startAfter !== undefined && compareKeys(startAfter, prefix) >= 0 ? `${startAfter}\0` : prefix;
    const end = prefixEnd(prefix);
    const kvs: KeyValue[] = [];
    if (revision === undefined) {
      this.#live.visit(start, end, (kv) => kvs.length < limit && kvs.push(kv) > 0);
      return { kvs, count: this.#live.countBetween(start, end), revision: this.#revision };
    }
    this.#checkReadable(revision);
    let count = 0;
    this.#versions.visit(start, end, (versions) => {
      const kv = versionAt(versions, revision);
      if (kv === undefined) return;
      if (count++ < limit) kvs.push(kv);
    });
    return { kvs, count, revision };
  }
  async write({ key, value, expectedModRevision, ttlSeconds }: WriteOperation): Promise<WriteResult> {
    if (this.#closed) throw new Error("the store is closed");
    const current = this.#live.get(key);
    if (expectedModRevision !== undefined && (current?.modRevision ?? 0) !== expectedModRevision) {
      return { ok: false, current, revision: this.#revision };
    }
    if (value === undefined && current === undefined) return { ok: true, revision: this.#revision };
    const modRevision = ++this.#revision;
    this.#expiry.clear(key);
    const event = this.#apply(key, value, current, modRevision);
    if (value !== undefined && ttlSeconds !== undefined) {
      this.#expiry.set(key, modRevision, this.#clock.now() + ttlSeconds * 1000);
    }
    this.#watches.publish([event], modRevision);
    return { ok: true, revision: modRevision };
  }
  watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncIterable<StoreWatchBatch> {
    return this.#watches.watch(prefix, fromRevision, signal);
  }
  async compact(revision: number): Promise<void> {
    const target = Math.min(revision, this.#revision);
    if (target <= this.#compacted) return;
    const dropped = this.#log.splice(0, target - this.#logStart);
    this.#logStart = target;
    this.#compacted = target;
    for (const key of new Set(dropped.map((event) => event.key))) this.#compactKey(key, target);
  }
  async size(): Promise<number> {
    return this.#bytes;
  }
  async close(): Promise<void> {
    this.#closed = true;
    this.#expiry.close();
    this.#watches.close();
  }

  #take(kv: KeyValue): void {
    const event: StoreEvent = { type: "put", ...kv };
    this.#live.set(kv.key, kv);
    this.#versions.set(kv.key, [event]);
    this.#bytes += sizeOf(event);
  }
  #apply(key: string, value: Uint8Array | undefined, current: KeyValue | undefined, modRevision: number): StoreEvent {
    const event: StoreEvent =
      value === undefined
        ? { type: "delete", key, createRevision: 0, modRevision }
        : { type: "put", key, value, createRevision: current?.createRevision ?? modRevision, modRevision };
    if (value === undefined) this.#live.delete(key);
    else this.#live.set(key, { key, value, createRevision: event.createRevision, modRevision });
    const versions = this.#versions.get(key);
    if (versions === undefined) this.#versions.set(key, [event]);
    else versions.push(event);
    this.#log.push(event);
    this.#bytes += sizeOf(event);
    return event;
  }
  /** Keeps what a read at `revision` or later still sees. */
  #compactKey(key: string, revision: number): void {
    const versions = this.#versions.get(key);
    if (versions === undefined) return;
    let keep = 0;
    while (keep + 1 < versions.length && versions[keep + 1]!.modRevision <= revision) keep++;
    if (versions[keep]!.modRevision <= revision && versions[keep]!.type === "delete") keep++;
    for (const event of versions.splice(0, keep)) this.#bytes -= sizeOf(event);
    if (versions.length === 0) this.#versions.delete(key);
  }
  #checkReadable(revision: number): void {
    if (revision > this.#revision) throw new FutureRevisionError(this.#revision);
    if (revision < this.#compacted) throw new CompactedError(this.#compacted);
  }
  #history(prefix: string, from: number, to: number): StoreWatchBatch {
    if (from < this.#compacted) throw new CompactedError(this.#compacted);
    const events = this.#log
      .slice(Math.max(from - this.#logStart, 0), Math.max(to - this.#logStart, 0))
      .filter((event) => event.key.startsWith(prefix));
    return { revision: to, events };
  }
}

function sizeOf(event: StoreEvent): number {
  return event.key.length + (event.value?.length ?? 0);
}

/** The version of a key that a read at `revision` sees. */
function versionAt(versions: readonly StoreEvent[] | undefined, revision: number): KeyValue | undefined {
  const version = versions?.findLast((candidate) => candidate.modRevision <= revision);
  if (version?.value === undefined) return undefined;
  const { key, value, createRevision, modRevision } = version;
  return { key, value, createRevision, modRevision };
}
