/** What the kubelet counts about itself, under upstream's names. One object per kubelet: there is no global registry. */
import { readFile } from "node:fs/promises";
import { Counter, exponentialBuckets, Gauge, Histogram, Registry } from "prom-client";
import { type Clock, processStat } from "#pkg/util/index.ts";
import { OPERATIONS } from "./cri/operations.ts";
import type { Runtime } from "./cri/runtime.ts";
import { wrapped } from "./cri/wrapped.ts";
import { openFiles, softFileLimit } from "./stats/open-files.ts";
import { KUBELET_VERSION } from "./node/status.ts";
import type { ContainerKind } from "./pod/spec.ts";

/** Of this process. */
async function residentBytes(): Promise<number> {
  const [, kib = 0] = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile("/proc/self/status", "utf8")) ?? [];
  return Number(kib) * 1024;
}

/** Upper bounds in seconds, where upstream's metric has none of its own. */
const DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Upstream's, of the start of a pod. */
const POD_START_BUCKETS = [
  0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600,
];

/** How long the start of a pod has taken, in seconds. */
export interface PodStart {
  readonly sinceSeen: number;
  readonly sinceCreated: number;
  readonly pulling: number;
  readonly initializing: number;
}

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

/** What a worker does with its pod: upstream's types of updates. */
export type WorkType = "create" | "update" | "sync" | "kill";

const CONTAINER_TYPES: Readonly<Record<ContainerKind, string>> = {
  init: "init_container",
  regular: "container",
  ephemeral: "ephemeral_container",
};
/** Of a request to the server. */
const REQUEST_LABELS = ["method", "path", "server_type", "long_running"] as const;

/** Where the ranges begin that images are told apart by: upstream's, in MiB. */
const SIZES = [0, 10, 100, 500, 1024, 5120, 10_240, 20_480, 30_720, 40_960, 61_440, 102_400];
function sizeName(mebibytes: number): string {
  if (mebibytes === 0) return "0";
  return mebibytes < 1024 ? `${mebibytes}MB` : `${mebibytes / 1024}GB`;
}
/** The range's name: "0-10MB", "10MB-100MB", … "GT100GB". Pure. */
export function imageSizeRange(bytes: number): string {
  const index = SIZES.findLastIndex((begin) => bytes >= begin * 2 ** 20);
  const [begin = 0, end] = SIZES.slice(index, index + 2);
  return end === undefined ? `GT${sizeName(begin)}` : `${sizeName(begin)}-${sizeName(end)}`;
}

/** Pods by whether they are static: "true" or "". */
type ByOrigin = ReadonlyMap<"" | "true", number>;

/** How many pods there are of each sort, for gauges. */
export interface PodCounts {
  readonly desired: ByOrigin;
  readonly active: ByOrigin;
  readonly mirrors: number;
  /** By `config/lifecycle/origin`. */
  readonly working: ReadonlyMap<string, number>;
  /** Those that are to be, and those that are: by plugin. */
  readonly desiredVolumes: ReadonlyMap<string, number>;
  readonly actualVolumes: ReadonlyMap<string, number>;
}

/** What /metrics and /metrics/probes of the kubelet count, under upstream's names. */
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
  readonly #relistSeconds = this.#durations(
    "kubelet_pleg_relist_duration_seconds",
    "Duration in seconds for relisting pods in PLEG.",
    [],
  );
  readonly #relistInterval = this.#durations(
    "kubelet_pleg_relist_interval_seconds",
    "Interval in seconds between relisting in PLEG.",
    [],
  );
  readonly #relistedAt = this.#gauge(
    "kubelet_pleg_last_seen_seconds",
    "Timestamp in seconds when PLEG was last seen active.",
    [],
  );
  readonly #sandboxSeconds = this.#durations(
    "kubelet_run_podsandbox_duration_seconds",
    "Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.",
    ["runtime_handler"],
  );
  readonly #sandboxErrors = this.#counter(
    "kubelet_run_podsandbox_errors_total",
    "Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler.",
    ["runtime_handler"],
  );
  readonly #startedPods = this.#counter("kubelet_started_pods_total", "Cumulative number of pods started", []);
  readonly #startedPodErrors = this.#counter(
    "kubelet_started_pods_errors_total",
    "Cumulative number of errors when starting pods",
    [],
  );
  readonly #startedContainers = this.#counter(
    "kubelet_started_containers_total",
    "Cumulative number of containers started",
    ["container_type"],
  );
  readonly #startedContainerErrors = this.#counter(
    "kubelet_started_containers_errors_total",
    "Cumulative number of errors when starting containers",
    ["container_type", "code"],
  );
  readonly #workerSeconds = this.#durations(
    "kubelet_pod_worker_duration_seconds",
    "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
    ["operation_type"],
  );
  readonly workerStartSeconds = this.#durations(
    "kubelet_pod_worker_start_duration_seconds",
    "Duration in seconds from kubelet seeing a pod to starting a worker.",
    [],
  );
  readonly containersPerPod = this.#durations(
    "kubelet_containers_per_pod_count",
    "The number of containers per pod.",
    [],
    exponentialBuckets(1, 2, 5),
  );
  readonly rejections = this.#counter(
    "kubelet_admission_rejections_total",
    "Cumulative number pod admission rejections by the Kubelet.",
    ["reason"],
  );
  readonly #imagePullSeconds = this.#durations(
    "kubelet_image_pull_duration_seconds",
    "Duration in seconds to pull an image.",
    ["image_size_in_bytes"],
    [1, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600],
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
  readonly #podStartSeconds = this.#durations(
    "kubelet_pod_start_duration_seconds",
    "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
    [],
    POD_START_BUCKETS,
  );
  readonly #podStartSli = this.#durations(
    "kubelet_pod_start_sli_duration_seconds",
    "Duration in seconds to start a pod, excluding time to pull images and run init containers, measured from pod creation timestamp to when all its containers are reported as started and observed via watch",
    [],
    POD_START_BUCKETS,
  );
  readonly #podStartTotal = this.#durations(
    "kubelet_pod_start_total_duration_seconds",
    "Duration in seconds to start a pod since creation, including time to pull images and run init containers, measured from pod creation timestamp to when all its containers are reported as started and observed via watch",
    [],
    POD_START_BUCKETS,
  );
  readonly evictions = this.#counter("kubelet_evictions", "Cumulative number of pod evictions by eviction signal", [
    "eviction_signal",
  ]);
  readonly preemptions = this.#counter(
    "kubelet_preemptions",
    "Cumulative number of pod preemptions by preemption resource",
    ["preemption_signal"],
  );
  readonly #requests = this.#counter(
    "kubelet_http_requests_total",
    "Number of the http requests received since the server started",
    REQUEST_LABELS,
  );
  readonly #requestsInFlight = this.#gauge(
    "kubelet_http_inflight_requests",
    "Number of the inflight http requests",
    REQUEST_LABELS,
  );
  readonly #requestSeconds = this.#durations(
    "kubelet_http_requests_duration_seconds",
    "Duration in seconds to serve http requests",
    REQUEST_LABELS,
  );
  readonly #nodeName = this.#gauge("kubelet_node_name", "The node's name. The count is always 1.", ["node"]);
  readonly #runningPods = this.#gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox", []);
  readonly #runningContainers = this.#gauge("kubelet_running_containers", "Number of containers currently running", [
    "container_state",
  ]);
  readonly #pods = new Map(
    (
      [
        [
          "desired",
          "The number of pods the kubelet is being instructed to run. static is true if the pod is not from the apiserver.",
        ],
        [
          "active",
          "The number of pods the kubelet considers active and which are being considered when admitting new pods. static is true if the pod is not from the apiserver.",
        ],
      ] as const
    ).map(([state, help]) => [state, this.#gauge(`kubelet_${state}_pods`, help, ["static"])]),
  );
  readonly #mirrorPods = this.#gauge(
    "kubelet_mirror_pods",
    "The number of mirror pods the kubelet will try to create (one per admitted static pod)",
    [],
  );
  readonly #workingPods = this.#gauge(
    "kubelet_working_pods",
    "Number of pods the kubelet is actually running, broken down by lifecycle phase, whether the pod is desired, orphaned, or runtime only (also orphaned), and whether the pod is static.",
    ["config", "lifecycle", "static"],
  );
  readonly #volumesInUse = this.#gauge("volume_manager_total_volumes", "Number of volumes in Volume Manager", [
    "plugin_name",
    "state",
  ]);
  readonly #servingCertificateLeft = this.#gauge(
    "kubelet_certificate_manager_server_ttl_seconds",
    "Gauge of the shortest TTL (time-to-live) of the Kubelet's serving certificate. The value is in seconds until certificate expiry (negative if already expired). If serving certificate is invalid or unused, the value will be +INF.",
    [],
  );
  readonly servingRenewalErrors = this.#counter(
    "kubelet_server_expiration_renew_errors",
    "Counter of certificate renewal errors.",
    [],
  );
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
  readonly #openFiles = this.#gauge("process_open_fds", "Number of open file descriptors.", []);
  readonly #maxFiles = this.#gauge("process_max_fds", "Maximum number of open file descriptors.", []);
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
    labelNames: readonly L[],
    buckets: number[] = DURATION_BUCKETS,
  ): Histogram<L> {
    return new Histogram({ name, help, labelNames: [...labelNames], buckets, registers: [this.#own] });
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

  /** A list of all pods has been read: how long that took, and how long ago the one before was. */
  relisted(now: number, seconds: number, sinceLast: number | undefined): void {
    this.#relistSeconds.observe(seconds);
    if (sinceLast !== undefined) this.#relistInterval.observe(sinceLast);
    this.#relistedAt.set(now / 1000);
  }

  /** A pod's worker looks after it once. */
  worked<T>(operation_type: WorkType, clock: Clock, work: () => Promise<T>): Promise<T> {
    return timed(clock, work, (seconds) => this.#workerSeconds.observe({ operation_type }, seconds));
  }

  /** A pod runs for the first time. What its images and its init containers take is not the node's doing. */
  podStarted({ sinceSeen, sinceCreated, pulling, initializing }: PodStart): void {
    this.#podStartSeconds.observe(sinceSeen);
    this.#podStartTotal.observe(sinceCreated);
    this.#podStartSli.observe(Math.max(0, sinceCreated - pulling - initializing));
  }

  /** Counts the start of a container, and by its reason a failure. */
  async started<T>(
    kind: ContainerKind,
    work: () => Promise<T>,
    reasonOf: (error: unknown) => string | undefined,
  ): Promise<T> {
    const container_type = CONTAINER_TYPES[kind];
    this.#startedContainers.inc({ container_type });
    try {
      return await work();
    } catch (error) {
      const code = reasonOf(error);
      if (code !== undefined) this.#startedContainerErrors.inc({ container_type, code });
      throw error;
    }
  }

  pulled(seconds: number, bytes: number): void {
    this.#imagePullSeconds.observe({ image_size_in_bytes: imageSizeRange(bytes) }, seconds);
  }

  /** Counts a request; what it answers is to be called at its end. */
  request(method: string, path: string, longRunning: boolean, clock: Clock): () => void {
    const labels = { method, path, server_type: "readwrite", long_running: String(longRunning) };
    const startedAt = clock.monotonic();
    this.#requests.inc(labels);
    this.#requestsInFlight.inc(labels);
    return () => {
      this.#requestsInFlight.dec(labels);
      this.#requestSeconds.observe(labels, (clock.monotonic() - startedAt) / 1000);
    };
  }

  /** The same runtime, with its calls counted and timed. */
  measured(runtime: Runtime, clock: Clock): Runtime {
    return wrapped(runtime, (name, call, args) => {
      const operation = OPERATIONS.get(name);
      if (operation === undefined) return call();
      const done = this.#timed(operation, clock, call);
      return name === "runSandbox" ? this.#sandbox(String(args[1]), clock, done) : done;
    });
  }

  #sandbox(runtime_handler: string, clock: Clock, call: Promise<unknown>): Promise<unknown> {
    this.#startedPods.inc();
    return timed(
      clock,
      () => call,
      (seconds, failed) => {
        this.#sandboxSeconds.observe({ runtime_handler }, seconds);
        if (!failed) return;
        this.#sandboxErrors.inc({ runtime_handler });
        this.#startedPodErrors.inc();
      },
    );
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
    readonly pods: PodCounts;
    /** Until the serving certificate ends. */
    readonly servingCertificateSeconds: number;
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
    for (const [state, gauge] of this.#pods)
      for (const origin of ["", "true"] as const) gauge.set({ static: origin }, now.pods[state].get(origin) ?? 0);
    this.#mirrorPods.set(now.pods.mirrors);
    this.#workingPods.reset();
    for (const [key, count] of now.pods.working) {
      const [config = "", lifecycle = "", origin = ""] = key.split("/");
      this.#workingPods.set({ config, lifecycle, static: origin }, count);
    }
    this.#volumesInUse.reset();
    for (const [state, volumes] of [
      ["desired_state_of_world", now.pods.desiredVolumes],
      ["actual_state_of_world", now.pods.actualVolumes],
    ] as const)
      for (const [plugin_name, count] of volumes) this.#volumesInUse.set({ plugin_name, state }, count);
    this.#servingCertificateLeft.set(now.servingCertificateSeconds);
    this.#started.set(now.startedAt / 1000);
    this.#cpu.set(processStat("self")?.cpuSeconds ?? 0);
    this.#resident.set(await residentBytes());
    this.#openFiles.set(openFiles("self")?.descriptors ?? 0);
    this.#maxFiles.set(softFileLimit("self") ?? 0);
    return this.#own.metrics();
  }
}
