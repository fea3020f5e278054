import { shutdownSignal } from "../common/signals.ts";
import { useCompileCache } from "../common/compile-cache.ts";

useCompileCache(import.meta.filename);
// Small buffers are cut out of pools, and one that lives on in a cache keeps its whole pool: of Node's 64 KiB, caches of
// encoded objects held a few each, which was most of the memory that a busy API server had in buffers.
Buffer.poolSize = 8 * 1024;
// Only now, so that it comes out of the cache.
const { run } = await import("./run.ts");
process.exitCode = await run(process.argv.slice(2), process.env, shutdownSignal());
