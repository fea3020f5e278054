/** Counters of network interfaces, as a process of a network namespace sees them. */
import { readFileSync } from "node:fs";
import { hasCode } from "#pkg/util/index.ts";

/** What an interface has carried since it came up, as the summary API tells it. */
export interface InterfaceStats {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxErrors: number;
  readonly txBytes: number;
  readonly txErrors: number;
}

/** What an interface has carried, packets included. */
export interface InterfaceCounters extends InterfaceStats {
  readonly rxPackets: number;
  readonly rxDropped: number;
  readonly txPackets: number;
  readonly txDropped: number;
}

/** The part of it that stats/summary speaks of. */
export function interfaceStats({ name, rxBytes, rxErrors, txBytes, txErrors }: InterfaceCounters): InterfaceStats {
  return { name, rxBytes, rxErrors, txBytes, txErrors };
}

/** Reads /proc/<pid>/net/dev, without loopback. Pure. */
function parseNetDev(text: string): InterfaceCounters[] {
  return text
    .split("\n")
    .map((line) => /^\s*([^:\s]+):\s*(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, name = "", columns = ""]) => ({ name, values: columns.trim().split(/\s+/).map(Number) }))
    .filter(({ name }) => name !== "lo")
    .map(({ name, values }) => {
      const [rxBytes = 0, rxPackets = 0, rxErrors = 0, rxDropped = 0] = values;
      const [txBytes = 0, txPackets = 0, txErrors = 0, txDropped = 0] = values.slice(8);
      return { name, rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped };
    });
}

/** What `pid` sees; undefined when it has ended. The kernel answers from memory: nothing to have a thread wait for. */
export function networkOf(pid: number | "self"): InterfaceCounters[] | undefined {
  try {
    return parseNetDev(readFileSync(`/proc/${pid}/net/dev`, "utf8"));
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH", "EINVAL")) return undefined;
    throw error;
  }
}
