/** Usage as Prometheus text: /metrics/resource, from which metrics-server lives, and the main series of /metrics/cadvisor. */
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { VolumeStats } from "./pod-files.ts";
import type { ContainerUsage, StatsProvider } from "./stats.ts";

interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
  /** Epoch milliseconds, where the value is older than the answer. */
  readonly at?: number;
}
const escaped = (value: string) => value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

function family(name: string, type: "counter" | "gauge", help: string, samples: readonly Sample[]): string {
  if (samples.length === 0) return "";
  const lines = samples.map(({ labels = {}, value, at }) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
    return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}${at === undefined ? "" : ` ${at}`}`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("\n")}\n`;
}

const seconds = (nanoseconds: number | undefined) => (nanoseconds ?? 0) / 1e9;
const at = (time: string) => Date.parse(time);
const ofContainer = (c: ContainerUsage) => ({ container: c.name, namespace: c.namespace, pod: c.podName });
const ofPod = ({ metadata }: Pod) => ({ namespace: metadata.namespace ?? "", pod: metadata.name });

export async function resourceMetrics(
  stats: StatsProvider,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<string> {
  const [containers, node] = await Promise.all([stats.containers(signal), stats.node()]);
  const usages = await Promise.all(pods.map(async (pod) => ({ labels: ofPod(pod), usage: await stats.pod(pod) })));
  const known = usages.flatMap(({ labels, usage }) => (usage === undefined ? [] : [{ labels, ...usage }]));
  return [
    family(
      "container_cpu_usage_seconds_total",
      "counter",
      "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
      containers.map((c) => ({
        labels: ofContainer(c),
        value: seconds(c.cpu.usageCoreNanoSeconds),
        at: at(c.cpu.time),
      })),
    ),
    family(
      "container_memory_working_set_bytes",
      "gauge",
      "[STABLE] Current working set of the container in bytes",
      containers.map((c) => ({ labels: ofContainer(c), value: c.memory.workingSetBytes ?? 0, at: at(c.memory.time) })),
    ),
    family(
      "container_start_time_seconds",
      "gauge",
      "[STABLE] Start time of the container since unix epoch in seconds",
      containers.flatMap((c) =>
        c.startTime === undefined ? [] : [{ labels: ofContainer(c), value: c.startTime / 1000 }],
      ),
    ),
    family(
      "node_cpu_usage_seconds_total",
      "counter",
      "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
      [{ value: seconds(node.cpu.usageCoreNanoSeconds), at: at(node.cpu.time) }],
    ),
    family("node_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the node in bytes", [
      { value: node.memory.workingSetBytes ?? 0, at: at(node.memory.time) },
    ]),
    family(
      "pod_cpu_usage_seconds_total",
      "counter",
      "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
      known.map(({ labels, cpu }) => ({ labels, value: seconds(cpu.usageCoreNanoSeconds), at: at(cpu.time) })),
    ),
    family(
      "pod_memory_working_set_bytes",
      "gauge",
      "[STABLE] Current working set of the pod in bytes",
      known.map(({ labels, memory }) => ({ labels, value: memory.workingSetBytes ?? 0, at: at(memory.time) })),
    ),
    family(
      "resource_scrape_error",
      "gauge",
      "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
      [{ value: 0 }],
    ),
  ].join("");
}

/** Seconds that tasks of each container have waited, some of them or all at once; nothing where the kernel does not count. */
function pressureFamilies(containers: readonly ContainerUsage[]): string[] {
  const counted = containers.filter(({ io }) => io !== undefined);
  if (counted.length === 0) return [];
  return (["cpu", "memory", "io"] as const).flatMap((of) =>
    (
      [
        ["stalled", "full", "no tasks in the container could make progress"],
        ["waiting", "some", "tasks in the container have waited"],
      ] as const
    ).map(([name, kind, what]) =>
      family(
        `container_pressure_${of}_${name}_seconds_total`,
        "counter",
        `Total time duration ${what} due to ${of === "memory" ? of : of.toUpperCase()} congestion.`,
        counted.map((c) => ({ labels: ofContainer(c), value: (c[of]?.psi?.[kind].total ?? 0) / 1e6 })),
      ),
    ),
  );
}

/** The series of cAdvisor that dashboards ask for. */
export async function cadvisorMetrics(
  stats: StatsProvider,
  pods: readonly Pod[],
  machine: { readonly cpuCount: number; readonly memoryBytes: number },
  signal: AbortSignal,
): Promise<string> {
  const containers = await stats.containers(signal);
  const byContainer = (value: (c: ContainerUsage) => number | undefined, extra: Record<string, string> = {}) =>
    containers.map((c) => ({ labels: { ...ofContainer(c), ...extra }, value: value(c) ?? 0 }));
  const interfaces = (
    await Promise.all(
      pods.map(async (pod) => {
        const found = (await stats.network(pod)) ?? [];
        return found.map((one) => ({ labels: { interface: one.name, ...ofPod(pod) }, ...one }));
      }),
    )
  ).flat();
  const network = (pick: (one: (typeof interfaces)[number]) => number) =>
    interfaces.map((one) => ({ labels: one.labels, value: pick(one) }));
  return [
    family(
      "container_cpu_usage_seconds_total",
      "counter",
      "Cumulative cpu time consumed in seconds.",
      byContainer((c) => seconds(c.cpu.usageCoreNanoSeconds), { cpu: "total" }),
    ),
    family(
      "container_memory_usage_bytes",
      "gauge",
      "Current memory usage in bytes.",
      byContainer((c) => c.memory.usageBytes),
    ),
    family(
      "container_memory_working_set_bytes",
      "gauge",
      "Current working set in bytes.",
      byContainer((c) => c.memory.workingSetBytes),
    ),
    family(
      "container_memory_rss",
      "gauge",
      "Size of RSS in bytes.",
      byContainer((c) => c.memory.rssBytes),
    ),
    family(
      "container_fs_usage_bytes",
      "gauge",
      "Number of bytes that are consumed by the container on this filesystem.",
      byContainer((c) => c.rootfsUsedBytes),
    ),
    family(
      "container_network_receive_bytes_total",
      "counter",
      "Cumulative count of bytes received",
      network(({ rxBytes }) => rxBytes),
    ),
    family(
      "container_network_receive_errors_total",
      "counter",
      "Cumulative count of errors encountered while receiving",
      network(({ rxErrors }) => rxErrors),
    ),
    family(
      "container_network_transmit_bytes_total",
      "counter",
      "Cumulative count of bytes transmitted",
      network(({ txBytes }) => txBytes),
    ),
    family(
      "container_network_transmit_errors_total",
      "counter",
      "Cumulative count of errors encountered while transmitting",
      network(({ txErrors }) => txErrors),
    ),
    ...pressureFamilies(containers),
    family("machine_cpu_cores", "gauge", "Number of logical CPU cores.", [{ value: machine.cpuCount }]),
    family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.", [
      { value: machine.memoryBytes },
    ]),
  ].join("");
}

/** Of claims only, by their names: a pod's other volumes are in the summary. */
export function volumeMetrics(volumes: readonly VolumeStats[]): string {
  const series = (name: string, help: string, value: (volume: VolumeStats) => number) =>
    family(
      `kubelet_volume_stats_${name}`,
      "gauge",
      help,
      volumes.flatMap((volume) => {
        const { pvcRef } = volume;
        if (pvcRef === undefined) return [];
        return [{ labels: { namespace: pvcRef.namespace, persistentvolumeclaim: pvcRef.name }, value: value(volume) }];
      }),
    );
  return [
    series("available_bytes", "[ALPHA] Number of available bytes in the volume", (v) => v.availableBytes),
    series("capacity_bytes", "[ALPHA] Capacity in bytes of the volume", (v) => v.capacityBytes),
    series("used_bytes", "[ALPHA] Number of used bytes in the volume", (v) => v.usedBytes),
    series("inodes", "[ALPHA] Maximum number of inodes in the volume", (v) => v.inodes),
    series("inodes_free", "[ALPHA] Number of free inodes in the volume", (v) => v.inodesFree),
    series("inodes_used", "[ALPHA] Number of used inodes in the volume", (v) => v.inodesUsed),
  ].join("");
}
