/**
 * Objects every cluster starts with, written straight into storage before the first request is served.
 *
 * Wiring (cmd/master), once the caches are ready:
 * ```ts
 * const deps = { cache: (group, plural) => registry.cache(group, plural), clock, random, log };
 * await bootstrapSystemObjects(deps); // namespaces default, kube-system, kube-public, kube-node-lease; priority classes
 * await bootstrapRbac(deps);          // default roles and bindings, and kubeadm's
 * await bootstrapExtensionAuthentication(deps, { clientCa: pki.ca.cert, requestHeaderCa: pki.frontProxyCa.cert, allowedNames: ["front-proxy-client"] });
 * ```
 */
export {
  bootstrapExtensionAuthentication,
  bootstrapLegacyTokenTracking,
  bootstrapRbac,
  bootstrapSystemObjects,
  type BootstrapDeps,
  type ExtensionAuthentication,
  type StoredCache,
} from "./reconcile.ts";
export { defaultRbacObjects, systemNodeRules, type BootstrapRbacObjects } from "./objects.ts";
