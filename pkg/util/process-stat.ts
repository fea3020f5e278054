import { readFileSync } from "node:fs";
import { hasCode } from "./errors.ts";

/** The kernel's USER_HZ: 100 on every architecture that Node.js runs on. */
const TICKS_PER_SECOND = 100;

/** Parts of /proc/PID/stat, see proc_pid_stat(5). */
export interface ProcessStat {
  /** "R" running, "S" sleeping, "Z" dead and not yet waited for, … */
  readonly state: string;
  /** Ticks from the machine's start to the process's: with the process id it names one process until the machine restarts. */
  readonly startTime: string;
  /** Used in user and kernel mode by the process itself. */
  readonly cpuSeconds: number;
  /** The same of children that have ended and were waited for. */
  readonly childrenCpuSeconds: number;
}

/** Undefined when there is no such process (any more). */
export function processStat(pid: number | "self"): ProcessStat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The program's name, in parentheses, may hold spaces and parentheses: what follows the last one counts from field 3.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const seconds = (index: number) => (Number(fields[index]) + Number(fields[index + 1])) / TICKS_PER_SECOND;
    return {
      state: fields[0] ?? "",
      startTime: fields[19] ?? "",
      cpuSeconds: seconds(11),
      childrenCpuSeconds: seconds(13),
    };
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
