import { createHash } from "node:crypto";
import type { Node } from "#pkg/api/types/core-v1.ts";

/** A route to another node's pods. */
export interface PodRoute {
  readonly cidr: string;
  readonly via: string;
  /** Through the tunnel; otherwise `via` is on a network that this node is on as well. */
  readonly tunnel: boolean;
}

/** Another node at the far end of the tunnel. */
export interface TunnelPeer {
  readonly mac: string;
  /** Where its packets are sent. */
  readonly address: string;
}

export interface NetworkPlan {
  /** Pod range → route. */
  readonly routes: ReadonlyMap<string, PodRoute>;
  /** MAC → peer. */
  readonly peers: ReadonlyMap<string, TunnelPeer>;
  /** Next hop in the tunnel → MAC. */
  readonly neighbours: ReadonlyMap<string, string>;
}

/** How another node is reached: over a common link, through a router, or not at all. */
export type Reach = "link" | "router" | "none";
/** When traffic to pods of other nodes is wrapped into VXLAN. */
export type TunnelMode = "auto" | "never" | "always";

/** The address of a node that routes point at, in the family of `cidr`. */
function internalAddress(node: Node, cidr: string): string | undefined {
  const ipv6 = cidr.includes(":");
  return node.status?.addresses?.find(({ type, address }) => type === "InternalIP" && address.includes(":") === ipv6)
    ?.address;
}

export function podCIDRsOf(node: Node): readonly string[] {
  return node.spec.podCIDRs ?? (node.spec.podCIDR === undefined || node.spec.podCIDR === "" ? [] : [node.spec.podCIDR]);
}

/** The address at which a node's tunnel ends: IPv4 where it has one. */
export function tunnelAddress(node: Node): string | undefined {
  return internalAddress(node, "") ?? internalAddress(node, "::");
}

/**
 * The MAC of a node's tunnel device, derived from its address: every node can work it out without being told, and a new
 * address brings a new one. Locally administered, unicast.
 */
export function tunnelMac(address: string): string {
  const digest = createHash("sha256").update(address).digest();
  return ["02", ...Array.from(digest.subarray(0, 5), (byte) => byte.toString(16).padStart(2, "0"))].join(":");
}

/** The link-local address that a MAC has (RFC 4291, modified EUI-64): the next hop of IPv6 in the tunnel. */
export function linkLocal(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(":").map((part) => Number.parseInt(part, 16));
  const groups = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f].map((group) => group.toString(16));
  return new URL(`http://[fe80::${groups.join(":")}]`).hostname.slice(1, -1);
}

const networkAddress = (cidr: string): string => cidr.slice(0, cidr.indexOf("/"));

/** What this node needs to reach the pods of all others. `reach` says how an address is reached. Pure. */
export function planNetwork(
  nodes: readonly Node[],
  self: string,
  mode: TunnelMode,
  reach: (address: string) => Reach,
): NetworkPlan {
  const routes = new Map<string, PodRoute>();
  const peers = new Map<string, TunnelPeer>();
  const neighbours = new Map<string, string>();
  for (const node of nodes) {
    const end = tunnelAddress(node);
    if (node.metadata.name === self || end === undefined) continue;
    const tunnel = mode === "always" || (mode === "auto" && reach(end) === "router");
    for (const cidr of podCIDRsOf(node)) {
      if (!tunnel) {
        const via = internalAddress(node, cidr);
        if (via !== undefined && reach(via) !== "none") routes.set(cidr, { cidr, via, tunnel });
        continue;
      }
      const mac = tunnelMac(end);
      const via = cidr.includes(":") ? linkLocal(mac) : networkAddress(cidr);
      peers.set(mac, { mac, address: end });
      neighbours.set(via, mac);
      routes.set(cidr, { cidr, via, tunnel });
    }
  }
  return { routes, peers, neighbours };
}

/** Bytes that the tunnel puts around a packet: outer IP, UDP, VXLAN and inner Ethernet headers. */
export function tunnelOverhead(address: string): number {
  return (address.includes(":") ? 40 : 20) + 8 + 8 + 14;
}
