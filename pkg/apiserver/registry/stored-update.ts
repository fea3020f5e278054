import { conflict, type KubeObject, notFound } from "#pkg/apimachinery/index.ts";
import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import { RevisionConflictError } from "#pkg/storage/cacher/index.ts";
import { MODIFIED, storageError } from "../http/status.ts";
import type { InstalledResource } from "./installed.ts";

const ATTEMPTS = 32;

/**
 * Changes a stored object directly, for writes that follow rules of their own (binding, eviction): no admission, no
 * strategy. `change` gets the present object and returns a new one; it is called again after a lost race.
 * @throws StatusError 404, 409
 */
export async function updateStored(
  installed: InstalledResource,
  namespace: string,
  name: string,
  change: (object: Readonly<KubeObject>) => KubeObject,
): Promise<CacheEntry> {
  const cache = installed.cache!;
  let entry = cache.peek(namespace, name) ?? (await cache.get(namespace, name));
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    if (entry === undefined) throw notFound(installed.subject, name);
    await installed.prepare([entry]);
    const changed = change(installed.object(entry));
    try {
      return await cache.update(entry, await installed.storable(changed));
    } catch (error) {
      if (!(error instanceof RevisionConflictError)) throw storageError(error, installed.subject, name);
      entry = error.current ?? (await cache.get(namespace, name));
    }
  }
  throw conflict(installed.subject, name, MODIFIED);
}
