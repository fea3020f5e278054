import type { ServicePort as ApiServicePort } from "#pkg/api/types/core-v1.ts";
import type { Endpoint, EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import type { Family, ProxyEndpoint } from "./types.ts";

export interface NodeContext {
  readonly nodeName: string;
  /** topology.kubernetes.io/zone of this node, "" when it has none. */
  readonly zone: string;
}

interface Candidate extends ProxyEndpoint {
  readonly ready: boolean;
  readonly serving: boolean;
  readonly zones: readonly string[] | undefined;
  readonly nodes: readonly string[] | undefined;
}

function candidateOf(endpoint: Endpoint, port: number, node: NodeContext): Candidate | undefined {
  const ip = endpoint.addresses[0];
  if (ip === undefined) return undefined;
  const { ready = true, serving = ready, terminating = false } = endpoint.conditions ?? {};
  return {
    ip,
    port,
    local: endpoint.nodeName === node.nodeName,
    ready: ready && !terminating,
    serving,
    zones: endpoint.hints?.forZones?.map(({ name }) => name),
    nodes: endpoint.hints?.forNodes?.map(({ name }) => name),
  };
}

/** Addresses of loopback and link-local scope would let an API user reach the node's own services (CVE-2020-8558 class). */
function isForbidden(ip: string): boolean {
  return ip.startsWith("127.") || ip.startsWith("169.254.") || ip === "::1" || /^fe[89ab]/i.test(ip);
}

function collect(
  slices: readonly EndpointSlice[],
  port: ApiServicePort,
  family: Family,
  node: NodeContext,
): Candidate[] {
  const found = new Map<string, Candidate>();
  for (const slice of slices) {
    if (slice.addressType !== family) continue;
    for (const slicePort of slice.ports ?? []) {
      if ((slicePort.name ?? "") !== (port.name ?? "") || (slicePort.protocol ?? "TCP") !== (port.protocol ?? "TCP"))
        continue;
      if (slicePort.port === undefined) continue;
      for (const endpoint of slice.endpoints ?? []) {
        const candidate = candidateOf(endpoint, slicePort.port, node);
        if (candidate === undefined || isForbidden(candidate.ip)) continue;
        // The same address may stand in two slices for a moment; the ready entry is the one to believe.
        const key = `${candidate.ip}|${candidate.port}`;
        if (found.get(key)?.ready !== true) found.set(key, candidate);
      }
    }
  }
  return [...found.values()].sort((a, b) => (a.ip === b.ip ? a.port - b.port : a.ip < b.ip ? -1 : 1));
}

/**
 * Hints narrow the choice to this node or this zone, but only when every ready endpoint has one and at least one
 * matches: otherwise traffic could find no endpoint at all (KEP-2433, KEP-3015).
 */
function preferClose(ready: readonly Candidate[], node: NodeContext): readonly Candidate[] {
  if (ready.length > 0 && ready.every(({ nodes }) => nodes !== undefined && nodes.length > 0)) {
    const sameNode = ready.filter(({ nodes }) => nodes!.includes(node.nodeName));
    if (sameNode.length > 0) return sameNode;
  }
  if (node.zone !== "" && ready.length > 0 && ready.every(({ zones }) => zones !== undefined && zones.length > 0)) {
    const sameZone = ready.filter(({ zones }) => zones!.includes(node.zone));
    if (sameZone.length > 0) return sameZone;
  }
  return ready;
}

/** Ready endpoints, or the ones that still serve while terminating when none is ready (KEP-1669). */
function usable(candidates: readonly Candidate[]): readonly Candidate[] {
  const ready = candidates.filter((candidate) => candidate.ready);
  return ready.length > 0 ? ready : candidates.filter((candidate) => candidate.serving);
}

const strip = ({ ip, port, local }: Candidate): ProxyEndpoint => ({ ip, port, local });

/** Chooses the endpoints of one service port from all its slices. Pure. */
export function chooseEndpoints(
  slices: readonly EndpointSlice[],
  port: ApiServicePort,
  family: Family,
  node: NodeContext,
) {
  const all = collect(slices, port, family, node);
  const cluster = usable(all);
  const closest = cluster.length > 0 && cluster[0]!.ready ? preferClose(cluster, node) : cluster;
  const local = usable(all.filter((candidate) => candidate.local));
  return {
    clusterEndpoints: closest.map(strip),
    localEndpoints: local.map(strip),
    readyLocalEndpoints: local.filter(({ ready }) => ready).length,
    hasAnyEndpoints: cluster.length > 0,
  };
}
