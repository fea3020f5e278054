import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface CniNetwork {
  /** This node's pod ranges, at most one per address family. */
  readonly podCIDRs: readonly string[];
  readonly bridge: string;
  readonly mtu: number;
  /** Where host-local keeps its leases; each node agent on a machine needs one of its own. */
  readonly ipamDir: string;
}

/** The CNI configuration list of the built-in pod network: bridge, host-local, portmap (CNI spec 0.4.0). Pure. */
function cniConfiguration(network: CniNetwork): object {
  const isIPv6 = (cidr: string) => cidr.includes(":");
  return {
    cniVersion: "0.4.0",
    name: "kubits",
    plugins: [
      {
        type: "bridge",
        bridge: network.bridge,
        isGateway: true,
        // Masquerading is done by the node itself: only what leaves the cluster may lose its source address.
        ipMasq: false,
        hairpinMode: true,
        mtu: network.mtu,
        ipam: {
          type: "host-local",
          dataDir: network.ipamDir,
          ranges: network.podCIDRs.map((subnet) => [{ subnet }]),
          routes: network.podCIDRs.map((cidr) => ({ dst: isIPv6(cidr) ? "::/0" : "0.0.0.0/0" })),
        },
      },
      { type: "portmap", capabilities: { portMappings: true }, snat: true, markMasqBit: 13 },
    ],
  };
}

/** Writes the configuration list atomically; answers false when the file already says the same. */
export async function writeCniConfiguration(dir: string, network: CniNetwork): Promise<boolean> {
  const path = join(dir, "10-kubits.conflist");
  const text = `${JSON.stringify(cniConfiguration(network), undefined, 2)}\n`;
  const present = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (present === text) return false;
  await mkdir(dir, { recursive: true });
  // The runtime reads every *.conflist in this directory, so the unfinished file must not end like that.
  await writeFile(`${path}.partial`, text, { mode: 0o600 });
  await rename(`${path}.partial`, path);
  return true;
}
