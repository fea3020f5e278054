/** Counters of network interfaces, as a process of a network namespace sees them. */
import { readFile } from "node:fs/promises";

export interface InterfaceStats {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxErrors: number;
  readonly txBytes: number;
  readonly txErrors: number;
}

/** Reads /proc/<pid>/net/dev, without loopback. Pure. */
function parseNetDev(text: string): InterfaceStats[] {
  return text
    .split("\n")
    .map((line) => /^\s*([^:\s]+):\s*(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, name = "", columns = ""]) => ({ name, values: columns.trim().split(/\s+/).map(Number) }))
    .filter(({ name }) => name !== "lo")
    .map(({ name, values: [rxBytes = 0, , rxErrors = 0, , , , , , txBytes = 0, , txErrors = 0] }) => ({
      name,
      rxBytes,
      rxErrors,
      txBytes,
      txErrors,
    }));
}

/** What `pid` sees; undefined when it has ended. */
export async function networkOf(pid: number | "self"): Promise<InterfaceStats[] | undefined> {
  try {
    return parseNetDev(await readFile(`/proc/${pid}/net/dev`, "utf8"));
  } catch (error) {
    if (["ENOENT", "ESRCH", "EINVAL"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
