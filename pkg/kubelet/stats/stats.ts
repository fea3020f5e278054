/** What containers, pods and the node use, as the runtime and the kernel say. */
import { readFile } from "node:fs/promises";
import { freemem, totalmem } from "node:os";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { parseTime } from "#pkg/util/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { CgroupManager } from "../cgroups/manager.ts";
import { cgroupMemory, cgroupUsage } from "../cgroups/usage.ts";
import type { CgroupUsage } from "../cgroups/usage.ts";
import type { ContainerStats, Runtime } from "../cri/runtime.ts";
import { networkOf } from "./network.ts";
import type { InterfaceCounters } from "./network.ts";
import { pressuresOf } from "./pressure.ts";
import type { Pressure, Pressures } from "./pressure.ts";

interface Sample {
  readonly at: number;
  readonly nanoseconds: number;
}

/** CPU time that was used, and at what rate of late; `time` in RFC 3339. */
export interface Usage {
  readonly time: string;
  readonly usageNanoCores?: number;
  readonly usageCoreNanoSeconds?: number;
  readonly psi?: Pressure;
}

/** Memory in use; `time` in RFC 3339. */
export interface MemoryUsage {
  readonly time: string;
  readonly availableBytes?: number;
  readonly usageBytes?: number;
  readonly workingSetBytes?: number;
  readonly rssBytes?: number;
  readonly pageFaults?: number;
  readonly majorPageFaults?: number;
  readonly psi?: Pressure;
}

/** Swap in use; `time` in RFC 3339. */
export interface SwapUsage {
  readonly time: string;
  readonly swapAvailableBytes?: number;
  readonly swapUsageBytes: number;
}
interface IoUsage {
  readonly time: string;
  readonly psi: Pressure;
}

/** What a container uses. */
export interface ContainerUsage {
  /** The runtime's. */
  readonly id: string;
  readonly podUid: string;
  readonly podName: string;
  readonly namespace: string;
  readonly name: string;
  readonly startTime: number | undefined;
  readonly cpu: Usage;
  readonly memory: MemoryUsage;
  readonly io?: IoUsage;
  readonly rootfsUsedBytes: number;
  readonly rootfsInodesUsed: number;
}

/** What statistics are read from. */
export interface StatsDeps {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly cgroups: CgroupManager;
  readonly pods: () => readonly Pod[];
}

/** What a cgroup uses. */
export interface CpuAndMemory {
  readonly cpu: Usage;
  readonly memory: MemoryUsage;
  readonly swap?: SwapUsage;
  readonly io?: IoUsage;
}

/** Adds what tasks wait for, where the kernel counts it. */
function withPressures<T extends CpuAndMemory>(usage: T, pressures: Pressures | undefined): T {
  if (pressures === undefined) return usage;
  const { cpu, memory } = usage;
  return {
    ...usage,
    cpu: { ...cpu, psi: pressures.cpu },
    memory: { ...memory, psi: pressures.memory },
    io: { time: cpu.time, psi: pressures.io },
  };
}

/** Jiffies of /proc/stat are hundredths of a second on every Linux that matters. */
const NANOSECONDS_PER_JIFFY = 1e7;

export class StatsProvider {
  readonly #deps: StatsDeps;
  readonly #last = new Map<string, Sample>();

  constructor(deps: StatsDeps) {
    this.#deps = deps;
  }

  /** The rate since the last look, in billionths of a core. */
  #rate(key: string, at: number, nanoseconds: number): number | undefined {
    const before = this.#last.get(key);
    this.#last.set(key, { at, nanoseconds });
    if (before === undefined || at <= before.at || nanoseconds < before.nanoseconds) return undefined;
    return Math.round(((nanoseconds - before.nanoseconds) * 1000) / (at - before.at));
  }

  async containers(signal: AbortSignal): Promise<ContainerUsage[]> {
    const stats = await this.#deps.runtime.listContainerStats({}, { signal });
    const pods = new Map(this.#deps.pods().map((pod) => [pod.metadata.uid, pod]));
    const live = new Set([
      ...stats.map(({ id }) => id),
      ...[...pods.values()].map((pod) => this.#podPath(pod)),
      "node",
    ]);
    for (const key of this.#last.keys()) if (!live.has(key) && key !== this.#podsPath) this.#last.delete(key);
    return Promise.all(
      stats.map(async (entry) => {
        const pod = pods.get(entry.labels["io.kubernetes.pod.uid"] ?? "");
        return withPressures(this.#usage(entry, pod), await this.#containerPressures(entry.id, pod));
      }),
    );
  }

  async #containerPressures(id: string, pod: Pod | undefined): Promise<Pressures | undefined> {
    const { cgroups } = this.#deps;
    if (pod === undefined || cgroups.version === 1) return undefined;
    const path = cgroups.below(this.#podPath(pod), id);
    return path === undefined ? undefined : pressuresOf(cgroups, path);
  }

  #usage({ id, labels, metadata, cpu, memory, writableLayer }: ContainerStats, pod: Pod | undefined): ContainerUsage {
    const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = pod?.status ?? {};
    const started =
      [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses].find(
        ({ name }) => name === metadata.name,
      )?.state?.running?.startedAt ?? undefined;
    const time = (at: number | undefined) => new Date(at ?? this.#deps.clock.now()).toISOString();
    const rate =
      cpu === undefined ? undefined : (cpu.usageNanoCores ?? this.#rate(id, cpu.timestamp, cpu.usageCoreNanoSeconds));
    return {
      id,
      podUid: labels["io.kubernetes.pod.uid"] ?? "",
      podName: labels["io.kubernetes.pod.name"] ?? "",
      namespace: labels["io.kubernetes.pod.namespace"] ?? "",
      name: metadata.name,
      startTime: parseTime(started),
      cpu: {
        time: time(cpu?.timestamp),
        ...(rate === undefined ? {} : { usageNanoCores: rate }),
        usageCoreNanoSeconds: cpu?.usageCoreNanoSeconds ?? 0,
      },
      memory: {
        time: time(memory?.timestamp),
        availableBytes: memory?.availableBytes,
        usageBytes: memory?.usageBytes,
        workingSetBytes: memory?.workingSetBytes ?? 0,
        rssBytes: memory?.rssBytes,
        pageFaults: memory?.pageFaults,
        majorPageFaults: memory?.majorPageFaults,
      },
      rootfsUsedBytes: writableLayer?.usedBytes ?? 0,
      rootfsInodesUsed: writableLayer?.inodesUsed ?? 0,
    };
  }

  #podPath(pod: Pod): string {
    return this.#deps.cgroups.podPath(pod);
  }
  get #podsPath(): string {
    return this.#deps.cgroups.path(["kubepods"]);
  }

  #fromCgroup(path: string, usage: CgroupUsage): CpuAndMemory {
    const now = this.#deps.clock.now();
    const time = new Date(now).toISOString();
    const rate = this.#rate(path, now, usage.cpuNanoseconds);
    return {
      cpu: {
        time,
        ...(rate === undefined ? {} : { usageNanoCores: rate }),
        usageCoreNanoSeconds: usage.cpuNanoseconds,
      },
      memory: {
        time,
        ...(usage.availableBytes === undefined ? {} : { availableBytes: usage.availableBytes }),
        usageBytes: usage.memoryBytes,
        workingSetBytes: usage.workingSetBytes,
        rssBytes: usage.rssBytes,
        pageFaults: usage.pageFaults,
        majorPageFaults: usage.majorPageFaults,
      },
      swap: {
        time,
        ...(usage.swapAvailableBytes === undefined ? {} : { swapAvailableBytes: usage.swapAvailableBytes }),
        swapUsageBytes: usage.swapBytes,
      },
    };
  }

  /** Of the pod's cgroup, so with what its sandbox uses; undefined where pods have none. */
  async pod(pod: Pod): Promise<(CpuAndMemory & { processes: number }) | undefined> {
    const path = this.#podPath(pod);
    const usage = await cgroupUsage(this.#deps.cgroups, path);
    if (usage === undefined) return undefined;
    return { ...(await this.#withPressures(path, usage)), processes: usage.processes };
  }

  async #withPressures(path: string, usage: CgroupUsage): Promise<CpuAndMemory> {
    return withPressures(this.#fromCgroup(path, usage), await pressuresOf(this.#deps.cgroups, path));
  }

  /** The interfaces of the pod's network namespace; none of the node's where it shares that. */
  async network(pod: Pod): Promise<InterfaceCounters[] | undefined> {
    if (pod.spec.hostNetwork === true) return undefined;
    const pid = await this.#deps.cgroups.someProcess(this.#podPath(pod));
    return pid === undefined ? undefined : networkOf(pid);
  }

  /**
   * What is neither a pod nor in one, and all pods together: the kubelet and the runtime, where they have cgroups of their own,
   * by upstream's names.
   */
  async systemContainers(runtimeCgroups: string): Promise<({ name: string } & CpuAndMemory)[]> {
    const own = await this.#deps.cgroups.own();
    const paths = { kubelet: own === "/" ? "" : own, runtime: runtimeCgroups, pods: this.#podsPath };
    const found = await Promise.all(
      Object.entries(paths).map(async ([name, path]) => {
        const usage = path === "" ? undefined : await cgroupUsage(this.#deps.cgroups, path);
        return usage === undefined ? [] : [{ name, ...(await this.#withPressures(path, usage)) }];
      }),
    );
    return found.flat();
  }

  /** Of the memory of all pods, what the kernel could not drop at once. */
  async workingSetOfPods(): Promise<number | undefined> {
    return (await cgroupMemory(this.#deps.cgroups, this.#podsPath))?.workingSetBytes;
  }

  async node(): Promise<CpuAndMemory & { readonly swap: SwapUsage }> {
    const now = this.#deps.clock.now();
    const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (
      await readFile("/proc/stat", "utf8")
    )
      .split("\n")[0]!
      .trim()
      .split(/\s+/)
      .map(Number);
    const nanoseconds = (user + nice + system + irq + softirq + steal) * NANOSECONDS_PER_JIFFY;
    const [meminfo, vmstat] = await Promise.all([readFile("/proc/meminfo", "utf8"), readFile("/proc/vmstat", "utf8")]);
    const faults = (key: string) => Number(new RegExp(`^${key} (\\d+)`, "m").exec(vmstat)?.[1] ?? 0);
    const bytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
    const time = new Date(now).toISOString();
    const rate = this.#rate("node", now, nanoseconds);
    const available = bytes("MemAvailable") || freemem();
    const usage = {
      cpu: { time, ...(rate === undefined ? {} : { usageNanoCores: rate }), usageCoreNanoSeconds: nanoseconds },
      memory: {
        time,
        availableBytes: available,
        usageBytes: totalmem() - bytes("MemFree"),
        workingSetBytes: totalmem() - available,
        rssBytes: bytes("AnonPages"),
        pageFaults: faults("pgfault"),
        majorPageFaults: faults("pgmajfault"),
      },
      swap: {
        time,
        swapAvailableBytes: bytes("SwapFree"),
        swapUsageBytes: bytes("SwapTotal") - bytes("SwapFree"),
      },
    };
    return withPressures(usage, await pressuresOf(this.#deps.cgroups, "/"));
  }
}
