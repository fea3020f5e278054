import type { CommandRunner } from "#pkg/util/index.ts";
import { type NetworkPlan, tunnelMac } from "./routes.ts";

/** The tunnel's device on every node. */
export const VXLAN_DEVICE = "kubits.vxlan";
/** VXLAN's registered port is 4789; 8472 is what Linux used first and other pod networks still use. */
const PORT = "8472";
const NETWORK_ID = "1";

interface LinkDetails {
  readonly address: string;
  readonly mtu: number;
  readonly linkinfo?: { readonly info_data?: { readonly local?: string; readonly local6?: string } };
}

export interface VxlanOptions {
  /** This node's end of the tunnel. */
  readonly address: string;
  readonly mtu: number;
  /** Addresses of the device: the network addresses of this node's pod ranges, as the source of the node's own packets. */
  readonly sources: readonly string[];
}

async function lines(
  runner: CommandRunner,
  file: string,
  batch: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (batch.length > 0) await runner.run(file, ["-batch", "-"], { stdin: `${batch.join("\n")}\n`, signal });
}

async function readJson<T>(runner: CommandRunner, file: string, args: string[], signal: AbortSignal): Promise<T[]> {
  const { stdout, exitCode } = await runner.run(file, ["-json", ...args], { signal, allowFailure: true });
  return exitCode !== 0 || stdout.trim() === "" ? [] : (JSON.parse(stdout) as T[]);
}

/** Makes the tunnel's device as it should be; one with another address is replaced, and its entries with it. */
export async function ensureVxlan(options: VxlanOptions, runner: CommandRunner, signal: AbortSignal): Promise<void> {
  const { address, mtu, sources } = options;
  const mac = tunnelMac(address);
  const [link] = await readJson<LinkDetails>(runner, "ip", ["-details", "link", "show", "dev", VXLAN_DEVICE], signal);
  const data = link?.linkinfo?.info_data;
  const right = link !== undefined && link.address === mac && (data?.local ?? data?.local6) === address;
  if (link !== undefined && !right) await runner.run("ip", ["link", "del", VXLAN_DEVICE], { signal });
  if (!right) {
    // Without learning: who is where is known from the nodes, and nobody can claim another node's place.
    const type = ["type", "vxlan", "id", NETWORK_ID, "local", address, "dstport", PORT, "nolearning"];
    await runner.run("ip", ["link", "add", VXLAN_DEVICE, "address", mac, "mtu", String(mtu), ...type], { signal });
  } else if (link.mtu !== mtu) await runner.run("ip", ["link", "set", VXLAN_DEVICE, "mtu", String(mtu)], { signal });
  await runner.run("ip", ["link", "set", VXLAN_DEVICE, "up"], { signal });
  for (const source of sources) {
    const own = `${source}/${source.includes(":") ? 128 : 32}`;
    await runner.run("ip", ["address", "replace", own, "dev", VXLAN_DEVICE], { signal });
  }
}

/** Converges forwarding and neighbour entries of the tunnel on the plan. */
export async function syncTunnelEntries(plan: NetworkPlan, runner: CommandRunner, signal: AbortSignal): Promise<void> {
  const fdb = await readJson<{ mac: string; dst?: string }>(
    runner,
    "bridge",
    ["fdb", "show", "dev", VXLAN_DEVICE],
    signal,
  );
  const present = new Map(fdb.flatMap(({ mac, dst }) => (dst === undefined ? [] : [[mac, dst] as const])));
  await lines(
    runner,
    "bridge",
    [
      ...[...present]
        .filter(([mac]) => !plan.peers.has(mac))
        .map(([mac, dst]) => `fdb del ${mac} dev ${VXLAN_DEVICE} dst ${dst}`),
      ...[...plan.peers.values()]
        .filter(({ mac, address }) => present.get(mac) !== address)
        .map(({ mac, address }) => `fdb replace ${mac} dev ${VXLAN_DEVICE} dst ${address}`),
    ],
    signal,
  );
  const known = await readJson<{ dst: string; lladdr?: string; state?: string[] }>(
    runner,
    "ip",
    ["neigh", "show", "dev", VXLAN_DEVICE, "nud", "permanent"],
    signal,
  );
  const neighbours = new Map(known.map(({ dst, lladdr }) => [dst, lladdr]));
  await lines(
    runner,
    "ip",
    [
      ...[...neighbours.keys()]
        .filter((dst) => !plan.neighbours.has(dst))
        .map((dst) => `neigh del ${dst} dev ${VXLAN_DEVICE}`),
      ...[...plan.neighbours]
        .filter(([dst, mac]) => neighbours.get(dst) !== mac)
        .map(([dst, mac]) => `neigh replace ${dst} lladdr ${mac} dev ${VXLAN_DEVICE} nud permanent`),
    ],
    signal,
  );
}

/** Removes the tunnel with its routes and entries; harmless when there is none. */
export async function removeVxlan(runner: CommandRunner, signal: AbortSignal): Promise<void> {
  const [link] = await readJson(runner, "ip", ["link", "show", "dev", VXLAN_DEVICE], signal);
  if (link !== undefined) await runner.run("ip", ["link", "del", VXLAN_DEVICE], { signal });
}
