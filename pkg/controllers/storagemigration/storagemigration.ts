/**
 * Has every object of a resource written anew in its present storage version, when a StorageVersionMigration asks for it.
 * Behind the feature gate StorageVersionMigrator, like the API group that holds the requests.
 */
import { type AnyObject, apiVersionOf, isConflict, isNotFound, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { StorageVersionMigration } from "#pkg/api/types/storagemigration-v1beta1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, watching } from "../common/loop.ts";
import { inParallel } from "../common/slow-start.ts";
import { isOver, type MigrationState, statusIn } from "./plan.ts";

/** Not among the references of what is served by default. */
const storageVersionMigrations: ResourceRef<StorageVersionMigration> = {
  group: "storagemigration.k8s.io",
  version: "v1beta1",
  plural: "storageversionmigrations",
  kind: "StorageVersionMigration",
  namespaced: false,
};
const PAGE = 500;
/** A custom resource may be served a moment later than its migration is asked for. */
const UNKNOWN_PATIENCE_MS = 60_000;
const UNKNOWN_RECHECK_MS = 5_000;

/** storage-version-migrator-controller. */
export function createStorageVersionMigrator(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [watching(informers.of(storageVersionMigrations), enqueueSelf<StorageVersionMigration>(queue))],
    reconcile: (key, context) => reconcile(env, key, context),
  });
}

async function reconcile(env: ControllerEnv, key: ObjectKey, { signal, log }: ReconcileContext): Promise<Result> {
  const { client, clock, discovery, informers } = env;
  const migration = informers.of(storageVersionMigrations).lister.get(key);
  if (migration === undefined || isOver(migration)) return DONE;
  const { group = "", resource } = migration.spec.resource;
  const { resources } = await discovery.get(signal);
  const served = resources.find(({ ref }) => ref.group === group && ref.plural === resource);
  if (served === undefined) {
    if (clock.now() - Date.parse(migration.metadata.creationTimestamp) < UNKNOWN_PATIENCE_MS)
      return { requeueAfterMs: UNKNOWN_RECHECK_MS };
    await enter(env, migration, "Failed", "resource does not exist in discovery", signal);
    return DONE;
  }
  try {
    // Whatever is written after this point is written in the present version anyway.
    const { metadata } = await client.list(served.ref, { limit: 1, metadataOnly: true, signal });
    const status = {
      ...migration.status,
      resourceVersion: migration.status?.resourceVersion ?? metadata.resourceVersion,
    };
    const running = await enter(env, { ...migration, status }, "Running", "", signal);
    const failure = await rewriteAll(env, served.ref, signal);
    signal.throwIfAborted();
    if (failure !== undefined) log.warn({ err: failure }, "Could not migrate every object");
    const message = failure === undefined ? "" : "migration encountered unhandled error";
    await enter(env, running, failure === undefined ? "Succeeded" : "Failed", message, signal);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    log.debug({ why: errorMessage(error) }, "The migration or its resource has gone");
  }
  return DONE;
}

function enter(
  { client, clock }: ControllerEnv,
  migration: StorageVersionMigration,
  state: MigrationState,
  message: string,
  signal: AbortSignal,
): Promise<StorageVersionMigration> {
  const status = statusIn(state, migration.status ?? {}, message, clock.now());
  return client.updateStatus(storageVersionMigrations, { ...migration, status }, { signal });
}

/** Applies nothing to every object: the server then stores it anew, unless its bytes are right already. */
async function rewriteAll(
  { client, name: fieldManager }: ControllerEnv,
  ref: ResourceRef<AnyObject>,
  signal: AbortSignal,
): Promise<unknown> {
  const apiVersion = apiVersionOf(ref);
  let next: string | undefined;
  do {
    const page = await client.list(ref, { limit: PAGE, metadataOnly: true, continue: next, signal });
    const failure = await inParallel(page.items, async ({ metadata }) => {
      const { namespace = "", name = "", uid, resourceVersion } = metadata;
      const nothing = { apiVersion, kind: ref.kind, metadata: { uid, resourceVersion } };
      try {
        await client.patch(ref, { namespace, name }, "apply", nothing, { fieldManager, signal });
      } catch (error) {
        // Somebody was faster: it was written, or is gone.
        if (!isConflict(error)) throw error;
      }
    });
    if (failure !== undefined) return failure;
    next = page.metadata.continue === "" ? undefined : page.metadata.continue;
  } while (next !== undefined);
  return undefined;
}
