import type { CommandRunner, Logger } from "#pkg/util/index.ts";
import type { StaleFlow } from "./model/types.ts";

/** Arguments of `conntrack -D` for one stale UDP flow. Pure. */
export function conntrackArguments(flow: StaleFlow): string[] {
  const args = ["-D", "-p", "udp"];
  if (flow.ip !== undefined) args.push("--orig-dst", flow.ip);
  args.push("--dport", String(flow.port));
  if (flow.endpointIP !== undefined) args.push("--dst-nat", flow.endpointIP);
  if ((flow.ip ?? flow.endpointIP ?? "").includes(":")) args.push("-f", "ipv6");
  return args;
}

/**
 * Removes connection tracking entries that would keep sending UDP packets to endpoints that are gone. A failure only
 * delays clients until the entry times out, so it is logged and the sync goes on.
 * Answers how many entries went.
 */
export async function deleteStaleFlows(
  flows: readonly StaleFlow[],
  runner: CommandRunner,
  log: Logger,
  signal: AbortSignal,
): Promise<number> {
  let deleted = 0;
  for (const flow of flows) {
    try {
      const { exitCode, stderr } = await runner.run("conntrack", conntrackArguments(flow), {
        signal,
        allowFailure: true,
      });
      deleted += Number(/(\d+) flow entries have been deleted/.exec(stderr)?.[1] ?? 0);
      // Exit code 1 with "0 flow entries" says that there was nothing to delete.
      if (exitCode !== 0 && !stderr.includes("0 flow entries"))
        log.warn({ flow, stderr }, "Could not delete connection tracking entries");
    } catch (err) {
      if (signal.aborted) return deleted;
      log.warn({ flow, err }, "Could not run conntrack");
    }
  }
  return deleted;
}
