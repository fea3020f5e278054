import { createHash } from "node:crypto";
import { etagOf } from "../http/etag.ts";
import { definitionNameOf } from "#pkg/api/index.ts";
import type { ResourceDefinition } from "#pkg/api/index.ts";
import { parseAccept } from "../http/negotiate.ts";
import { gzipFor } from "../http/reply.ts";
import type { NonResourceContext } from "../pipeline.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";
import { customDefinitions, customName } from "./custom.ts";
import type { OpenApiPart } from "./merge.ts";
import { documentPath, resourceListDocument, type ServerDocument, serverDocuments } from "./documents.ts";
import { encodeDefinitions, encodeDocument, encodePaths } from "./gnostic.ts";
import { encodeVersion3 } from "./gnostic-v3.ts";
import { shareParameters } from "./parameters.ts";
import { builtinName, resourcePaths } from "./paths.ts";
import { closure, definitionSchema, type Descriptions, type Dialect, type Json } from "./schemas.ts";

const JSON_TYPE = "application/json";
/** Clients ask with an "@" before the version, which is no legal media type: the answer spells it with a dot. */
const PROTOBUF_TYPES = {
  v2: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
  v3: "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
};
const COMMA = Buffer.from(",");
const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
/** Every group's document describes what its operations use. */
const ALWAYS = [
  `${META}.DeleteOptions`,
  `${META}.Status`,
  `${META}.Patch`,
  `${META}.WatchEvent`,
  `${META}.APIResourceList`,
];

/** Group versions that other servers describe (aggregation). */
export interface ExternalOpenApi {
  readonly generation: number;
  /** "apis/metrics.k8s.io/v1beta1" → what the hash of its document is. */
  v3(): ReadonlyMap<string, string>;
  /** What their version 2 documents say. */
  v2(): readonly OpenApiPart[];
}

const SECURITY_SCHEMES = {
  BearerToken: { type: "apiKey", description: "Bearer Token authentication", name: "authorization", in: "header" },
};

type Encoding = "json" | "protobuf";
interface Fragment {
  readonly paths: Buffer;
  readonly definitions: Buffer;
  readonly parameters: Json;
}
interface Document {
  readonly bytes: Buffer;
  readonly etag: string;
}

/** /openapi/v2 and /openapi/v3, generated from the definitions being served. */
export class OpenApi {
  readonly #registry: ResourceRegistry;
  readonly #descriptions: () => Descriptions;
  readonly #version: string;
  readonly #external: ExternalOpenApi | undefined;
  /** What does not change at run time, by encoding. */
  readonly #builtin = new Map<Encoding, Fragment>();
  /** Of custom kinds: made once per definition, so that a new one does not cost what all others do. */
  readonly #custom = { json: new WeakMap<object, Fragment>(), protobuf: new WeakMap<object, Fragment>() };
  readonly #hashes = new WeakMap<ResourceDefinition, string>();
  readonly #documents = new Map<string, Document>();
  #generation = "";
  #fingerprint: string | undefined;

  constructor(
    registry: ResourceRegistry,
    options: {
      readonly version: string;
      readonly descriptions: () => Descriptions;
      readonly external?: ExternalOpenApi;
    },
  ) {
    this.#registry = registry;
    this.#descriptions = options.descriptions;
    this.#version = options.version;
    this.#external = options.external;
  }
  /** Serves the OpenAPI paths; false for others. */
  async serve(context: NonResourceContext): Promise<boolean> {
    const { path } = context.target;
    if (path === "/openapi/v2") await this.#serveV2(context);
    else if (path === "/openapi/v3" || path === "/openapi/v3/") await this.#serveIndex(context);
    else if (path.startsWith("/openapi/v3/")) return this.#serveV3(context, path.slice("/openapi/v3/".length));
    else return false;
    return true;
  }

  #serveV2(context: NonResourceContext): void | Promise<void> {
    const encoding = encodingOf(context, "v2");
    if (encoding === undefined) return refuse(context);
    this.#refresh();
    const document = this.#made(`v2:${encoding}`, () =>
      encoding === "protobuf" ? this.#v2Protobuf() : this.#v2Json(),
    );
    return send(context, document, encoding === "protobuf" ? PROTOBUF_TYPES.v2 : JSON_TYPE);
  }
  #made(key: string, make: () => Buffer, etag?: string): Document {
    let document = this.#documents.get(key);
    if (document === undefined) {
      const bytes = make();
      document = { bytes, etag: etag ?? etagOf(bytes) };
      this.#documents.set(key, document);
    }
    return document;
  }
  #refresh(): void {
    const generation = `${this.#registry.generation}/${this.#external?.generation ?? 0}`;
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#documents.clear();
  }
  #definitionsServed(custom: boolean): ResourceDefinition[] {
    return Array.from(this.#registry.all(), ({ definition }) => definition).filter((each) => each.custom === custom);
  }
  /** Built-in part of the version 2 document, as JSON values. */
  #builtinV2(): { paths: Json; definitions: Json } {
    const served = this.#definitionsServed(false);
    const paths: Json = {};
    const documents = [...this.#serverDocuments(), ...versionsOf(served).map(resourceListDocument)];
    for (const document of documents) Object.assign(paths, documentPath("v2", document));
    const descriptions = this.#descriptions();
    for (const definition of served) Object.assign(paths, resourcePaths("v2", definition, builtinName, descriptions));
    const names = closure([...rootsOf(served), ...documents.flatMap(({ definition }) => definition ?? [])]);
    return { paths, definitions: this.#schemas("v2", names, served) };
  }
  /** What other servers add to the version 2 document. What both know (the meta kinds) is said once, by us. */
  #externalV2(): OpenApiPart {
    const paths: Json = {};
    const definitions: Json = {};
    const parameters: Json = {};
    const parts = this.#external?.v2() ?? [];
    const ours = parts.length === 0 ? new Set<string>() : closure(rootsOf(this.#definitionsServed(false)));
    for (const external of parts) {
      Object.assign(paths, external.paths);
      Object.assign(parameters, external.parameters);
      for (const [name, schema] of Object.entries(external.definitions))
        if (!ours.has(name)) definitions[name] ??= schema;
    }
    return { paths, definitions, parameters };
  }
  /** What may change at run time, fragment by fragment: custom kinds and other servers' part. */
  #changingV2(encoding: Encoding): Fragment[] {
    const made = this.#custom[encoding];
    const custom = this.#definitionsServed(true).map((definition) => {
      let fragment = made.get(definition);
      if (fragment === undefined) {
        const paths = resourcePaths("v2", definition, customName(definition), this.#descriptions());
        const described = { ...shareParameters(paths), definitions: customDefinitions("v2", definition) };
        fragment = encodeFragment(encoding, described);
        made.set(definition, fragment);
      }
      return fragment;
    });
    return [...custom, encodeFragment(encoding, this.#externalV2())];
  }
  #fragmentsV2(encoding: Encoding): Fragment[] {
    let builtin = this.#builtin.get(encoding);
    if (builtin === undefined) {
      const { paths, definitions } = this.#builtinV2();
      builtin = encodeFragment(encoding, { ...shareParameters(paths), definitions });
      this.#builtin.set(encoding, builtin);
    }
    return [builtin, ...this.#changingV2(encoding)];
  }
  /** Discovery and the like; groups of custom kinds have no such documents. */
  #serverDocuments(): ServerDocument[] {
    return serverDocuments([...new Set(this.#definitionsServed(false).map(({ group }) => group))]);
  }
  #schemas(dialect: Dialect, names: Iterable<string>, served: readonly ResourceDefinition[]): Json {
    const groupVersions = new Map(served.map(({ group, version }) => [`${group}/${version}`, { group, version }]));
    const descriptions = this.#descriptions();
    const schemas: Json = {};
    for (const name of [...names].sort()) {
      schemas[name] = definitionSchema(dialect, name, descriptions, [...groupVersions.values()]);
    }
    return schemas;
  }
  #v2Json(): Buffer {
    const fragments = this.#fragmentsV2("json");
    const head = { swagger: "2.0", info: { title: "Kubernetes", version: this.#version } };
    return Buffer.concat([
      Buffer.from(`${JSON.stringify(head).slice(0, -1)},"paths":{`),
      ...joined(fragments.map(({ paths }) => paths)),
      Buffer.from('},"definitions":{'),
      ...joined(fragments.map(({ definitions }) => definitions)),
      Buffer.from(`},"parameters":${JSON.stringify(parametersOf(fragments))}`),
      Buffer.from(
        ',"securityDefinitions":{"BearerToken":{"description":"Bearer Token authentication","type":"apiKey","name":"authorization","in":"header"}},"security":[{"BearerToken":[]}]}',
      ),
    ]);
  }
  #v2Protobuf(): Buffer {
    const fragments = this.#fragmentsV2("protobuf");
    const all = (part: "paths" | "definitions"): Buffer => Buffer.concat(fragments.map((fragment) => fragment[part]));
    return encodeDocument(this.#version, all("paths"), all("definitions"), parametersOf(fragments));
  }

  async #serveIndex(context: NonResourceContext): Promise<void> {
    const paths: Json = {};
    for (const [name, definitions] of this.#groupVersions()) {
      paths[name] = { serverRelativeURL: `/openapi/v3/${name}?hash=${this.#hashOf(definitions)}` };
    }
    for (const { name } of this.#serverDocuments()) {
      paths[name] = { serverRelativeURL: `/openapi/v3/${name}?hash=${this.#hashOfDocument(name)}` };
    }
    for (const [name, hash] of this.#external?.v3() ?? []) {
      paths[name] = { serverRelativeURL: `/openapi/v3/${name}?hash=${hash}` };
    }
    const bytes = Buffer.from(JSON.stringify({ paths }));
    await send(context, { bytes, etag: etagOf(bytes) }, JSON_TYPE);
  }
  /** "api/v1", "apis/apps/v1"… with what they serve. */
  #groupVersions(): Map<string, ResourceDefinition[]> {
    const groups = new Map<string, ResourceDefinition[]>();
    for (const { definition } of this.#registry.all()) {
      const { group, version } = definition;
      const name = group === "" ? `api/${version}` : `apis/${group}/${version}`;
      const present = groups.get(name);
      if (present === undefined) groups.set(name, [definition]);
      else present.push(definition);
    }
    return groups;
  }
  async #serveV3(context: NonResourceContext, name: string): Promise<boolean> {
    const served = this.#groupVersions().get(name);
    const document = served === undefined ? this.#serverDocuments().find((each) => each.name === name) : undefined;
    // What other servers describe is passed on by the aggregator.
    if (served === undefined && document === undefined) return false;
    const encoding = encodingOf(context, "v3");
    if (encoding === undefined) {
      refuse(context);
      return true;
    }
    const hash = served === undefined ? this.#hashOfDocument(name) : this.#hashOf(served);
    const asked = context.target.query.get("hash") ?? "";
    if (asked !== "" && asked !== hash) {
      const location = `/openapi/v3/${name}?hash=${hash}`;
      context.response.send(301, { location, "cache-control": "no-cache, private" }, []);
      return true;
    }
    this.#refresh();
    const content = (): Json => (served === undefined ? this.#ownDocument(document!) : this.#v3Document(served));
    const make = (): Buffer =>
      encoding === "protobuf" ? encodeVersion3(content()) : Buffer.from(JSON.stringify(content()));
    const made = this.#made(`${hash}:${encoding}`, make, hash);
    const immutable: Record<string, string> =
      asked === hash ? { "cache-control": "public, immutable", expires: "Thu, 31 Dec 2099 23:59:59 GMT" } : {};
    await send(context, made, encoding === "protobuf" ? PROTOBUF_TYPES.v3 : JSON_TYPE, immutable);
    return true;
  }
  #v3Document(served: readonly ResourceDefinition[]): Json {
    const paths: Json = {};
    const schemas: Json = {};
    for (const version of versionsOf(served)) Object.assign(paths, documentPath("v3", resourceListDocument(version)));
    for (const definition of served) {
      const nameOf = definition.custom ? customName(definition) : builtinName;
      Object.assign(paths, resourcePaths("v3", definition, nameOf, this.#descriptions()));
      if (definition.custom) Object.assign(schemas, customDefinitions("v3", definition));
    }
    // What custom kinds themselves refer to; of what is built in, their subresources may have a kind, too.
    const roots = [...rootsOf(served), `${META}.ObjectMeta`, `${META}.ListMeta`];
    Object.assign(schemas, this.#schemas("v3", closure(roots), this.#all()));
    return this.#version3(paths, schemas);
  }
  #ownDocument(document: ServerDocument): Json {
    const names = document.definition === undefined ? [] : closure([document.definition]);
    return this.#version3(documentPath("v3", document), this.#schemas("v3", names, this.#all()));
  }
  #version3(paths: Json, schemas: Json): Json {
    return {
      openapi: "3.0.0",
      info: { title: "Kubernetes", version: this.#version },
      paths,
      components: { ...(Object.keys(schemas).length === 0 ? {} : { schemas }), securitySchemes: SECURITY_SCHEMES },
    };
  }
  /** What they say depends on this program alone. */
  #hashOfDocument(name: string): string {
    return createHash("sha512").update(this.#formOf()).update(name).digest("hex").toUpperCase();
  }
  /** Differs between builds that say the same things in other words: clients keep a document as long as its hash stays. */
  #formOf(): string {
    this.#fingerprint ??= etagOf(Buffer.from(JSON.stringify([this.#version, this.#builtinV2()])));
    return this.#fingerprint;
  }
  /** Another for every other document: what is built in counts by its names, what is custom by its schema, too. */
  #hashOf(definitions: readonly ResourceDefinition[]): string {
    const hash = createHash("sha512").update(this.#formOf());
    for (const definition of definitions) {
      let own = this.#hashes.get(definition);
      if (own === undefined) {
        own = digestOf(definition);
        this.#hashes.set(definition, own);
      }
      hash.update(own);
    }
    return hash.digest("hex").toUpperCase();
  }
  #all(): ResourceDefinition[] {
    return Array.from(this.#registry.all(), ({ definition }) => definition);
  }
}

function rootsOf(served: readonly ResourceDefinition[]): string[] {
  const roots = [...ALWAYS];
  const add = (group: string, version: string, kind: string): void => {
    const name = definitionNameOf(group, version, kind);
    if (name !== undefined) roots.push(name);
  };
  for (const { group, version, kind, listKind, subresources } of served) {
    add(group, version, kind);
    add(group, version, listKind);
    for (const subresource of subresources) {
      add(subresource.group ?? group, subresource.version ?? version, subresource.kind);
    }
  }
  return roots;
}

interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

function versionsOf(served: readonly ResourceDefinition[]): GroupVersion[] {
  const versions = new Map<string, GroupVersion>();
  for (const { group, version } of served) versions.set(`${group}/${version}`, { group, version });
  return [...versions.values()];
}

/** Members of an object as JSON text, without the braces. */
function inner(object: Json): Buffer {
  return Buffer.from(JSON.stringify(object).slice(1, -1));
}

function joined(parts: readonly Buffer[]): Buffer[] {
  return parts.filter(({ length }) => length > 0).flatMap((part, index) => (index === 0 ? [part] : [COMMA, part]));
}

function encodeFragment(encoding: Encoding, { paths, definitions, parameters }: OpenApiPart): Fragment {
  return encoding === "json"
    ? { paths: inner(paths), definitions: inner(definitions), parameters }
    : { paths: encodePaths(paths), definitions: encodeDefinitions(definitions), parameters };
}

function parametersOf(fragments: readonly Fragment[]): Json {
  const parameters: Json = {};
  for (const fragment of fragments) Object.assign(parameters, fragment.parameters);
  return parameters;
}

/** The first form that the client asks for and there is; undefined without one. */
function encodingOf({ request }: NonResourceContext, version: Dialect): Encoding | undefined {
  const accept = request.headers["accept"] ?? "";
  if (accept === "") return "json";
  const legal = PROTOBUF_TYPES[version];
  for (const { type } of parseAccept(accept)) {
    if (type === JSON_TYPE || type === "application/*" || type === "*/*") return "json";
    if (type === legal || type === legal.replace(".v1.0", "@v1.0")) return "protobuf";
  }
  return undefined;
}

function refuse({ response }: NonResourceContext): void {
  response.send(406, { vary: "Accept", "cache-control": "no-cache, private" }, []);
}

function digestOf({ group, version, plural, kind, custom, schema, subresources, verbs }: ResourceDefinition): string {
  const names = `${group}/${version}/${plural}/${kind}/${verbs.join()}/${subresources.map(({ name }) => name).join()};`;
  const hash = createHash("sha512").update(names);
  if (custom) hash.update(JSON.stringify(schema.raw ?? {}));
  return hash.digest("base64");
}

async function send(
  { request, response }: NonResourceContext,
  { bytes, etag }: Document,
  contentType: string,
  extra: Record<string, string> = {},
): Promise<void> {
  const headers = {
    "content-type": contentType,
    "cache-control": "no-cache, private",
    vary: "Accept-Encoding, Accept",
    etag: `"${etag}"`,
    ...extra,
  };
  if (request.headers["if-none-match"]?.includes(etag) === true) {
    response.send(304, headers, []);
    return;
  }
  const body = await gzipFor(request, [bytes]);
  if (body === undefined) response.send(200, headers, bytes);
  else response.send(200, { ...headers, "content-encoding": "gzip" }, body);
}
