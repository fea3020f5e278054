import { endpointSlices, nodes, services } from "#pkg/api/refs.ts";
import type { Node } from "#pkg/api/types/core-v1.ts";
import type { Endpoint } from "#pkg/api/types/discovery-v1.ts";
import { ignoreNotFound, isNotFound } from "#pkg/apimachinery/index.ts";
import type { Client, Controller, Draft, InformerFactory } from "#pkg/client/index.ts";
import { type Clock, type Logger, Wakeup, pause } from "#pkg/util/index.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import type { Service } from "#pkg/api/types/core-v1.ts";
import { CLUSTER_DNS_PORT } from "./cluster-dns.ts";

/** Says of every node whether it answers cluster DNS: "true" or "false", so that one that ceases to is heard of. */
export const DNS_NODE_LABEL = "kubits.io/cluster-dns";
const NAMESPACE = "kube-system";
const SERVICE = "kube-dns";
/** Family → name of its slice. */
const SLICES = { IPv4: "kube-dns-nodes", IPv6: "kube-dns-nodes-ipv6" } as const;
type Family = keyof typeof SLICES;
const RETRY_MS = 2000;
/** Index of the nodes that answer. */
const ANSWERING = "answers-dns";

export interface DnsServiceDeps {
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly log: Logger;
  /** Address of the kube-dns Service. */
  readonly clusterIP: string;
}

/** The kube-dns Service; it has no selector, because nodes answer and not pods. Pure. */
export function dnsService(clusterIP: string): Draft<Service> {
  return {
    metadata: {
      name: SERVICE,
      namespace: NAMESPACE,
      labels: { "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS" },
    },
    spec: {
      type: "ClusterIP",
      clusterIP,
      // Where the cluster has two families, DNS answers in both.
      ipFamilyPolicy: "PreferDualStack",
      ports: [
        { name: "dns", protocol: "UDP", port: 53, targetPort: CLUSTER_DNS_PORT },
        { name: "dns-tcp", protocol: "TCP", port: 53, targetPort: CLUSTER_DNS_PORT },
      ],
    },
  };
}

function answersDns({ metadata }: Node): boolean {
  return metadata.labels?.[DNS_NODE_LABEL] === "true";
}

/**
 * Endpoints of one family, of the nodes that answer; each is hinted at its own node, so that pods ask next door. Pure.
 */
export function dnsEndpoints(all: readonly Node[], family: Family): Endpoint[] {
  return all
    .filter((node) => answersDns(node))
    .flatMap((node) => {
      const address = node.status?.addresses?.find(
        ({ type, address: text }) => type === "InternalIP" && text.includes(":") === (family === "IPv6"),
      )?.address;
      const ready = node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
      const name = node.metadata.name;
      return address === undefined
        ? []
        : [
            {
              addresses: [address],
              conditions: { ready, serving: ready, terminating: false },
              nodeName: name,
              hints: { forNodes: [{ name }] },
            },
          ];
    })
    .sort((a, b) => (a.nodeName < b.nodeName ? -1 : 1));
}

function dnsSlice(family: Family, { metadata }: Service, endpoints: Endpoint[]): Draft<EndpointSlice> {
  return {
    metadata: {
      name: SLICES[family],
      namespace: NAMESPACE,
      labels: { "kubernetes.io/service-name": SERVICE, "endpointslice.kubernetes.io/managed-by": "kubits-cluster-dns" },
      // It goes with its Service, so that one of somebody else's (CoreDNS) with the same name starts afresh.
      ownerReferences: [{ apiVersion: "v1", kind: "Service", name: SERVICE, uid: metadata.uid }],
    },
    addressType: family,
    endpoints,
    ports: [
      { name: "dns", protocol: "UDP", port: CLUSTER_DNS_PORT },
      { name: "dns-tcp", protocol: "TCP", port: CLUSTER_DNS_PORT },
    ],
  };
}

/** Keeps kube-system/kube-dns pointing at the nodes whose built-in DNS answers. */
export class DnsServiceController implements Controller {
  readonly name = "cluster-dns";
  readonly #deps: DnsServiceDeps;

  constructor(deps: DnsServiceDeps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { informers, clock, log } = this.#deps;
    const informer = informers.informer(nodes);
    const wakeup = new Wakeup();
    // Heartbeats of nodes that do not answer DNS cost nothing, in a cluster of any size.
    informer.addIndex(ANSWERING, (node) => (answersDns(node) ? [ANSWERING] : []));
    const changed = (node: Node, old?: Node) => {
      if (answersDns(node) || (old !== undefined && answersDns(old))) wakeup.notify();
    };
    const remove = informer.addHandler({
      onAdd: (node) => changed(node),
      onUpdate: changed,
      onDelete: (node) => changed(node),
    });
    informers.start(signal);
    await informer.synced(signal);
    let written = "";
    while (!signal.aborted) {
      const answering = informer.lister.byIndex(ANSWERING, ANSWERING);
      const endpoints = { IPv4: dnsEndpoints(answering, "IPv4"), IPv6: dnsEndpoints(answering, "IPv6") };
      const text = JSON.stringify(endpoints);
      if (text === written) {
        await wakeup.wait(signal);
        continue;
      }
      try {
        await this.#converge(endpoints, signal);
        written = text;
      } catch (err) {
        if (signal.aborted) break;
        log.warn({ err }, "Could not update the kube-dns service; trying again");
        await pause(clock, RETRY_MS, signal);
      }
    }
    remove();
  }

  async #converge(endpoints: Record<Family, Endpoint[]>, signal: AbortSignal): Promise<void> {
    const { client, clusterIP } = this.#deps;
    // Looked up first: a create with a fixed address is refused for the address before anyone sees that the name is taken.
    const service =
      (await ignoreNotFound(client.get(services, { namespace: NAMESPACE, name: SERVICE }, { signal }))) ??
      (await client.create(services, dnsService(clusterIP), { signal }));
    for (const family of ["IPv4", "IPv6"] as const)
      await this.#writeSlice(dnsSlice(family, service, endpoints[family]), signal);
  }

  async #writeSlice(slice: Draft<EndpointSlice>, signal: AbortSignal): Promise<void> {
    const { client } = this.#deps;
    const key = { namespace: NAMESPACE, name: slice.metadata.name! };
    try {
      await client.patch(endpointSlices, key, "merge", slice, { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // A family that no node has needs no slice.
      if ((slice.endpoints ?? []).length > 0) await client.create(endpointSlices, slice, { signal });
    }
  }
}
