/**
 * The watch cache: every stored object in memory as ready-made bytes, kept current by one watch of the store.
 * Reads and watches are answered from memory alone; writes go to the store with compare-and-swap and resolve only when
 * this cache has applied them and told all watchers, so that whoever wrote also reads it. Events of one resource reach
 * all its watchers in the same order. Reads are consistent by default, also with several processes on one store.
 */
export { Cacher, type CacherOptions } from "./cacher.ts";
export type { ResourceOptions } from "./resource-cache.ts";
export type { IndexFunction } from "./resource-state.ts";
export {
  type CacheEntry,
  type CacheEvent,
  type CacheListOptions,
  type CacheListResult,
  type CacheWatchOptions,
  KeyExistsError,
  KeyNotFoundError,
  type ResourceCache,
  RevisionConflictError,
} from "./contract.ts";
