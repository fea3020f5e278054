/** What processes have open, as the kernel shows it. It answers from memory: nothing to have a thread wait for. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { hasCode } from "#pkg/util/index.ts";

export interface OpenFiles {
  readonly descriptors: number;
  readonly sockets: number;
}

/** What each descriptor is, is looked up of so many at most: of a server with a million connections nobody waits for the rest. */
const MAX_LOOKED_UP = 4096;

/** undefined where the process has ended, or ends while it is looked at. */
function whileAlive<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/** Of one process; undefined when it has ended. */
export function openFiles(pid: number | "self"): OpenFiles | undefined {
  const directory = `/proc/${pid}/fd`;
  const names = whileAlive(() => readdirSync(directory));
  if (names === undefined) return undefined;
  const isSocket = (name: string) =>
    whileAlive(() => readlinkSync(`${directory}/${name}`))?.startsWith("socket:") === true;
  return { descriptors: names.length, sockets: names.slice(0, MAX_LOOKED_UP).filter(isSocket).length };
}

/** Of processes together; those that have ended have nothing open. */
export function openFilesOf(processes: readonly number[]): OpenFiles {
  const all = processes.map((pid) => openFiles(pid)).filter((files) => files !== undefined);
  return {
    descriptors: all.reduce((sum, { descriptors }) => sum + descriptors, 0),
    sockets: all.reduce((sum, { sockets }) => sum + sockets, 0),
  };
}

/** How many descriptors a process may have, -1 for any number; undefined when it has ended. */
export function softFileLimit(pid: number | "self"): number | undefined {
  const limits = whileAlive(() => readFileSync(`/proc/${pid}/limits`, "utf8"));
  const soft = /^Max open files\s+(\S+)/m.exec(limits ?? "")?.[1];
  return soft === undefined ? undefined : soft === "unlimited" ? -1 : Number(soft);
}
