/**
 * The watch cache of one resource: loads it, follows the store's events, answers reads at the asked consistency, and
 * recognises its own writes among the events, so that who wrote also reads it.
 */
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { pause } from "#pkg/util/index.ts";
import { FutureRevisionError, type StoreEvent } from "../store.ts";
import type { Cacher } from "./cacher.ts";
import {
  type CacheListOptions,
  type CacheListResult,
  type CacheWatchOptions,
  KeyExistsError,
  type ResourceCache,
  RevisionConflictError,
} from "./contract.ts";
import { type EncodedValue, encodeValue, Slab } from "./encode.ts";
import { Entry, type ValueSource } from "./entry.ts";
import { replayHistory } from "./history-replay.ts";
import { type IndexFunction, ResourceState } from "./resource-state.ts";
import { StoreRequests } from "./store-requests.ts";
import { Watcher } from "./watcher-set.ts";

export interface ResourceOptions {
  /** Key prefix, e.g. "/registry/pods/"; the root and the closing slash are added where they are missing. */
  readonly prefix: string;
  readonly namespaced: boolean;
  /** Of objects that come without. */
  readonly apiVersion: string;
  readonly kind: string;
  /** Indexes by name, e.g. "spec.nodeName". */
  readonly indexes?: Readonly<Record<string, IndexFunction>>;
  /** Lifetime of every object from its last write (Events). */
  readonly ttlSeconds?: number;
}

/** A write on its way: what the store's event is recognised by. */
interface PendingWrite {
  readonly value: Uint8Array | undefined;
  /** What the value was made from. */
  readonly source: ValueSource | undefined;
  /** What events of the key have left so far, by revision. */
  readonly entries: Map<number, Entry>;
}

type Consistency = CacheListOptions["consistency"];

/** Objects per page of the initial load. */
const LOAD_PAGE = 1000;
const CONSISTENT_TIMEOUT_MS = 10_000;
/** How long a read for a revision that has not happened waits for it. */
const FUTURE_TIMEOUT_MS = 3000;
const LOAD_RETRY_MS = 500;

/** See {@link ResourceCache}. */
export class CachedResource implements ResourceCache {
  readonly requests: StoreRequests;
  readonly #cacher: Cacher;
  readonly #options: ResourceOptions;
  readonly #state: ResourceState;
  readonly #pending = new Map<string, Set<PendingWrite>>();
  readonly #abort = new AbortController();
  readonly #onClose: () => void;
  readonly #slab = new Slab();
  /** Events that arrived while loading. */
  #arrived: StoreEvent[] | undefined = [];
  #loading: Promise<void>;
  #generation = 0;

  constructor(cacher: Cacher, options: ResourceOptions, onClose: () => void) {
    this.requests = new StoreRequests(cacher.clock);
    this.#cacher = cacher;
    this.#options = options;
    this.#onClose = onClose;
    this.#state = new ResourceState({
      prefix: options.prefix,
      namespaced: options.namespaced,
      indexes: options.indexes ?? {},
      ringLimits: cacher.history,
    });
    this.#loading = this.#load(this.#generation);
  }
  get prefix(): string {
    return this.#options.prefix;
  }
  async ready(): Promise<void> {
    // A reload may have begun while we waited.
    while (!this.#isReady && !this.#abort.signal.aborted) await this.#loading;
    if (this.#abort.signal.aborted) throw closedError();
  }
  /** Spares those who write the wait that `ready` is even when there is nothing to wait for. */
  get #isReady(): boolean {
    return this.#arrived === undefined && !this.#abort.signal.aborted;
  }
  count(): number {
    return this.#state.entries.size;
  }
  watching(): number {
    return this.#state.watchers.size;
  }
  peek(namespace: string, name: string): Entry | undefined {
    return this.#state.entries.get(this.#state.keyOf(namespace, name));
  }
  async get(namespace: string, name: string, consistency?: Consistency): Promise<Entry | undefined> {
    if (typeof consistency !== "object" || !("exact" in consistency)) {
      await this.#settle(consistency);
      return this.peek(namespace, name);
    }
    await this.#settle(consistency);
    const revision = consistency.exact;
    const key = this.#state.keyOf(namespace, name);
    if (revision >= this.#state.ring.start) return this.#state.entryAt(key, revision);
    const { kv } = await this.requests.timed("get", this.#cacher.store.get(key, { revision }));
    return kv === undefined ? undefined : this.#entryOf(key, kv.value, kv.modRevision);
  }
  async list(options: CacheListOptions): Promise<CacheListResult> {
    const { consistency } = options;
    await this.#settle(consistency);
    if (typeof consistency === "object" && "exact" in consistency && consistency.exact < this.#state.revision) {
      return this.#listExact(options, consistency.exact);
    }
    const revision = typeof consistency === "object" && "exact" in consistency ? consistency.exact : this.#revision();
    const page = new Page(options);
    this.#state.visit(options, (entry) => page.take(entry));
    const { start, end } = this.#state.bounds(options.namespace ?? "", page.next);
    return page.result(revision, () => this.#state.entries.countBetween(start, end));
  }
  async create(object: KubeObject, options: { ttlSeconds?: number } = {}): Promise<Entry> {
    if (!this.#isReady) await this.ready();
    const { namespace = "", name = "" } = object.metadata;
    const key = this.#state.keyOf(namespace, name);
    if (this.#state.entries.get(key) !== undefined) {
      // The cache may lag behind a deletion; only the store can tell, and the compare there will.
      const current = await this.get(namespace, name);
      if (current !== undefined) throw new KeyExistsError(`${key} already exists`);
    }
    const whole = this.#complete(object);
    const { bytes, ...written } = this.#encode(whole);
    const result = await this.#commit(key, bytes, { object: whole, ...written }, 0, options.ttlSeconds);
    if (result.entry === undefined) throw new KeyExistsError(`${key} already exists`);
    return result.entry;
  }
  async update(expected: Entry, object: KubeObject, options: { ttlSeconds?: number } = {}): Promise<Entry> {
    if (!this.#isReady) await this.ready();
    const whole = this.#complete(object);
    const { bytes: value, ...written } = this.#encode(whole, expected);
    const { key } = expected;
    if (expected.equals(value, whole)) {
      await this.#settle("consistent");
      const current = this.#state.entries.get(key);
      if (current?.revision !== expected.revision) throw new RevisionConflictError(current);
      return expected;
    }
    this.#refuseStale(expected);
    const source = { object: whole, ...written };
    const result = await this.#commit(key, value, source, expected.revision, options.ttlSeconds);
    if (result.entry === undefined) throw new RevisionConflictError(this.#state.entries.get(key));
    return result.entry;
  }
  async delete(expected: Entry): Promise<Entry> {
    if (!this.#isReady) await this.ready();
    this.#refuseStale(expected);
    const result = await this.#commit(expected.key, undefined, undefined, expected.revision);
    if (result.entry !== undefined) return result.entry;
    if (result.revision !== undefined) return expected.deletedAt(result.revision);
    throw new RevisionConflictError(this.#state.entries.get(expected.key));
  }
  watch(options: CacheWatchOptions): void {
    const watcher = new Watcher(options, this.#state.watchers.indexAt(options.index));
    if (options.signal.aborted) {
      watcher.end("aborted");
      return;
    }
    this.#startWatch(watcher).catch((cause: unknown) => {
      if (this.#abort.signal.aborted) watcher.end("aborted");
      else watcher.end("error", cause instanceof Error ? cause : new Error("the watch failed", { cause }));
    });
  }
  async close(): Promise<void> {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort(closedError());
    this.#onClose();
    this.#state.watchers.forEach((watcher) => watcher.end("aborted"));
    await this.#loading;
  }

  /** Called by the cacher with each event of the store, in order. */
  apply(event: StoreEvent): void {
    if (this.#arrived !== undefined) this.#arrived.push(event);
    else if (event.modRevision > this.#state.loadedRevision) this.#applyNow(event);
  }
  /** Called by the cacher when events were missed: the state is read again, watchers have to start over. */
  reload(): void {
    this.#generation++;
    this.#arrived = [];
    this.#state.watchers.forEach((watcher) => watcher.end("expired"));
    this.#loading = this.#load(this.#generation);
  }
  /** Called by the cacher now and then: watchers learn how far they are, and old events are let go. */
  tick(): void {
    this.#state.ring.age();
    if (this.#arrived !== undefined) return;
    const revision = this.#revision();
    this.#state.watchers.forEach((watcher) => watcher.look(revision, this.#state.ring));
  }

  #applyNow(event: StoreEvent): void {
    const pending = this.#pending.get(event.key);
    let entry: Entry | undefined;
    if (event.value !== undefined) {
      let source: ValueSource | undefined;
      // A store in the same process hands back the value itself, another one its bytes.
      for (const { value, source: known } of pending ?? []) {
        if (value !== undefined && (value === event.value || Buffer.compare(value, event.value) === 0)) source = known;
      }
      entry = this.#entryOf(event.key, event.value, event.modRevision, source);
      if (entry === undefined) return;
    }
    const left = this.#state.apply(event, entry);
    if (left === undefined || pending === undefined) return;
    for (const write of pending) write.entries.set(event.modRevision, left);
  }
  /** undefined for a value nobody can read; it is reported and left alone. */
  #entryOf(key: string, value: Uint8Array, revision: number, source?: ValueSource): Entry | undefined {
    try {
      return this.#state.makeEntry(key, value, revision, source);
    } catch (err) {
      this.#cacher.log.error({ key, revision, err }, "Ignoring an unreadable object in the store");
      return undefined;
    }
  }
  #revision(): number {
    return Math.max(this.#state.revision, this.#cacher.progress.revision);
  }
  #encode(object: KubeObject, before?: Entry): EncodedValue {
    const { apiVersion, kind } = this.#options;
    return encodeValue(
      object,
      apiVersion,
      kind,
      this.#slab,
      before && ((field, value) => before.bytesOf(field, value)),
    );
  }
  #complete(object: KubeObject): KubeObject {
    if (object.apiVersion !== undefined && object.kind !== undefined) return object;
    const { apiVersion, kind } = this.#options;
    return { ...object, apiVersion: object.apiVersion ?? apiVersion, kind: object.kind ?? kind };
  }
  /** Spares the store a compare that must fail. */
  #refuseStale(expected: Entry): void {
    const current = this.#state.entries.get(expected.key);
    if (current !== undefined && current.revision > expected.revision) throw new RevisionConflictError(current);
  }

  /**
   * Writes and waits until the write, or what made it fail, has been applied here and told to all watchers.
   * `entry` is absent when the compare failed; then `revision` is, too.
   */
  async #commit(
    key: string,
    value: Buffer | undefined,
    source: ValueSource | undefined,
    expectedModRevision: number,
    ttlSeconds = this.#options.ttlSeconds,
  ): Promise<{ entry: Entry | undefined; revision: number | undefined }> {
    const pending: PendingWrite = { value, source, entries: new Map() };
    let writes = this.#pending.get(key);
    if (writes === undefined) this.#pending.set(key, (writes = new Set()));
    writes.add(pending);
    try {
      const operation = value === undefined ? "delete" : expectedModRevision === 0 ? "create" : "update";
      const written = this.#cacher.store.write({
        key,
        value,
        expectedModRevision,
        ...(value === undefined || ttlSeconds === undefined ? {} : { ttlSeconds }),
      });
      const result = await this.requests.timed(operation, written);
      await this.#cacher.progress.reached(
        result.ok ? result.revision : (result.current?.modRevision ?? result.revision),
      );
      if (this.#arrived !== undefined) await this.ready();
      if (!result.ok) return { entry: undefined, revision: undefined };
      let entry = pending.entries.get(result.revision);
      // A load may have brought it instead of an event.
      if (entry === undefined && value !== undefined) entry = this.#state.makeEntry(key, value, result.revision);
      if (entry !== undefined && source !== undefined) entry.adopt(source.object, source.spans);
      return { entry, revision: result.revision };
    } finally {
      writes.delete(pending);
      if (writes.size === 0 && this.#pending.get(key) === writes) this.#pending.delete(key);
    }
  }
  /** Waits until the cache is as new as the reader demands. */
  async #settle(consistency: Consistency = "consistent"): Promise<void> {
    const { store, progress } = this.#cacher;
    if (this.#arrived !== undefined) await this.ready();
    if (consistency === "any") return;
    if (consistency === "consistent") {
      const revision = await store.currentRevision();
      if (revision > this.#revision()) await progress.reached(revision, CONSISTENT_TIMEOUT_MS);
    } else {
      const revision = "exact" in consistency ? consistency.exact : consistency.atLeast;
      if (revision <= this.#revision()) return;
      await progress.reached(revision, FUTURE_TIMEOUT_MS, () => new FutureRevisionError(this.#revision()));
    }
    if (this.#arrived !== undefined) await this.ready();
  }
  /** A list at a revision of the past: from recent events, or from the store. */
  async #listExact(options: CacheListOptions, revision: number): Promise<CacheListResult> {
    const page = new Page(options);
    if (revision >= this.#state.ring.start) {
      const selected = this.#state.entriesAt(revision).filter((entry) => this.#state.selects(options, entry));
      let taken = 0;
      while (taken < selected.length && page.take(selected[taken]!)) taken++;
      return page.result(revision, () => selected.length - page.entries.length);
    }
    const { prefix } = this.#state.bounds(options.namespace ?? "");
    let { startAfter } = options;
    let rest = 0;
    for (let more = true; more;) {
      const limit = Math.min(options.limit ?? LOAD_PAGE, LOAD_PAGE) + 1;
      const read = this.#cacher.store.range(prefix, {
        revision,
        limit,
        ...(startAfter === undefined ? {} : { startAfter }),
      });
      const range = await this.requests.timed("list", read);
      more = range.kvs.length < range.count;
      rest = range.count;
      for (const { key, value, modRevision } of range.kvs) {
        const entry = this.#entryOf(key, value, modRevision);
        startAfter = key;
        if (entry !== undefined && this.#state.selects(options, entry) && !page.take(entry)) {
          more = false;
          break;
        }
        rest--;
      }
    }
    return page.result(revision, () => rest);
  }

  async #startWatch(watcher: Watcher): Promise<void> {
    const { fromRevision } = watcher.options;
    await this.#settle(fromRevision === undefined ? "consistent" : "any");
    if (watcher.ended) return;
    if (fromRevision === undefined) {
      await this.#startWithState(watcher);
      return;
    }
    if (fromRevision >= this.#state.ring.start) {
      this.#join(watcher, fromRevision);
      return;
    }
    const { ring } = this.#state;
    await replayHistory(this.#cacher, this.#state, watcher, (revision) => {
      if (ring !== this.#state.ring) watcher.end("expired"); // Everything was loaded again meanwhile.
      if (revision < this.#state.ring.start || this.#arrived !== undefined) return false;
      this.#join(watcher, revision);
      return true;
    });
  }
  /** Delivers the present state, as fast as it is taken, and then what has happened since. */
  async #startWithState(watcher: Watcher): Promise<void> {
    const { namespace, name, index } = watcher.options;
    const revision = this.#revision();
    const entries: Entry[] = [];
    this.#state.visit({ namespace, name, index }, (entry) => void entries.push(entry));
    this.#enrol(watcher, this.#state.sequence);
    for (const entry of entries) {
      const busy = watcher.deliver({ type: "ADDED", entry, previous: undefined, revision: entry.revision });
      if (busy !== undefined) await busy;
      if (watcher.ended) return;
    }
    watcher.progress(revision);
    watcher.follow(this.#state.ring);
  }
  /** Delivers what the ring has behind `revision`, and then what comes. */
  #join(watcher: Watcher, revision: number): void {
    const missed = this.#state.ring.after(revision);
    this.#enrol(watcher, this.#state.sequence - missed.length);
    watcher.follow(this.#state.ring);
  }
  #enrol(watcher: Watcher, sequence: number): void {
    if (watcher.ended) return;
    if (this.#abort.signal.aborted) {
      watcher.end("aborted");
      return;
    }
    watcher.sequence = sequence;
    this.#state.watchers.add(watcher);
  }

  async #load(generation: number): Promise<void> {
    const cacher = this.#cacher;
    const abandoned = () => generation !== this.#generation || this.#abort.signal.aborted;
    await cacher.started();
    while (!abandoned()) {
      try {
        await this.#loadOnce(abandoned);
        return;
      } catch (err) {
        if (abandoned()) return;
        cacher.log.warn({ prefix: this.prefix, err }, "Could not load a resource, trying again");
        await pause(cacher.clock, LOAD_RETRY_MS, this.#abort.signal);
      }
    }
  }
  async #loadOnce(abandoned: () => boolean): Promise<void> {
    const entries: Entry[] = [];
    let revision: number | undefined;
    let startAfter: string | undefined;
    for (let more = true; more;) {
      const read = this.#cacher.store.range(this.prefix, { limit: LOAD_PAGE, revision, startAfter });
      const page = await this.requests.timed("list", read);
      if (abandoned()) return;
      revision ??= page.revision;
      for (const { key, value, modRevision } of page.kvs) {
        const entry = this.#entryOf(key, value, modRevision);
        if (entry !== undefined) entries.push(entry);
        startAfter = key;
      }
      more = page.kvs.length < page.count;
    }
    this.#state.load(entries, revision!);
    const arrived = this.#arrived ?? [];
    this.#arrived = undefined;
    for (const event of arrived) if (event.modRevision > revision!) this.#applyNow(event);
  }
}

function closedError(): Error {
  return new Error("the watch cache is closed");
}

/** Collects one page of a list. */
class Page {
  readonly entries: Entry[] = [];
  next: string | undefined;
  readonly #options: CacheListOptions;

  constructor(options: CacheListOptions) {
    this.#options = options;
  }
  /** Returns false when the page is full, which is known only when another match turns up. */
  take(entry: Entry): boolean {
    const { limit, filter } = this.#options;
    if (filter !== undefined && !filter(entry)) return true;
    if (limit !== undefined && limit > 0 && this.entries.length >= limit) {
      this.next = this.entries[this.entries.length - 1]!.key;
      return false;
    }
    this.entries.push(entry);
    return true;
  }
  result(revision: number, countRest: () => number): CacheListResult {
    const { filter, index, name } = this.#options;
    const counted = this.next !== undefined && filter === undefined && index === undefined && name === undefined;
    return { entries: this.entries, revision, next: this.next, remaining: counted ? countRest() : undefined };
  }
}
