import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { builtinResources } from "#pkg/api/index.ts";
import type { TokenIssuer } from "#pkg/apiserver/authn/index.ts";
import {
  bootstrapExtensionAuthentication,
  bootstrapLegacyTokenTracking,
  bootstrapRbac,
  bootstrapSystemObjects,
} from "#pkg/apiserver/bootstrap/index.ts";
import { bootstrapFlowControl } from "#pkg/apiserver/flowcontrol/index.ts";
import {
  type ApiServer,
  type NonResourceHandler,
  createApiServer,
  createResourceRegistry,
  loopbackClient,
  type Descriptions,
} from "#pkg/apiserver/index.ts";
import { connectProxies } from "#pkg/apiserver/subresources/proxy/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { UsageError } from "#pkg/config/index.ts";
import { type BuildDeps, Sources } from "./build-deps.ts";
import { createProcessMetrics } from "./metrics.ts";
import { buildGatekeepers, gatesOf, serviceRouting } from "./security.ts";

/** Puts the API server together: storage first, then who may do what, then the server around them. */
export async function buildApiServer(deps: BuildDeps): Promise<ApiServer> {
  const { flags, store, pki, clock, random, log } = deps;
  const gates = gatesOf(flags);
  const registry = createResourceRegistry({ store, clock, log, resources: served(flags, gates) });
  // The server closes it, too; a start that fails midway leaves nothing running that would keep the process alive.
  deps.cleanup.defer(() => registry.close());
  await registry.ready();
  const bootstrap = { cache: (group: string, plural: string) => registry.cache(group, plural), clock, random, log };
  // All at once: they share commits.
  await Promise.all([
    bootstrapSystemObjects(bootstrap),
    bootstrapRbac(bootstrap, {
      podGroups: gates.GenericWorkload,
      storageMigration: gates.StorageVersionMigrator,
    }),
    bootstrapFlowControl(bootstrap),
    bootstrapLegacyTokenTracking(bootstrap),
    bootstrapExtensionAuthentication(bootstrap, {
      clientCa: pki.ca.cert,
      requestHeaderCa: pki.frontProxyCa.cert,
      allowedNames: ["front-proxy-client"],
    }),
  ]);
  const sources = new Sources(registry, deps);
  let server: ApiServer | undefined;
  const own = (): Client => {
    if (server === undefined) throw new Error("the API server is still starting");
    return loopbackClient(server.handler, clock);
  };
  const { gatekeepers, issuer, metrics } = await buildGatekeepers(deps, registry, sources, own);
  // Whoever asked before RBAC has read its roles would be refused, so nobody may ask yet.
  await sources.ready();

  const processMetrics = createProcessMetrics();
  server = createApiServer({
    registry,
    ...gatekeepers,
    componentProbes: deps.componentProbes,
    metrics: async () => metrics() + (await processMetrics()) + (await deps.loopsMetrics()),
    services: {
      clusterCidrs: flags["service-cluster-ip-range"],
      nodePortRange: portRange(flags["service-node-port-range"]),
      advertised: { address: deps.address, port: flags["secure-port"] },
    },
    serviceRouting: serviceRouting(deps),
    proxyClient: pki.frontProxyClient,
    connect: connectProxies({ tls: pki.apiserverKubeletClient }),
    nonResource: [serveOidc(issuer), ...deps.ownPaths],
    descriptions: readDescriptions,
    clock,
    random,
    log,
  });
  return server;
}

/** Features whose controllers work on an API that is not served by default. */
const NEEDS_API = [
  ["GenericWorkload", "podgroups", "scheduling.k8s.io/v1alpha2"],
  ["StorageVersionMigrator", "storageversionmigrations", "storagemigration.k8s.io/v1beta1"],
] as const;

/** The resources that --runtime-config leaves. @throws UsageError, also for a feature whose API is not served. */
function served(flags: BuildDeps["flags"], gates: ReturnType<typeof gatesOf>): ReturnType<typeof builtinResources> {
  const runtimeConfig: Record<string, boolean> = {};
  for (const [key, text] of Object.entries(flags["runtime-config"])) {
    if (text !== "true" && text !== "false")
      throw new UsageError(`--runtime-config: invalid value ${key}=${text}: must be true or false`);
    runtimeConfig[key] = text === "true";
  }
  const on = new Set(Object.entries(gates).flatMap(([gate, value]) => (value ? [gate] : [])));
  const resources = builtinResources({ runtimeConfig, gates: on });
  for (const [gate, plural, groupVersion] of NEEDS_API)
    if (gates[gate] && !resources.some((resource) => resource.plural === plural))
      throw new UsageError(`--feature-gates=${gate}=true needs --runtime-config=${groupVersion}=true`);
  return resources;
}

/** "30000-32767" → its ends. @throws UsageError */
function portRange(text: string): { first: number; last: number } {
  const match = /^(\d+)-(\d+)$/.exec(text);
  const [first, last] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || first < 1 || last > 65_535 || first > last) {
    throw new UsageError(`--service-node-port-range: ${text} is not a range of ports such as 30000-32767`);
  }
  return { first, last };
}

/** The discovery document and the keys by which others verify service account tokens. */
function serveOidc(issuer: TokenIssuer): NonResourceHandler {
  return ({ request, response, target }) => {
    const document = request.method === "GET" ? issuer.oidcDiscovery(target.path) : undefined;
    if (document === undefined) return false;
    const headers = { "content-type": document.contentType, "cache-control": "public, max-age=3600" };
    response.send(200, headers, Buffer.from(document.body));
    return true;
  };
}

/** Texts for `kubectl explain`, made by hack/build; without them the schemas are served bare. */
function readDescriptions(): Descriptions {
  const built = import.meta.url.endsWith(".ts")
    ? "../../dist/openapi-descriptions.json"
    : "./openapi-descriptions.json";
  const path = fileURLToPath(new URL(built, import.meta.url));
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Descriptions) : { texts: {}, enums: {} };
}
