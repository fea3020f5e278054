import type { Clock, CommandRunner, Logger } from "#pkg/util/index.ts";
import type { ProxyConfig } from "./config.ts";
import { IptablesProxier } from "./iptables/proxier.ts";
import { IpvsProxier } from "./ipvs/proxier.ts";
import type { Family } from "./model/types.ts";
import { NftablesProxier } from "./nftables/proxier.ts";
import type { Proxier } from "./proxier.ts";
import { UserspaceProxier } from "./userspace/proxier.ts";

/** The ways in which services can be programmed into the kernel (or, in userspace, around it). */
export const PROXY_MODES = ["iptables", "nftables", "ipvs", "userspace"] as const;
export type ProxyMode = (typeof PROXY_MODES)[number];

/** What a proxier of one IP family works with. */
export interface ProxierDeps {
  readonly family: Family;
  readonly config: ProxyConfig;
  readonly runner: CommandRunner;
  readonly clock: Clock;
  readonly log: Logger;
  /** ipvs mode: how connections are spread. Default "rr". */
  readonly ipvsScheduler?: string;
}

/** Makes the proxier of a mode; it changes nothing before its first sync. */
export function createProxier(mode: ProxyMode, deps: ProxierDeps): Proxier {
  switch (mode) {
    case "iptables":
      return new IptablesProxier(deps);
    case "ipvs":
      return new IpvsProxier({ ...deps, scheduler: deps.ipvsScheduler ?? "rr" });
    case "nftables":
      return new NftablesProxier(deps);
    case "userspace":
      return new UserspaceProxier(deps);
  }
}

/**
 * Removes what every mode except `keep` may have left on this machine. iptables rules belong to userspace mode as well.
 * A mode whose tools are missing cannot have left anything.
 */
export async function cleanupModes(
  deps: Omit<ProxierDeps, "config" | "family">,
  signal: AbortSignal,
  keep?: ProxyMode,
): Promise<void> {
  const config = {
    clusterCIDR: "",
    masqueradeAll: false,
    nodePortAddresses: [],
    localhostNodePorts: false,
    nodeIP: "",
  };
  for (const family of ["IPv4", "IPv6"] as const) {
    for (const mode of ["ipvs", "iptables", "nftables"] as const) {
      if (mode === keep || (mode === "iptables" && keep === "userspace")) continue;
      try {
        await createProxier(mode, { ...deps, family, config }).cleanup(signal);
      } catch (err) {
        if (signal.aborted) throw err;
        deps.log.info({ mode, family, err }, "Could not look for rules of a proxy mode");
      }
    }
  }
}
