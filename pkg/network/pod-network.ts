import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nodes } from "#pkg/api/refs.ts";
import type { InformerFactory } from "#pkg/client/index.ts";
import { type Clock, type CommandRunner, type Logger, sleep } from "#pkg/util/index.ts";
import { writeCniConfiguration } from "./cni-config.ts";
import { applyMasquerade, removeMasquerade } from "./masquerade.ts";
import { type PodRoute, planRoutes, podCIDRsOf } from "./routes.ts";

export interface PodNetworkConfig {
  readonly nodeName: string;
  readonly clusterCIDRs: readonly string[];
  readonly cniConfDir: string;
  readonly ipamDir: string;
  readonly bridge: string;
  /** 0: the MTU of the interface that the default route uses. */
  readonly mtu: number;
}
export interface PodNetworkDeps {
  readonly informers: InformerFactory;
  readonly runner: CommandRunner;
  readonly clock: Clock;
  readonly log: Logger;
  readonly config: PodNetworkConfig;
}

/** Marks our routes, so that only they are ever removed (ip-route's numeric `proto`). */
const ROUTE_PROTOCOL = "151";
const RETRY_MS = 2000;
const SYSCTLS: ReadonlyArray<readonly [string, string]> = [
  ["net/ipv4/ip_forward", "1"],
  ["net/ipv6/conf/all/forwarding", "1"],
  // Packets between pods of one bridge must meet the service rules too, or answers bypass the translation.
  ["net/bridge/bridge-nf-call-iptables", "1"],
  ["net/bridge/bridge-nf-call-ip6tables", "1"],
];

/**
 * The built-in pod network of one node: CNI configuration from the node's pod ranges, forwarding, masquerading of what
 * leaves the cluster, and routes to the pods of other nodes on the same L2.
 */
export class PodNetwork {
  readonly #deps: PodNetworkDeps;
  #installed = new Map<string, PodRoute>();

  constructor(deps: PodNetworkDeps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { informers, clock, log } = this.#deps;
    let dirty = true;
    let wake: () => void = () => undefined;
    const changed = () => {
      dirty = true;
      wake();
    };
    const informer = informers.informer(nodes);
    informer.addHandler({ onAdd: changed, onUpdate: changed, onDelete: changed });
    informers.start(signal);
    await informer.synced(signal);
    await this.#prepareKernel(signal);
    while (!signal.aborted) {
      if (!dirty) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          signal.addEventListener("abort", () => resolve(), { once: true });
        });
      }
      if (signal.aborted) return;
      dirty = false;
      try {
        await this.#reconcile(informer.lister.list(), signal);
      } catch (err) {
        if (signal.aborted) return;
        log.error({ err }, "Could not set up the pod network; trying again");
        dirty = true;
        await sleep(clock, RETRY_MS, signal).catch(() => undefined);
      }
    }
  }

  async #reconcile(all: Parameters<typeof planRoutes>[0], signal: AbortSignal): Promise<void> {
    const { config, runner, log } = this.#deps;
    const self = all.find(({ metadata }) => metadata.name === config.nodeName);
    const podCIDRs = self === undefined ? [] : podCIDRsOf(self);
    if (podCIDRs.length === 0) return; // the node IPAM controller has not been here yet; its update wakes us
    const mtu = config.mtu > 0 ? config.mtu : await this.#defaultMtu(signal);
    const network = { podCIDRs, bridge: config.bridge, mtu, ipamDir: config.ipamDir };
    if (await writeCniConfiguration(config.cniConfDir, network))
      log.info({ podCIDRs, mtu }, "Wrote the CNI configuration");
    for (const podCIDR of podCIDRs) {
      const clusterCIDR = config.clusterCIDRs.find((cidr) => cidr.includes(":") === podCIDR.includes(":"));
      if (clusterCIDR !== undefined) await applyMasquerade(podCIDR, clusterCIDR, runner, signal);
    }
    await this.#syncRoutes(planRoutes(all, config.nodeName), signal);
  }

  async #syncRoutes(wanted: Map<string, PodRoute>, signal: AbortSignal): Promise<void> {
    const { runner, log } = this.#deps;
    for (const [cidr, route] of wanted) {
      if (this.#installed.get(cidr)?.via === route.via) continue;
      await runner.run("ip", [...family(cidr), "route", "replace", cidr, "via", route.via, "proto", ROUTE_PROTOCOL], {
        signal,
      });
      this.#installed.set(cidr, route);
      log.info({ route }, "Added the route to another node's pods");
    }
    for (const version of ["-4", "-6"]) {
      const { stdout } = await runner.run("ip", [version, "-json", "route", "show", "proto", ROUTE_PROTOCOL], {
        signal,
      });
      const present = stdout.trim() === "" ? [] : (JSON.parse(stdout) as Array<{ dst: string }>);
      for (const { dst } of present.filter((entry) => !wanted.has(entry.dst))) {
        await runner.run("ip", [version, "route", "del", dst, "proto", ROUTE_PROTOCOL], { signal, allowFailure: true });
        this.#installed.delete(dst);
      }
    }
  }

  async #defaultMtu(signal: AbortSignal): Promise<number> {
    const { runner } = this.#deps;
    const { stdout } = await runner.run("ip", ["-json", "route", "show", "default"], { signal });
    const device = stdout.trim() === "" ? undefined : (JSON.parse(stdout) as Array<{ dev: string }>)[0]?.dev;
    if (device === undefined) return 1500;
    const link = await runner.run("ip", ["-json", "link", "show", "dev", device], { signal });
    return (JSON.parse(link.stdout) as Array<{ mtu: number }>)[0]?.mtu ?? 1500;
  }

  async #prepareKernel(signal: AbortSignal): Promise<void> {
    const { runner, log } = this.#deps;
    // Built into some kernels, a module in others; where neither helps, the write below says so.
    await runner.run("modprobe", ["br_netfilter"], { signal, allowFailure: true }).catch(() => undefined);
    for (const [name, value] of SYSCTLS) {
      try {
        await writeFile(join("/proc/sys", name), value);
      } catch (err) {
        log.warn({ sysctl: name, err }, "Could not set a kernel parameter that the pod network needs");
      }
    }
  }
}

const family = (cidr: string): string[] => (cidr.includes(":") ? ["-6"] : ["-4"]);

/** Removes everything a pod network left on this machine. */
export async function removePodNetwork(
  config: Pick<PodNetworkConfig, "cniConfDir" | "ipamDir" | "bridge">,
  runner: CommandRunner,
  signal: AbortSignal,
): Promise<void> {
  await rm(join(config.cniConfDir, "10-kubits.conflist"), { force: true });
  await rm(config.ipamDir, { recursive: true, force: true });
  await removeMasquerade(runner, signal);
  for (const version of ["-4", "-6"]) {
    await runner.run("ip", [version, "route", "flush", "proto", ROUTE_PROTOCOL], { signal, allowFailure: true });
  }
  await runner.run("ip", ["link", "del", config.bridge], { signal, allowFailure: true });
}
