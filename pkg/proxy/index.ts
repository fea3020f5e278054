/**
 * The service proxy: Services and EndpointSlices become rules of the node's kernel. `model/` turns objects into service
 * ports with chosen endpoints (pure); a Proxier per mode writes them as one transaction. Source: the virtual IP
 * mechanism of the Kubernetes reference, KEP-1669, KEP-2086, KEP-2433, KEP-3866.
 */
export { type ListenAddress, ServiceProxy, type ServiceProxyDeps } from "./service-proxy.ts";
export { PROXY_MODES, type ProxierDeps, type ProxyMode, cleanupModes, createProxier } from "./modes.ts";
export { type ConntrackSettings, applyConntrackSettings } from "./conntrack-settings.ts";
export type { ProxyConfig } from "./config.ts";
export type { Proxier, SyncStats } from "./proxier.ts";
export type { Family, ModelChange, ProxyEndpoint, ServicePort } from "./model/types.ts";
