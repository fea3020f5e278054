import { etagOf } from "../http/etag.ts";
import type { APIGroup } from "#pkg/api/types/meta-v1.ts";
import { apiVersionOf } from "#pkg/apimachinery/index.ts";
import { hasMessage } from "#pkg/apimachinery/protobuf/index.ts";
import { CONTENT_TYPES, type Encoding } from "../http/negotiate.ts";
import { encodeObject, sendBytes } from "../http/reply.ts";
import { methodNotAllowed } from "../http/status.ts";
import type { NonResourceContext } from "../pipeline.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";
import {
  apiGroup,
  apiResources,
  type GroupDiscovery,
  groupDiscovery,
  type ServedGroup,
  servedGroups,
} from "./documents.ts";

/** Groups that other servers serve (aggregation), as discovery shows them. */
export interface ExternalGroups {
  /** Grows with every change. */
  readonly generation: number;
  groups(): readonly { readonly group: APIGroup; readonly discovery: GroupDiscovery }[];
}

interface Document {
  readonly etag: string;
  readonly bytes: Buffer;
}

const META = "k8s.io.apimachinery.pkg.apis.meta.v1";
const AGGREGATED_MESSAGE = "k8s.io.api.apidiscovery.v2.APIGroupDiscoveryList";

/** /api, /apis and what lies under them: made from the registry, once for each of its states. */
export class Discovery {
  readonly #registry: ResourceRegistry;
  readonly #external: ExternalGroups | undefined;
  #groups: readonly ServedGroup[] = [];
  readonly #documents = new Map<string, Document>();
  #generation = "";

  constructor(registry: ResourceRegistry, external?: ExternalGroups) {
    this.#registry = registry;
    this.#external = external;
  }
  /** Every path that is served now. */
  paths(): string[] {
    this.#refresh();
    const groups = this.#allGroups().flatMap(({ name, versions }) => [
      `/apis/${name}`,
      ...versions.map(({ groupVersion }) => `/apis/${groupVersion}`),
    ]);
    return ["/api", "/api/v1", "/apis", "/apis/", ...groups];
  }
  /** Is the path below a document of the core group or of a built-in one (or below another that is always there)? */
  claims(path: string): boolean {
    const [, prefix = "", group] = path.split("/", 3);
    if (prefix === "api" || prefix === "version") return true;
    if (prefix !== "apis" || group === undefined) return false;
    this.#refresh();
    const served = this.#groups.find(({ name }) => name === group);
    return served?.versions.some(({ resources }) => resources.some(({ custom }) => !custom)) ?? false;
  }
  /**
   * Serves the discovery paths; false for others. Lists of groups, and groups, answer to every method, as upstream's do.
   * @throws StatusError 405, 406
   */
  serve(context: NonResourceContext): boolean {
    const [, prefix, ...rest] = context.target.path.replace(/\/$/, "").split("/");
    if (prefix !== "api" && prefix !== "apis") return false;
    const reads = context.request.method === "GET" || context.request.method === "HEAD";
    this.#refresh();
    if (rest.length === 0) {
      if (!reads && prefix === "api") throw methodNotAllowed();
      const aggregated = aggregatedEncoding(context);
      if (aggregated !== undefined) this.#sendAggregated(context, prefix, aggregated);
      else if (prefix === "api") this.#send(context, "APIVersions", apiVersions(context));
      else this.#send(context, "APIGroupList", { groups: this.#allGroups() });
      return true;
    }
    if (prefix === "apis" && rest.length === 1) {
      const group = this.#allGroups().find(({ name }) => name === rest[0]);
      if (group === undefined) return false;
      this.#send(context, "APIGroup", group);
      return true;
    }
    const [group, version] = prefix === "api" ? ["", rest[0]] : [rest[0]!, rest[1]];
    if (rest.length !== (prefix === "api" ? 1 : 2)) return false;
    const served = this.#groups.find(({ name }) => name === group)?.versions.find((each) => each.version === version);
    if (served === undefined) return false;
    if (!reads) throw methodNotAllowed();
    const groupVersion = apiVersionOf({ group, version: version! });
    this.#send(context, "APIResourceList", { groupVersion, resources: apiResources(served.resources) });
    return true;
  }

  #refresh(): void {
    const generation = `${this.#registry.generation}/${this.#external?.generation ?? 0}`;
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#groups = servedGroups(this.#registry);
    this.#documents.clear();
  }
  #allGroups(): APIGroup[] {
    const own = this.#groups.filter(({ name }) => name !== "").map(apiGroup);
    return [...own, ...(this.#external?.groups() ?? []).map(({ group }) => group)];
  }
  #send(context: NonResourceContext, kind: string, body: object): void {
    const { request, response, negotiator, pretty } = context;
    const message = `${META}.${kind}`;
    const { encoding } = negotiator.negotiate(request.headers["accept"], {
      protobuf: hasMessage(message),
      transforms: false,
    });
    // The documents of the core group have been without a version since before there were others.
    const versioned = context.target.path.startsWith("/apis") ? { apiVersion: "v1" } : {};
    const bytes = encodeObject(encoding, { kind, ...versioned, ...body }, message);
    void sendBytes({ request, response, warnings: [], pretty }, 200, encoding, bytes);
  }
  #sendAggregated(context: NonResourceContext, prefix: "api" | "apis", encoding: Encoding): void {
    const { request, response } = context;
    const { etag, bytes } = this.#aggregated(prefix, encoding);
    const headers = {
      "content-type": `${CONTENT_TYPES[encoding]};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList`,
      "cache-control": "public",
      vary: "Accept",
      etag: `"${etag}"`,
    };
    if (request.headers["if-none-match"]?.includes(etag) === true) response.send(304, headers, []);
    else response.send(200, headers, bytes);
  }
  #aggregated(prefix: "api" | "apis", encoding: Encoding): Document {
    const key = `${prefix}:${encoding}`;
    let document = this.#documents.get(key);
    if (document === undefined) {
      const items: GroupDiscovery[] = this.#groups
        .filter(({ name }) => (name === "") === (prefix === "api"))
        .map(groupDiscovery);
      if (prefix === "apis") items.push(...(this.#external?.groups() ?? []).map(({ discovery }) => discovery));
      const list = { kind: "APIGroupDiscoveryList", apiVersion: "apidiscovery.k8s.io/v2", metadata: {}, items };
      const bytes = encodeObject(encoding, list, AGGREGATED_MESSAGE);
      document = { bytes, etag: etagOf(bytes) };
      this.#documents.set(key, document);
    }
    return document;
  }
}

/** The encoding of an aggregated answer when the client prefers one over the legacy documents. */
function aggregatedEncoding({ request, negotiator }: NonResourceContext): Encoding | undefined {
  const accept = request.headers["accept"];
  if (accept === undefined || !accept.includes("APIGroupDiscoveryList")) return undefined;
  for (const { type, parameters } of negotiator.parse(accept)) {
    const aggregated =
      parameters["as"] === "APIGroupDiscoveryList" &&
      parameters["g"] === "apidiscovery.k8s.io" &&
      parameters["v"] === "v2";
    if (aggregated && type === CONTENT_TYPES.json) return "json";
    if (aggregated && type === CONTENT_TYPES.protobuf && hasMessage(AGGREGATED_MESSAGE)) return "protobuf";
    // The client would rather have the legacy document than what comes later in its list.
    if (parameters["as"] === undefined && type === CONTENT_TYPES.json) return undefined;
  }
  return undefined;
}

function apiVersions({ request }: NonResourceContext): object {
  const serverAddress = request.headers["host"] ?? request.headers[":authority"] ?? "";
  return { versions: ["v1"], serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }] };
}
