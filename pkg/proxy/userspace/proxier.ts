import type { Clock } from "#pkg/util/index.ts";
import type { Redirect } from "../iptables/render.ts";
import { type IptablesDeps, IptablesProxier } from "../iptables/proxier.ts";
import type { ModelChange, ProxyEndpoint, ServicePort } from "../model/types.ts";
import type { Proxier, SyncStats } from "../proxier.ts";
import { Balancer } from "./balancer.ts";
import { TcpForwarder } from "./tcp.ts";
import { UdpForwarder } from "./udp.ts";

export interface UserspaceDeps extends Omit<IptablesDeps, "redirect"> {
  readonly clock: Clock;
}

interface Forwarder {
  readonly balancer: Balancer;
  readonly server: TcpForwarder | UdpForwarder;
  readonly port: number;
}

/** Both ways into one service port; a forwarder is there while it has endpoints. */
type Pair = Record<"cluster" | "local", Forwarder | undefined>;

/**
 * Service proxy that carries the bytes itself: the kernel needs nothing but redirection to a port of this process.
 * Slower than the other modes, endpoints see the node as their client, and SCTP is refused.
 */
export class UserspaceProxier implements Proxier {
  readonly mode = "userspace";
  readonly #deps: UserspaceDeps;
  readonly #rules: IptablesProxier;
  readonly #pairs = new Map<string, Pair>();

  constructor(deps: UserspaceDeps) {
    this.#deps = deps;
    const redirect = (key: string): Redirect => {
      const pair = this.#pairs.get(key);
      return { cluster: pair?.cluster?.port ?? 0, local: pair?.local?.port ?? 0 };
    };
    this.#rules = new IptablesProxier({ ...deps, redirect });
  }

  async sync(
    all: () => ReadonlyMap<string, ServicePort>,
    change: ModelChange | undefined,
    signal: AbortSignal,
  ): Promise<SyncStats> {
    const model = change === undefined ? all() : undefined;
    const changed = new Map<string, ServicePort>();
    for (const [key, port] of model ?? change!.changed) {
      const taken = this.#accepted(port);
      await this.#prepare(key, taken);
      changed.set(key, taken);
    }
    const stats = await this.#rules.sync(
      () => changed,
      change === undefined ? undefined : { ...change, changed },
      signal,
    );
    // Only now does nothing lead to them any more.
    const gone =
      model === undefined ? change!.removed.keys() : [...this.#pairs.keys()].filter((key) => !model.has(key));
    for (const key of gone) if (!changed.has(key)) await this.#close(key);
    return stats;
  }

  #accepted(port: ServicePort): ServicePort {
    if (port.protocol !== "SCTP") return port;
    this.#deps.log.warn({ service: port.id }, "Userspace mode cannot forward SCTP; the port is refused");
    return { ...port, clusterEndpoints: [], localEndpoints: [], hasAnyEndpoints: false };
  }

  async #prepare(key: string, port: ServicePort): Promise<void> {
    const pair = this.#pairs.get(key) ?? { cluster: undefined, local: undefined };
    this.#pairs.set(key, pair);
    await this.#update(pair, "cluster", port, port.clusterEndpoints);
    const localUsed = port.internalTrafficLocal || port.externalTrafficLocal;
    await this.#update(pair, "local", port, localUsed ? port.localEndpoints : []);
  }

  async #update(pair: Pair, which: keyof Pair, port: ServicePort, endpoints: readonly ProxyEndpoint[]): Promise<void> {
    if (pair[which] === undefined && endpoints.length > 0) pair[which] = await this.#open(port);
    pair[which]?.balancer.update(endpoints, port.affinitySeconds);
    if (pair[which]?.server instanceof UdpForwarder) pair[which].server.endpointsChanged();
  }

  async #open(port: ServicePort): Promise<Forwarder> {
    const { clock, family } = this.#deps;
    const balancer = new Balancer(clock);
    const server = port.protocol === "UDP" ? new UdpForwarder(balancer, clock) : new TcpForwarder(balancer);
    return { balancer, server, port: await server.listen(family === "IPv6" ? "::" : "0.0.0.0") };
  }

  async #close(key: string): Promise<void> {
    const pair = this.#pairs.get(key);
    this.#pairs.delete(key);
    await Promise.all([pair?.cluster?.server.close(), pair?.local?.server.close()]);
  }

  intact(signal: AbortSignal): Promise<boolean> {
    return this.#rules.intact(signal);
  }

  verify(signal: AbortSignal): Promise<boolean> {
    return this.#rules.verify(signal);
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    await this.#rules.cleanup(signal);
    await this.close();
  }

  /** Without this process nothing can be forwarded, so its connections end with it. */
  async close(): Promise<void> {
    for (const key of this.#pairs.keys()) await this.#close(key);
  }
}
