import { etagOf } from "../http/etag.ts";
import type { APIGroup, APIResourceList } from "#pkg/api/types/meta-v1.ts";
import type { APIService, APIServiceCondition } from "#pkg/api/types/apiregistration-v1.ts";
import { apiVersionOf, isNotFound, isRecord, type KubeObject } from "#pkg/apimachinery/index.ts";
import { family, errorMessage, type Clock, formatTime, type Logger } from "#pkg/util/index.ts";
import { type EndpointResolver, ServiceUnresolvedError } from "../admission/index.ts";
import type { ExternalGroups } from "../discovery/discovery.ts";
import { compareVersions, type GroupDiscovery } from "../discovery/documents.ts";
import type { ExternalOpenApi } from "../openapi/openapi.ts";
import { asVersion3 } from "../openapi/convert.ts";
import { type OpenApiPart, partOf } from "../openapi/merge.ts";
import type { FallbackHandler, NonResourceContext } from "../pipeline.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";
import { updateStored } from "../registry/stored-update.ts";
import { forward } from "../subresources/proxy/forward.ts";
import type { Backend } from "../subresources/proxy/backend.ts";
import { backendOf, fetchJson, identityHeaders, type ProxyClient } from "./backend.ts";

export interface AggregatorDeps {
  readonly registry: ResourceRegistry;
  readonly services: EndpointResolver;
  readonly client: ProxyClient | undefined;
  /** Of this server, for documents that it makes for others. */
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** One group version that another server serves, and what is known of it. */
interface Remote {
  readonly service: APIService;
  available: boolean;
  resources: NonNullable<APIResourceList["resources"]>;
  openApiHash: string | undefined;
  /** What its version 2 document says of this group version. */
  openApi: OpenApiPart | undefined;
  /** The same as a version 3 document, where the server has none of its own. */
  converted: { readonly bytes: Buffer; readonly hash: string } | undefined;
  cancel: (() => void) | undefined;
  /** Probes are numbered: one that another has overtaken changes nothing. */
  probes: number;
}

const GROUP = "apiregistration.k8s.io";
const PLURAL = "apiservices";
const OURSELVES = { name: "system:kube-aggregator", groups: ["system:masters"] };
const TIMEOUT_MS = 5000;
const RECHECK_MS = 30_000;
const RETRY_MS = 1000;

/**
 * API aggregation: requests for group versions whose APIService names a Service are passed on to it, with the identity
 * of their user; discovery and OpenAPI show them like our own. Availability is probed and written to the APIService.
 */
export class Aggregator implements ExternalGroups, ExternalOpenApi {
  readonly #deps: AggregatorDeps;
  /** By "group/version". */
  readonly #remotes = new Map<string, Remote>();
  readonly #names = new Map<string, string>();
  /** How often an API became unavailable, by the labels of why. */
  readonly #losses = new Map<string, number>();
  #signal: AbortSignal | undefined;
  #generation = 0;

  constructor(deps: AggregatorDeps) {
    this.#deps = deps;
  }
  get generation(): number {
    return this.#generation;
  }
  /** Follows the APIServices until the signal aborts. */
  start(signal: AbortSignal): void {
    const { registry, clock } = this.#deps;
    if (this.#signal === undefined) {
      this.#deps.services.onChange((service) => this.#reprobe(service));
      signal.addEventListener("abort", () => this.#stop(), { once: true });
      this.#signal = signal;
    }
    registry.cache(GROUP, PLURAL).watch({
      signal,
      onEvent: ({ type, entry }) => {
        if (type === "DELETED") this.#drop(entry.name);
        else this.#take(entry.name, entry.object as unknown as APIService);
        return undefined;
      },
      onEnd: () => {
        if (!signal.aborted) clock.schedule(RETRY_MS, () => this.start(signal));
      },
    });
  }
  /** Prometheus text. */
  metrics(): string {
    const [now, total] = ["aggregator_unavailable_apiservice", "aggregator_unavailable_apiservice_total"];
    return [
      family(
        now,
        "gauge",
        "Gauge of APIServices which are marked as unavailable broken down by APIService name.",
        Array.from(this.#names, ([name, key]) => {
          const value = this.#remotes.get(key)?.available === false ? 1 : 0;
          return `${now}{name=${JSON.stringify(name)}} ${value}`;
        }),
      ),
      family(
        total,
        "counter",
        "Counter of APIServices which are marked as unavailable broken down by APIService name and reason.",
        Array.from(this.#losses, ([labels, count]) => `${total}{${labels}} ${count}`),
      ),
    ].join("");
  }
  /** Passes on what belongs to another server; false for everything else. */
  readonly serve: FallbackHandler = async (context) => {
    const remote = this.#remoteOf(context);
    if (remote === undefined) return false;
    const { request, response, target, user } = context;
    if (remote.converted !== undefined && target.path.startsWith("/openapi/v3/")) {
      const headers = { "content-type": "application/json", etag: `"${remote.converted.hash}"` };
      response.send(200, headers, remote.converted.bytes);
      return true;
    }
    const query = target.rawQuery === "" ? "" : `?${target.rawQuery}`;
    const path = request.url.split("?")[0]! + query;
    const backend = this.#backendFor(remote, path);
    if (backend === undefined) {
      const headers = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };
      response.send(503, headers, Buffer.from("service unavailable\n"));
      return true;
    }
    const call = { request, response, target, services: { log: this.#deps.log } };
    const headers = identityHeaders(user);
    if (request.auditId !== undefined) headers["audit-id"] = request.auditId;
    await forward(call, backend, { headers });
    return true;
  };
  /** Where a request goes; undefined while nobody is there to take it. Why is in the APIService. */
  #backendFor(remote: Remote, path: string): Backend | undefined {
    if (!remote.available) return undefined;
    try {
      return backendOf(remote.service, path, this.#deps.services, this.#deps.client);
    } catch (error) {
      if (error instanceof ServiceUnresolvedError) return undefined;
      throw error;
    }
  }
  groups(): readonly { readonly group: APIGroup; readonly discovery: GroupDiscovery }[] {
    const byGroup = new Map<string, [string, Remote][]>();
    for (const [key, remote] of this.#remotes) {
      const [group = "", version = ""] = key.split("/");
      byGroup.set(group, [...(byGroup.get(group) ?? []), [version, remote]]);
    }
    return Array.from(byGroup, ([name, versions]) => {
      versions.sort(
        ([a, left], [b, right]) =>
          right.service.spec.versionPriority - left.service.spec.versionPriority || compareVersions(a, b),
      );
      const all = versions.map(([version]) => ({ groupVersion: apiVersionOf({ group: name, version }), version }));
      return {
        group: { name, versions: all, preferredVersion: all[0]! },
        discovery: {
          metadata: { name },
          versions: versions.map(([version, remote]) => discoveredVersion(name, version, remote)),
        },
      };
    });
  }
  v3(): ReadonlyMap<string, string> {
    const hashes = new Map<string, string>();
    for (const [key, { openApiHash, converted }] of this.#remotes) {
      const hash = openApiHash ?? converted?.hash;
      if (hash !== undefined) hashes.set(`apis/${key}`, hash);
    }
    return hashes;
  }

  v2(): readonly OpenApiPart[] {
    return [...this.#remotes.values()].flatMap(({ openApi }) => (openApi === undefined ? [] : [openApi]));
  }

  #remoteOf({ target }: NonResourceContext): Remote | undefined {
    if (target.resourceRequest) return this.#remotes.get(`${target.group}/${target.version}`);
    const match = /^\/(?:openapi\/v3\/)?apis\/([^/]+)\/([^/]+)\/?$/.exec(target.path);
    return match === null ? undefined : this.#remotes.get(`${match[1]}/${match[2]}`);
  }
  #take(name: string, service: APIService): void {
    const { group = "", version = "" } = service.spec;
    const key = `${group}/${version}`;
    if (service.spec.service === undefined) {
      this.#drop(name);
      return;
    }
    const before = this.#remotes.get(key);
    if (before !== undefined && JSON.stringify(before.service.spec) === JSON.stringify(service.spec)) return;
    this.#drop(name);
    const remote: Remote = {
      service,
      available: false,
      resources: [],
      openApiHash: undefined,
      openApi: undefined,
      converted: undefined,
      cancel: undefined,
      probes: 0,
    };
    this.#remotes.set(key, remote);
    this.#names.set(name, key);
    this.#generation++;
    void this.#probe(name, key, remote);
  }
  /** Looks at once at those behind a Service whose endpoints have changed. */
  #reprobe(service: string): void {
    for (const [name, key] of this.#names) {
      const remote = this.#remotes.get(key)!;
      const { namespace, name: own } = remote.service.spec.service!;
      if (service === `${namespace}/${own}`) void this.#probe(name, key, remote);
    }
  }
  #stop(): void {
    for (const remote of this.#remotes.values()) remote.cancel?.();
  }
  #drop(name: string): void {
    const key = this.#names.get(name);
    if (key === undefined) return;
    this.#remotes.get(key)?.cancel?.();
    this.#remotes.delete(key);
    this.#names.delete(name);
    this.#generation++;
  }

  /** Asks the server for its resources and says in the APIService whether it answers; again after a while. */
  async #probe(name: string, key: string, remote: Remote): Promise<void> {
    const signal = this.#signal!;
    const number = ++remote.probes;
    remote.cancel?.();
    const condition = await this.#check(key, remote, signal);
    if (signal.aborted || this.#remotes.get(key) !== remote || remote.probes !== number) return;
    const available = condition.status === "True";
    if (available !== remote.available) this.#generation++;
    // As upstream counts: not each failed probe, but each time that it became so.
    if (!available && remote.available) {
      const labels = `name=${JSON.stringify(name)},reason=${JSON.stringify(condition.reason)}`;
      this.#losses.set(labels, (this.#losses.get(labels) ?? 0) + 1);
    }
    remote.available = available;
    await this.#report(name, condition).catch((err: unknown) => {
      if (!isNotFound(err)) this.#deps.log.warn({ err, apiService: name }, "Could not update an APIService");
    });
    if (remote.probes !== number || signal.aborted) return;
    remote.cancel = this.#deps.clock.schedule(
      available ? RECHECK_MS : RETRY_MS,
      () => void this.#probe(name, key, remote),
    );
  }
  async #check(key: string, remote: Remote, signal: AbortSignal): Promise<APIServiceCondition> {
    const failed = (reason: string, message: string): APIServiceCondition => ({
      type: "Available",
      status: "False",
      reason,
      message,
    });
    const ask = (path: string): Promise<unknown> => this.#ask(remote, path, signal);
    try {
      const list = await ask(`/apis/${key}`);
      const resources =
        isRecord(list) && Array.isArray(list["resources"]) ? (list["resources"] as Remote["resources"]) : [];
      if (JSON.stringify(resources) !== JSON.stringify(remote.resources)) this.#generation++;
      remote.resources = resources;
    } catch (error) {
      if (error instanceof ServiceUnresolvedError) return failed(error.reason, error.condition);
      const why = errorMessage(error);
      return failed("FailedDiscoveryCheck", `failing or missing response from ${why}`);
    }
    await this.#describe(key, remote, ask);
    return { type: "Available", status: "True", reason: "Passed", message: "all checks passed" };
  }
  /** Reads how the server describes itself. It may not: then it is served without a description. */
  async #describe(key: string, remote: Remote, ask: (path: string) => Promise<unknown>): Promise<void> {
    const unknown = (err: unknown): undefined => {
      this.#deps.log.debug({ err, groupVersion: key }, "An aggregated API server has no OpenAPI document");
      return undefined;
    };
    const hash = await ask("/openapi/v3").then((index) => hashIn(index, key), unknown);
    const openApi = await ask("/openapi/v2").then((document) => partOf(document, `/apis/${key}`), unknown);
    const changed = hash !== remote.openApiHash || JSON.stringify(openApi) !== JSON.stringify(remote.openApi);
    remote.openApiHash = hash;
    remote.openApi = openApi;
    if (!changed) return;
    this.#generation++;
    remote.converted =
      hash === undefined && openApi !== undefined ? documentOf(asVersion3(openApi, this.#deps.version)) : undefined;
  }
  async #ask(remote: Remote, path: string, signal: AbortSignal): Promise<unknown> {
    const backend = backendOf(remote.service, path, this.#deps.services, this.#deps.client);
    return fetchJson(backend, identityHeaders(OURSELVES), TIMEOUT_MS, signal);
  }
  async #report(name: string, condition: APIServiceCondition): Promise<void> {
    const installed = this.#deps.registry.lookup(GROUP, "v1", PLURAL)!;
    const now = formatTime(this.#deps.clock.now());
    await updateStored(installed, "", name, (object) => {
      const { status } = object as unknown as APIService;
      const before = status?.conditions?.find(({ type }) => type === condition.type);
      const lastTransitionTime = before?.status === condition.status ? (before.lastTransitionTime ?? now) : now;
      const others = (status?.conditions ?? []).filter(({ type }) => type !== condition.type);
      return {
        ...object,
        status: { ...status, conditions: [...others, { ...condition, lastTransitionTime }] },
      } as KubeObject;
    });
  }
}

function documentOf(document: object): NonNullable<Remote["converted"]> {
  const bytes = Buffer.from(JSON.stringify(document));
  return { bytes, hash: etagOf(bytes) };
}

/** The hash in the address under which an index shows a group version. */
function hashIn(index: unknown, key: string): string | undefined {
  const paths = isRecord(index) && isRecord(index["paths"]) ? index["paths"] : {};
  const entry = paths[`apis/${key}`];
  const address = isRecord(entry) ? String(entry["serverRelativeURL"] ?? "") : "";
  return /[?&]hash=([^&]+)/.exec(address)?.[1];
}

function discoveredVersion(
  group: string,
  version: string,
  { resources, available }: Remote,
): GroupDiscovery["versions"][number] {
  const kindOf = (resource: Remote["resources"][number]) => ({
    group: resource.group ?? group,
    version: resource.version ?? version,
    kind: resource.kind,
  });
  const main = resources.filter(({ name }) => !name.includes("/"));
  return {
    version,
    freshness: available ? "Current" : "Stale",
    resources: main.map((resource) => {
      const { name, namespaced, singularName, verbs, shortNames, categories } = resource;
      const subresources = resources
        .filter((other) => other.name.startsWith(`${name}/`))
        .map((other) => ({
          subresource: other.name.slice(name.length + 1),
          responseKind: kindOf(other),
          verbs: other.verbs,
        }));
      return {
        resource: name,
        responseKind: kindOf(resource),
        scope: namespaced ? "Namespaced" : "Cluster",
        singularResource: singularName,
        verbs,
        ...(shortNames === undefined ? {} : { shortNames }),
        ...(categories === undefined ? {} : { categories }),
        ...(subresources.length === 0 ? {} : { subresources }),
      };
    }),
  };
}
