/** What the processes of a cgroup use together, by either version's files. */
import { flatKeyed } from "./flat-keyed.ts";
import { type CgroupManager, UNLIMITED_BYTES } from "./manager.ts";

export interface CgroupMemory {
  readonly memoryBytes: number;
  /** Without what the kernel could drop at once. */
  readonly workingSetBytes: number;
  /** Until the limit, where there is one. */
  readonly availableBytes?: number;
  readonly rssBytes: number;
  readonly swapBytes: number;
  /** Until the limit of swap, where there is one. */
  readonly swapAvailableBytes?: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
}
export interface CgroupUsage extends CgroupMemory {
  readonly cpuNanoseconds: number;
  readonly processes: number;
}

/** undefined when there is no such cgroup. */
export async function cgroupMemory(cgroups: CgroupManager, path: string): Promise<CgroupMemory | undefined> {
  const v2 = cgroups.version === 2;
  const [memory, stat, max, swap, maxSwap] = await Promise.all([
    cgroups.read(path, "memory", v2 ? "memory.current" : "memory.usage_in_bytes"),
    cgroups.read(path, "memory", "memory.stat"),
    cgroups.read(path, "memory", v2 ? "memory.max" : "memory.limit_in_bytes"),
    v2 ? cgroups.read(path, "memory", "memory.swap.current") : undefined,
    v2 ? cgroups.read(path, "memory", "memory.swap.max") : undefined,
  ]);
  if (memory === undefined) return undefined;
  const memoryBytes = Number(memory);
  // Version 1 counts those below only in what it calls the total.
  const statistic = flatKeyed(stat);
  const total = (name: string) => statistic(v2 ? name : `total_${name}`);
  const workingSetBytes = Math.max(0, memoryBytes - total("inactive_file"));
  // Not a number ("max"), or version 1's largest: no limit.
  const limit = Number(max);
  const swapLimit = Number(maxSwap ?? "max");
  const swapBytes = v2 ? Number(swap ?? 0) : total("swap");
  return {
    memoryBytes,
    workingSetBytes,
    ...(limit < UNLIMITED_BYTES ? { availableBytes: Math.max(0, limit - workingSetBytes) } : {}),
    swapBytes,
    ...(swapLimit < UNLIMITED_BYTES ? { swapAvailableBytes: Math.max(0, swapLimit - swapBytes) } : {}),
    rssBytes: v2 ? total("anon") : total("rss"),
    pageFaults: total("pgfault"),
    majorPageFaults: total("pgmajfault"),
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
    cpuNanoseconds: v2 ? flatKeyed(cpu)("usage_usec") * 1000 : Number(cpu ?? 0),
    processes: Number(processes ?? 0),
  };
}
