/** Address family a ruleset is for. */
export type Family = "IPv4" | "IPv6";
export type Protocol = "TCP" | "UDP" | "SCTP";

/** One backend of a service port, resolved to an address and a port number. */
export interface ProxyEndpoint {
  readonly ip: string;
  readonly port: number;
  /** Runs on this node. */
  readonly local: boolean;
}

/** One port of one service in one address family: all a backend needs to write its rules. */
export interface ServicePort {
  /** "namespace/name:port", or "namespace/name" for a nameless port; unique together with the protocol. */
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly protocol: Protocol;
  readonly clusterIP: string;
  readonly port: number;
  /** 0: none. */
  readonly nodePort: number;
  readonly externalIPs: readonly string[];
  readonly loadBalancerIPs: readonly string[];
  readonly loadBalancerSourceRanges: readonly string[];
  /** Seconds a client sticks to its endpoint; 0: no affinity. */
  readonly affinitySeconds: number;
  readonly internalTrafficLocal: boolean;
  readonly externalTrafficLocal: boolean;
  /** 0: none. */
  readonly healthCheckNodePort: number;
  /** Endpoints for traffic that may go to any node; serving-terminating ones only when none is ready. */
  readonly clusterEndpoints: readonly ProxyEndpoint[];
  /** Endpoints on this node, for traffic policy Local. */
  readonly localEndpoints: readonly ProxyEndpoint[];
  /** Ready endpoints on this node: what the health check node port reports. */
  readonly readyLocalEndpoints: number;
  /** Some node has a usable endpoint: Local traffic without a local one is dropped instead of rejected. */
  readonly hasAnyEndpoints: boolean;
}

/** A difference between two states of the model, keyed by `id` + "/" + protocol. */
export interface ModelChange {
  /** Ports that are new or differ from before. */
  readonly changed: ReadonlyMap<string, ServicePort>;
  /** Ports that are gone, with their last state. */
  readonly removed: ReadonlyMap<string, ServicePort>;
  /** UDP destinations whose connection tracking entries have become stale. */
  readonly staleUdp: readonly StaleFlow[];
}

/** Conntrack entries to delete: towards `ip` and `port`, and only those translated to `endpointIP` when given. */
export interface StaleFlow {
  /** undefined: any address, which is what a node port has. */
  readonly ip?: string;
  readonly port: number;
  readonly endpointIP?: string;
}
