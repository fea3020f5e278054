import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type Client, type InformerFactory, createInformerFactory } from "#pkg/client/index.ts";
import { type FlagValues, UsageError } from "#pkg/config/index.ts";
import { CLUSTER_DNS_PORT, ClusterDns } from "#pkg/dns/index.ts";
import { PodNetwork, type TunnelMode } from "#pkg/network/index.ts";
import {
  type Family,
  type ListenAddress,
  type Proxier,
  type ProxyMode,
  ServiceProxy,
  applyConntrackSettings,
  cleanupModes,
  createProxier,
} from "#pkg/proxy/index.ts";
import { type Clock, type CommandRunner, type Logger, type Random, errorMessage } from "#pkg/util/index.ts";
import type { nodeFlags } from "./flags.ts";

export interface NetworkDeps {
  readonly flags: FlagValues<typeof nodeFlags>;
  readonly client: Client;
  readonly nodeName: string;
  readonly nodeIP: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly runner: CommandRunner;
  readonly log: Logger;
}

const familyOf = (address: string): Family => (address.includes(":") ? "IPv6" : "IPv4");

/** Name servers of a resolv.conf, without ourselves. */
function nameServers(resolvConf: string, self: readonly string[]): string[] {
  let text: string;
  try {
    text = readFileSync(resolvConf, "utf8");
  } catch (error) {
    throw new UsageError(`--resolv-conf: ${errorMessage(error)}`);
  }
  const found = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, address]) => address!);
  return found.filter((address) => !self.includes(address));
}

/** Ranges that accept node ports in one family; "primary" stands for the node's own address. */
function nodePortRanges(flags: NetworkDeps["flags"], family: Family, nodeIPs: readonly string[]): string[] {
  return flags["nodeport-addresses"]
    .flatMap((range) => (range === "primary" ? nodeIPs.map((ip) => `${ip}/${ip.includes(":") ? 128 : 32}`) : [range]))
    .filter((range) => familyOf(range) === family);
}

function proxiers({ flags, nodeIP, runner, clock, log }: NetworkDeps): Map<Family, Proxier> {
  const families = [...new Set(flags["cluster-cidr"].map(familyOf))];
  const nodeIPs = nodeIP.split(",");
  return new Map(
    families.map((family) => {
      const config = {
        clusterCIDR: flags["cluster-cidr"].find((cidr) => familyOf(cidr) === family) ?? "",
        masqueradeAll: flags["masquerade-all"],
        nodePortAddresses: nodePortRanges(flags, family, nodeIPs),
        localhostNodePorts: flags["iptables-localhost-nodeports"],
        nodeIP: nodeIPs.find((ip) => familyOf(ip) === family) ?? "",
      };
      const ipvsScheduler = flags["ipvs-scheduler"];
      const deps = { family, config, runner, clock, log, ipvsScheduler };
      return [family, createProxier(flags["proxy-mode"] as ProxyMode, deps)];
    }),
  );
}

/** "corp.example=10.0.0.1" entries; several servers of one domain are separated by "+". */
function stubDomains(entries: Readonly<Record<string, string>>): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(entries).map(([domain, servers]) => [
      domain.toLowerCase().replace(/\.$/, ""),
      servers.split("+").filter((server) => server !== ""),
    ]),
  );
}

/** "10.0.0.1:10256" or "[::]:10256"; a port of 0 or an empty address switches the server off. */
function listenAddress(flag: string, text: string): ListenAddress | undefined {
  if (text === "") return undefined;
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  if (match === null) throw new UsageError(`--${flag}: ${text} is not address:port`);
  const port = Number(match[3]);
  return port === 0 ? undefined : { address: match[1] ?? match[2] ?? "", port };
}

async function runProxy(deps: NetworkDeps, informers: InformerFactory, signal: AbortSignal): Promise<void> {
  const { flags, nodeName, clock, runner } = deps;
  const log = deps.log.child({ part: "proxy" });
  const healthz = listenAddress("healthz-bind-address", flags["healthz-bind-address"]);
  const metrics = listenAddress("metrics-bind-address", flags["metrics-bind-address"]);
  // Rules of the mode that ran before would translate packets first, to endpoints of yesterday.
  await cleanupModes({ runner, clock, log }, signal, flags["proxy-mode"] as ProxyMode);
  const limits = {
    maxPerCore: flags["conntrack-max-per-core"],
    min: flags["conntrack-min"],
    tcpEstablishedSeconds: flags["conntrack-tcp-timeout-established"] / 1000,
    tcpCloseWaitSeconds: flags["conntrack-tcp-timeout-close-wait"] / 1000,
  };
  await applyConntrackSettings(limits, { cores: availableParallelism(), runner, log }, signal);
  const proxy = new ServiceProxy({
    informers,
    nodeName,
    clock,
    runner,
    log,
    proxiers: proxiers({ ...deps, log }),
    ...(healthz === undefined ? {} : { healthz }),
    ...(metrics === undefined ? {} : { metrics }),
  });
  await proxy.run(signal);
}

/** Runs the pod network, the service proxy and cluster DNS, as far as they are switched on. */
export async function runNetwork(deps: NetworkDeps, signal: AbortSignal): Promise<void> {
  const { flags, client, nodeName, nodeIP, clock, random, runner, log } = deps;
  const informers = createInformerFactory({ client, clock, random, log });
  const parts: Array<Promise<void>> = [];
  if (flags.cni === "bridge") {
    const config = {
      nodeName,
      clusterCIDRs: flags["cluster-cidr"],
      cniConfDir: flags["cni-conf-dir"],
      ipamDir: flags["cni-state-dir"],
      procNet: "/proc/net",
      bridge: flags["cni-bridge"],
      mtu: flags.mtu,
      tunnel: flags["cni-tunnel"] as TunnelMode,
      // Elsewhere cluster DNS is a pod, and no firewall is asked for leave.
      hostPorts: flags.dns ? [CLUSTER_DNS_PORT] : [],
    };
    parts.push(new PodNetwork({ informers, runner, clock, log: log.child({ part: "network" }), config }).run(signal));
  }
  if (flags.proxy) parts.push(runProxy(deps, informers, signal));
  if (flags.dns) {
    const status = listenAddress("dns-metrics-bind-address", flags["dns-metrics-bind-address"]);
    const config = {
      domain: flags["cluster-domain"],
      addresses: nodeIP.split(","),
      port: CLUSTER_DNS_PORT,
      upstream: nameServers(flags["resolv-conf"], flags["cluster-dns"]),
      stubDomains: stubDomains(flags["dns-stub-domains"]),
      ...(status === undefined ? {} : { status }),
    };
    parts.push(new ClusterDns({ informers, clock, random, log: log.child({ part: "dns" }), config }).run(signal));
  }
  await Promise.all(parts);
}
