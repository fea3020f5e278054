/** The pod network's rules of iptables: what leaves the cluster takes the node's address, and pods' packets are let through. */
import type { CommandRunner } from "#pkg/util/index.ts";

interface OwnChain {
  readonly table: "nat" | "filter";
  readonly chain: string;
  /** The chain of the kernel's that leads to ours, and how it does. */
  readonly from: string;
  readonly jump: readonly string[];
}

function ownChain(table: OwnChain["table"], chain: string, from: string, comment: string): OwnChain {
  return { table, chain, from, jump: ["-m", "comment", "--comment", comment, "-j", chain] };
}

const MASQUERADE = ownChain("nat", "KUBITS-MASQ", "POSTROUTING", "kubits pod network masquerade");
/** Behind what the service proxy refuses: its jumps are put first in their chains. */
const FORWARD = ownChain("filter", "KUBITS-FORWARD", "FORWARD", "kubits pod network forwarding");
const CHAINS = [MASQUERADE, FORWARD];

/** The rules of both chains. Pure. */
function rulesOf(podCIDR: string, clusterCIDR: string): ReadonlyMap<OwnChain, readonly string[]> {
  const everywhere = podCIDR.includes(":") ? "ff00::/8" : "224.0.0.0/4";
  return new Map([
    // Pod traffic that stays in the cluster keeps its source address.
    [
      MASQUERADE,
      [`-d ${clusterCIDR} -j RETURN`, `-d ${everywhere} -j RETURN`, `-s ${podCIDR} -j MASQUERADE --random-fully`],
    ],
    // Firewalls (ufw) and Docker have a machine forward nothing but what is asked for.
    [FORWARD, [`-s ${clusterCIDR} -j ACCEPT`, `-d ${clusterCIDR} -j ACCEPT`]],
  ]);
}

/** Converges the kernel on the rules of one pod range. */
export async function applyPodRules(
  podCIDR: string,
  clusterCIDR: string,
  runner: CommandRunner,
  signal: AbortSignal,
): Promise<void> {
  const command = podCIDR.includes(":") ? "ip6tables" : "iptables";
  const tables = [...rulesOf(podCIDR, clusterCIDR)].map(([{ table, chain }, rules]) =>
    [`*${table}`, `:${chain} - [0:0]`, ...rules.map((rule) => `-A ${chain} ${rule}`), "COMMIT\n"].join("\n"),
  );
  await runner.run(`${command}-restore`, ["-w", "5", "--noflush"], { stdin: tables.join(""), signal });
  for (const { table, from, jump } of CHAINS) {
    const args = ["-w", "5", "-t", table];
    const present = await runner.run(command, [...args, "-C", from, ...jump], { signal, allowFailure: true });
    if (present.exitCode !== 0) await runner.run(command, [...args, "-A", from, ...jump], { signal });
  }
}

export async function removePodRules(runner: CommandRunner, signal: AbortSignal): Promise<void> {
  for (const command of ["iptables", "ip6tables"]) {
    for (const { table, chain, from, jump } of CHAINS) {
      for (const args of [
        ["-D", from, ...jump],
        ["-F", chain],
        ["-X", chain],
      ]) {
        const options = { signal, allowFailure: true }; // absent is what we want
        await runner.run(command, ["-w", "5", "-t", table, ...args], options);
      }
    }
  }
}
