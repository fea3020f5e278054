import type {
  LimitRange,
  Namespace,
  Node,
  Pod,
  ResourceQuota as Quota,
  ServiceAccount as Account,
} from "#pkg/api/types/core-v1.ts";
import type { IngressClass } from "#pkg/api/types/networking-v1.ts";
import type { RuntimeClass as PodRuntimeClass } from "#pkg/api/types/node-v1.ts";
import type { PriorityClass } from "#pkg/api/types/scheduling-v1.ts";
import type { CSIDriver, StorageClass } from "#pkg/api/types/storage-v1.ts";
import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { AdmissionPlugin, Authorizer } from "../contract.ts";
import type { ObjectSource } from "../source/index.ts";
import { CATALOG } from "./catalog.ts";
import { type AdmissionChain, PluginChain } from "./chain.ts";
import {
  CertificateApproval,
  CertificateSigning,
  CertificateSubjectRestriction,
  ClusterTrustBundleAttest,
} from "./plugins/certificates.ts";
import { type Equivalents, equivalentsOf } from "./equivalents.ts";
import {
  AlwaysDeny,
  ExtendedResourceToleration,
  LimitPodHardAntiAffinityTopology,
  NamespaceExists,
  OwnerReferencesPermissionEnforcement,
  PodConnectAuthorization,
} from "./plugins/extra.ts";
import { LimitRanger } from "./plugins/limits.ts";
import { NamespaceLifecycle } from "./plugins/namespace-lifecycle.ts";
import { DenyServiceExternalIPs, NamespaceAutoProvision } from "./plugins/namespace-options.ts";
import { NodeRestriction } from "./plugins/node-restriction.ts";
import {
  AlwaysPullImages,
  DefaultTolerationSeconds,
  PodTopologyLabels,
  TaintNodesByCondition,
} from "./plugins/pod-defaults.ts";
import { PodNodeSelector } from "./plugins/pod-node-selector.ts";
import { Priority } from "./plugins/priority.ts";
import { RuntimeClass } from "./plugins/runtime-class.ts";
import { type AccountLookup, ServiceAccount } from "./plugins/service-account.ts";
import {
  DefaultIngressClass,
  DefaultStorageClass,
  PersistentVolumeClaimResize,
  StorageObjectInUseProtection,
} from "./plugins/storage.ts";
import { PodSecurity } from "./pod-security/plugin.ts";
import { AdmissionExpressions } from "./policy/compile-check.ts";
import { webhookConditions } from "./policy/conditions.ts";
import type { PolicyDeps } from "./policy/evaluation.ts";
import { ParamFinder } from "./policy/matching.ts";
import { MutatingAdmissionPolicy } from "./policy/mutating.ts";
import { ValidatingAdmissionPolicy } from "./policy/validating.ts";
import type { AdmissionConfiguration } from "./configuration.ts";
import { type FeatureGates, featureGates } from "./gates.ts";
import { EventRateLimit } from "./plugins/event-rate-limit.ts";
import { ImagePolicyWebhook, type ImagePolicySettings } from "./plugins/image-policy.ts";
import { NodeDeclaredFeatureValidator } from "./plugins/node-declared-features.ts";
import { JobValidation, PodGroupProtection, PodGroupWorkloadExists } from "./plugins/pod-groups.ts";
import { PodResizeValidator } from "./plugins/pod-resize.ts";
import type { QuotaCache } from "./quota/accountant.ts";
import { ResourceQuota } from "./quota/plugin.ts";
import { WebhookClient, type WebhookTransport } from "./webhook/client.ts";
import type { WebhookDeps } from "./webhook/hooks.ts";
import { HttpsTransport } from "./webhook/https-transport.ts";
import { MutatingAdmissionWebhook, ValidatingAdmissionWebhook } from "./webhook/plugins.ts";
import { EndpointResolver, type ServiceRouting } from "./webhook/service-resolver.ts";

export interface AdmissionSources {
  readonly namespaces: ObjectSource<Namespace>;
  readonly serviceAccounts: ObjectSource<Account>;
  readonly limitRanges: ObjectSource<LimitRange>;
  readonly priorityClasses: ObjectSource<PriorityClass>;
  readonly storageClasses: ObjectSource<StorageClass>;
  readonly ingressClasses: ObjectSource<IngressClass>;
  readonly nodes: ObjectSource<Node>;
  readonly pods: ObjectSource<Pod>;
  readonly resourceQuotas: ObjectSource<Quota>;
  readonly runtimeClasses: ObjectSource<PodRuntimeClass>;
  readonly csiDrivers: ObjectSource<CSIDriver>;
}

export interface AdmissionDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly authorizer: Authorizer;
  readonly sources: AdmissionSources;
  /** The resourcequotas cache, for compare-and-swap of their status. */
  readonly quotaCache: QuotaCache;
  /** Creates a namespace for NamespaceAutoProvision, when that is enabled. */
  readonly createNamespace?: (name: string) => Promise<void>;
  /** Consistent read of a namespace, for one the cache does not know (yet). */
  readonly lookupNamespace?: (name: string) => Promise<Namespace | undefined>;
  /** The same of a service account. */
  readonly lookupServiceAccount?: AccountLookup;
  /** `--enable-admission-plugins`, `--disable-admission-plugins`: on top of upstream's defaults. */
  readonly enable?: readonly string[];
  readonly disable?: readonly string[];
  /** `--feature-gates`; upstream's defaults when absent. */
  readonly gates?: FeatureGates;
  /** `--default-not-ready-toleration-seconds`, `--default-unreachable-toleration-seconds`; 300 each. */
  readonly tolerationSeconds?: { readonly notReady: number; readonly unreachable: number };
  /** Settings of plugins that have any. */
  readonly configuration?: AdmissionConfiguration;
  /** How ImagePolicyWebhook reaches its webhook. */
  readonly imagePolicy?: ImagePolicySettings;
  /** Webhooks and policies; absent in a server without them. */
  readonly extension?: ExtensionDeps;
  /** Run before the quota, after all others (RBAC escalation). */
  readonly extraValidating?: readonly AdmissionPlugin[];
}

/** What admission by configuration needs. */
export interface ExtensionDeps {
  /** A source of any stored resource. */
  source<T extends AnyObject>(group: string, plural: string): ObjectSource<T> & { ready?(): Promise<void> };
  /** Everything served (`registry.all()`): other versions of a kind, and kinds that parameters are of. */
  installed(): Iterable<{ readonly definition: ResourceDefinition }>;
  /** Where the Service of a webhook is looked for; default its endpoints. */
  readonly routing?: ServiceRouting;
  /** How webhooks are reached; HTTPS when absent. */
  readonly transport?: WebhookTransport;
  /** Conversion between served versions, where it is more than the definitions' own functions (CRD webhooks). */
  readonly convert?: Equivalents["convert"];
}

/** Plugins that are nothing without their settings. */
const NEED_CONFIGURATION: ReadonlySet<string> = new Set(["EventRateLimit", "ImagePolicyWebhook"]);

/** Upstream's plugins that this server does not have: they can be disabled, not enabled. */
const ABSENT: ReadonlySet<string> = new Set(["AlwaysAdmit", "PodTolerationRestriction"]);

/** Those of upstream's plugins that are off unless enabled by name. */
const OFF_BY_DEFAULT: ReadonlySet<string> = new Set(CATALOG.filter(({ on }) => !on).map(({ name }) => name));
const KNOWN: ReadonlySet<string> = new Set(CATALOG.map(({ name }) => name));

/** The built-in plugins in upstream's order. @throws Error for a name in `enable` or `disable` that does not exist. */
export function createAdmissionChain(deps: AdmissionDeps): AdmissionChain {
  return new PluginChain(createPlugins(deps));
}

/** What the chain is made of: plugins that are enabled and whose feature gates are on. */
export function createPlugins(deps: AdmissionDeps): AdmissionPlugin[] {
  const { sources, clock, random, authorizer, gates = featureGates() } = deps;
  const plugins: AdmissionPlugin[] = [
    new NamespaceAutoProvision(sources.namespaces, deps.createNamespace ?? cannotProvision),
    new NamespaceLifecycle(sources.namespaces, deps.lookupNamespace),
    new NamespaceExists(sources.namespaces),
    new LimitPodHardAntiAffinityTopology(),
    new LimitRanger(sources.limitRanges),
    new ServiceAccount(sources.serviceAccounts, clock, random, deps.lookupServiceAccount),
    new NodeRestriction(sources),
    new TaintNodesByCondition(),
    new AlwaysPullImages(),
    ...imagePolicy(deps),
    new PodSecurity(
      sources.namespaces,
      sources.pods,
      deps.lookupNamespace,
      deps.configuration?.podSecurity?.defaults,
      deps.configuration?.podSecurity?.exemptions,
    ),
    new PodNodeSelector(sources.namespaces, deps.configuration?.podNodeSelectors),
    new Priority(sources.priorityClasses),
    new DefaultTolerationSeconds(deps.tolerationSeconds?.notReady, deps.tolerationSeconds?.unreachable),
    ...eventRateLimit(deps),
    new ExtendedResourceToleration(),
    new DefaultStorageClass(sources.storageClasses),
    new StorageObjectInUseProtection(),
    new PodGroupProtection(),
    new OwnerReferencesPermissionEnforcement(authorizer, () => deps.extension?.installed() ?? []),
    new PersistentVolumeClaimResize(sources.storageClasses),
    new RuntimeClass(sources.runtimeClasses),
    new CertificateApproval(authorizer),
    new CertificateSigning(authorizer),
    new ClusterTrustBundleAttest(authorizer),
    new CertificateSubjectRestriction(),
    new DefaultIngressClass(sources.ingressClasses),
    new DenyServiceExternalIPs(),
    new PodTopologyLabels(sources.nodes),
    ...podGroupWorkloads(deps, gates),
    new NodeDeclaredFeatureValidator(sources.nodes),
    ...jobValidation(deps, gates),
    new PodResizeValidator(sources.nodes),
    new PodConnectAuthorization(authorizer),
    ...configured(deps),
    ...(deps.extraValidating ?? []),
    new ResourceQuota(sources.resourceQuotas, deps.quotaCache, clock),
    new AlwaysDeny(),
  ];
  const names = new Set(plugins.map(({ name }) => name));
  const unset = deps.enable?.find((name) => NEED_CONFIGURATION.has(name) && !names.has(name));
  if (unset !== undefined)
    throw new Error(
      `admission plugin ${JSON.stringify(unset)} needs its configuration in --admission-control-config-file`,
    );
  const unknown =
    deps.enable?.find((name) => !KNOWN.has(name) || ABSENT.has(name)) ?? deps.disable?.find((name) => !KNOWN.has(name));
  if (unknown !== undefined) throw new Error(`admission plugin ${JSON.stringify(unknown)} is unknown`);
  const gateOf = new Map(CATALOG.map(({ name, gate }) => [name, gate]));
  return plugins.filter(({ name }) => {
    const gate = gateOf.get(name);
    if (deps.disable?.includes(name) === true || (gate !== undefined && !gates[gate])) return false;
    return !OFF_BY_DEFAULT.has(name) || deps.enable?.includes(name) === true;
  });
}

const SCHEDULING = "scheduling.k8s.io";

/** Who reads a resource that is there for one feature only does not follow it while the feature is off. */
function podGroupWorkloads({ extension }: AdmissionDeps, gates: FeatureGates): AdmissionPlugin[] {
  if (extension === undefined || !gates.GenericWorkload) return [];
  return [new PodGroupWorkloadExists(extension.source(SCHEDULING, "workloads"))];
}
function jobValidation({ extension }: AdmissionDeps, gates: FeatureGates): AdmissionPlugin[] {
  if (extension === undefined || !gates.WorkloadWithJob) return [];
  return [new JobValidation(extension.source(SCHEDULING, "podgroups"))];
}

function imagePolicy({ imagePolicy: settings, extension, clock, log }: AdmissionDeps): AdmissionPlugin[] {
  if (settings === undefined) return [];
  const transport = extension?.transport ?? new HttpsTransport(clock);
  return [new ImagePolicyWebhook(settings, { transport, clock, log })];
}

function eventRateLimit({ configuration, clock }: AdmissionDeps): AdmissionPlugin[] {
  const limits = configuration?.eventRateLimits;
  return limits === undefined ? [] : [new EventRateLimit(limits, clock)];
}

async function cannotProvision(name: string): Promise<void> {
  throw new Error(`namespace ${JSON.stringify(name)} cannot be provisioned: createNamespace is not wired`);
}

const REGISTRATION = "admissionregistration.k8s.io";

function configured({ extension, sources, authorizer, clock, random, log }: AdmissionDeps): AdmissionPlugin[] {
  if (extension === undefined) return [];
  const services = new EndpointResolver(
    extension.source("", "services"),
    extension.source("discovery.k8s.io", "endpointslices"),
    random,
    extension.routing,
  );
  const found = equivalentsOf(() => extension.installed());
  const equivalents = extension.convert === undefined ? found : { of: found.of, convert: extension.convert };
  const policies: PolicyDeps = {
    namespaces: sources.namespaces,
    equivalents,
    authorizer,
    params: new ParamFinder(extension),
  };
  const shared: WebhookDeps = {
    client: new WebhookClient(extension.transport ?? new HttpsTransport(clock), services),
    namespaces: sources.namespaces,
    equivalents,
    random,
    log,
    compileConditions: webhookConditions(authorizer),
  };
  const source = <T extends AnyObject>(plural: string): ObjectSource<T> => extension.source<T>(REGISTRATION, plural);
  return [
    new MutatingAdmissionPolicy(
      source("mutatingadmissionpolicies"),
      source("mutatingadmissionpolicybindings"),
      policies,
    ),
    new MutatingAdmissionWebhook(source("mutatingwebhookconfigurations"), shared),
    new AdmissionExpressions(),
    new ValidatingAdmissionPolicy(
      source("validatingadmissionpolicies"),
      source("validatingadmissionpolicybindings"),
      policies,
    ),
    new ValidatingAdmissionWebhook(source("validatingwebhookconfigurations"), shared),
  ];
}
