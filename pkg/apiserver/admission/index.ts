/**
 * Admission: what may enter the cluster, and what is filled in on the way. `createAdmissionChain` builds the chain of the
 * built-in plugins in upstream's order: all mutating passes, then all validating ones, ResourceQuota last.
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
export { PluginChain, type AdmissionChain } from "./chain.ts";
export { refusal } from "./attributes.ts";
export type { ServiceAddress, ServiceResolver, WebhookTransport } from "./webhook/client.ts";
export { EndpointResolver, type ServiceRouting, ServiceUnresolvedError } from "./webhook/service-resolver.ts";
export { HttpsTransport } from "./webhook/https-transport.ts";
export { WebhookClient } from "./webhook/client.ts";
export { type AdmissionConfiguration, parseAdmissionConfiguration } from "./configuration.ts";
export type { ImagePolicySettings } from "./plugins/image-policy.ts";
