/**
 * Probes running containers on their schedules and remembers verdicts by container id, so that a verdict about one
 * instance never speaks for the next. Consumers ask; they are told when an answer changes.
 */
import type { Container, ContainerStatus, Pod, PodStatus, Probe } from "#pkg/api/types/core-v1.ts";
import { type Clock, type Logger, type Random, errorMessage } from "#pkg/util/index.ts";
import type { Runtime } from "../cri/runtime.ts";
import type { ObservedContainer, ObservedPod } from "../pod/observed.ts";
import { newestContainer } from "../pod/observed.ts";
import { containersOf, isSidecar } from "../pod/spec.ts";
import { runProbe } from "./prober.ts";

/** What a probe is for. */
export type ProbeKind = "startup" | "liveness" | "readiness";
const KINDS: readonly ProbeKind[] = ["startup", "liveness", "readiness"];

interface Worker {
  readonly kind: ProbeKind;
  readonly of: ProbedContainer;
  readonly containerId: string;
  readonly probe: Probe;
  readonly abort: AbortController;
  /** undefined until the first run has counted. */
  result: boolean | undefined;
  successes: number;
  failures: number;
  cancelTimer: () => void;
}
interface PodProbes {
  pod: Pod;
  podIP: string;
  readonly workers: Map<string, Worker>;
  /** Ids of containers that had started by the time the pod began to be stopped. */
  readonly started: Set<string>;
}
/** Hears of every probe's result, and when there will be no more of a container. */
export interface ProbeObserver {
  probed(of: ProbedContainer, result: "successful" | "failed" | "unknown"): void;
  forgetProbes(of: ProbedContainer): void;
}

/** Whom a result of a probe is about. */
export interface ProbedContainer {
  readonly kind: ProbeKind;
  readonly container: string;
  readonly pod: string;
  readonly namespace: string;
  readonly uid: string;
}

/** Records that a probe has failed. */
export type ProbeEvent = (pod: Pod, containerName: string, type: "Warning", reason: string, message: string) => void;

function probeOf(container: Container, kind: ProbeKind): Probe | undefined {
  return kind === "startup"
    ? container.startupProbe
    : kind === "liveness"
      ? container.livenessProbe
      : container.readinessProbe;
}

export class ProbeManager {
  readonly #runtime: Runtime;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Logger;
  readonly #event: ProbeEvent;
  readonly #onChange: (podUid: string) => void;
  readonly #observer: ProbeObserver;
  readonly #pods = new Map<string, PodProbes>();

  constructor(deps: {
    runtime: Runtime;
    clock: Clock;
    random: Random;
    log: Logger;
    event: ProbeEvent;
    onChange: (podUid: string) => void;
    observer: ProbeObserver;
  }) {
    this.#runtime = deps.runtime;
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.#log = deps.log;
    this.#event = deps.event;
    this.#onChange = deps.onChange;
    this.#observer = deps.observer;
  }

  /**
   * Starts probes for containers that now run and ends those of containers that do not. Idempotent. What was `told` of a
   * container before the kubelet restarted stands until its probes say otherwise (KEP-4781).
   */
  update(pod: Pod, observed: ObservedPod, podIP: string, told: PodStatus | undefined = pod.status): void {
    const { uid } = pod.metadata;
    let entry = this.#pods.get(uid);
    if (entry === undefined) this.#pods.set(uid, (entry = { pod, podIP, workers: new Map(), started: new Set() }));
    entry.pod = pod;
    entry.podIP = podIP;
    const wanted = new Set<string>();
    for (const { kind: containerKind, spec } of containersOf(pod)) {
      if (containerKind === "ephemeral" || (containerKind === "init" && !isSidecar(spec))) continue;
      const current = newestContainer(observed, spec.name);
      if (current === undefined || current.state !== "Running") continue;
      for (const kind of KINDS) {
        const probe = probeOf(spec, kind);
        if (probe === undefined) continue;
        const key = `${current.id}/${kind}`;
        wanted.add(key);
        if (entry.workers.has(key)) continue;
        const before = toldOf(told, current.id);
        const passed = kind === "startup" ? before?.started : kind === "readiness" && before?.ready;
        this.#start(entry, key, { kind, probe, container: current, spec, result: passed === true ? true : undefined });
      }
    }
    for (const [key, worker] of entry.workers) if (!wanted.has(key)) this.#stop(entry, key, worker);
  }

  /** Ends the probes that must not run while a pod is being stopped: readiness goes on, so that endpoints know. */
  stopLivenessAndStartup(podUid: string): void {
    const entry = this.#pods.get(podUid);
    if (entry === undefined) return;
    for (const [key, worker] of entry.workers) {
      if (worker.kind === "readiness") continue;
      if (worker.kind === "startup" && worker.result === true) entry.started.add(worker.containerId);
      this.#stop(entry, key, worker);
    }
  }
  forget(podUid: string): void {
    const entry = this.#pods.get(podUid);
    if (entry === undefined) return;
    for (const [key, worker] of entry.workers) this.#stop(entry, key, worker);
    this.#pods.delete(podUid);
  }
  stop(): void {
    for (const uid of this.#pods.keys()) this.forget(uid);
  }

  #find(podUid: string, containerId: string, kind: ProbeKind): Worker | undefined {
    return this.#pods.get(podUid)?.workers.get(`${containerId}/${kind}`);
  }
  livenessFailed(podUid: string, containerId: string): boolean {
    return this.#find(podUid, containerId, "liveness")?.result === false;
  }
  startupFailed(podUid: string, containerId: string): boolean {
    return this.#find(podUid, containerId, "startup")?.result === false;
  }
  /** `spec` decides whether there is a probe at all. */
  started(podUid: string, container: ObservedContainer, spec: Container | undefined): boolean {
    return spec?.startupProbe === undefined || this.#hasStarted(podUid, container.id);
  }
  #hasStarted(podUid: string, containerId: string): boolean {
    const succeeded = this.#find(podUid, containerId, "startup")?.result === true;
    return succeeded || this.#pods.get(podUid)?.started.has(containerId) === true;
  }
  ready(podUid: string, container: ObservedContainer, spec: Container | undefined): boolean {
    return spec?.readinessProbe === undefined || this.#find(podUid, container.id, "readiness")?.result === true;
  }

  #start(
    entry: PodProbes,
    key: string,
    {
      kind,
      probe,
      container,
      spec,
      result,
    }: Pick<Worker, "kind" | "probe" | "result"> & {
      readonly container: ObservedContainer;
      readonly spec: Container;
    },
  ): void {
    const { name: pod, namespace = "", uid } = entry.pod.metadata;
    const worker: Worker = {
      kind,
      of: { kind, container: spec.name, pod, namespace, uid },
      containerId: container.id,
      probe,
      abort: new AbortController(),
      result,
      successes: 0,
      failures: 0,
      cancelTimer: () => undefined,
    };
    entry.workers.set(key, worker);
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    // A clock that was set back since the container started must not put its first probe off.
    const age = Math.max(0, this.#clock.now() - container.startedAt);
    const initialMs = (probe.initialDelaySeconds ?? 0) * 1000 - age;
    // After a restart of the node agent many containers come at once: spread their probes over one period.
    const jitterMs = age > periodMs ? this.#random.float() * periodMs : 0;
    const tick = () => {
      void this.#tick(entry, worker, spec).finally(() => {
        if (worker.abort.signal.aborted) return;
        worker.cancelTimer = this.#clock.schedule(periodMs, tick);
      });
    };
    worker.cancelTimer = this.#clock.schedule(Math.max(0, initialMs) + jitterMs, tick);
  }

  #stop(entry: PodProbes, key: string, worker: Worker): void {
    worker.cancelTimer();
    worker.abort.abort();
    this.#observer.forgetProbes(worker.of);
    entry.workers.delete(key);
  }

  async #tick(entry: PodProbes, worker: Worker, spec: Container): Promise<void> {
    const { kind, probe, containerId } = worker;
    const { uid } = entry.pod.metadata;
    const started = spec.startupProbe === undefined || this.#hasStarted(uid, containerId);
    if (kind === "startup" ? worker.result === true : !started) return;
    // The container is condemned: how it answers while it is being stopped no longer matters.
    if (kind !== "readiness" && worker.result === false) return;
    let success: boolean;
    let output = "";
    try {
      const verdict = await runProbe(
        this.#runtime,
        probe,
        { container: spec, containerId, podIP: entry.podIP },
        worker.abort.signal,
      );
      success = verdict.result === "Success";
      output = verdict.output;
      if (verdict.warning !== undefined)
        this.#event(
          entry.pod,
          spec.name,
          "Warning",
          "ProbeWarning",
          `${capitalised(kind)} probe warning: ${verdict.warning}`,
        );
    } catch (err) {
      if (worker.abort.signal.aborted) return;
      // The probe could not be carried out: that says nothing about the container.
      this.#observer.probed(worker.of, "unknown");
      this.#log.warn({ err, podUid: uid, container: spec.name, kind }, "Probe errored");
      this.#event(
        entry.pod,
        spec.name,
        "Warning",
        "Unhealthy",
        `${capitalised(kind)} probe errored and resulted in unknown state: ${errorMessage(err)}`,
      );
      return;
    }
    if (worker.abort.signal.aborted) return;
    this.#observer.probed(worker.of, success ? "successful" : "failed");
    if (!success)
      this.#event(entry.pod, spec.name, "Warning", "Unhealthy", `${capitalised(kind)} probe failed: ${output}`);
    this.#count(entry, worker, success);
  }

  #count(entry: PodProbes, worker: Worker, success: boolean): void {
    const { probe } = worker;
    worker.successes = success ? worker.successes + 1 : 0;
    worker.failures = success ? 0 : worker.failures + 1;
    const before = worker.result;
    if (success && worker.successes >= (probe.successThreshold ?? 1)) worker.result = true;
    else if (!success && worker.failures >= (probe.failureThreshold ?? 3)) worker.result = false;
    if (worker.result === before) return;
    this.#onChange(entry.pod.metadata.uid);
  }
}

/** What the API was last told of this instance of a container. */
function toldOf(status: PodStatus | undefined, id: string): ContainerStatus | undefined {
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  return all.find(({ containerID = "" }) => containerID.slice(containerID.indexOf("://") + 3) === id);
}

function capitalised(kind: ProbeKind): string {
  return kind[0]!.toUpperCase() + kind.slice(1);
}
