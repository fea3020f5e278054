import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { CacheEntry, ResourceCache } from "#pkg/storage/cacher/index.ts";

/** A change of one object. `object` is the last state for a deletion. */
export interface SourceChange<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: T;
  readonly previous: T | undefined;
}

/**
 * Synchronous read access to all objects of one resource, as authentication, authorization and admission need it: a
 * decision must not cost a tick. Objects are shared and must not be changed. `namespace` is "" for cluster scope.
 */
export interface ObjectSource<T> {
  get(namespace: string, name: string): T | undefined;
  /** undefined lists all namespaces. */
  list(namespace?: string): T[];
  /** Calls back for the present objects (as ADDED) and then for every change. Returns how to stop. */
  onChange(callback: (change: SourceChange<T>) => void): () => void;
}

type Cache = Pick<ResourceCache, "peek" | "watch">;

/** Delay before a broken watch is opened again. */
const REWATCH_DELAY_MS = 100;

/**
 * An ObjectSource over the watch cache. Holds references only: the entries are the cache's own. The typed kind is the
 * caller's claim about what the resource stores.
 */
export class CacheSource<T extends AnyObject> implements ObjectSource<T> {
  readonly #cache: Cache;
  readonly #signal: AbortSignal;
  readonly #namespaces = new Map<string, Map<string, CacheEntry>>();
  readonly #callbacks = new Set<(change: SourceChange<T>) => void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #schedule: (delayMs: number, callback: () => void) => () => void;

  constructor(
    cache: Cache,
    clock: { schedule(delayMs: number, callback: () => void): () => void },
    signal: AbortSignal,
  ) {
    this.#cache = cache;
    this.#signal = signal;
    this.#schedule = (delayMs, callback) => clock.schedule(delayMs, callback);
    this.#watch();
  }

  /** Resolves when the present state has been delivered: before it, `list` and callbacks know only a part. */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  get(namespace: string, name: string): T | undefined {
    return objectOf<T>(this.#cache.peek(namespace, name));
  }

  list(namespace?: string): T[] {
    const found: T[] = [];
    const collect = (entries: Map<string, CacheEntry>): void => {
      for (const entry of entries.values()) found.push(objectOf<T>(entry)!);
    };
    if (namespace !== undefined) {
      const entries = this.#namespaces.get(namespace);
      if (entries !== undefined) collect(entries);
    } else for (const entries of this.#namespaces.values()) collect(entries);
    return found;
  }

  onChange(callback: (change: SourceChange<T>) => void): () => void {
    for (const object of this.list()) callback({ type: "ADDED", object, previous: undefined });
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  /** Follows the resource from its present state; after a break, what vanished meanwhile is reported as deleted. */
  #watch(): void {
    const stale = this.#namespaces.size === 0 ? undefined : this.#keys();
    this.#cache.watch({
      signal: this.#signal,
      onEvent: (event) => {
        stale?.delete(keyOf(event.entry));
        this.#apply(event.type, event.entry);
        return undefined;
      },
      onProgress: () => {
        this.#ready.resolve();
        if (stale === undefined) return;
        for (const entry of stale.values()) this.#apply("DELETED", entry);
        stale.clear();
      },
      onEnd: (reason) => {
        if (reason !== "aborted" && !this.#signal.aborted) this.#schedule(REWATCH_DELAY_MS, () => this.#watch());
      },
    });
  }

  #keys(): Map<string, CacheEntry> {
    const keys = new Map<string, CacheEntry>();
    for (const entries of this.#namespaces.values())
      for (const entry of entries.values()) keys.set(keyOf(entry), entry);
    return keys;
  }

  #apply(type: SourceChange<T>["type"], entry: CacheEntry): void {
    let entries = this.#namespaces.get(entry.namespace);
    const previous = entries?.get(entry.name);
    if (type === "DELETED") {
      entries?.delete(entry.name);
      if (entries?.size === 0) this.#namespaces.delete(entry.namespace);
    } else {
      if (entries === undefined) this.#namespaces.set(entry.namespace, (entries = new Map()));
      entries.set(entry.name, entry);
    }
    if (previous === entry && type !== "DELETED") return;
    if (this.#callbacks.size === 0) return; // spares parsing the object
    const change = { type, object: objectOf<T>(entry)!, previous: objectOf<T>(previous) };
    for (const callback of this.#callbacks) callback(change);
  }
}

function keyOf(entry: CacheEntry): string {
  return `${entry.namespace}/${entry.name}`;
}

/** The cache stores untyped objects; which kind a prefix holds is fixed by who constructs the source. */
function objectOf<T>(entry: CacheEntry | undefined): T | undefined {
  return entry?.object as T | undefined;
}

/** An ObjectSource in memory: for tests, and for processes without storage. */
export class MemorySource<T extends AnyObject> implements ObjectSource<T> {
  readonly #objects = new Map<string, T>();
  readonly #callbacks = new Set<(change: SourceChange<T>) => void>();

  constructor(objects: Iterable<T> = []) {
    for (const object of objects) this.set(object);
  }
  get(namespace: string, name: string): T | undefined {
    return this.#objects.get(`${namespace}/${name}`);
  }
  list(namespace?: string): T[] {
    const all = [...this.#objects.values()];
    return namespace === undefined ? all : all.filter((object) => (object.metadata.namespace ?? "") === namespace);
  }
  onChange(callback: (change: SourceChange<T>) => void): () => void {
    for (const object of this.#objects.values()) callback({ type: "ADDED", object, previous: undefined });
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }
  /** Adds or replaces. */
  set(object: T): void {
    const key = `${object.metadata.namespace ?? ""}/${object.metadata.name ?? ""}`;
    const previous = this.#objects.get(key);
    this.#objects.set(key, object);
    this.#emit({ type: previous === undefined ? "ADDED" : "MODIFIED", object, previous });
  }
  delete(namespace: string, name: string): void {
    const object = this.#objects.get(`${namespace}/${name}`);
    if (object === undefined) return;
    this.#objects.delete(`${namespace}/${name}`);
    this.#emit({ type: "DELETED", object, previous: object });
  }
  #emit(change: SourceChange<T>): void {
    for (const callback of this.#callbacks) callback(change);
  }
}
