/** What bounds a cgroup, and the kernel's files for it. */
const CFS_PERIOD_US = 100_000;
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const MAX_WEIGHT = 10_000;

export interface CgroupLimits {
  readonly cpuShares?: number;
  /** Microseconds per 100 ms; -1 or undefined for none. */
  readonly cpuQuota?: number;
  /** Bytes; -1 or undefined for none. */
  readonly memoryLimit?: number;
  readonly pidsLimit?: number;
}
/**
 * cpu.weight of version 2 for cpu.shares of version 1, so that the least, the usual (1024 and 100) and the most of both meet. Runtimes
 * of 2025 and later count so for containers, too. Pure.
 */
export function weightOf(shares: number): number {
  if (shares === 0) return 0;
  if (shares <= MIN_SHARES) return 1;
  if (shares >= MAX_SHARES) return MAX_WEIGHT;
  const l = Math.log2(shares);
  return Math.ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34));
}

/** The shares that `weightOf` makes this weight of, as near as it tells. Pure. */
export function sharesFor(weight: number): number {
  if (weight === 0) return 0;
  if (weight <= 1) return MIN_SHARES;
  if (weight >= MAX_WEIGHT) return MAX_SHARES;
  const sum = 612 * (Math.log10(weight) + 7 / 34);
  return Math.round(2 ** ((Math.sqrt(125 * 125 + 4 * sum) - 125) / 2));
}

/** The file writes that give a cgroup its limits. Pure. */
export function limitWrites(
  version: 1 | 2,
  limits: CgroupLimits,
): { controller: string; file: string; value: string }[] {
  const { cpuShares, cpuQuota, memoryLimit, pidsLimit } = limits;
  const bounded = (value: number | undefined) => value !== undefined && value > 0;
  const writes: { controller: string; file: string; value: string }[] = [];
  if (version === 2) {
    if (cpuShares !== undefined)
      writes.push({ controller: "cpu", file: "cpu.weight", value: String(weightOf(cpuShares)) });
    if (cpuQuota !== undefined)
      writes.push({
        controller: "cpu",
        file: "cpu.max",
        value: `${bounded(cpuQuota) ? cpuQuota : "max"} ${CFS_PERIOD_US}`,
      });
    if (memoryLimit !== undefined)
      writes.push({
        controller: "memory",
        file: "memory.max",
        value: bounded(memoryLimit) ? String(memoryLimit) : "max",
      });
    if (pidsLimit !== undefined)
      writes.push({ controller: "pids", file: "pids.max", value: bounded(pidsLimit) ? String(pidsLimit) : "max" });
    return writes;
  }
  if (cpuShares !== undefined) writes.push({ controller: "cpu", file: "cpu.shares", value: String(cpuShares) });
  if (cpuQuota !== undefined) {
    writes.push({ controller: "cpu", file: "cpu.cfs_period_us", value: String(CFS_PERIOD_US) });
    writes.push({ controller: "cpu", file: "cpu.cfs_quota_us", value: String(bounded(cpuQuota) ? cpuQuota : -1) });
  }
  if (memoryLimit !== undefined)
    writes.push({
      controller: "memory",
      file: "memory.limit_in_bytes",
      value: String(bounded(memoryLimit) ? memoryLimit : -1),
    });
  if (pidsLimit !== undefined)
    writes.push({ controller: "pids", file: "pids.max", value: bounded(pidsLimit) ? String(pidsLimit) : "max" });
  return writes;
}
