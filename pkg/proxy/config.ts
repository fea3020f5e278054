/** What all modes need to know about the node. */
export interface ProxyConfig {
  /** Pod network; traffic from elsewhere to a cluster IP is masqueraded. "" when unknown: nothing is. */
  readonly clusterCIDR: string;
  /** Masquerade all traffic to cluster IPs. */
  readonly masqueradeAll: boolean;
  /** CIDRs whose addresses accept node ports; empty: every local address. */
  readonly nodePortAddresses: readonly string[];
  /** Node ports answer on loopback addresses too (IPv4 only; needs route_localnet; not in nftables mode). */
  readonly localhostNodePorts: boolean;
  /** This node's address in the family of the rules; "" when unknown. */
  readonly nodeIP: string;
}
