/** What the server serves, for controllers that act on every kind: garbage collection, namespaces, quota. */
import { type AnyObject, parseApiVersion } from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { aPIServices, customResourceDefinitions } from "#pkg/api/refs.ts";
import type { APIGroupList, APIResourceList } from "#pkg/api/types/meta-v1.ts";
import { inParallel } from "./slow-start.ts";
import { errorMessage } from "./errors.ts";
import { type Source, watching } from "./loop.ts";
import type { SharedInformers } from "./shared-informers.ts";

export interface ServedResource {
  readonly ref: ResourceRef<AnyObject>;
  readonly verbs: readonly string[];
  /** Versions of the group other than the one of `ref` that serve the resource too. */
  readonly preferred: boolean;
}

export interface Discovered {
  readonly resources: readonly ServedResource[];
  /** Group versions that did not answer, with why: what they serve is unknown, not absent. */
  readonly failures: ReadonlyMap<string, string>;
}

/** Reads legacy discovery: every resource that is not a subresource, in every served version. */
export async function discover(client: Client, signal: AbortSignal): Promise<Discovered> {
  const groups = await client.raw<APIGroupList>("GET", "/apis", undefined, { signal });
  const wanted: { path: string; groupVersion: string; preferred: boolean }[] = [
    { path: "/api/v1", groupVersion: "v1", preferred: true },
  ];
  for (const { preferredVersion, versions } of groups.groups)
    for (const { groupVersion } of versions)
      wanted.push({
        path: `/apis/${groupVersion}`,
        groupVersion,
        preferred: groupVersion === (preferredVersion?.groupVersion ?? versions[0]?.groupVersion),
      });
  const resources: ServedResource[] = [];
  const failures = new Map<string, string>();
  await inParallel(wanted, async ({ path, groupVersion, preferred }) => {
    try {
      const list = await client.raw<APIResourceList>("GET", path, undefined, { signal });
      const { group, version } = parseApiVersion(groupVersion);
      for (const { name, kind, namespaced, verbs } of list.resources)
        if (!name.includes("/"))
          resources.push({ ref: { group, version, plural: name, kind, namespaced }, verbs, preferred });
    } catch (error) {
      if (signal.aborted) throw error;
      failures.set(groupVersion, errorMessage(error));
    }
  });
  return { resources: dedupe(resources), failures };
}

/** One entry per group and resource: the preferred version's, else any that serves it. */
function dedupe(resources: readonly ServedResource[]): ServedResource[] {
  const best = new Map<string, ServedResource>();
  for (const resource of resources) {
    const id = `${resource.ref.group}/${resource.ref.plural}`;
    const known = best.get(id);
    if (known === undefined || (resource.preferred && !known.preferred)) best.set(id, resource);
  }
  return [...best.values()].sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
}

function idOf({ ref }: ServedResource): string {
  return `${ref.group}/${ref.plural}`;
}

/** Discovery kept until a CustomResourceDefinition or APIService changes, or it has grown old. */
export class DiscoveryCache {
  readonly #client: Client;
  readonly #now: () => number;
  readonly #maxAgeMs: number;
  #known: { readonly at: number; readonly result: Promise<Discovered> } | undefined;

  constructor(client: Client, now: () => number, maxAgeMs = 30_000) {
    this.#client = client;
    this.#now = now;
    this.#maxAgeMs = maxAgeMs;
  }

  get(signal: AbortSignal): Promise<Discovered> {
    const now = this.#now();
    if (this.#known === undefined || now - this.#known.at > this.#maxAgeMs) {
      const result = discover(this.#client, signal);
      const known = { at: now, result };
      this.#known = known;
      const forget = () => {
        if (this.#known === known) this.#known = undefined;
      };
      // A failure is not an answer worth keeping.
      result.then(({ failures }) => (failures.size > 0 ? forget() : undefined), forget);
    }
    return this.#known.result;
  }
  invalidate(): void {
    this.#known = undefined;
  }

  /** Informer events that make the answer outdated. */
  sources(informers: SharedInformers, changed?: () => void): Source[] {
    const onChange = () => {
      this.invalidate();
      changed?.();
    };
    const handler = { onAdd: onChange, onUpdate: onChange, onDelete: onChange };
    return [
      watching<AnyObject>(informers.of(customResourceDefinitions), handler),
      watching<AnyObject>(informers.of(aPIServices), handler),
    ];
  }
}
