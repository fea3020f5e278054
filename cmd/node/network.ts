import { readFileSync } from "node:fs";
import { type Client, createInformerFactory } from "#pkg/client/index.ts";
import { type FlagValues, UsageError } from "#pkg/config/index.ts";
import { CLUSTER_DNS_PORT, ClusterDns } from "#pkg/dns/index.ts";
import { PodNetwork } from "#pkg/network/index.ts";
import { type Family, IptablesProxier, type Proxier, ServiceProxy } from "#pkg/proxy/index.ts";
import type { Clock, CommandRunner, Logger, Random } from "#pkg/util/index.ts";
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
export function nameServers(resolvConf: string, self: readonly string[]): string[] {
  let text: string;
  try {
    text = readFileSync(resolvConf, "utf8");
  } catch (error) {
    throw new UsageError(`--resolv-conf: ${(error as Error).message}`);
  }
  const found = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, address]) => address!);
  return found.filter((address) => !self.includes(address));
}

function proxiers({ flags, runner, log }: NetworkDeps): Map<Family, Proxier> {
  const mode = flags["proxy-mode"];
  const families = [...new Set(flags["cluster-cidr"].map(familyOf))];
  return new Map(
    families.map((family) => {
      const config = {
        clusterCIDR: flags["cluster-cidr"].find((cidr) => familyOf(cidr) === family) ?? "",
        masqueradeAll: flags["masquerade-all"],
        nodePortAddresses: flags["nodeport-addresses"].filter((cidr) => familyOf(cidr) === family),
      };
      if (mode !== "iptables") throw new UsageError(`--proxy-mode=${mode} is not available`);
      return [family, new IptablesProxier({ family, config, runner, log })];
    }),
  );
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
      bridge: flags["cni-bridge"],
      mtu: flags.mtu,
    };
    parts.push(new PodNetwork({ informers, runner, clock, log: log.child({ part: "network" }), config }).run(signal));
  }
  if (flags.proxy) {
    const proxy = new ServiceProxy({
      informers,
      nodeName,
      clock,
      runner,
      log: log.child({ part: "proxy" }),
      proxiers: proxiers(deps),
    });
    parts.push(proxy.run(signal));
  }
  if (flags.dns) {
    const config = {
      domain: flags["cluster-domain"],
      address: nodeIP,
      port: CLUSTER_DNS_PORT,
      upstream: nameServers(flags["resolv-conf"], flags["cluster-dns"]),
      stubDomains: {},
    };
    parts.push(new ClusterDns({ informers, clock, random, log: log.child({ part: "dns" }), config }).run(signal));
  }
  await Promise.all(parts);
}
