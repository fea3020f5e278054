import type { Node } from "#pkg/api/types/core-v1.ts";

/** A route to another node's pods. */
export interface PodRoute {
  readonly cidr: string;
  readonly via: string;
}

/** The address of a node that routes point at, in the family of `cidr`. */
export function internalAddress(node: Node, cidr: string): string | undefined {
  const ipv6 = cidr.includes(":");
  return node.status?.addresses?.find(({ type, address }) => type === "InternalIP" && address.includes(":") === ipv6)
    ?.address;
}

export function podCIDRsOf(node: Node): readonly string[] {
  return node.spec.podCIDRs ?? (node.spec.podCIDR === undefined || node.spec.podCIDR === "" ? [] : [node.spec.podCIDR]);
}

/** Routes this node needs: one per pod range of every other node whose address is known. Pure. */
export function planRoutes(nodes: readonly Node[], self: string): Map<string, PodRoute> {
  const routes = new Map<string, PodRoute>();
  for (const node of nodes) {
    if (node.metadata.name === self) continue;
    for (const cidr of podCIDRsOf(node)) {
      const via = internalAddress(node, cidr);
      if (via !== undefined) routes.set(cidr, { cidr, via });
    }
  }
  return routes;
}
