import type { ResourceDefinition } from "#pkg/api/index.ts";
import { apiVersionOf, type KubeObject } from "#pkg/apimachinery/index.ts";
import type { ResourceCache } from "#pkg/storage/cacher/index.ts";
import type { Cacher } from "#pkg/storage/cacher/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { InstalledResource, type ObjectConverter } from "./installed.ts";

export interface ResourceRegistryOptions {
  readonly cacher: Cacher;
  /** Installed at once, in discovery's order. */
  readonly resources?: readonly ResourceDefinition[];
}

/**
 * Everything that is served right now. Resources come and go at run time; each version of a kind is installed by itself
 * and shares the storage of its siblings.
 */
export class ResourceRegistry {
  readonly #cacher: Cacher;
  /** "group/version" → plural → resource. */
  readonly #versions = new Map<string, Map<string, InstalledResource>>();
  readonly #listeners = new Set<() => void>();
  #serial = 0;

  constructor(options: ResourceRegistryOptions) {
    this.#cacher = options.cacher;
    for (const definition of options.resources ?? []) this.install(definition);
  }
  /** Grows with every install and uninstall: what is derived from the registry is valid for one generation. */
  get generation(): number {
    return this.#serial;
  }
  /** Starts serving a definition, replacing the one of the same group, version and plural. */
  install(definition: ResourceDefinition, converter?: ObjectConverter): InstalledResource {
    this.#serial++;
    const installed = new InstalledResource(definition, this.#cacheOf(definition), this.#serial, converter);
    const key = `${definition.group}/${definition.version}`;
    let plurals = this.#versions.get(key);
    if (plurals === undefined) this.#versions.set(key, (plurals = new Map()));
    plurals.set(definition.plural, installed);
    for (const listener of this.#listeners) listener();
    return installed;
  }
  /** Stops serving; what is stored stays. Harmless when it was not served. */
  uninstall(group: string, version: string, plural: string): void {
    const key = `${group}/${version}`;
    const plurals = this.#versions.get(key);
    if (plurals === undefined || !plurals.delete(plural)) return;
    if (plurals.size === 0) this.#versions.delete(key);
    this.#serial++;
    for (const listener of this.#listeners) listener();
  }
  lookup(group: string, version: string, plural: string): InstalledResource | undefined {
    return this.#versions.get(`${group}/${version}`)?.get(plural);
  }
  /** Finds a served resource by its kind. */
  byKind(group: string, version: string, kind: string): InstalledResource | undefined {
    for (const installed of this.#versions.get(`${group}/${version}`)?.values() ?? []) {
      if (installed.definition.kind === kind) return installed;
    }
    return undefined;
  }
  /** In order of installation, by group version. */
  *all(): IterableIterator<InstalledResource> {
    for (const plurals of this.#versions.values()) yield* plurals.values();
  }
  /**
   * The storage of a resource, whatever the version.
   * @throws Error when nothing of that name is stored: a mistake of the caller, never of a request.
   */
  cache(group: string, plural: string): ResourceCache {
    for (const { definition, cache } of this.all()) {
      if (definition.group === group && definition.plural === plural && cache !== undefined) return cache;
    }
    throw new Error(`no stored resource is called ${plural} in group "${group}"`);
  }
  /** Storage of the server's own, which no resource shows. Cluster scope. */
  privateStorage(prefix: string, apiVersion: string, kind: string): ResourceCache {
    return this.#cacher.resource({ prefix, namespaced: false, apiVersion, kind });
  }
  /** An object of one served version in another one of the same kind; never changes its argument. */
  async convert(object: Readonly<KubeObject>, from: ResourceDefinition, to: ResourceDefinition): Promise<KubeObject> {
    const source = this.lookup(from.group, from.version, from.plural);
    const target = this.lookup(to.group, to.version, to.plural);
    if (source === undefined || target === undefined) throw new Error(`${from.plural} is not served any more`);
    return target.converted(await source.storable(structuredClone(object)));
  }
  /** Calls back after every install and uninstall. Returns how to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  /** Resolves when everything installed so far has been read from the store. */
  async ready(): Promise<void> {
    await Promise.all(Array.from(this.all(), (installed) => installed.cache?.ready()));
  }

  /**
   * The cache may remember more than the store; clients are promised that a revision is gone once it is compacted.
   * @throws CompactedError
   */
  async assertNotCompacted(revision: number): Promise<void> {
    await this.#cacher.store.get(`${this.#cacher.rootPrefix}compacted`, { revision });
  }
  /** How many bytes the store takes. @throws Error when it does not answer */
  storedBytes(): Promise<number> {
    return this.#cacher.store.size();
  }
  /** undefined when the store answers, otherwise what is wrong. */
  async probe(): Promise<string | undefined> {
    try {
      await this.#cacher.store.currentRevision();
      return undefined;
    } catch (error) {
      return errorMessage(error);
    }
  }
  /** Closes the cache of all storage; the store stays open. */
  close(): Promise<void> {
    return this.#cacher.close();
  }

  #cacheOf(definition: ResourceDefinition): ResourceCache | undefined {
    const { etcdPrefix, namespaced, storage, kind, strategy, selectableFields } = definition;
    if (etcdPrefix === undefined) return undefined;
    const indexes: Record<string, (object: Readonly<KubeObject>) => string[]> = {};
    const nodeName = definition.plural === "pods" ? selectableFields.get("spec.nodeName") : undefined;
    if (nodeName !== undefined) indexes["spec.nodeName"] = (object) => [nodeName(object)];
    return this.#cacher.resource({
      prefix: etcdPrefix,
      namespaced,
      apiVersion: apiVersionOf(storage),
      kind,
      indexes,
      ...(strategy.ttlSeconds === undefined ? {} : { ttlSeconds: strategy.ttlSeconds }),
    });
  }
}
