/** What the processes of a cgroup use together, by either version's files. */
import type { CgroupManager } from "./manager.ts";

export interface CgroupMemory {
  readonly memoryBytes: number;
  /** Without what the kernel could drop at once. */
  readonly workingSetBytes: number;
  readonly rssBytes: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
}
export interface CgroupUsage extends CgroupMemory {
  readonly cpuNanoseconds: number;
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
export async function cgroupMemory(cgroups: CgroupManager, path: string): Promise<CgroupMemory | undefined> {
  const [memory, stat] = await Promise.all([
    cgroups.read(path, "memory", cgroups.version === 2 ? "memory.current" : "memory.usage_in_bytes"),
    cgroups.read(path, "memory", "memory.stat"),
  ]);
  if (memory === undefined) return undefined;
  const memoryBytes = Number(memory);
  return {
    memoryBytes,
    workingSetBytes: Math.max(0, memoryBytes - field(stat, "total_inactive_file", "inactive_file")),
    rssBytes: field(stat, "total_rss", "anon"),
    pageFaults: field(stat, "total_pgfault", "pgfault"),
    majorPageFaults: field(stat, "total_pgmajfault", "pgmajfault"),
  };
}

/** undefined when there is no such cgroup. */
export async function cgroupUsage(cgroups: CgroupManager, path: string): Promise<CgroupUsage | undefined> {
  const v2 = cgroups.version === 2;
  const [memory, cpu, processes] = await Promise.all([
    cgroupMemory(cgroups, path),
    v2 ? cgroups.read(path, "cpu", "cpu.stat") : cgroups.read(path, "cpuacct", "cpuacct.usage"),
    cgroups.read(path, "pids", "pids.current"),
  ]);
  if (memory === undefined) return undefined;
  return {
    ...memory,
    cpuNanoseconds: v2 ? field(cpu, "usage_usec") * 1000 : Number(cpu ?? 0),
    processes: Number(processes ?? 0),
  };
}
