/** What the processes of a cgroup use together, by either version's files. */
import type { CgroupManager } from "./manager.ts";

export interface CgroupUsage {
  readonly cpuNanoseconds: number;
  readonly memoryBytes: number;
  /** Without what the kernel could drop at once. */
  readonly workingSetBytes: number;
  readonly rssBytes: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
  readonly processes: number;
}

function field(text: string | undefined, ...names: readonly string[]): number {
  for (const name of names) {
    const value = new RegExp(`^${name} (\\d+)$`, "m").exec(text ?? "")?.[1];
    if (value !== undefined) return Number(value);
  }
  return 0;
}

/** undefined when there is no such cgroup. */
export async function cgroupUsage(cgroups: CgroupManager, path: string): Promise<CgroupUsage | undefined> {
  const v2 = cgroups.version === 2;
  const [cpu, memory, stat, processes] = await Promise.all([
    v2 ? cgroups.read(path, "cpu", "cpu.stat") : cgroups.read(path, "cpuacct", "cpuacct.usage"),
    cgroups.read(path, "memory", v2 ? "memory.current" : "memory.usage_in_bytes"),
    cgroups.read(path, "memory", "memory.stat"),
    cgroups.read(path, "pids", "pids.current"),
  ]);
  if (memory === undefined) return undefined;
  const memoryBytes = Number(memory);
  return {
    cpuNanoseconds: v2 ? field(cpu, "usage_usec") * 1000 : Number(cpu ?? 0),
    memoryBytes,
    workingSetBytes: Math.max(0, memoryBytes - field(stat, "total_inactive_file", "inactive_file")),
    rssBytes: field(stat, "total_rss", "anon"),
    pageFaults: field(stat, "total_pgfault", "pgfault"),
    majorPageFaults: field(stat, "total_pgmajfault", "pgmajfault"),
    processes: Number(processes ?? 0),
  };
}
