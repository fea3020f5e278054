/** What the kubelet counts about itself, under upstream's names. One object per kubelet: there is no global registry. */
import { readFile } from "node:fs/promises";
import { Counter, exponentialBuckets, Gauge, Histogram, Registry } from "prom-client";
import { type Clock, processStat } from "#pkg/util/index.ts";
import type { Runtime } from "./cri/runtime.ts";
import { wrapped } from "./cri/wrapped.ts";
import { KUBELET_VERSION } from "./node/status.ts";

/** Calls that ask the runtime something, by the names that upstream gives them. */
const OPERATIONS: ReadonlyMap<PropertyKey, string> = new Map([
  ["version", "version"],
  ["status", "status"],
  ["runSandbox", "run_podsandbox"],
  ["stopSandbox", "stop_podsandbox"],
  ["removeSandbox", "remove_podsandbox"],
  ["sandboxStatus", "podsandbox_status"],
  ["listSandboxes", "list_podsandbox"],
  ["createContainer", "create_container"],
  ["startContainer", "start_container"],
  ["stopContainer", "stop_container"],
  ["removeContainer", "remove_container"],
  ["listContainers", "list_containers"],
  ["containerStatus", "container_status"],
  ["updateContainerResources", "update_container"],
  ["reopenContainerLog", "reopen_container_log"],
  ["execSync", "exec_sync"],
  ["exec", "exec"],
  ["attach", "attach"],
  ["portForward", "port_forward"],
  ["listContainerStats", "list_container_stats"],
  ["listImages", "list_images"],
  ["imageStatus", "image_status"],
  ["pullImage", "pull_image"],
  ["removeImage", "remove_image"],
  ["imageFsInfo", "image_fs_info"],
]);

/** Of this process. */
async function residentBytes(): Promise<number> {
  const [, kib = 0] = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile("/proc/self/status", "utf8")) ?? [];
  return Number(kib) * 1024;
}

/** Upper bounds in seconds, where upstream's metric has none of its own. */
const DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

async function timed<T>(
  clock: Clock,
  work: () => T | Promise<T>,
  done: (seconds: number, failed: boolean) => void,
): Promise<T> {
  const startedAt = clock.monotonic();
  let failed = true;
  try {
    const result = await work();
    failed = false;
    return result;
  } finally {
    done((clock.monotonic() - startedAt) / 1000, failed);
  }
}

interface ProbeSubject {
  /** "liveness", "readiness" or "startup". */
  readonly kind: string;
  readonly container: string;
  readonly pod: string;
  readonly namespace: string;
  readonly uid: string;
}

function probeLabels({ kind, container, pod, namespace, uid }: ProbeSubject, result: string) {
  const probe_type = kind[0]!.toUpperCase() + kind.slice(1);
  return { probe_type, result, container, pod, namespace, pod_uid: uid };
}

export class KubeletMetrics {
  readonly #own = new Registry();
  readonly #probes = new Registry();
  readonly #operations = this.#counter(
    "kubelet_runtime_operations_total",
    "Cumulative number of runtime operations by operation type.",
    ["operation_type"],
  );
  readonly #operationErrors = this.#counter(
    "kubelet_runtime_operations_errors_total",
    "Cumulative number of runtime operation errors by operation type.",
    ["operation_type"],
  );
  readonly #operationSeconds = this.#durations(
    "kubelet_runtime_operations_duration_seconds",
    "Duration in seconds of runtime operations. Broken down by operation type.",
    ["operation_type"],
    exponentialBuckets(0.005, 2.5, 14),
  );
  readonly relistSeconds = this.#durations(
    "kubelet_pleg_relist_duration_seconds",
    "Duration in seconds for relisting pods in PLEG.",
    [],
  );
  readonly #cgroupSeconds = this.#durations(
    "kubelet_cgroup_manager_duration_seconds",
    "Duration in seconds for cgroup manager operations. Broken down by method.",
    ["operation_type"],
  );
  readonly #storageSeconds = this.#durations(
    "storage_operation_duration_seconds",
    "Storage operation duration",
    ["operation_name", "status"],
    [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600],
  );
  /** From a change of a pod's status until the API has it. */
  readonly statusSeconds = this.#durations(
    "kubelet_pod_status_sync_duration_seconds",
    "Duration in seconds to sync a pod status update. Measures time from detection of a change to pod status until the API is successfully updated for that pod, even if multiple intevening changes to pod status occur.",
    [],
    [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 45, 60],
  );
  readonly podStartSeconds = this.#durations(
    "kubelet_pod_start_duration_seconds",
    "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
    [],
    [0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600],
  );
  readonly evictions = this.#counter("kubelet_evictions", "Cumulative number of pod evictions by eviction signal", [
    "eviction_signal",
  ]);
  readonly requests = this.#counter(
    "kubelet_http_requests_total",
    "Number of the http requests received since the server started",
    ["method", "path", "server_type", "long_running"],
  );
  readonly #nodeName = this.#gauge("kubelet_node_name", "The node's name. The count is always 1.", ["node"]);
  readonly #runningPods = this.#gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox", []);
  readonly #runningContainers = this.#gauge("kubelet_running_containers", "Number of containers currently running", [
    "container_state",
  ]);
  readonly #build = this.#gauge("kubernetes_build_info", "The version that this program speaks.", [
    "git_version",
    "major",
    "minor",
    "platform",
  ]);
  readonly #started = this.#gauge(
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
    [],
  );
  readonly #cpu = this.#gauge("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", []);
  readonly #resident = this.#gauge("process_resident_memory_bytes", "Resident memory size in bytes.", []);
  readonly #probeTotal = new Counter({
    name: "prober_probe_total",
    help: "Cumulative number of a liveness, readiness or startup probe for a container by result.",
    labelNames: ["probe_type", "result", "container", "pod", "namespace", "pod_uid"],
    registers: [this.#probes],
  });

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.#own] });
  }
  #gauge<L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> {
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [this.#own] });
  }
  #durations<L extends string>(
    name: string,
    help: string,
    labelNames: L[],
    buckets: number[] = DURATION_BUCKETS,
  ): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.#own] });
  }

  /** Times what is done to a pod's cgroup. */
  cgroup<T>(operation_type: "create" | "destroy", clock: Clock, work: () => Promise<T>): Promise<T> {
    return timed(clock, work, (seconds) => this.#cgroupSeconds.observe({ operation_type }, seconds));
  }

  /** Times what is done to all volumes of a pod. */
  volumes<T>(operation_name: "volume_mount" | "volume_unmount", clock: Clock, work: () => Promise<T>): Promise<T> {
    return timed(clock, work, (seconds, failed) =>
      this.#storageSeconds.observe({ operation_name, status: failed ? "fail-unknown" : "success" }, seconds),
    );
  }

  /** The same runtime, with its calls counted and timed. */
  measured(runtime: Runtime, clock: Clock): Runtime {
    return wrapped(runtime, (name, call) => {
      const operation = OPERATIONS.get(name);
      return operation === undefined ? call() : this.#timed(operation, clock, call);
    });
  }

  #timed(operation_type: string, clock: Clock, call: () => unknown): Promise<unknown> {
    this.#operations.inc({ operation_type });
    return timed(clock, call, (seconds, failed) => {
      if (failed) this.#operationErrors.inc({ operation_type });
      this.#operationSeconds.observe({ operation_type }, seconds);
    });
  }

  probed(of: ProbeSubject, result: string): void {
    this.#probeTotal.inc(probeLabels(of, result));
  }
  /** Series of a container's probes end with it. */
  forgetProbes(of: ProbeSubject): void {
    for (const result of ["successful", "failed", "unknown"]) this.#probeTotal.remove(probeLabels(of, result));
  }

  probeText(): Promise<string> {
    return this.#probes.metrics();
  }

  async text(now: {
    readonly nodeName: string;
    readonly architecture: string;
    readonly runningPods: number;
    /** By state. */
    readonly containers: Readonly<Record<string, number>>;
    /** Epoch milliseconds. */
    readonly startedAt: number;
  }): Promise<string> {
    const [, major = "", minor = ""] = /^v(\d+)\.(\d+)/.exec(KUBELET_VERSION) ?? [];
    this.#nodeName.set({ node: now.nodeName }, 1);
    this.#build.set({ git_version: KUBELET_VERSION, major, minor, platform: `linux/${now.architecture}` }, 1);
    this.#runningPods.set(now.runningPods);
    this.#runningContainers.reset();
    for (const [state, count] of Object.entries(now.containers))
      this.#runningContainers.set({ container_state: state }, count);
    this.#started.set(now.startedAt / 1000);
    this.#cpu.set(processStat("self")?.cpuSeconds ?? 0);
    this.#resident.set(await residentBytes());
    return this.#own.metrics();
  }
}
