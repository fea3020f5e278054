import { type Clock, type Logger, pause, type Random } from "#pkg/util/index.ts";
import { ClusterIps } from "../allocation/cluster-ips.ts";
import { familyOf, IpRange } from "../allocation/ip-range.ts";
import { NODE_PORTS_PREFIX, NodePorts, type PortRange } from "../allocation/node-ports.ts";
import { repairAllocations } from "../allocation/repair.ts";
import { ServiceAllocator } from "../allocation/service-allocator.ts";
import type { ApiHandler } from "../contract.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";
import { KubernetesServicePublisher } from "./kubernetes-service.ts";
import { loopbackClient } from "./loopback.ts";
import { ensureDefaultServiceCidr } from "./service-cidr.ts";

/** What the cluster gives to Services. */
export interface ServicesConfig {
  /** --service-cluster-ip-range; the first one is the primary family. */
  readonly clusterCidrs: readonly string[];
  /** --service-node-port-range */
  readonly nodePortRange: PortRange;
  /** Where others reach this API server; without it the kubernetes Service is not published. */
  readonly advertised?: { readonly address: string; readonly port: number };
}

export const DEFAULT_SERVICES: ServicesConfig = {
  clusterCidrs: ["10.96.0.0/16"],
  nodePortRange: { first: 30000, last: 32767 },
};

const REPAIR_INTERVAL_MS = 180_000;

interface Deps {
  readonly registry: ResourceRegistry;
  readonly config: ServicesConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Service addresses and ports, and the Service of the API server itself. */
export class ServiceNetworking {
  readonly allocator: ServiceAllocator;
  readonly #deps: Deps;
  readonly #addresses: ClusterIps;
  readonly #ports: NodePorts;

  constructor(deps: Deps) {
    const { registry, config, clock, random } = deps;
    this.#deps = deps;
    const networking = "networking.k8s.io";
    this.#addresses = new ClusterIps({
      addresses: registry.cache(networking, "ipaddresses"),
      cidrs: registry.cache(networking, "servicecidrs"),
      clock,
      random,
    });
    const records = registry.privateStorage(NODE_PORTS_PREFIX, "kubits.dev/v1", "NodePort");
    this.#ports = new NodePorts({ records, range: config.nodePortRange, clock, random });
    const families = [...new Set(config.clusterCidrs.map(familyOf))];
    this.allocator = new ServiceAllocator({ addresses: this.#addresses, ports: this.#ports, families });
  }
  /** What has to exist before the first Service. */
  async prepare(): Promise<void> {
    const { registry, config, clock, random } = this.#deps;
    const cidrs = registry.cache("networking.k8s.io", "servicecidrs");
    await ensureDefaultServiceCidr(cidrs, config.clusterCidrs, clock, random);
  }
  /** Repairs and publishes until the signal aborts. */
  async run(handler: ApiHandler, signal: AbortSignal): Promise<void> {
    await Promise.all([this.#repair(signal), this.#publish(handler, signal)]);
  }

  async #repair(signal: AbortSignal): Promise<void> {
    const { registry, clock, log } = this.#deps;
    const deps = {
      services: registry.cache("", "services"),
      addressObjects: registry.cache("networking.k8s.io", "ipaddresses"),
      addresses: this.#addresses,
      ports: this.#ports,
      clock,
      log,
    };
    while (!signal.aborted) {
      await repairAllocations(deps).catch((err: unknown) => {
        if (!signal.aborted) log.warn({ err }, "Could not repair the allocations of Services");
      });
      await pause(clock, REPAIR_INTERVAL_MS, signal);
    }
  }
  async #publish(handler: ApiHandler, signal: AbortSignal): Promise<void> {
    const { config, clock, log } = this.#deps;
    if (config.advertised === undefined) return;
    const publisher = new KubernetesServicePublisher({
      client: loopbackClient(handler, clock),
      clock,
      log,
      advertiseAddress: config.advertised.address,
      port: config.advertised.port,
      clusterAddress: new IpRange(config.clusterCidrs[0]!).at(0n),
    });
    await publisher.run(signal);
  }
}
