/**
 * What the API server needs of a database, with etcd's meaning: one monotonic revision over all keys, compare-and-swap
 * by modification revision, ranges at a revision, watch from a revision, compaction, leases. Every implementation passes
 * the contract suite in `contract-suite.ts`. A write that resolves is durable (except in memory).
 */
export interface Store {
  /** Latest revision; with several processes on one database, a linearizable read. */
  currentRevision(): Promise<number>;
  get(key: string, options?: { revision?: number }): Promise<{ kv: KeyValue | undefined; revision: number }>;
  /**
   * Keys with `prefix` in byte order. `startAfter` continues behind that key. `count` is how many keys of the
   * prefix lie behind `startAfter` at that revision in all, so `count - kvs.length` remain.
   * @throws CompactedError when `revision` has been compacted; FutureRevisionError when it has not happened.
   */
  range(prefix: string, options?: RangeOptions): Promise<RangeResult>;
  /**
   * Applies one write if the key's present modRevision equals `expectedModRevision` (0: the key must be absent;
   * undefined: unconditionally). `value: undefined` deletes; deleting an absent key changes nothing, not even the
   * revision. Never throws for a failed compare: see WriteResult. When it rejects (disk full, connection lost) the
   * write may or may not have happened, but never in part.
   */
  write(operation: WriteOperation): Promise<WriteResult>;
  /**
   * Events with a revision greater than `fromRevision`, in order, all events of one revision together.
   * The iterator throws CompactedError when the history is gone (`fromRevision` is below the compact revision).
   * Reconnects by itself without loss or repetition. Ends when aborted or when the store is closed.
   */
  watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncIterable<StoreWatchBatch>;
  /** Drops history older than `revision`. Idempotent; never compacts beyond the current revision. */
  compact(revision: number): Promise<void>;
  /** Bytes the database occupies, for metrics. */
  size(): Promise<number>;
  close(): Promise<void>;
}

/** A key with its value, and the revisions at which it was made and last written. */
export interface KeyValue {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
}
/** At which revision to read, and from where how many keys. */
export interface RangeOptions {
  readonly revision?: number;
  readonly limit?: number;
  readonly startAfter?: string;
}
/** The keys found. */
export interface RangeResult {
  readonly kvs: KeyValue[];
  readonly count: number;
  /** Revision the range was read at. */
  readonly revision: number;
}
/** One write, and what it expects to find. */
export interface WriteOperation {
  readonly key: string;
  readonly value: Uint8Array | undefined;
  readonly expectedModRevision?: number;
  /** The key disappears this many seconds after the write (Events), or a little later, as if deleted. */
  readonly ttlSeconds?: number;
}
/** What a write came to. */
export type WriteResult =
  | { readonly ok: true; readonly revision: number }
  /** Compare failed; `current` is the present state of the key. */
  | { readonly ok: false; readonly current: KeyValue | undefined; readonly revision: number };

/** One write, as watches tell it. */
export interface StoreEvent {
  readonly type: "put" | "delete";
  readonly key: string;
  /** New value; for a delete, absent. */
  readonly value?: Uint8Array;
  /** 0 for a delete. */
  readonly createRevision: number;
  readonly modRevision: number;
}
/** What happened since the batch before. */
export interface StoreWatchBatch {
  /** Everything up to and including this revision has been delivered (a batch without events reports progress). */
  readonly revision: number;
  readonly events: readonly StoreEvent[];
}

/** The history that was asked for has been compacted: start anew from the current revision. */
export class CompactedError extends Error {
  readonly compactRevision: number;
  constructor(compactRevision: number) {
    super(`required revision has been compacted (compact revision ${compactRevision})`);
    this.name = "CompactedError";
    this.compactRevision = compactRevision;
  }
}
/** The revision that was asked for has not happened yet. */
export class FutureRevisionError extends Error {
  readonly currentRevision: number;
  constructor(currentRevision: number) {
    super(`required revision is in the future (current revision ${currentRevision})`);
    this.name = "FutureRevisionError";
    this.currentRevision = currentRevision;
  }
}
/** The database, or the way to it, failed; `message` is for the client, too. What was asked may have happened. */
export class StoreFailedError extends Error {}
