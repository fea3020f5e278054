import type { StoreRequests } from "./store-requests.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";

/**
 * One version of one stored object: its bytes, built once, and its parsed form, parsed once and deeply shared.
 * Entries are immutable; nobody may change `object`.
 */
export interface CacheEntry {
  /** Store key, e.g. `/registry/pods/default/web`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  /** Object in its storage version, with metadata.resourceVersion filled in. Frozen; parsed on first use. */
  readonly object: Readonly<KubeObject>;
  /** The same as JSON (UTF-8, no trailing newline). */
  readonly json: Buffer;
  /** `json` in parts without metadata.managedFields; as it is when it is not known where they are. */
  readonly leanJson: readonly Buffer[];
  /** Its metadata alone: a view on `json`. */
  readonly metadataJson: Buffer;
  /**
   * Another encoding of this entry (another version, protobuf, Table row, a framed watch event…), made on first use
   * and kept with the entry. `variant` names it, e.g. "autoscaling/v1:json" or "table:wide".
   */
  variant<T>(variant: string, make: (entry: CacheEntry) => T): T;
}

/**
 * A change as watchers see it. `previous` is absent for ADDED; for DELETED `entry` holds the last state with the
 * revision of the deletion. Events of one resource reach every watcher in the same order.
 */
export interface CacheEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly entry: CacheEntry;
  readonly previous: CacheEntry | undefined;
  readonly revision: number;
}

export interface CacheListOptions {
  /** "" lists all namespaces. */
  readonly namespace?: string;
  /** Only the object with this name (field selector metadata.name=…): a look-up, not a scan. */
  readonly name?: string;
  /** Index look-up, e.g. { index: "spec.nodeName", value: "n1" }. Falls back to a scan by the caller's filter. */
  readonly index?: { readonly index: string; readonly value: string };
  readonly filter?: (entry: CacheEntry) => boolean;
  readonly limit?: number;
  /** Continue behind this store key. */
  readonly startAfter?: string;
  /**
   * "consistent" (default): not older than any acknowledged write, across processes. `atLeast`: not older than a
   * revision. `exact`: the state at that revision (served from history or the store; CompactedError when gone).
   */
  readonly consistency?: "consistent" | "any" | { readonly atLeast: number } | { readonly exact: number };
}
export interface CacheListResult {
  readonly entries: readonly CacheEntry[];
  /** Revision of the whole list. */
  readonly revision: number;
  /** Store key to continue behind when the limit cut the list off. */
  readonly next: string | undefined;
  /** Exact number of items behind `next`; undefined when a filter is used. */
  readonly remaining: number | undefined;
}

export interface CacheWatchOptions {
  readonly namespace?: string;
  readonly name?: string;
  readonly index?: { readonly index: string; readonly value: string };
  /** First event delivered has a revision greater than this. undefined: start with the present state as ADDED events. */
  readonly fromRevision?: number;
  readonly signal: AbortSignal;
  /**
   * Called synchronously with each event in order. Who answers with a promise is busy until it resolves: the next event
   * waits for that where all watches find it, in the recent history. A watch that this history has left behind is cut
   * off, and `onEnd` is called with reason "slow".
   */
  onEvent(event: CacheEvent): Promise<void> | undefined;
  /** All events up to `revision` have been delivered (after the initial state, then at most about once a minute). */
  onProgress?(revision: number): void;
  onEnd(reason: "aborted" | "slow" | "expired" | "error", error?: Error): void;
}

/**
 * Cached storage of one resource (one key prefix). Reads come from memory; writes go to the Store with compare-and-swap
 * and are visible to reads through this cache before the write resolves.
 * Rejections: StatusError for API-level failures is the registry's business; here
 * {@link KeyExistsError}, {@link RevisionConflictError}, KeyNotFoundError, CompactedError, FutureRevisionError.
 */
export interface ResourceCache {
  readonly prefix: string;
  /** Resolves when the initial load is complete. */
  ready(): Promise<void>;
  /** Consistent by default; undefined when absent. */
  get(namespace: string, name: string, consistency?: CacheListOptions["consistency"]): Promise<CacheEntry | undefined>;
  /** What the cache knows right now, without waiting: the basis of read-modify-write with CAS. */
  peek(namespace: string, name: string): CacheEntry | undefined;
  list(options: CacheListOptions): Promise<CacheListResult>;
  /**
   * Stores a new object (its resourceVersion is ignored). The object belongs to the cache from then on: it and its
   * metadata are frozen (all of it would cost more than parsing), the rest must not be changed either.
   */
  create(object: KubeObject, options?: { ttlSeconds?: number }): Promise<CacheEntry>;
  /** Replaces `expected`; a no-op update (same JSON) writes nothing and returns `expected`. */
  update(expected: CacheEntry, object: KubeObject, options?: { ttlSeconds?: number }): Promise<CacheEntry>;
  /** Deletes `expected`; returns the final entry carrying the deletion's revision. */
  delete(expected: CacheEntry): Promise<CacheEntry>;
  watch(options: CacheWatchOptions): void;
  /** Number of objects. */
  count(): number;
  /** Number of open watches. */
  watching(): number;
  /** For metrics: what it asked of the store so far. */
  readonly requests: Pick<StoreRequests, "times">;
  close(): Promise<void>;
}

/** A create found the key taken. */
export class KeyExistsError extends Error {}
/** A write found nothing under the key. */
export class KeyNotFoundError extends Error {}
/** Someone else wrote first; `current` is what is there now (undefined: deleted). */
export class RevisionConflictError extends Error {
  readonly current: CacheEntry | undefined;
  constructor(current: CacheEntry | undefined) {
    super("the object has been modified; please apply your changes to the latest version and try again");
    this.name = "RevisionConflictError";
    this.current = current;
  }
}
