import type { CommandRunner } from "#pkg/util/index.ts";

const CHAIN = "KUBITS-MASQ";
const JUMP = ["-m", "comment", "--comment", "kubits pod network masquerade", "-j", CHAIN];

/** Rules of the masquerade chain: pod traffic that stays in the cluster keeps its source address. Pure. */
function masqueradeRules(podCIDR: string, clusterCIDR: string): string[] {
  const everywhere = podCIDR.includes(":") ? "ff00::/8" : "224.0.0.0/4";
  return [
    `-A ${CHAIN} -d ${clusterCIDR} -j RETURN`,
    `-A ${CHAIN} -d ${everywhere} -j RETURN`,
    `-A ${CHAIN} -s ${podCIDR} -j MASQUERADE --random-fully`,
  ];
}

function tool(cidr: string): string {
  return cidr.includes(":") ? "ip6tables" : "iptables";
}

/** Converges the kernel on the masquerade rules of one pod range. */
export async function applyMasquerade(
  podCIDR: string,
  clusterCIDR: string,
  runner: CommandRunner,
  signal: AbortSignal,
): Promise<void> {
  const command = tool(podCIDR);
  const text = `*nat\n:${CHAIN} - [0:0]\n${masqueradeRules(podCIDR, clusterCIDR).join("\n")}\nCOMMIT\n`;
  await runner.run(`${command}-restore`, ["-w", "5", "--noflush"], { stdin: text, signal });
  const nat = ["-w", "5", "-t", "nat"];
  const present = await runner.run(command, [...nat, "-C", "POSTROUTING", ...JUMP], { signal, allowFailure: true });
  if (present.exitCode !== 0) await runner.run(command, [...nat, "-A", "POSTROUTING", ...JUMP], { signal });
}

export async function removeMasquerade(runner: CommandRunner, signal: AbortSignal): Promise<void> {
  for (const command of ["iptables", "ip6tables"]) {
    const nat = ["-w", "5", "-t", "nat"];
    for (const args of [
      ["-D", "POSTROUTING", ...JUMP],
      ["-F", CHAIN],
      ["-X", CHAIN],
    ]) {
      await runner.run(command, [...nat, ...args], { signal, allowFailure: true }); // absent is what we want
    }
  }
}
