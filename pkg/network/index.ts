/**
 * The built-in pod network: each node turns its pod ranges into a CNI configuration (bridge, host-local, portmap), keeps
 * routes to the other nodes and masquerades what leaves the cluster. Other network plugins replace all of it.
 */
export { PodNetwork, type PodNetworkConfig, type PodNetworkDeps, removePodNetwork } from "./pod-network.ts";
export type { CniNetwork } from "./cni-config.ts";
export type { TunnelMode } from "./routes.ts";
