import { portId } from "../cache/node-info.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import type { HostPort } from "../cache/pod-info.ts";
import { unschedulable } from "../framework/status.ts";
import type { Plugin } from "../framework/types.ts";

const WILDCARD = "0.0.0.0";
const REFUSED = unschedulable("node(s) didn't have free ports for the requested pod ports");

/** Two pods on one node cannot listen on the same host address, protocol and port. */
export function nodePorts(): Plugin {
  return {
    name: "NodePorts",
    nodeLocal: ({ hostPorts }) => hostPorts,
    events: [
      {
        resource: "AssignedPod",
        actions: ["Delete"],
        hint: (pod, { pod: gone }) =>
          pod.hostPorts.some((wanted) => gone?.hostPorts.some((port) => collide(wanted, port)) === true),
      },
      { resource: "Node", actions: ["Add"] },
    ],
    preFilter: (pod) => (pod.hostPorts.length === 0 ? "skip" : { state: undefined }),
    filter: (_state, pod, node) => (conflicts(pod, node) ? REFUSED : undefined),
  };
}

function conflicts(pod: PodInfo, { usedPorts }: NodeInfo): boolean {
  if (usedPorts.size === 0) return false;
  for (const { ip, protocol, port } of pod.hostPorts) {
    const addresses = usedPorts.get(portId(protocol, port));
    if (addresses === undefined) continue;
    if (isWildcard(ip) || addresses.has(ip) || addresses.has(WILDCARD)) return true;
  }
  return false;
}

/** The wildcard address meets all others. */
function collide(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.ip === b.ip || isWildcard(a.ip) || isWildcard(b.ip);
}

function isWildcard(ip: string): boolean {
  return ip === WILDCARD;
}
