/** Everything that the kernel counts of a cgroup, and its limits, by either version's files: what monitoring asks for. */
import { flatKeyed } from "./flat-keyed.ts";
import { sharesFor } from "./limits.ts";
import { type CgroupManager, UNLIMITED_BYTES } from "./manager.ts";

export interface DeviceIo {
  /** Major and minor number: "8:0". */
  readonly device: string;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly reads: number;
  readonly writes: number;
}
export interface CgroupCounters {
  readonly cpu: {
    /** Nanoseconds. */
    readonly total: number;
    readonly user: number;
    readonly system: number;
    readonly periods: number;
    readonly throttledPeriods: number;
    readonly throttledNanoseconds: number;
    /** Microseconds; the quota is undefined where there is none. */
    readonly period: number;
    readonly quota: number | undefined;
    readonly shares: number;
  };
  /** Bytes, unless said otherwise. */
  readonly memory: {
    readonly usage: number;
    readonly maxUsage: number;
    readonly workingSet: number;
    readonly rss: number;
    readonly cache: number;
    readonly mappedFile: number;
    readonly swap: number;
    /** Events. */
    readonly limitHits: number;
    readonly pageFaults: number;
    readonly majorPageFaults: number;
    readonly oomKills: number;
    /** 0 for none. */
    readonly limit: number;
    readonly swapLimit: number;
    readonly reservation: number;
  };
  readonly io: readonly DeviceIo[];
  /** Directly in it, not in those below. */
  readonly processes: readonly number[];
  /** In it and below. */
  readonly threads: number;
  /** 0 for none. */
  readonly maxThreads: number;
}

/** The content of one of the cgroup's files, undefined where there is none. */
type Read = (controller: string, file: string) => string | undefined;

const number = (text: string | undefined): number => Number(text ?? 0) || 0;
/** "max", and what version 1 writes for it, is 0. */
function bound(text: string | undefined): number {
  const value = number(text);
  return value < UNLIMITED_BYTES ? value : 0;
}

function cpuOf(version: 1 | 2, read: Read): CgroupCounters["cpu"] {
  const stat = flatKeyed(read("cpu", "cpu.stat"));
  const throttling = { periods: stat("nr_periods"), throttledPeriods: stat("nr_throttled") };
  if (version === 2) {
    const [quota = "max", period = "100000"] = (read("cpu", "cpu.max") ?? "").split(" ");
    return {
      ...throttling,
      total: stat("usage_usec") * 1000,
      user: stat("user_usec") * 1000,
      system: stat("system_usec") * 1000,
      throttledNanoseconds: stat("throttled_usec") * 1000,
      period: Number(period),
      quota: Number(quota) > 0 ? Number(quota) : undefined,
      shares: sharesFor(number(read("cpu", "cpu.weight"))),
    };
  }
  const quota = number(read("cpu", "cpu.cfs_quota_us"));
  return {
    ...throttling,
    total: number(read("cpuacct", "cpuacct.usage")),
    user: number(read("cpuacct", "cpuacct.usage_user")),
    system: number(read("cpuacct", "cpuacct.usage_sys")),
    throttledNanoseconds: stat("throttled_time"),
    period: number(read("cpu", "cpu.cfs_period_us")),
    quota: quota > 0 ? quota : undefined,
    shares: number(read("cpu", "cpu.shares")),
  };
}

function memoryOf(version: 1 | 2, read: Read): CgroupCounters["memory"] {
  const file = (name: string) => read("memory", `memory.${name}`);
  const stat = flatKeyed(file("stat"));
  if (version === 2) {
    const usage = number(file("current"));
    const events = flatKeyed(file("events"));
    return {
      usage,
      maxUsage: number(file("peak")),
      workingSet: Math.max(0, usage - stat("inactive_file")),
      rss: stat("anon"),
      cache: stat("file"),
      mappedFile: stat("file_mapped"),
      swap: number(file("swap.current")),
      limitHits: events("max"),
      pageFaults: stat("pgfault"),
      majorPageFaults: stat("pgmajfault"),
      oomKills: events("oom_kill"),
      limit: bound(file("max")),
      swapLimit: bound(file("swap.max")),
      reservation: bound(file("low")),
    };
  }
  const usage = number(file("usage_in_bytes"));
  return {
    usage,
    maxUsage: number(file("max_usage_in_bytes")),
    workingSet: Math.max(0, usage - stat("total_inactive_file")),
    rss: stat("total_rss"),
    cache: stat("total_cache"),
    mappedFile: stat("total_mapped_file"),
    swap: stat("total_swap"),
    limitHits: number(file("failcnt")),
    pageFaults: stat("total_pgfault"),
    majorPageFaults: stat("total_pgmajfault"),
    oomKills: flatKeyed(file("oom_control"))("oom_kill"),
    limit: bound(file("limit_in_bytes")),
    swapLimit: bound(file("memsw.limit_in_bytes")),
    reservation: bound(file("soft_limit_in_bytes")),
  };
}

function ioOf(version: 1 | 2, read: Read): DeviceIo[] {
  if (version === 2) {
    const lines = (read("io", "io.stat") ?? "").split("\n").filter((line) => line !== "");
    return lines.map((line) => {
      const [device = "", ...pairs] = line.split(" ");
      const value = flatKeyed(pairs.join("\n").replaceAll("=", " "));
      return {
        device,
        readBytes: value("rbytes"),
        writeBytes: value("wbytes"),
        reads: value("rios"),
        writes: value("wios"),
      };
    });
  }
  const table = (name: string) => {
    const lines = (read("blkio", `blkio.throttle.${name}_recursive`) ?? "").split("\n").map((line) => line.split(" "));
    return new Map(lines.map(([device = "", operation, value]) => [`${device} ${operation}`, Number(value)]));
  };
  const [bytes, operations] = [table("io_service_bytes"), table("io_serviced")];
  const devices = [...bytes.keys()].filter((key) => key.endsWith(" Read")).map((key) => key.split(" ")[0]!);
  return devices.map((device) => ({
    device,
    readBytes: bytes.get(`${device} Read`) ?? 0,
    writeBytes: bytes.get(`${device} Write`) ?? 0,
    reads: operations.get(`${device} Read`) ?? 0,
    writes: operations.get(`${device} Write`) ?? 0,
  }));
}

/** Pure but for `read`. */
export function countersFrom(version: 1 | 2, read: Read): CgroupCounters {
  const processes = (read("pids", "cgroup.procs") ?? "").split("\n");
  return {
    cpu: cpuOf(version, read),
    memory: memoryOf(version, read),
    io: ioOf(version, read),
    processes: processes.map(Number).filter((pid) => pid > 0),
    threads: number(read("pids", "pids.current")),
    maxThreads: number(read("pids", "pids.max")),
  };
}

/** undefined when there is no such cgroup. */
export function cgroupCounters(cgroups: CgroupManager, path: string): CgroupCounters | undefined {
  const read: Read = (controller, file) => cgroups.readNow(path, controller, file);
  return read("pids", "cgroup.procs") === undefined ? undefined : countersFrom(cgroups.version, read);
}
