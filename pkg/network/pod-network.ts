/**
 * Runs the pod network of one node: its CNI configuration, its routes to the other nodes, its tunnel where one is
 * needed.
 */
import { rm } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { nodes } from "#pkg/api/refs.ts";
import type { Node } from "#pkg/api/types/core-v1.ts";
import type { InformerFactory } from "#pkg/client/index.ts";
import { type Clock, type CommandRunner, type Logger, Wakeup, pause } from "#pkg/util/index.ts";
import { writeCniConfiguration } from "./cni-config.ts";
import { canonical, routedRanges } from "./kernel-routes.ts";
import { applyPodRules, removePodRules } from "./pod-rules.ts";
import {
  type NetworkPlan,
  type Reach,
  type TunnelMode,
  planNetwork,
  podCIDRsOf,
  tunnelAddress,
  tunnelOverhead,
} from "./routes.ts";
import { VXLAN_DEVICE, ensureVxlan, removeVxlan, syncTunnelEntries } from "./vxlan.ts";

export interface PodNetworkConfig {
  readonly nodeName: string;
  readonly clusterCIDRs: readonly string[];
  readonly cniConfDir: string;
  readonly ipamDir: string;
  readonly bridge: string;
  /** MTU of pods; 0: that of the interface of the default route, less what the tunnel needs where it is used. */
  readonly mtu: number;
  /** "auto": through the tunnel to nodes behind a router, by routes to nodes on the same link. */
  readonly tunnel: TunnelMode;
  /** The folder where the kernel tells of this node's network: /proc/net, where it is nobody else's. */
  readonly procNet: string;
  /** Ports of this machine, of TCP and UDP, that pods reach whatever its firewall lets in. */
  readonly hostPorts: readonly number[];
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
/** What somebody else removed comes back after so long. */
const CHECK_MS = 30_000;
/** The kernel drops routes when a link goes down, so they are looked for more often. */
const ROUTE_CHECK_MS = 3000;
const SYSCTLS = [
  "net.ipv4.ip_forward=1",
  "net.ipv6.conf.all.forwarding=1",
  // Packets between pods of one bridge must meet the service rules too, or answers bypass the translation.
  "net.bridge.bridge-nf-call-iptables=1",
  "net.bridge.bridge-nf-call-ip6tables=1",
];

interface OwnRoute {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
}

/**
 * The built-in pod network of one node: CNI configuration from the node's pod ranges, forwarding, masquerading of what
 * leaves the cluster, and routes to the pods of other nodes: direct on the same link, through VXLAN otherwise.
 */
export class PodNetwork {
  readonly #deps: PodNetworkDeps;
  /** "-4" or "-6" → the pod ranges that have a route of ours. */
  readonly #routes = new Map<string, ReadonlySet<string>>();

  constructor(deps: PodNetworkDeps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { informers, clock, log } = this.#deps;
    const wakeup = new Wakeup();
    const changed = () => wakeup.notify();
    const informer = informers.informer(nodes);
    informer.addHandler({ onAdd: changed, onUpdate: changed, onDelete: changed });
    informers.start(signal);
    await informer.synced(signal);
    await this.#prepareKernel(signal);
    let done = "";
    let checkAt = 0;
    let lookAt = 0;
    while (!signal.aborted) {
      const all = informer.lister.list();
      const inputs = JSON.stringify(
        all.map((node) => [node.metadata.name, node.spec.podCIDRs, node.status?.addresses]),
      );
      try {
        // Nodes change all the time, what routes depend on hardly ever.
        const now = clock.monotonic();
        const look = now >= lookAt;
        if (look) lookAt = now + ROUTE_CHECK_MS;
        if (inputs !== done || now >= checkAt || (look && !(await this.#routesIntact()))) {
          await this.#reconcile(all, signal);
          done = inputs;
          checkAt = clock.monotonic() + CHECK_MS;
        }
        const cancel = clock.schedule(Math.max(0, lookAt - clock.monotonic()), changed);
        await wakeup.wait(signal);
        cancel();
      } catch (err) {
        if (signal.aborted) return;
        log.error({ err }, "Could not set up the pod network; trying again");
        await pause(clock, RETRY_MS, signal);
      }
    }
  }

  async #reconcile(all: readonly Node[], signal: AbortSignal): Promise<void> {
    const { config, runner, log } = this.#deps;
    const self = all.find(({ metadata }) => metadata.name === config.nodeName);
    const podCIDRs = self === undefined ? [] : podCIDRsOf(self);
    if (self === undefined || podCIDRs.length === 0) return; // the node IPAM controller's update will wake us
    const addresses = all.flatMap((node) => node.status?.addresses ?? []).map((entry) => entry.address);
    const reached = await this.#reach(
      addresses.filter((address) => isIP(address) !== 0),
      signal,
    );
    const plan = planNetwork(
      all,
      config.nodeName,
      config.tunnel,
      (address) => reached.get(canonical(address)) ?? "none",
    );
    const end = tunnelAddress(self);
    const tunnelled = end !== undefined && (plan.peers.size > 0 || config.tunnel === "always");
    const linkMtu = await this.#defaultMtu(signal);
    const tunnelMtu = linkMtu - tunnelOverhead(end ?? "");
    const mtu = config.mtu > 0 ? config.mtu : tunnelled ? tunnelMtu : linkMtu;
    const network = { podCIDRs, bridge: config.bridge, mtu, ipamDir: config.ipamDir };
    if (await writeCniConfiguration(config.cniConfDir, network))
      log.info({ podCIDRs, mtu }, "Wrote the CNI configuration");
    for (const podCIDR of podCIDRs) {
      const clusterCIDR = config.clusterCIDRs.find((cidr) => cidr.includes(":") === podCIDR.includes(":"));
      const { hostPorts } = config;
      if (clusterCIDR !== undefined) await applyPodRules({ podCIDR, clusterCIDR, hostPorts }, runner, signal);
    }
    if (tunnelled) {
      const sources = podCIDRs.filter((cidr) => !cidr.includes(":")).map((cidr) => cidr.slice(0, cidr.indexOf("/")));
      await ensureVxlan({ address: end, mtu: tunnelMtu, sources }, runner, signal);
      await syncTunnelEntries(plan, runner, signal);
    }
    await this.#syncRoutes(plan.routes, signal);
    if (!tunnelled) await removeVxlan(runner, signal);
  }

  /** Asks the kernel how it would send packets there. Addresses that it knows no way to are left out. */
  async #reach(addresses: readonly string[], signal: AbortSignal): Promise<Map<string, Reach>> {
    const stdin = [...new Set(addresses)].map((address) => `route get ${address}\n`).join("");
    // One that is out of reach must not keep the others from being asked.
    const options = { stdin, signal, allowFailure: true };
    const { stdout } = await this.#deps.runner.run("ip", ["-force", "-json", "-batch", "-"], options);
    const answers = stdout.split("\n").filter((line) => line.startsWith("[{"));
    return new Map(
      answers.map((line): [string, Reach] => {
        const [route] = JSON.parse(line) as [{ dst: string; gateway?: string }];
        return [canonical(route.dst), route.gateway === undefined ? "link" : "router"];
      }),
    );
  }

  /** Are the routes that we set still there? */
  async #routesIntact(): Promise<boolean> {
    for (const [version, wanted] of this.#routes) {
      const present = await routedRanges(this.#deps.config.procNet, version === "-6");
      if (![...wanted].every((range) => present.has(range))) return false;
    }
    return true;
  }

  async #ownRoutes(version: string, signal: AbortSignal): Promise<OwnRoute[]> {
    const args = [version, "-json", "route", "show", "proto", ROUTE_PROTOCOL];
    const { stdout } = await this.#deps.runner.run("ip", args, { signal });
    return stdout.trim() === "" ? [] : (JSON.parse(stdout) as OwnRoute[]);
  }

  async #syncRoutes(wanted: NetworkPlan["routes"], signal: AbortSignal): Promise<void> {
    const { runner, log } = this.#deps;
    for (const version of ["-4", "-6"]) {
      const ofVersion = [...wanted].filter(([cidr]) => cidr.includes(":") === (version === "-6"));
      this.#routes.delete(version);
      const listed = await this.#ownRoutes(version, signal);
      const present = new Map(listed.map((entry) => [entry.dst, entry]));
      for (const [cidr, route] of ofVersion) {
        const entry = present.get(cidr);
        if (entry?.gateway === route.via && (entry.dev === VXLAN_DEVICE) === route.tunnel) continue;
        const how = route.tunnel ? ["dev", VXLAN_DEVICE, "onlink"] : [];
        const args = [version, "route", "replace", cidr, "via", route.via, ...how, "proto", ROUTE_PROTOCOL];
        await runner.run("ip", args, { signal });
        log.info({ route }, "Set the route to another node's pods");
      }
      for (const { dst } of listed.filter((entry) => !wanted.has(entry.dst))) {
        await runner.run("ip", [version, "route", "del", dst, "proto", ROUTE_PROTOCOL], { signal, allowFailure: true });
      }
      // Only a family that has routes needs to be looked at.
      if (ofVersion.length > 0) this.#routes.set(version, new Set(ofVersion.map(([cidr]) => cidr)));
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
    for (const setting of SYSCTLS) {
      const { exitCode, stderr } = await runner.run("sysctl", ["-q", "-w", setting], { signal, allowFailure: true });
      if (exitCode !== 0) log.warn({ setting, stderr }, "Could not set a kernel parameter that the pod network needs");
    }
  }
}

/** Removes everything a pod network left on this machine. */
export async function removePodNetwork(
  config: Pick<PodNetworkConfig, "cniConfDir" | "ipamDir" | "bridge">,
  runner: CommandRunner,
  signal: AbortSignal,
): Promise<void> {
  await rm(join(config.cniConfDir, "10-kubits.conflist"), { force: true });
  await rm(config.ipamDir, { recursive: true, force: true });
  await removePodRules(runner, signal);
  for (const version of ["-4", "-6"]) {
    await runner.run("ip", [version, "route", "flush", "proto", ROUTE_PROTOCOL], { signal, allowFailure: true });
  }
  await removeVxlan(runner, signal);
  await runner.run("ip", ["link", "del", config.bridge], { signal, allowFailure: true });
}
