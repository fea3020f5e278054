/**
 * Admission: what may enter the cluster, and what is filled in on the way. `createAdmissionChain` builds the chain of the
 * built-in plugins in upstream's order (catalog.ts): all mutating passes, then all validating ones, ResourceQuota last.
 *
 * What differs from kube-apiserver v1.36, plugin by plugin:
 * - AlwaysAdmit and PodTolerationRestriction (both off by default) do not exist.
 * - NodeRestriction is on by default, as kubeadm has it.
 * - NodeDeclaredFeatureValidator knows the features that resizes need, whatever the node's version.
 * - PodGroupProtection, PodGroupWorkloadExists, JobValidation: with their gates only, and then groups of pods are kept and
 *   let go, but not yet scheduled as a whole; PodGroupWorkloadExists looks into the watch cache only.
 * - ResourceQuota takes no configuration file (limitedResources); webhooks none with a kubeconfig of credentials.
 * - ImagePolicyWebhook and other review webhooks are asked again after 429, 500, 504 and a reset, without jitter.
 * - ValidatingAdmissionPolicy: the audit log gets all failures of a request, not only the first.
 * - A webhook's answer may be 8 MiB; a policy's parameters come from the watch cache, which is never behind an answered write
 *   of the same server.
 * - PodConnectAuthorization, AdmissionExpressions and RbacEscalation are checks that upstream makes elsewhere.
 *
 * Wiring (cmd/master):
 * ```ts
 * const chain = createAdmissionChain({
 *   clock, random, log, authorizer, quotaCache: registry.cache("", "resourcequotas"),
 *   sources: { namespaces: source("", "namespaces"), serviceAccounts: …, limitRanges: …, … }, // all of AdmissionSources
 *   lookupNamespace: async (name) => (await registry.cache("", "namespaces").get("", name))?.object as Namespace | undefined,
 *   lookupServiceAccount: async (namespace, name) => (await registry.cache("", "serviceaccounts").get(namespace, name))?.object as …,
 *   extraValidating: rbac === undefined ? [] : [new RbacEscalation(rbac, authorizer)],
 *   extension: { source, installed: () => registry.all() }, // webhooks and admission policies
 *   enable: ["NodeRestriction"], disable: [],
 * });
 * // the registry, for every write and connect:
 * const mutated = chain.admit(attributes);   if (mutated !== undefined) await mutated;
 * // … defaulting again, validation …
 * const checked = chain.validate(attributes); if (checked !== undefined) await checked;
 * // … write …
 * const settled = chain.settle(attributes, stored); if (settled !== undefined) await settled;
 * ```
 */
export { createAdmissionChain, type AdmissionDeps, type AdmissionSources, type ExtensionDeps } from "./create.ts";
export { type FeatureGates, featureGates } from "./gates.ts";
export type { AdmissionChain } from "./chain.ts";
export type { ServiceAddress, ServiceResolver, WebhookTransport } from "./webhook/client.ts";
export { EndpointResolver, type ServiceRouting, ServiceUnresolvedError } from "./webhook/service-resolver.ts";
export { HttpsTransport } from "./webhook/https-transport.ts";
export { WebhookClient } from "./webhook/client.ts";
export { type AdmissionConfiguration, parseAdmissionConfiguration } from "./configuration.ts";
export type { ImagePolicySettings } from "./plugins/image-policy.ts";
