import type { ResourceDefinition, SubresourceDefinition } from "#pkg/api/index.ts";
import { apiVersionOf, type KubeObject } from "#pkg/apimachinery/index.ts";
import { qualifiedResource, type Subject } from "#pkg/apimachinery/index.ts";
import type { CacheEntry, ResourceCache } from "#pkg/storage/cacher/index.ts";
import { Histogram } from "#pkg/util/index.ts";
import { KnownSpecs } from "./known-specs.ts";
import { RecentFrames } from "./recent-frames.ts";

/** Turns objects of a kind into another of its versions by asking somebody (a conversion webhook). */
export interface ObjectConverter {
  /** In the order given; the results are the caller's own. @throws StatusError when it fails */
  convert(objects: readonly Readonly<KubeObject>[], apiVersion: string): Promise<KubeObject[]>;
}

/** Upper bounds in bytes (upstream's). */
const EVENT_SIZE_BUCKETS = Array.from({ length: 8 }, (_, index) => 1024 * 2 ** index);
const TYPE_FIELDS: ReadonlySet<string> = new Set(["metadata", "apiVersion", "kind"]);

/** One resource in one version as it is being served: its definition, its storage, and how its bytes are written. */
export class InstalledResource {
  readonly definition: ResourceDefinition;
  /** Storage shared by all versions of the kind; undefined for kinds that are computed. */
  readonly cache: ResourceCache | undefined;
  readonly apiVersion: string;
  readonly subject: Subject;
  /** "deployments.apps". */
  readonly qualifiedName: string;
  readonly keepsGeneration: boolean;
  readonly hasStatus: boolean;
  /** Fields a write to the main resource leaves alone. */
  readonly resetFields: readonly string[];
  /** Fields a write to the status leaves alone. */
  readonly statusResetFields: readonly string[];
  /** Distinguishes encodings of this definition from those of an earlier one of the same name. */
  readonly variant: string;
  /** Of the latest events: all watchers are told of one after the other, those a little behind soon afterwards. */
  readonly frames = new RecentFrames();
  /** How large events were that watchers were sent, in bytes. */
  readonly sentEvents = new Histogram(EVENT_SIZE_BUCKETS);
  /** Specs that clients have sent before, where that is worth knowing. */
  readonly knownSpecs: KnownSpecs | undefined;
  readonly #converter: ObjectConverter | undefined;
  readonly #subresources: ReadonlyMap<string, SubresourceDefinition>;
  readonly #stored: boolean;

  constructor(
    definition: ResourceDefinition,
    cache: ResourceCache | undefined,
    serial: number,
    converter?: ObjectConverter,
  ) {
    this.definition = definition;
    this.#converter = converter;
    this.cache = cache;
    this.knownSpecs = definition.strategy.fromTemplates === true ? new KnownSpecs(definition) : undefined;
    this.apiVersion = apiVersionOf(definition);
    this.subject = { group: definition.group, resource: definition.plural };
    this.qualifiedName = qualifiedResource(this.subject);
    this.#subresources = new Map(definition.subresources.map((subresource) => [subresource.name, subresource]));
    this.hasStatus = this.#subresources.has("status");
    this.keepsGeneration = definition.strategy.generation ?? (this.hasStatus || definition.custom);
    this.resetFields = this.hasStatus ? (definition.strategy.resetFields ?? ["status"]) : [];
    const status = this.#subresources.get("status")?.implementation;
    this.statusResetFields = [
      ...[...(definition.schema.properties?.keys() ?? [])].filter(
        (field) => field !== "status" && !TYPE_FIELDS.has(field),
      ),
      ...((status?.type === "status" && status.strategy?.resetMetadata) || []).map((field) => `metadata.${field}`),
    ];
    this.variant = definition.custom ? `${this.apiVersion}#${serial}` : this.apiVersion;
    this.#stored = definition.fromStorage === undefined && this.apiVersion === apiVersionOf(definition.storage);
  }
  subresource(name: string): SubresourceDefinition | undefined {
    return this.#subresources.get(name);
  }
  /** True when objects may have to be asked for before they can be read in this version. */
  get convertsByAsking(): boolean {
    return this.#converter !== undefined;
  }
  /**
   * Makes entries readable in this version. undefined when they are already; only then, or after waiting, may they be
   * passed to `object` and `json`.
   */
  prepare(entries: Iterable<CacheEntry | undefined>): Promise<void> | undefined {
    if (this.#converter === undefined) return undefined;
    const foreign: CacheEntry[] = [];
    for (const entry of entries) {
      if (entry === undefined || entry.object.apiVersion === this.apiVersion) continue;
      if (!this.#isPrepared(entry)) foreign.push(entry);
    }
    return foreign.length === 0 ? undefined : this.#convert(foreign);
  }
  #isPrepared(entry: CacheEntry): boolean {
    return entry.variant(`${this.variant}:prepared`, () => ({ done: false })).done;
  }
  async #convert(entries: readonly CacheEntry[]): Promise<void> {
    const converted = await this.#ask(entries.map(({ object }) => object));
    for (const [index, entry] of entries.entries()) {
      if (this.#isPrepared(entry)) continue; // by somebody else meanwhile
      entry.variant(`${this.variant}:object`, () => converted[index]!);
      entry.variant(`${this.variant}:prepared`, () => ({ done: false })).done = true;
    }
  }
  /** Stored objects as a webhook brings them into this version. */
  async #ask(stored: readonly Readonly<KubeObject>[]): Promise<KubeObject[]> {
    const { readStored, fromConverted } = this.definition;
    const objects = readStored === undefined ? stored : stored.map((object) => readStored(object));
    const converted = await this.#converter!.convert(objects, this.apiVersion);
    return converted.map((object) => this.#named(fromConverted === undefined ? object : fromConverted(object)));
  }
  /** The entry's object in this version. Shared: never change it. */
  object(entry: CacheEntry): Readonly<KubeObject> {
    if (this.#stored) return entry.object;
    return entry.variant(`${this.variant}:object`, () => this.fromStorage(entry.object));
  }
  /** The entry's object in this version as JSON. */
  json(entry: CacheEntry): Buffer {
    if (this.#stored) return entry.json;
    return entry.variant(`${this.variant}:json`, () => Buffer.from(JSON.stringify(this.object(entry))));
  }
  /** The same in parts without metadata.managedFields, or with them when it is not known where they are. */
  leanJson(entry: CacheEntry): readonly Buffer[] {
    return this.#stored ? entry.leanJson : [this.json(entry)];
  }
  /** The metadata of that JSON alone. */
  metadataJson(entry: CacheEntry): Buffer {
    if (this.#stored) return entry.metadataJson;
    return entry.variant(`${this.variant}:metadata`, () => Buffer.from(JSON.stringify(this.object(entry).metadata)));
  }
  /** A stored object, of whatever version, in this version. */
  async converted(object: KubeObject): Promise<KubeObject> {
    if (this.#converter === undefined || object.apiVersion === this.apiVersion) return this.fromStorage(object);
    const [converted] = await this.#ask([object]);
    return converted!;
  }
  /** A stored object in this version; never changes its argument. */
  fromStorage(object: Readonly<KubeObject>): KubeObject {
    const { fromStorage } = this.definition;
    return this.#named(fromStorage === undefined ? { ...object } : fromStorage(object));
  }
  #named(converted: KubeObject): KubeObject {
    const { kind } = this.definition;
    if (converted.apiVersion === this.apiVersion && converted.kind === kind) return converted;
    return { ...converted, apiVersion: this.apiVersion, kind };
  }
  /** An object of this version as it is stored. */
  storable(object: KubeObject): KubeObject | Promise<KubeObject> {
    const storage = apiVersionOf(this.definition.storage);
    if (this.#converter === undefined || storage === this.apiVersion) return this.#toStorage(object);
    return this.#converter.convert([object], storage).then(([converted]) => converted!);
  }
  /** What would be read back if the object were written: a dry run shows the defaults of the stored version too. */
  async readBack(object: KubeObject): Promise<KubeObject> {
    return this.#stored ? object : this.converted(await this.storable(object));
  }
  #toStorage(object: KubeObject): KubeObject {
    const { toStorage, storage, kind } = this.definition;
    const converted = toStorage === undefined ? object : toStorage(object);
    return { ...converted, apiVersion: apiVersionOf(storage), kind };
  }
}
