/**
 * Cluster DNS (Kubernetes DNS specification 1.1.0): every node answers from Services and EndpointSlices behind the
 * ordinary kube-system/kube-dns Service, and forwards the rest. A CoreDNS deployment can take its place.
 */
export { CLUSTER_DNS_PORT, ClusterDns, type ClusterDnsConfig, type ClusterDnsDeps } from "./cluster-dns.ts";
export { DNS_NODE_LABEL, DnsServiceController, type DnsServiceDeps } from "./service-controller.ts";
export type { Lookup } from "./zone.ts";
