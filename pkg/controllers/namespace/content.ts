import { type AnyObject, ignoreNotFound, isNotFound, isStatusError } from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { Discovered, ServedResource } from "../common/discovery.ts";
import { inParallel } from "../common/slow-start.ts";
import type { Findings } from "./conditions.ts";

/** Objects are looked through in pages of this size. */
const PAGE = 500;

interface Tally {
  readonly failures: string[];
  readonly remaining: Map<string, number>;
  readonly finalizers: Map<string, number>;
}

/** "pods." for core, "jobs.batch": upstream's wording, dot included. */
function resourceName({ group, plural }: ResourceRef<AnyObject>): string {
  return `${plural}.${group}`;
}

/** What can hold objects of its own in a namespace. Events are one store under two groups. */
function deletable({ resources }: Discovered): ServedResource[] {
  return resources.filter(
    ({ ref, verbs }) =>
      ref.namespaced && verbs.includes("delete") && verbs.includes("list") && ref.group !== "events.k8s.io",
  );
}

/**
 * Asks for the deletion of everything in a namespace: pods first, and only when they are gone the rest, so that nothing
 * (network policies, credentials) is taken from under a pod that still runs.
 */
export async function deleteContent(
  client: Client,
  namespace: string,
  discovered: Discovered,
  signal: AbortSignal,
): Promise<Findings> {
  const tally: Tally = { failures: [], remaining: new Map(), finalizers: new Map() };
  const resources = deletable(discovered);
  const isPods = ({ ref }: ServedResource) => ref.group === "" && ref.plural === "pods";
  const remove = (resource: ServedResource) => deleteResource(client, namespace, resource, tally, signal);
  await inParallel(resources.filter(isPods), remove);
  if (tally.remaining.size === 0 && tally.failures.length === 0)
    await inParallel(
      resources.filter((resource) => !isPods(resource)),
      remove,
      16,
    );
  signal.throwIfAborted();
  return { ...tally, undiscovered: discovered.failures };
}

async function deleteResource(
  client: Client,
  namespace: string,
  { ref, verbs }: ServedResource,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  try {
    const first = await client.list(ref, { namespace, limit: PAGE, metadataOnly: true, signal });
    if (first.items.length === 0) return;
    // What waits for finalizers was deleted before; asking again changes nothing.
    if ((first.metadata.continue ?? "") !== "" || first.items.some(isUntouched))
      await deleteAll(client, namespace, ref, verbs, first.items, signal);
    await count(client, namespace, ref, tally, signal);
  } catch (error) {
    if (signal.aborted) return;
    // Not served any more (its definition has gone): nothing of it can remain.
    if (isNotFound(error)) return;
    tally.failures.push(errorMessage(error));
  }
}

function isUntouched({ metadata }: AnyObject): boolean {
  return metadata.deletionTimestamp === undefined;
}

async function deleteAll(
  client: Client,
  namespace: string,
  ref: ResourceRef<AnyObject>,
  verbs: readonly string[],
  firstPage: readonly AnyObject[],
  signal: AbortSignal,
): Promise<void> {
  if (verbs.includes("deletecollection")) {
    try {
      await client.deleteCollection(ref, namespace, { propagationPolicy: "Background", signal });
      return;
    } catch (error) {
      // One object that refuses must not shield the others: go on one by one.
      if (!isStatusError(error) || error.code === 404) throw error;
    }
  }
  const failure = await inParallel(firstPage, async ({ metadata }) => {
    await ignoreNotFound(
      client.delete(ref, { namespace, name: metadata.name ?? "" }, { propagationPolicy: "Background", signal }),
    );
  });
  if (failure !== undefined) throw failure;
}

async function count(
  client: Client,
  namespace: string,
  ref: ResourceRef<AnyObject>,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  let token: string | undefined;
  let remaining = 0;
  do {
    const page = await client.list(ref, { namespace, limit: PAGE, continue: token, metadataOnly: true, signal });
    remaining += page.items.length;
    for (const { metadata } of page.items)
      for (const finalizer of metadata.finalizers ?? [])
        tally.finalizers.set(finalizer, (tally.finalizers.get(finalizer) ?? 0) + 1);
    token = page.metadata.continue === "" ? undefined : page.metadata.continue;
  } while (token !== undefined);
  if (remaining > 0) tally.remaining.set(resourceName(ref), remaining);
}
