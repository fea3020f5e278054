/** Resource usage: what the runtime and the kernel say, as stats/summary and as Prometheus text. */
import { readFile, statfs } from "node:fs/promises";
import { freemem, loadavg, totalmem } from "node:os";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { ContainerStats, Runtime } from "../cri/runtime.ts";
import { qosClass } from "../pod/spec.ts";

interface Sample {
  readonly at: number;
  readonly nanoseconds: number;
}
export interface Usage {
  readonly time: string;
  readonly usageNanoCores?: number;
  readonly usageCoreNanoSeconds?: number;
}
export interface MemoryUsage {
  readonly time: string;
  readonly availableBytes?: number;
  readonly usageBytes?: number;
  readonly workingSetBytes?: number;
  readonly rssBytes?: number;
  readonly pageFaults?: number;
  readonly majorPageFaults?: number;
}
export interface ContainerUsage {
  readonly podUid: string;
  readonly podName: string;
  readonly namespace: string;
  readonly name: string;
  readonly startTime: number | undefined;
  readonly cpu: Usage;
  readonly memory: MemoryUsage;
  readonly rootfsUsedBytes: number;
  readonly rootfsInodesUsed: number;
}

export interface StatsDeps {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly nodeName: string;
  readonly rootDirectory: string;
  readonly pods: () => readonly Pod[];
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
    const live = new Set([...stats.map(({ id }) => id), "node"]);
    for (const key of this.#last.keys()) if (!live.has(key)) this.#last.delete(key);
    return stats.map((entry) => this.#usage(entry));
  }

  #usage({ id, labels, metadata, cpu, memory, writableLayer }: ContainerStats): ContainerUsage {
    const pod = this.#deps.pods().find(({ metadata: { uid } }) => uid === labels["io.kubernetes.pod.uid"]);
    const started = pod?.status?.containerStatuses?.find(({ name }) => name === metadata.name)?.state?.running
      ?.startedAt;
    const time = (at: number | undefined) => new Date(at ?? this.#deps.clock.now()).toISOString();
    const rate =
      cpu === undefined ? undefined : (cpu.usageNanoCores ?? this.#rate(id, cpu.timestamp, cpu.usageCoreNanoSeconds));
    return {
      podUid: labels["io.kubernetes.pod.uid"] ?? "",
      podName: labels["io.kubernetes.pod.name"] ?? "",
      namespace: labels["io.kubernetes.pod.namespace"] ?? "",
      name: metadata.name,
      startTime: started === undefined ? undefined : Date.parse(started),
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

  async node(): Promise<{ cpu: Usage; memory: MemoryUsage }> {
    const now = this.#deps.clock.now();
    const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (
      await readFile("/proc/stat", "utf8")
    )
      .split("\n")[0]!
      .trim()
      .split(/\s+/)
      .map(Number);
    const nanoseconds = (user + nice + system + irq + softirq + steal) * NANOSECONDS_PER_JIFFY;
    const meminfo = await readFile("/proc/meminfo", "utf8");
    const bytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
    const time = new Date(now).toISOString();
    const rate = this.#rate("node", now, nanoseconds);
    const available = bytes("MemAvailable") || freemem();
    return {
      cpu: { time, ...(rate === undefined ? {} : { usageNanoCores: rate }), usageCoreNanoSeconds: nanoseconds },
      memory: {
        time,
        availableBytes: available,
        usageBytes: totalmem() - bytes("MemFree"),
        workingSetBytes: totalmem() - available,
        rssBytes: bytes("AnonPages"),
      },
    };
  }

  async #fileSystem(path: string, usedBytes?: number) {
    const info = await statfs(path);
    return {
      time: new Date(this.#deps.clock.now()).toISOString(),
      availableBytes: info.bavail * info.bsize,
      capacityBytes: info.blocks * info.bsize,
      usedBytes: usedBytes ?? (info.blocks - info.bfree) * info.bsize,
      inodesFree: info.ffree,
      inodes: info.files,
      inodesUsed: info.files - info.ffree,
    };
  }

  /** stats/v1alpha1 Summary. */
  async summary(onlyCpuAndMemory: boolean, signal: AbortSignal): Promise<unknown> {
    const [containers, node, fs] = await Promise.all([
      this.containers(signal),
      this.node(),
      this.#fileSystem(this.#deps.rootDirectory),
    ]);
    const time = new Date(this.#deps.clock.now()).toISOString();
    const pods = this.#deps.pods().filter(({ status }) => status?.phase === "Running" || status?.phase === "Pending");
    const usageOf = (pod: Pod) => containers.filter(({ podUid }) => podUid === pod.metadata.uid);
    const sum = (values: (number | undefined)[]) => values.reduce<number>((total, value) => total + (value ?? 0), 0);
    const part = (used: number, inodesUsed: number) => ({ ...fs, usedBytes: used, inodesUsed });
    return {
      node: {
        nodeName: this.#deps.nodeName,
        systemContainers: [],
        startTime: await bootTime(),
        ...node,
        ...(onlyCpuAndMemory
          ? {}
          : { fs, runtime: { imageFs: fs, containerFs: fs }, rlimit: { time, ...(await processes()) } }),
      },
      pods: pods.map((pod) => {
        const own = usageOf(pod);
        return {
          podRef: { name: pod.metadata.name, namespace: pod.metadata.namespace, uid: pod.metadata.uid },
          startTime: pod.status?.startTime ?? time,
          containers: own.map((c) => ({
            name: c.name,
            startTime: c.startTime === undefined ? time : new Date(c.startTime).toISOString(),
            cpu: c.cpu,
            memory: c.memory,
            ...(onlyCpuAndMemory ? {} : { rootfs: part(c.rootfsUsedBytes, c.rootfsInodesUsed) }),
          })),
          cpu: {
            time,
            usageNanoCores: sum(own.map((c) => c.cpu.usageNanoCores)),
            usageCoreNanoSeconds: sum(own.map((c) => c.cpu.usageCoreNanoSeconds)),
          },
          memory: {
            time,
            usageBytes: sum(own.map((c) => c.memory.usageBytes)),
            workingSetBytes: sum(own.map((c) => c.memory.workingSetBytes)),
            rssBytes: sum(own.map((c) => c.memory.rssBytes)),
          },
          ...(onlyCpuAndMemory
            ? {}
            : {
                "ephemeral-storage": part(
                  sum(own.map((c) => c.rootfsUsedBytes)),
                  sum(own.map((c) => c.rootfsInodesUsed)),
                ),
              }),
        };
      }),
    };
  }

  /** The metrics of /metrics/resource, from which metrics-server lives. */
  async resourceMetrics(signal: AbortSignal): Promise<string> {
    const [containers, node] = await Promise.all([this.containers(signal), this.node()]);
    const family = (name: string, help: string, type: string, samples: readonly string[]) =>
      samples.length === 0 ? "" : `# HELP ${name} [STABLE] ${help}\n# TYPE ${name} ${type}\n${samples.join("\n")}\n`;
    const labels = (c: ContainerUsage) => `{container="${c.name}",namespace="${c.namespace}",pod="${c.podName}"}`;
    const pods = new Map<string, { label: string; cpu: number; memory: number }>();
    for (const c of containers) {
      const pod = pods.get(c.podUid) ?? { label: `{namespace="${c.namespace}",pod="${c.podName}"}`, cpu: 0, memory: 0 };
      pod.cpu += c.cpu.usageCoreNanoSeconds ?? 0;
      pod.memory += c.memory.workingSetBytes ?? 0;
      pods.set(c.podUid, pod);
    }
    const seconds = (nanoseconds: number | undefined) => (nanoseconds ?? 0) / 1e9;
    const at = (time: string) => Date.parse(time);
    return [
      family(
        "container_cpu_usage_seconds_total",
        "Cumulative cpu time consumed by the container in core-seconds",
        "counter",
        containers.map(
          (c) =>
            `container_cpu_usage_seconds_total${labels(c)} ${seconds(c.cpu.usageCoreNanoSeconds)} ${at(c.cpu.time)}`,
        ),
      ),
      family(
        "container_memory_working_set_bytes",
        "Current working set of the container in bytes",
        "gauge",
        containers.map(
          (c) => `container_memory_working_set_bytes${labels(c)} ${c.memory.workingSetBytes ?? 0} ${at(c.memory.time)}`,
        ),
      ),
      family(
        "container_start_time_seconds",
        "Start time of the container since unix epoch in seconds",
        "gauge",
        containers
          .filter((c) => c.startTime !== undefined)
          .map((c) => `container_start_time_seconds${labels(c)} ${(c.startTime ?? 0) / 1000}`),
      ),
      family("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds", "counter", [
        `node_cpu_usage_seconds_total ${seconds(node.cpu.usageCoreNanoSeconds)} ${at(node.cpu.time)}`,
      ]),
      family("node_memory_working_set_bytes", "Current working set of the node in bytes", "gauge", [
        `node_memory_working_set_bytes ${node.memory.workingSetBytes ?? 0} ${at(node.memory.time)}`,
      ]),
      family(
        "pod_cpu_usage_seconds_total",
        "Cumulative cpu time consumed by the pod in core-seconds",
        "counter",
        [...pods.values()].map(({ label, cpu }) => `pod_cpu_usage_seconds_total${label} ${seconds(cpu)}`),
      ),
      family(
        "pod_memory_working_set_bytes",
        "Current working set of the pod in bytes",
        "gauge",
        [...pods.values()].map(({ label, memory }) => `pod_memory_working_set_bytes${label} ${memory}`),
      ),
      family("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise", "gauge", [
        "resource_scrape_error 0",
      ]),
    ].join("");
  }

  /** Counts of the kubelet's own, under upstream's names. */
  kubeletMetrics(counts: { pods: number; containers: Readonly<Record<string, number>>; startupMs: number }): string {
    const containers = Object.entries(counts.containers).map(
      ([state, count]) => `kubelet_running_containers{container_state="${state}"} ${count}`,
    );
    const byQos = new Map<string, number>();
    for (const pod of this.#deps.pods()) byQos.set(qosClass(pod), (byQos.get(qosClass(pod)) ?? 0) + 1);
    return [
      `# TYPE kubelet_node_name gauge\nkubelet_node_name{node="${this.#deps.nodeName}"} 1\n`,
      `# TYPE kubelet_running_pods gauge\nkubelet_running_pods ${counts.pods}\n`,
      containers.length === 0 ? "" : `# TYPE kubelet_running_containers gauge\n${containers.join("\n")}\n`,
      `# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds ${counts.startupMs / 1000}\n`,
      `# TYPE node_load1 gauge\nnode_load1 ${loadavg()[0]}\n`,
    ].join("");
  }
}

async function bootTime(): Promise<string> {
  const seconds = Number(/^btime (\d+)$/m.exec(await readFile("/proc/stat", "utf8"))?.[1] ?? 0);
  return new Date(seconds * 1000).toISOString();
}

async function processes(): Promise<{ maxpid: number; curproc: number }> {
  const [maxpid, loads] = await Promise.all([
    readFile("/proc/sys/kernel/pid_max", "utf8"),
    readFile("/proc/loadavg", "utf8"),
  ]);
  return { maxpid: Number(maxpid), curproc: Number(loads.split(" ")[3]?.split("/")[1] ?? 0) };
}
