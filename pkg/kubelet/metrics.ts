/** What the kubelet counts about itself, under upstream's names. One object per kubelet: there is no global registry. */
import { readFile } from "node:fs/promises";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Clock } from "#pkg/util/index.ts";
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
const exponential = (start: number, factor: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => start * factor ** index);
/** Hundredths of a second, on every Linux that matters. */
const JIFFIES_PER_SECOND = 100;
const PAGE_BYTES = 4096;

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
  readonly #operationSeconds = new Histogram({
    name: "kubelet_runtime_operations_duration_seconds",
    help: "Duration in seconds of runtime operations. Broken down by operation type.",
    labelNames: ["operation_type"],
    buckets: exponential(0.005, 2.5, 14),
    registers: [this.#own],
  });
  readonly relistSeconds = this.#histogram(
    "kubelet_pleg_relist_duration_seconds",
    "Duration in seconds for relisting pods in PLEG.",
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
  #histogram(name: string, help: string): Histogram {
    return new Histogram({ name, help, registers: [this.#own] });
  }

  /** The same runtime, with its calls counted and timed. */
  measured(runtime: Runtime, clock: Clock): Runtime {
    return wrapped(runtime, (name, call) => {
      const operation = OPERATIONS.get(name);
      return operation === undefined ? call() : this.#timed(operation, clock, call);
    });
  }

  async #timed(operation: string, clock: Clock, call: () => unknown): Promise<unknown> {
    const labels = { operation_type: operation };
    const startedAt = clock.monotonic();
    this.#operations.inc(labels);
    try {
      return await call();
    } catch (error) {
      this.#operationErrors.inc(labels);
      throw error;
    } finally {
      this.#operationSeconds.observe(labels, (clock.monotonic() - startedAt) / 1000);
    }
  }

  probed(of: { kind: string; container: string; pod: string; namespace: string; uid: string }, result: string): void {
    const { kind, container, pod, namespace, uid } = of;
    this.#probeTotal.inc({
      probe_type: kind[0]!.toUpperCase() + kind.slice(1),
      result,
      container,
      pod,
      namespace,
      pod_uid: uid,
    });
  }
  /** Series of a container's probes end with it. */
  forgetProbes(of: { kind: string; container: string; pod: string; namespace: string; uid: string }): void {
    const { kind, container, pod, namespace, uid } = of;
    for (const result of ["successful", "failed", "unknown"])
      this.#probeTotal.remove({
        probe_type: kind[0]!.toUpperCase() + kind.slice(1),
        result,
        container,
        pod,
        namespace,
        pod_uid: uid,
      });
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
    const fields = (await readFile("/proc/self/stat", "utf8"))
      .replace(/^.*\) /s, "")
      .split(" ")
      .map(Number);
    this.#cpu.set(((fields[11] ?? 0) + (fields[12] ?? 0)) / JIFFIES_PER_SECOND);
    this.#resident.set((fields[21] ?? 0) * PAGE_BYTES);
    return this.#own.metrics();
  }
}
