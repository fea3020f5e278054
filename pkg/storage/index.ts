/**
 * Databases behind the API server. A {@link Store} has etcd's meaning: one revision over all keys, compare-and-swap,
 * ranges at a revision, watch from a revision, compaction, expiry. Three implementations pass one contract suite
 * (`contract-suite.ts`) and answer the same random requests alike (`differential.test.ts`):
 * - memory: for simulations; time comes from a Clock alone.
 * - SQLite: the embedded default. One file of mode 0600 used by one process; a thread of its own, so that a slow disk
 *   holds up nobody; writes that arrive while a commit is on its way to disk share the next one; a killed process loses
 *   no acknowledged write. When bundled, `sqlite/worker.ts` becomes `sqlite-worker.js` beside the bundle.
 * - etcd 3.4 and later: keys exactly as given, several endpoints, TLS, watches that resume; several processes may share it.
 *
 * Keys are ordered by their bytes. {@link startCompactor} keeps history from growing for ever.
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
export { CompactedError, FutureRevisionError, StoreFailedError } from "./store.ts";
export { type MemoryStoreOptions, openMemoryStore } from "./memory/memory-store.ts";
export { openSqliteStore, type SqliteStoreOptions } from "./sqlite/sqlite-store.ts";
export type { EtcdStoreOptions } from "./etcd/etcd-store.ts";
export { openEtcdStore } from "./etcd/open.ts";
export { type CompactorOptions, startCompactor } from "./compactor.ts";
