/**
 * Databases behind the API server. A {@link Store} has etcd's meaning: one revision over all keys, compare-and-swap,
 * ranges at a revision, watch from a revision, compaction, expiry. Three implementations pass one contract suite:
 * memory (simulations), SQLite (embedded default: one file, a thread of its own, commits in groups) and etcd.
 * `cacher/` keeps what a store holds as ready-made bytes and serves every read and watch from memory.
 * Nothing but the API server imports this module.
 */
export type {
  KeyValue,
  RangeOptions,
  RangeResult,
  Store,
  StoreEvent,
  StoreWatchBatch,
  WriteOperation,
  WriteResult,
} from "./store.ts";
export { CompactedError, FutureRevisionError } from "./store.ts";
export { type MemoryStoreOptions, openMemoryStore } from "./memory/memory-store.ts";
export { openSqliteStore, type SqliteStoreOptions } from "./sqlite/sqlite-store.ts";
export { type EtcdStoreOptions, openEtcdStore } from "./etcd/etcd-store.ts";
export { type CompactorOptions, startCompactor } from "./compactor.ts";
