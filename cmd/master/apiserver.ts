import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { builtinResources } from "#pkg/api/index.ts";
import type { Namespace, Node, Pod, Secret, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import { type AnyObject, decodeYaml } from "#pkg/apimachinery/index.ts";
import { createAdmissionChain } from "#pkg/apiserver/admission/index.ts";
import {
  DEFAULT_REQUEST_HEADERS,
  OidcAuthenticator,
  type TokenAuthenticator,
  fetchJsonOverHttps,
  Impersonator,
  TokenIssuer,
  createAuthenticator,
  createAuthnReviews,
} from "#pkg/apiserver/authn/index.ts";
import {
  type AuthorizationMode,
  RbacEscalation,
  createAuthorizer,
  createAuthzReviews,
  forbiddenError,
} from "#pkg/apiserver/authz/index.ts";
import {
  bootstrapExtensionAuthentication,
  bootstrapRbac,
  bootstrapSystemObjects,
  systemNodeRules,
} from "#pkg/apiserver/bootstrap/index.ts";
import {
  type ApiServer,
  type NonResourceHandler,
  createApiServer,
  createResourceRegistry,
} from "#pkg/apiserver/index.ts";
import { connectProxies } from "#pkg/apiserver/subresources/proxy/index.ts";
import { AuditLogFile, AuditRecorder, parseAuditPolicy } from "#pkg/apiserver/audit/index.ts";
import { FlowController, bootstrapFlowControl } from "#pkg/apiserver/flowcontrol/index.ts";
import { CacheSource } from "#pkg/apiserver/source/index.ts";
import { type FlagValues, UsageError } from "#pkg/config/index.ts";
import type { ClusterPki } from "#pkg/pki/index.ts";
import type { Store } from "#pkg/storage/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { masterFlags } from "./flags.ts";
import { createProcessMetrics } from "./metrics.ts";

export interface BuildDeps {
  readonly flags: FlagValues<typeof masterFlags>;
  readonly store: Store;
  readonly pki: ClusterPki;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Advertised address of this server. */
  readonly address: string;
  /** Ends background work. */
  readonly signal: AbortSignal;
  /** What has to be closed when the server stops. */
  readonly cleanup: AsyncDisposableStack;
  /** Health of the scheduler and the controller manager, for componentstatuses. */
  readonly componentProbes: ReadonlyMap<string, () => string | undefined>;
}

/** Puts the API server together: storage first, then who may do what, then the server around them. */
export async function buildApiServer(deps: BuildDeps): Promise<ApiServer> {
  const { flags, store, pki, clock, random, log, signal } = deps;
  const registry = createResourceRegistry({ store, clock, log, resources: builtinResources() });
  await registry.ready();
  const cache = (group: string, plural: string) => registry.cache(group, plural);
  const bootstrap = { cache, clock, random, log };
  await bootstrapSystemObjects(bootstrap);
  await bootstrapRbac(bootstrap);

  await bootstrapFlowControl(bootstrap);
  await bootstrapExtensionAuthentication(bootstrap, {
    clientCa: pki.ca.cert,
    requestHeaderCa: pki.frontProxyCa.cert,
    allowedNames: ["front-proxy-client"],
  });

  const sources: CacheSource<AnyObject>[] = [];
  const source = <T extends AnyObject>(group: string, plural: string) => {
    const made = new CacheSource<T>(cache(group, plural), clock, signal);
    sources.push(made as unknown as CacheSource<AnyObject>);
    return made;
  };
  const core = {
    namespaces: source<Namespace>("", "namespaces"),
    nodes: source<Node>("", "nodes"),
    pods: source<Pod>("", "pods"),
    secrets: source<Secret>("", "secrets"),
    serviceAccounts: source<ServiceAccount>("", "serviceaccounts"),
  };
  const rbacGroup = "rbac.authorization.k8s.io";
  const { authorizer, rbac } = createAuthorizer({
    modes: flags["authorization-mode"] as AuthorizationMode[],
    rbac: {
      roles: source(rbacGroup, "roles"),
      roleBindings: source(rbacGroup, "rolebindings"),
      clusterRoles: source(rbacGroup, "clusterroles"),
      clusterRoleBindings: source(rbacGroup, "clusterrolebindings"),
    },
    node: {
      pods: core.pods,
      persistentVolumeClaims: source("", "persistentvolumeclaims"),
      persistentVolumes: source("", "persistentvolumes"),
      volumeAttachments: source("storage.k8s.io", "volumeattachments"),
      resourceSlices: source("resource.k8s.io", "resourceslices"),
      nodeRules: systemNodeRules(),
    },
  });

  const issuer = new TokenIssuer({
    issuers: [flags["service-account-issuer"]],
    signingKey: pki.serviceAccount.key,
    clock,
    random,
  });
  const tokenFile = flags["token-auth-file"];
  const authenticator = createAuthenticator({
    clock,
    clientCa: pki.ca.cert,
    requestHeader: { ...DEFAULT_REQUEST_HEADERS, ca: pki.frontProxyCa.cert, allowedNames: ["front-proxy-client"] },
    serviceAccounts: { issuer, sources: core },
    bootstrapTokens: { secrets: core.secrets },
    anonymous: flags["anonymous-auth"],
    tokenAuthenticators: oidcOf(deps),
    ...(tokenFile === "" ? {} : { staticTokens: readFileSync(tokenFile, "utf8") }),
  });
  const impersonator = new Impersonator(authorizer);

  const admission = createAdmissionChain({
    clock,
    random,
    log,
    authorizer,
    sources: {
      ...core,
      limitRanges: source("", "limitranges"),
      priorityClasses: source("scheduling.k8s.io", "priorityclasses"),
      storageClasses: source("storage.k8s.io", "storageclasses"),
      ingressClasses: source("networking.k8s.io", "ingressclasses"),
      resourceQuotas: source("", "resourcequotas"),
      runtimeClasses: source("node.k8s.io", "runtimeclasses"),
      csiDrivers: source("storage.k8s.io", "csidrivers"),
    },
    quotaCache: cache("", "resourcequotas"),
    lookupNamespace: async (name) => (await cache("", "namespaces").get("", name))?.object as Namespace | undefined,
    enable: ["NodeRestriction", ...flags["enable-admission-plugins"]],
    disable: flags["disable-admission-plugins"],
    extension: {
      source,
      installed: () => registry.all(),
      convert: (object, from, to) => registry.convert(object, from, to),
    },
    extraValidating: rbac === undefined ? [] : [new RbacEscalation(rbac, authorizer)],
  });

  const flow = new FlowController({
    flowSchemas: source("flowcontrol.apiserver.k8s.io", "flowschemas"),
    priorityLevels: source("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    clock,
  });
  // Whoever asked before RBAC has read its roles would be refused, so nobody may ask yet.
  await Promise.all(sources.map((each) => each.ready()));

  return createApiServer({
    registry,
    flowControl: (user, target, requestSignal) => flow.admit(user, target, requestSignal),
    componentProbes: deps.componentProbes,
    metrics: createProcessMetrics(),
    ...auditOf(deps),
    authenticator,
    authorizer,
    admission,
    impersonate: (request, user) =>
      impersonator.requested(request) ? impersonator.impersonate(request, user) : Promise.resolve(user),
    forbidden: forbiddenError,
    reviews: [
      createAuthnReviews({ clock, tokens: authenticator.tokens, issuer, sources: core }),
      createAuthzReviews({ authorizer, ...(rbac === undefined ? {} : { rbac }) }),
    ],
    services: {
      clusterCidrs: flags["service-cluster-ip-range"],
      nodePortRange: portRange(flags["service-node-port-range"]),
      advertised: { address: deps.address, port: flags["secure-port"] },
    },
    proxyClient: pki.frontProxyClient,
    connect: connectProxies({ tls: pki.apiserverKubeletClient }),
    nonResource: [serveOidc(issuer)],
    descriptions: readDescriptions,
    clock,
    random,
    log,
  });
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

/** ID tokens of an OpenID Connect provider, when one is named. */
function oidcOf({ flags, clock, log }: BuildDeps): TokenAuthenticator[] {
  const issuerUrl = flags["oidc-issuer-url"];
  if (issuerUrl === "") return [];
  const optional = (name: "oidc-username-prefix" | "oidc-groups-claim" | "oidc-groups-prefix") =>
    flags[name] === "" ? undefined : flags[name];
  const options = {
    issuerUrl,
    clientId: flags["oidc-client-id"],
    ca: flags["oidc-ca-file"] === "" ? undefined : readFileSync(flags["oidc-ca-file"], "utf8"),
    usernameClaim: flags["oidc-username-claim"],
    usernamePrefix: optional("oidc-username-prefix"),
    groupsClaim: optional("oidc-groups-claim"),
    groupsPrefix: optional("oidc-groups-prefix"),
  };
  return [new OidcAuthenticator({ options, fetchJson: fetchJsonOverHttps(clock), clock, log })];
}

/** The audit log, when a path for it is given. */
function auditOf({ flags, clock, random, log, cleanup }: BuildDeps): { audit?: AuditRecorder } {
  const path = flags["audit-log-path"];
  if (path === "") return {};
  const policyFile = flags["audit-policy-file"];
  if (policyFile === "") throw new UsageError("--audit-log-path needs an --audit-policy-file");
  const policy = parseAuditPolicy(decodeYaml(readFileSync(policyFile, "utf8")).value);
  const file = new AuditLogFile({
    path,
    maxSizeMiB: flags["audit-log-maxsize"],
    maxBackups: flags["audit-log-maxbackup"],
    clock,
    log,
  });
  cleanup.defer(() => file.flush());
  return { audit: new AuditRecorder({ policy, write: (line) => file.write(line), clock, random }) };
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
function readDescriptions(): Record<string, Record<string, string>> {
  const built = import.meta.url.endsWith(".ts")
    ? "../../dist/openapi-descriptions.json"
    : "./openapi-descriptions.json";
  const path = fileURLToPath(new URL(built, import.meta.url));
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Record<string, Record<string, string>>) : {};
}
