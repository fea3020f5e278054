/** What the server serves, for controllers that act on every kind: garbage collection, namespaces, quota. */
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { aPIServices, customResourceDefinitions } from "#pkg/api/refs.ts";
import { type Source, watching } from "./loop.ts";
import type { SharedInformers } from "./shared-informers.ts";

/** A resource that some API server serves, in the version to use. */
export interface ServedResource {
  readonly ref: ResourceRef<AnyObject>;
  readonly verbs: readonly string[];
  /** Versions of the group other than the one of `ref` that serve the resource too. */
  readonly preferred: boolean;
}

/** What all API servers behind this one serve. */
export interface Discovered {
  readonly resources: readonly ServedResource[];
  /** Group versions that did not answer, with why: what they serve is unknown, not absent. */
  readonly failures: ReadonlyMap<string, string>;
}

/** The part of apidiscovery.k8s.io/v2 that controllers read. */
interface GroupDiscoveryList {
  readonly items: readonly {
    readonly metadata?: { readonly name?: string };
    readonly versions?: readonly {
      readonly version: string;
      readonly freshness?: string;
      readonly resources?: readonly {
        readonly resource: string;
        readonly responseKind?: { readonly kind: string };
        readonly scope: string;
        readonly verbs: readonly string[];
      }[];
    }[];
  }[];
}

const MAX_AGE_MS = 30_000;
const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/** Reads aggregated discovery: every resource of every served version, in two requests. */
async function discover(client: Client, signal: AbortSignal): Promise<Discovered> {
  const documents = await Promise.all(
    ["/api", "/apis"].map((path) =>
      client.raw<GroupDiscoveryList>("GET", path, undefined, { signal, accept: AGGREGATED }),
    ),
  );
  const resources: ServedResource[] = [];
  const failures = new Map<string, string>();
  for (const { metadata, versions = [] } of documents.flatMap(({ items }) => items)) {
    const group = metadata?.name ?? "";
    for (const [index, { version, freshness, resources: served = [] }] of versions.entries()) {
      const groupVersion = group === "" ? version : `${group}/${version}`;
      // An aggregated server that does not answer: what it served last may be gone.
      if (freshness === "Stale") {
        failures.set(groupVersion, `stale GroupVersion discovery: ${groupVersion}`);
        continue;
      }
      for (const { resource, responseKind, scope, verbs } of served) {
        const ref = {
          group,
          version,
          plural: resource,
          kind: responseKind?.kind ?? "",
          namespaced: scope === "Namespaced",
        };
        resources.push({ ref, verbs, preferred: index === 0 });
      }
    }
  }
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

/** Discovery, shared by all controllers and kept until a CustomResourceDefinition or APIService changes, or it has grown old. */
export class DiscoveryCache {
  readonly #client: Client;
  readonly #now: () => number;
  #known: { readonly at: number; readonly result: Promise<Discovered> } | undefined;

  constructor(client: Client, now: () => number) {
    this.#client = client;
    this.#now = now;
  }

  get(signal: AbortSignal): Promise<Discovered> {
    const now = this.#now();
    if (this.#known === undefined || now - this.#known.at > MAX_AGE_MS) {
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
