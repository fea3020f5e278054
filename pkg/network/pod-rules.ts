/** The pod network's rules of iptables: what leaves the cluster takes the node's address, and pods' packets are let through. */
import type { CommandRunner } from "#pkg/util/index.ts";

interface OwnChain {
  readonly table: "nat" | "filter";
  readonly chain: string;
  /** The chain of the kernel's that leads to ours, and how it does. */
  readonly from: string;
  readonly jump: readonly string[];
  /** Whether that is the first thing there, or the last. */
  readonly place: "-I" | "-A";
}

function ownChain(
  table: OwnChain["table"],
  chain: string,
  from: string,
  comment: string,
  place: OwnChain["place"],
): OwnChain {
  return { table, chain, from, place, jump: ["-m", "comment", "--comment", comment, "-j", chain] };
}

const MASQUERADE = ownChain("nat", "KUBITS-MASQ", "POSTROUTING", "kubits pod network masquerade", "-A");
/** Behind what the service proxy refuses: its jumps are put first in their chains. */
const FORWARD = ownChain("filter", "KUBITS-FORWARD", "FORWARD", "kubits pod network forwarding", "-A");
/** Before what a firewall refuses: it is for a few ports of ours, and for pods alone. */
const INPUT = ownChain("filter", "KUBITS-INPUT", "INPUT", "kubits ports for pods", "-I");
const CHAINS = [MASQUERADE, FORWARD, INPUT];

/** What the rules of one pod range are made from. */
export interface PodRulesInput {
  readonly podCIDR: string;
  readonly clusterCIDR: string;
  /** Ports of this machine, of TCP and UDP, that pods reach whatever its firewall lets in. */
  readonly hostPorts: readonly number[];
}

/** The rules of our chains. Pure. */
function rulesOf({ podCIDR, clusterCIDR, hostPorts }: PodRulesInput): ReadonlyMap<OwnChain, readonly string[]> {
  const everywhere = podCIDR.includes(":") ? "ff00::/8" : "224.0.0.0/4";
  return new Map([
    // Pod traffic that stays in the cluster keeps its source address.
    [
      MASQUERADE,
      [`-d ${clusterCIDR} -j RETURN`, `-d ${everywhere} -j RETURN`, `-s ${podCIDR} -j MASQUERADE --random-fully`],
    ],
    // Firewalls (ufw) and Docker have a machine forward nothing but what is asked for.
    [FORWARD, [`-s ${clusterCIDR} -j ACCEPT`, `-d ${clusterCIDR} -j ACCEPT`]],
    [
      INPUT,
      hostPorts.flatMap((port) =>
        ["udp", "tcp"].map((protocol) => `-s ${clusterCIDR} -p ${protocol} --dport ${port} -j ACCEPT`),
      ),
    ],
  ]);
}

/** Converges the kernel on the rules of one pod range. */
export async function applyPodRules(input: PodRulesInput, runner: CommandRunner, signal: AbortSignal): Promise<void> {
  const command = input.podCIDR.includes(":") ? "ip6tables" : "iptables";
  const tables = [...rulesOf(input)].map(([{ table, chain }, rules]) =>
    [`*${table}`, `:${chain} - [0:0]`, ...rules.map((rule) => `-A ${chain} ${rule}`), "COMMIT\n"].join("\n"),
  );
  await runner.run(`${command}-restore`, ["-w", "5", "--noflush"], { stdin: tables.join(""), signal });
  for (const { table, from, jump, place } of CHAINS) {
    const args = ["-w", "5", "-t", table];
    const present = await runner.run(command, [...args, "-C", from, ...jump], { signal, allowFailure: true });
    if (present.exitCode !== 0) await runner.run(command, [...args, place, from, ...jump], { signal });
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
