import { endpointSlices, services } from "#pkg/api/refs.ts";
import type { InformerFactory } from "#pkg/client/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { Server } from "node:http";
import { Forwarder } from "./forwarder.ts";
import { DnsMetrics, statusServer } from "./metrics.ts";
import { Resolver } from "./resolver.ts";
import { DnsServer } from "./server.ts";
import { ClusterZone } from "./zone.ts";

export interface ClusterDnsConfig {
  readonly domain: string;
  /** The node's addresses, at most one per family; DNS answers at each. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** Servers for names outside the cluster. */
  readonly upstream: readonly string[];
  readonly stubDomains: Readonly<Record<string, readonly string[]>>;
  /** Where /health, /ready and /metrics answer; undefined: nowhere. */
  readonly status?: { readonly address: string; readonly port: number };
}
export interface ClusterDnsDeps {
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly config: ClusterDnsConfig;
}

/** Port the node's DNS server listens on; the kube-dns Service maps 53 to it. */
export const CLUSTER_DNS_PORT = 10_053;

/** Cluster DNS of one node, fed by informers. Starts to listen when it knows all services, so that it never lies. */
export class ClusterDns {
  readonly #deps: ClusterDnsDeps;

  constructor(deps: ClusterDnsDeps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { informers, config, clock, random, log } = this.#deps;
    const zone = new ClusterZone(config.domain);
    const serviceInformer = informers.informer(services);
    serviceInformer.addHandler({
      onAdd: (service) => zone.setService(service),
      onUpdate: (service) => zone.setService(service),
      onDelete: (service) => zone.deleteService(service),
    });
    const sliceInformer = informers.informer(endpointSlices);
    sliceInformer.addHandler({
      onAdd: (slice) => zone.setSlice(slice),
      onUpdate: (slice) => zone.setSlice(slice),
      onDelete: (slice) => zone.deleteSlice(slice),
    });
    const forwarder = new Forwarder({ servers: config.upstream, stubDomains: config.stubDomains, clock, random });
    const metrics = new DnsMetrics(forwarder);
    let ready = false;
    const status = config.status === undefined ? undefined : await this.#listen(statusServer(metrics, () => ready));
    informers.start(signal);
    await Promise.all([serviceInformer.synced(signal), sliceInformer.synced(signal)]);
    const resolver = new Resolver({ zone, forwarder, log, metrics });
    const servers: DnsServer[] = [];
    for (const address of config.addresses) {
      const server = new DnsServer(resolver, log);
      const port = await server.listen(address, config.port);
      servers.push(server);
      log.info({ address, port, domain: config.domain }, "Cluster DNS answers");
    }
    ready = true;
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    ready = false;
    status?.close();
    status?.closeAllConnections();
    await Promise.all(servers.map((server) => server.close()));
  }

  /** Names resolve with or without this port, so a failure is reported and no more. */
  #listen(server: Server): Promise<Server | undefined> {
    const { config, log } = this.#deps;
    return new Promise((resolve) => {
      server.once("error", (err) => {
        log.error({ ...config.status, err }, "Could not open the status port of cluster DNS");
        resolve(undefined);
      });
      server.listen(config.status!.port, config.status!.address, () => resolve(server));
    });
  }
}
