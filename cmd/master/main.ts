import { shutdownSignal } from "../common/signals.ts";
import { useCompileCache } from "../common/compile-cache.ts";

useCompileCache(import.meta.filename);
// Only now, so that it comes out of the cache.
const { run } = await import("./run.ts");
process.exitCode = await run(process.argv.slice(2), process.env, shutdownSignal());
