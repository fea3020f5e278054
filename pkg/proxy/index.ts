/**
 * The service proxy: Services and EndpointSlices become rules of the node's kernel. `model/` turns objects into service
 * ports with chosen endpoints (pure); a Proxier per mode writes them as one transaction. Source: the virtual IP
 * mechanism of the Kubernetes reference, KEP-1669, KEP-2086, KEP-2433.
 */
export { ServiceProxy, type ServiceProxyDeps } from "./service-proxy.ts";
export { IptablesProxier, type IptablesDeps } from "./iptables/proxier.ts";
export type { IptablesConfig } from "./iptables/render.ts";
export type { Proxier } from "./proxier.ts";
export type { Family, ModelChange, ProxyEndpoint, ServicePort } from "./model/types.ts";
