/**
 * Synchronous, change-notifying views of stored objects for authentication, authorization and admission.
 * `new CacheSource<Pod>(registry.cache("", "pods"), clock, signal)`
 * follows the watch cache (await its `ready()` before the first request is served); MemorySource is plain memory.
 */
export { CacheSource, MemorySource, type ObjectSource, type SourceChange } from "./source.ts";
