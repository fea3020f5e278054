import { Cacher } from "#pkg/storage/cacher/index.ts";
import { forbidden as forbiddenStatus, StatusError } from "#pkg/apimachinery/index.ts";
import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { Store } from "#pkg/storage/index.ts";
import {
  type Clock,
  family,
  type Logger,
  type Random,
  RealClock,
  SecureRandom,
  silentLogger,
} from "#pkg/util/index.ts";
import type { ApiHandler, Attributes, Authenticator, Authorizer } from "./contract.ts";
import { Discovery } from "./discovery/discovery.ts";
import type { Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import { EndpointResolver, HttpsTransport, type ServiceRouting, WebhookClient } from "./admission/index.ts";
import { Aggregator } from "./aggregation/aggregator.ts";
import type { ProxyClient } from "./aggregation/backend.ts";
import { LocalApiServices } from "./aggregation/local-services.ts";
import { CacheSource } from "./source/index.ts";
import type { WebhookCaller } from "./extensions/conversion-webhook.ts";
import { Extensions } from "./extensions/controller.ts";
import { withDefinitionRules } from "./extensions/crd-strategy.ts";
import { HealthChecks } from "./health/health.ts";
import { Negotiator } from "./http/negotiate.ts";
import { type Listener, listenHttp, type ListenOptions } from "./http/server.ts";
import { AccessMetrics } from "./metrics/access-metrics.ts";
import { renderResources } from "./metrics/resource-metrics.ts";
import { RequestMetrics } from "./metrics/request-metrics.ts";
import { OpenApi } from "./openapi/openapi.ts";
import type { Descriptions } from "./openapi/schemas.ts";
import { Pipeline, type PipelineDeps, type NonResourceContext, type NonResourceHandler } from "./pipeline.ts";
import type { AdmissionChain, RestServices } from "./registry/call.ts";
import type { ConnectHandler } from "./registry/dispatch.ts";
import { ResourceRegistry } from "./registry/resource-registry.ts";
import type { ReviewHandler } from "./review.ts";
import { loopbackClient } from "./startup/loopback.ts";
import { DEFAULT_SERVICES, ServiceNetworking, type ServicesConfig } from "./startup/services.ts";
import type { ComponentProbe } from "./subresources/component-status.ts";
import { subresourceHandlers } from "./subresources/index.ts";
import { servePathIndex } from "./path-index.ts";
import { serveVersion, type VersionInfo, versionInfo } from "./version.ts";

/** The part of the server that authentication, authorization and admission read from: storage of all resources. */
export function createResourceRegistry(options: {
  readonly store?: Store;
  readonly cacher?: Cacher;
  readonly resources: readonly ResourceDefinition[];
  readonly clock?: Clock;
  readonly log?: Logger;
}): ResourceRegistry {
  const { store, clock, log } = options;
  const cacher = options.cacher ?? (store === undefined ? undefined : new Cacher({ store, clock, log }));
  if (cacher === undefined) throw new Error("a registry needs a store or a cacher");
  const resources = options.resources.map((definition) =>
    definition.kind === "CustomResourceDefinition" ? withDefinitionRules(definition) : definition,
  );
  return new ResourceRegistry({ cacher, resources });
}

export interface ApiServerDeps {
  readonly registry: ResourceRegistry;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly admission: AdmissionChain;
  readonly impersonate?: PipelineDeps["impersonate"];
  /** The 403 for a refusal; a plain one when absent. */
  readonly forbidden?: PipelineDeps["forbidden"];
  /** Handlers of computed kinds, by "group/plural" or "group/plural/subresource"; several maps are merged. */
  readonly reviews?: readonly ReadonlyMap<string, ReviewHandler>[];
  /** Handlers of connect subresources beyond the server's own. */
  readonly connect?: ReadonlyMap<string, ConnectHandler>;
  /** Asked first for paths that name no resource. */
  readonly nonResource?: readonly NonResourceHandler[];
  readonly fallback?: PipelineDeps["fallback"];
  readonly flowControl?: PipelineDeps["flowControl"];
  readonly audit?: PipelineDeps["audit"];
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Logger;
  readonly version?: Partial<VersionInfo>;
  /** Ranges of Services and where this server is reached; default 10.96.0.0/16, 30000-32767, not published. */
  readonly services?: ServicesConfig;
  /** What componentstatuses shows beside the store, e.g. "scheduler". */
  readonly componentProbes?: ReadonlyMap<string, ComponentProbe>;
  /** More lines for /metrics (Prometheus text), e.g. those of the process. */
  readonly metrics?: () => string | Promise<string>;
  /** The front proxy's client certificate, by which aggregated API servers know us. */
  readonly proxyClient?: ProxyClient;
  /** Where Services of conversion webhooks and aggregated API servers are looked for; default their endpoints. */
  readonly serviceRouting?: ServiceRouting;
  /** Reaches conversion webhooks; by default through the endpoints of their Services. */
  readonly webhooks?: WebhookCaller;
  /** Texts for `kubectl explain`; asked for when a document is built, not kept. */
  readonly descriptions?: () => Descriptions;
}

export interface ApiServer {
  readonly handler: ApiHandler;
  readonly registry: ResourceRegistry;
  readonly health: HealthChecks;
  listen(options: ListenOptions): Promise<Listener>;
  /** Resolves when all storage has been read and the bootstrap objects exist. */
  readonly ready: Promise<void>;
  /** Closes all listeners, background work and the registry's storage cache; the store stays the caller's. */
  close(): Promise<void>;
}

/** The API server: everything behind one handler. Does not listen until told to. */
export function createApiServer(deps: ApiServerDeps): ApiServer {
  const clock = deps.clock ?? new RealClock();
  const random = deps.random ?? new SecureRandom();
  const log = deps.log ?? silentLogger;
  const { registry } = deps;
  const negotiator = new Negotiator();
  const background = new AbortController();
  const networking = new ServiceNetworking({ registry, config: deps.services ?? DEFAULT_SERVICES, clock, random, log });
  const services: RestServices = {
    registry,
    admission: deps.admission,
    allocators: new Map([["/services", networking.allocator]]),
    clock,
    random,
    log,
    negotiator,
  };
  const health = new HealthChecks(clock);
  const resolver = serviceResolver(deps, clock, random, background.signal);
  const version = versionInfo(deps.version);
  const aggregator = new Aggregator({
    registry,
    services: resolver,
    client: deps.proxyClient,
    version: version.gitVersion,
    clock,
    log,
  });
  const discovery = new Discovery(registry, aggregator);
  const openApi = new OpenApi(registry, {
    version: version.gitVersion,
    descriptions: deps.descriptions ?? (() => ({ texts: {}, enums: {} })),
    external: aggregator,
  });
  const access = new AccessMetrics();
  const metrics = new RequestMetrics(registry, () => clock.monotonic());
  const listeners = new Set<Listener>();
  const ownMetrics = async () => {
    const resources = await renderResources(registry, clock);
    const parts = [metrics.render(), access.render(), health.metrics(), aggregator.metrics()];
    return [...parts, handshakeMetrics(listeners), resources].join("");
  };
  const probes = new Map<string, ComponentProbe>([["etcd-0", () => registry.probe()], ...(deps.componentProbes ?? [])]);
  const handler = new Pipeline({
    observer: metrics,
    access,
    services,
    handlers: {
      reviews: new Map(deps.reviews?.flatMap((map) => [...map])),
      connect: new Map([...subresourceHandlers(probes), ...(deps.connect ?? [])]),
    },
    authenticator: deps.authenticator,
    authorizer: deps.authorizer,
    forbidden: deps.forbidden ?? plainForbidden,
    nonResource: [
      ...(deps.nonResource ?? []),
      (context) => health.serve(context),
      (context) => serveVersion(context, version),
      (context) => serveMetrics(context, ownMetrics, deps.metrics),
      (context) => discovery.serve(context),
      (context) => openApi.serve(context),
      (context) => servePathIndex(context, () => [...health.paths(), ...discovery.paths()]),
    ],
    ...(deps.impersonate === undefined ? {} : { impersonate: deps.impersonate }),
    claims: (path) => discovery.claims(path),
    fallback: async (context) => (await aggregator.serve(context)) || ((await deps.fallback?.(context)) ?? false),
    ...(deps.flowControl === undefined ? {} : { flowControl: deps.flowControl }),
    ...(deps.audit === undefined ? {} : { audit: deps.audit }),
  });
  let isReady = false;
  health.add("ping", () => undefined);
  // Upstream's check of its log, which cannot be stuck here: it is written without waiting.
  health.add("log", () => undefined);
  health.add("etcd", () => registry.probe());
  health.add("etcd-readiness", () => registry.probe(), ["readyz"]);
  const loading = () => (isReady ? undefined : "the watch cache is still loading");
  health.add("informer-sync", loading, ["readyz", "healthz"]);
  const extensions = new Extensions({
    registry,
    client: () => loopbackClient(handler, clock),
    webhooks: deps.webhooks ?? new WebhookClient(new HttpsTransport(clock), resolver),
    clock,
    random,
    log,
  });
  const localServices = new LocalApiServices({ registry, client: () => loopbackClient(handler, clock), clock, log });
  let running: Promise<void> = Promise.resolve();
  const ready = registry
    .ready()
    .then(() => networking.prepare())
    .then(() => extensions.start(background.signal))
    .then(() => aggregator.start(background.signal))
    .then(() => {
      isReady = true;
      running = networking.run(handler, background.signal);
      localServices.start(background.signal);
    });
  ready.catch((err: unknown) => log.error({ err }, "API server could not become ready"));
  return {
    handler,
    registry,
    health,
    ready,
    async listen(options) {
      const listener = await listenHttp(handler, options, clock, log, random);
      listeners.add(listener);
      return listener;
    },
    async close() {
      background.abort(new Error("the API server is closing"));
      await Promise.all([running, ...Array.from(listeners, (listener) => listener.close())]);
      await registry.close();
    },
  };
}

/** Finds the endpoints of Services, for webhooks and aggregated APIs. */
function serviceResolver(
  { registry, serviceRouting }: Pick<ApiServerDeps, "registry" | "serviceRouting">,
  clock: Clock,
  random: Random,
  signal: AbortSignal,
): EndpointResolver {
  const services = new CacheSource<Service>(registry.cache("", "services"), clock, signal);
  const slices = new CacheSource<EndpointSlice>(registry.cache("discovery.k8s.io", "endpointslices"), clock, signal);
  return new EndpointResolver(services, slices, random, serviceRouting);
}

function handshakeMetrics(listeners: Iterable<Listener>): string {
  const name = "apiserver_tls_handshake_errors_total";
  const help = "Number of requests dropped with 'TLS handshake error from' error";
  const failed = Array.from(listeners, ({ failedHandshakes }) => failedHandshakes);
  return family(name, "counter", help, [`${name} ${failed.reduce((sum, count) => sum + count, 0)}`]);
}

async function serveMetrics(
  { target, request, response }: NonResourceContext,
  own: () => Promise<string>,
  more: ApiServerDeps["metrics"],
): Promise<boolean> {
  if (target.path !== "/metrics" || request.method !== "GET") return false;
  const text = (await Promise.all([own(), more?.() ?? ""])).join("");
  response.send(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }, Buffer.from(text));
  return true;
}

function plainForbidden(attributes: Attributes, reason: string): StatusError {
  if (attributes.resourceRequest) {
    const { apiGroup: group, resource, name } = attributes;
    return forbiddenStatus({ group, resource }, name, reason === "" ? "not allowed" : reason);
  }
  return new StatusError({
    status: "Failure",
    reason: "Forbidden",
    code: 403,
    message: `forbidden: User ${JSON.stringify(attributes.user.name)} cannot ${attributes.verb} path ${JSON.stringify(attributes.path)}`,
    details: {},
  });
}
