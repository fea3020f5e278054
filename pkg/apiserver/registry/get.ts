import { notFound } from "#pkg/apimachinery/index.ts";
import { CompactedError, FutureRevisionError } from "#pkg/storage/index.ts";
import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import { resourceVersionTooLarge } from "../http/status.ts";
import type { Call } from "./call.ts";
import { parseRevision } from "./options.ts";
import { sendEntry } from "./represent.ts";

/** GET of one object. resourceVersion=0 takes what is in memory, N waits until the cache is that new. */
export async function getObject(call: Call): Promise<void> {
  const entry = await findEntry(call, call.target.query.get("resourceVersion") ?? "");
  const sent = sendEntry(call, 200, entry);
  if (sent !== undefined) await sent;
}

/** @throws StatusError 404, 504 */
export async function findEntry(call: Call, resourceVersion = ""): Promise<CacheEntry> {
  const { installed, target } = call;
  const cache = installed.cache!;
  const consistency =
    resourceVersion === ""
      ? "consistent"
      : resourceVersion === "0"
        ? "any"
        : ({ atLeast: parseRevision(resourceVersion) } as const);
  let entry: CacheEntry | undefined;
  try {
    entry = await cache.get(target.namespace, target.name, consistency);
  } catch (error) {
    if (error instanceof FutureRevisionError) throw resourceVersionTooLarge(error, resourceVersion);
    if (error instanceof CompactedError) throw notFound(installed.subject, target.name);
    throw error;
  }
  if (entry === undefined) throw notFound(installed.subject, target.name);
  const prepared = installed.prepare([entry]);
  if (prepared !== undefined) await prepared;
  return entry;
}
