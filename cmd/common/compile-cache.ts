import { enableCompileCache } from "node:module";
import { dirname, join } from "node:path";

/**
 * Keeps what the engine makes of a bundle's source beside the bundle, a fifth of what a start costs. Whoever may write there may
 * replace the program as well. Where we may not, nothing is kept; source files are run as they are.
 */
export function useCompileCache(entry: string): void {
  if (entry.endsWith(".js")) enableCompileCache({ directory: join(dirname(entry), "compile-cache"), portable: true });
}
