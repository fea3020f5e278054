import type { CommandRunner, Logger } from "#pkg/util/index.ts";

export interface ConntrackSettings {
  /** Entries per core; 0 leaves the limit alone. */
  readonly maxPerCore: number;
  /** Least number of entries, whatever the number of cores. */
  readonly min: number;
  /** Seconds; 0 leaves the kernel's value. */
  readonly tcpEstablishedSeconds: number;
  readonly tcpCloseWaitSeconds: number;
}

const PREFIX = "net.netfilter.nf_conntrack_";

/** Values that connection tracking should have; `limit` is the present number of entries. Pure. */
export function conntrackSysctls(settings: ConntrackSettings, cores: number, limit: number): string[] {
  const wanted = settings.maxPerCore === 0 ? 0 : Math.max(settings.maxPerCore * cores, settings.min);
  const values: Array<[string, number]> = [
    // Never lowered: somebody may have had a reason.
    ["max", wanted > limit ? wanted : 0],
    ["tcp_timeout_established", settings.tcpEstablishedSeconds],
    ["tcp_timeout_close_wait", settings.tcpCloseWaitSeconds],
  ];
  return values.filter(([, value]) => value > 0).map(([name, value]) => `${PREFIX}${name}=${value}`);
}

/** Makes room for the connections of all services. Failures are reported and otherwise harmless. */
export async function applyConntrackSettings(
  settings: ConntrackSettings,
  deps: { readonly cores: number; readonly runner: CommandRunner; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  const { cores, runner, log } = deps;
  // A module that nothing has needed yet right after a boot; built into some kernels.
  await runner.run("modprobe", ["nf_conntrack"], { signal, allowFailure: true }).catch(() => undefined);
  const present = await runner.run("sysctl", ["-n", `${PREFIX}max`], { signal, allowFailure: true });
  const limit = Number(present.stdout.trim()) || 0;
  for (const setting of conntrackSysctls(settings, cores, limit)) {
    const { exitCode, stderr } = await runner.run("sysctl", ["-q", "-w", setting], { signal, allowFailure: true });
    // Within a network namespace of its own a node may only set some of them.
    if (exitCode !== 0) log.info({ setting, stderr }, "Could not set a limit of connection tracking");
  }
}
