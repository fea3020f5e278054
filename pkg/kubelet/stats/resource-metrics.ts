/** Usage as Prometheus text: /metrics/resource, from which metrics-server lives, and the volumes in /metrics. */
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { VolumeStats } from "./pod-files.ts";
import { family } from "./prometheus-text.ts";
import type { ContainerUsage, StatsProvider } from "./stats.ts";

const seconds = (nanoseconds: number | undefined) => (nanoseconds ?? 0) / 1e9;
const at = (time: string) => Date.parse(time);
const ofContainer = (c: ContainerUsage) => ({ container: c.name, namespace: c.namespace, pod: c.podName });
const ofPod = ({ metadata }: Pod) => ({ namespace: metadata.namespace ?? "", pod: metadata.name });

/** The answer of /metrics/resource. */
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
