import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Namespace, Node, Pod, Secret, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import { namespaces as namespaceRef } from "#pkg/api/refs.ts";
import { ignoreAlreadyExists, decodeYaml } from "#pkg/apimachinery/index.ts";
import {
  type AdmissionConfiguration,
  createAdmissionChain,
  type FeatureGates,
  featureGates,
  HttpsTransport,
  type ImagePolicySettings,
  parseAdmissionConfiguration,
  type ServiceRouting,
} from "#pkg/apiserver/admission/index.ts";
import { AuditLogFile, AuditRecorder, parseAuditPolicy } from "#pkg/apiserver/audit/index.ts";
import { Impersonator, TokenIssuer, createAuthnReviews } from "#pkg/apiserver/authn/index.ts";
import { RbacEscalation, type RbacAuthorizer, createAuthzReviews, forbiddenError } from "#pkg/apiserver/authz/index.ts";
import { FlowController } from "#pkg/apiserver/flowcontrol/index.ts";
import type { ApiServerDeps, Authorizer, ResourceRegistry } from "#pkg/apiserver/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { UsageError } from "#pkg/config/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { buildAuthenticator } from "./authentication.ts";
import { buildAuthorizer } from "./authorization.ts";
import type { BuildDeps, Sources } from "./build-deps.ts";
import { reviewWebhook } from "./review-webhook.ts";

/** What the API server asks before it serves a request. */
export type Gatekeepers = Pick<
  ApiServerDeps,
  "authenticator" | "authorizer" | "admission" | "impersonate" | "forbidden" | "reviews" | "flowControl" | "audit"
>;

function coreSources(sources: Sources) {
  return {
    namespaces: sources.of<Namespace>("", "namespaces"),
    nodes: sources.of<Node>("", "nodes"),
    pods: sources.of<Pod>("", "pods"),
    secrets: sources.of<Secret>("", "secrets"),
    serviceAccounts: sources.of<ServiceAccount>("", "serviceaccounts"),
  };
}
export type CoreSources = ReturnType<typeof coreSources>;

/**
 * Authentication, authorization, admission, flow control and audit, as the flags want them. `own` is the server as a
 * client of itself, once it runs.
 */
export async function buildGatekeepers(
  deps: BuildDeps,
  registry: ResourceRegistry,
  sources: Sources,
  own: () => Client,
): Promise<{ gatekeepers: Gatekeepers; issuer: TokenIssuer; metrics: () => string }> {
  const { flags, pki, clock, random } = deps;
  const core = coreSources(sources);
  const transport = new HttpsTransport(clock);
  const { authorizer, rbac, nodes, ...authorization } = await buildAuthorizer(deps, sources, core, transport);
  const issuer = new TokenIssuer({
    issuers: [flags["service-account-issuer"]],
    signingKey: pki.serviceAccount.key,
    clock,
    random,
  });
  const { authenticator, ...authentication } = await buildAuthenticator(deps, issuer, core, transport, own);
  const impersonator = new Impersonator(authorizer);
  const flow = new FlowController({
    flowSchemas: sources.of("flowcontrol.apiserver.k8s.io", "flowschemas"),
    priorityLevels: sources.of("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    totalSeats: flags["max-requests-inflight"] + flags["max-mutating-requests-inflight"],
    loadOf: (group, version, resource) => {
      const cache = registry.lookup(group, version, resource)?.cache;
      return cache === undefined ? undefined : { objects: cache.count(), watchers: cache.watching() };
    },
    clock,
  });
  const gatekeepers: Gatekeepers = {
    authenticator,
    authorizer,
    admission: await buildAdmission(deps, registry, sources, core, authorizer, rbac, own),
    impersonate: (request, user) => (impersonator.requested(request) ? impersonator.impersonate(request, user) : user),
    forbidden: forbiddenError,
    flowControl: (user, target, request) => flow.admit(user, target, request),
    reviews: [
      createAuthnReviews({ clock, tokens: authenticator.tokens, issuer, sources: core }),
      createAuthzReviews({ authorizer, nodes, ...(rbac === undefined ? {} : { rbac }) }),
    ],
    ...buildAudit(deps),
  };
  const measured = [flow, authenticator, authentication.reloader, authorization.reloader];
  return { gatekeepers, issuer, metrics: () => measured.map((own) => own?.metrics() ?? "").join("") };
}

/** How this server reaches Services. */
export function serviceRouting({ flags }: Pick<BuildDeps, "flags">): ServiceRouting {
  return flags["enable-aggregator-routing"] ? "endpoints" : "cluster-ip";
}

/** What --admission-control-config-file says; paths in it are relative to it. */
function admissionConfiguration({ flags }: BuildDeps): AdmissionConfiguration {
  const file = flags["admission-control-config-file"];
  if (file === "") return {};
  const parsed = (path: string): unknown => decodeYaml(readFileSync(path, "utf8")).value;
  return parseAdmissionConfiguration(parsed(file), (path) => parsed(resolve(dirname(file), path)));
}

/** What --feature-gates says. @throws UsageError */
export function gatesOf(flags: Pick<BuildDeps["flags"], "feature-gates">): FeatureGates {
  try {
    return featureGates(flags["feature-gates"]);
  } catch (error) {
    throw new UsageError(errorMessage(error));
  }
}

async function buildAdmission(
  deps: BuildDeps,
  registry: ResourceRegistry,
  sources: Sources,
  core: CoreSources,
  authorizer: Authorizer,
  rbac: RbacAuthorizer | undefined,
  own: () => Client,
) {
  const { flags, clock, random, log } = deps;
  const createNamespace = async (name: string): Promise<void> => {
    const draft = { apiVersion: "v1" as const, kind: "Namespace" as const, metadata: { name }, spec: {} };
    await ignoreAlreadyExists(own().create(namespaceRef, draft));
  };
  const configuration = admissionConfiguration(deps);
  const { kubeConfigFile, retryBackoffMs, ...imagePolicy } = configuration.imagePolicy ?? {};
  const namespaces = registry.cache("", "namespaces");
  const accounts = registry.cache("", "serviceaccounts");
  return createAdmissionChain({
    configuration,
    ...(kubeConfigFile === undefined
      ? {}
      : {
          imagePolicy: {
            ...imagePolicy,
            webhook: { ...(await reviewWebhook(kubeConfigFile)), retryBackoffMs },
          } as ImagePolicySettings,
        }),
    gates: gatesOf(flags),
    tolerationSeconds: {
      notReady: flags["default-not-ready-toleration-seconds"],
      unreachable: flags["default-unreachable-toleration-seconds"],
    },
    createNamespace,
    clock,
    random,
    log,
    authorizer,
    sources: {
      ...core,
      limitRanges: sources.of("", "limitranges"),
      priorityClasses: sources.of("scheduling.k8s.io", "priorityclasses"),
      storageClasses: sources.of("storage.k8s.io", "storageclasses"),
      ingressClasses: sources.of("networking.k8s.io", "ingressclasses"),
      resourceQuotas: sources.of("", "resourcequotas"),
      runtimeClasses: sources.of("node.k8s.io", "runtimeclasses"),
      csiDrivers: sources.of("storage.k8s.io", "csidrivers"),
    },
    quotaCache: registry.cache("", "resourcequotas"),
    lookupServiceAccount: async (namespace, name) =>
      (await accounts.get(namespace, name))?.object as ServiceAccount | undefined,
    lookupNamespace: async (name) => (await namespaces.get("", name))?.object as Namespace | undefined,
    enable: ["NodeRestriction", ...flags["enable-admission-plugins"]],
    disable: flags["disable-admission-plugins"],
    extension: {
      source: (group, plural) => sources.of(group, plural),
      routing: serviceRouting(deps),
      installed: () => registry.all(),
      convert: (object, from, to) => registry.convert(object, from, to),
    },
    extraValidating: rbac === undefined ? [] : [new RbacEscalation(rbac, authorizer)],
  });
}

/** The audit log, when a path for it is given. */
function buildAudit({ flags, clock, random, log, cleanup }: BuildDeps): { audit?: AuditRecorder } {
  const path = flags["audit-log-path"];
  if (path === "") return {};
  const policyFile = flags["audit-policy-file"];
  if (policyFile === "") throw new UsageError("--audit-log-path needs an --audit-policy-file");
  const policy = parseAuditPolicy(decodeYaml(readFileSync(policyFile, "utf8")).value);
  const file = new AuditLogFile({
    path,
    maxSizeMiB: flags["audit-log-maxsize"],
    maxBackups: flags["audit-log-maxbackup"],
    maxAgeDays: flags["audit-log-maxage"],
    clock,
    log,
  });
  cleanup.defer(() => file.flush());
  return { audit: new AuditRecorder({ policy, write: (line) => file.write(line), clock, random }) };
}
