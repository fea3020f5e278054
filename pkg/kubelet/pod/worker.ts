/**
 * Drives one pod from its first sight to its last trace: syncing (sandbox, volumes, containers), terminating (hooks,
 * signals), terminated (volumes, cgroup, the API object). Everything it needs to go on after a restart of the
 * kubelet is in the runtime and the API.
 */
import { rm } from "node:fs/promises";
import type { Container, ContainerStatus, Pod, PodCondition, PodStatus } from "#pkg/api/types/core-v1.ts";
import { pods } from "#pkg/api/refs.ts";
import { deepEqual, isConflict, isNotFound, keyOf } from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { KubeletConfig } from "../config.ts";
import type { Runtime } from "../cri/runtime.ts";
import type { ImagePuller } from "../images/puller.ts";
import type { ReferencedObjects } from "../objects.ts";
import type { PodLifecycleEvents } from "../pleg.ts";
import type { ProbeManager } from "../probes/manager.ts";
import type { StatusManager } from "../status-manager.ts";
import { referencesOf } from "../volumes/manager.ts";
import type { VolumeManager, VolumesReady } from "../volumes/manager.ts";
import type { VolumeContext } from "../volumes/volume.ts";
import type { BackoffTable } from "./backoff.ts";
import { formatSeconds } from "./backoff.ts";
import { podLogDirectory } from "./configs.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { newestContainer, readySandbox } from "./observed.ts";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import { planPod } from "./plan.ts";
import type { PlanInput, Step } from "./plan.ts";
import { containersOf, findContainer, isMirrorPod, podFullName, terminationGraceSeconds } from "./spec.ts";
import type { ContainerKind } from "./spec.ts";
import { StartError } from "./starter.ts";
import type { NodeFacts, Starter } from "./starter.ts";
import { podStatus } from "./status.ts";
import type { StartFailure } from "./status.ts";
import { terminationMessage } from "./termination-message.ts";

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;
/** After a failed pull the next look says ImagePullBackOff, as upstream's next sync does. */
const PULL_RECHECK_MS = 1500;
const DELETE_AGAIN_MS = 30_000;

export interface Verdict {
  readonly reason: string;
  readonly message: string;
  readonly graceSeconds?: number;
  /** Says that the pod was disrupted rather than failed. */
  readonly condition?: PodCondition;
}
/** How resources of a pod are kept in step with its spec; see resize. */
export interface ResourceKeeper {
  /** The pod as admitted: its spec with the resources that were granted. */
  allocated(pod: Pod): Pod;
  /** Brings running containers to the granted resources. Resolves to names that must restart for it. */
  actuate(pod: Pod, observed: ObservedPod, signal: AbortSignal): Promise<ReadonlySet<string>>;
  conditions(pod: Pod): PodCondition[];
  decorate(
    pod: Pod,
    status: ContainerStatus,
    kind: ContainerKind,
    container: ObservedContainer | undefined,
  ): ContainerStatus;
  decoratePod(pod: Pod, status: PodStatus): PodStatus;
  deferred(): string[];
  forget(uid: string): void;
}

export interface WorkerDeps {
  readonly client: Client;
  readonly runtime: Runtime;
  readonly runtimeName: () => string;
  readonly config: KubeletConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly pleg: PodLifecycleEvents;
  readonly status: StatusManager;
  readonly probes: ProbeManager;
  readonly volumes: VolumeManager;
  readonly volumeContext: (
    pod: Pod,
    podIPs: readonly string[],
    event: PodEventFunction,
    signal: AbortSignal,
  ) => VolumeContext;
  readonly objects: ReferencedObjects;
  readonly puller: ImagePuller;
  readonly lifecycle: Lifecycle;
  readonly starter: Starter;
  readonly resources: ResourceKeeper;
  readonly node: NodeFacts;
  readonly crashBackoff: BackoffTable;
  readonly networkReady: () => string | undefined;
  readonly removeCgroup: (pod: Pod) => Promise<void>;
  readonly event: (
    pod: Pod,
    containerName: string | undefined,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
  ) => void;
  /** The mirror pod that stands for a static pod in the API, if any. */
  readonly apiPod: (pod: Pod) => Pod | undefined;
}
export type PodEventFunction = (
  containerName: string | undefined,
  type: "Normal" | "Warning",
  reason: string,
  message: string,
) => void;

type State =
  | { readonly name: "syncing" }
  | { readonly name: "terminating"; graceSeconds: number; abort: AbortController; stopped: boolean }
  | { readonly name: "terminated"; cleaned: boolean }
  | { readonly name: "finished" };

export class PodWorker {
  readonly uid: string;
  readonly #deps: WorkerDeps;
  readonly #log: Logger;
  readonly #onFinished: (worker: PodWorker) => void;
  readonly #failures = new Map<string, StartFailure>();
  #pod: Pod;
  #state: State = { name: "syncing" };
  #verdict: Verdict | undefined;
  #rejected = false;
  #runSignal: AbortSignal | undefined;
  /** When the API was last asked to drop the pod; a finalizer may keep it for long. */
  #deletedAt: number | undefined;
  /** The API (or the manifest directory) has dropped the pod. */
  #removed = false;
  #wanted = true;
  #resume: (() => void) | undefined;
  #syncAbort = new AbortController();
  #volumesDirty = true;
  #volumesReady: VolumesReady | undefined;
  #retryMs = RETRY_MIN_MS;

  constructor(deps: WorkerDeps, pod: Pod, onFinished: (worker: PodWorker) => void) {
    this.#deps = deps;
    this.#pod = pod;
    this.uid = pod.metadata.uid;
    this.#onFinished = onFinished;
    this.#log = deps.log.child({ pod: pod.metadata.name, namespace: pod.metadata.namespace, podUid: pod.metadata.uid });
    deps.objects.use(this.uid, referencesOf(pod));
  }

  get pod(): Pod {
    return this.#pod;
  }
  /** The status last computed, or the API's. */
  currentStatus(): PodStatus | undefined {
    return this.#deps.status.wanted(this.uid) ?? this.#pod.status;
  }
  get state(): State["name"] {
    return this.#state.name;
  }
  /** True while the pod's containers may use the node's resources. */
  get active(): boolean {
    return !this.#rejected && (this.#state.name === "syncing" || this.#state.name === "terminating");
  }

  update(pod: Pod): void {
    const old = this.#pod;
    this.#pod = pod;
    if (old.metadata.generation !== pod.metadata.generation || old.metadata.generation === undefined)
      this.#deps.objects.use(this.uid, referencesOf(pod));
    const downwardChanged =
      !deepEqual(old.metadata.labels, pod.metadata.labels) ||
      !deepEqual(old.metadata.annotations, pod.metadata.annotations) ||
      old.metadata.generation !== pod.metadata.generation;
    if (downwardChanged) this.#volumesDirty = true;
    if (pod.metadata.deletionTimestamp !== undefined) this.#interrupt("The pod is being deleted.");
    this.wake();
  }
  /** The pod is no longer wanted by its source. */
  remove(): void {
    this.#removed = true;
    this.#interrupt("The pod was removed.");
    this.wake();
  }
  /** The node does not take the pod: it fails without anything of it ever having run. */
  reject(verdict: Verdict): void {
    this.#rejected = true;
    this.fail(verdict);
  }
  /** Ends the pod from here: eviction, rejection, deadline. Its phase becomes Failed. */
  fail(verdict: Verdict): void {
    if (this.#verdict !== undefined || this.#state.name !== "syncing") return;
    this.#verdict = verdict;
    this.#interrupt(verdict.message);
    this.wake();
  }
  volumesChanged(): void {
    this.#volumesDirty = true;
    this.wake();
  }
  wake(): void {
    this.#wanted = true;
    this.#resume?.();
  }
  #interrupt(why: string): void {
    if (this.#state.name === "syncing") this.#syncAbort.abort(new Error(why));
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#runSignal = signal;
    while (!signal.aborted && this.#state.name !== "finished") {
      this.#wanted = false;
      let recheckAt: number | undefined;
      try {
        recheckAt = await this.#step(signal);
      } catch (err) {
        if (signal.aborted) return;
        this.#log.warn({ err, state: this.#state.name }, "Syncing the pod failed");
        recheckAt = this.#retryAt();
      }
      if (this.#state.name !== ("finished" as State["name"])) await this.#wait(recheckAt, signal);
    }
  }

  #retryAt(): number {
    const at = this.#deps.clock.now() + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
    return at;
  }

  #wait(recheckAt: number | undefined, signal: AbortSignal): Promise<void> {
    if (this.#wanted || signal.aborted) return Promise.resolve();
    const { clock, config, random } = this.#deps;
    const resyncMs = config.syncFrequencySeconds * 1000 * (1 + random.float() / 2);
    const delayMs = Math.min(resyncMs, recheckAt === undefined ? Infinity : Math.max(0, recheckAt - clock.now()));
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        signal.removeEventListener("abort", done);
        this.#resume = undefined;
        resolve();
      };
      const cancel = clock.schedule(delayMs, done);
      this.#resume = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }

  /** One pass through the state the pod is in; resolves to when it wants to be looked at again. */
  async #step(signal: AbortSignal): Promise<number | undefined> {
    switch (this.#state.name) {
      case "syncing":
        return this.#syncPod(signal);
      case "terminating":
        return this.#syncTerminating(this.#state, signal);
      case "terminated":
        return this.#syncTerminated(this.#state, signal);
      case "finished":
        return undefined;
    }
  }

  #podIPs(observed: ObservedPod): readonly string[] {
    if (this.#pod.spec.hostNetwork === true) return this.#deps.node.hostIPs();
    const ips = (readySandbox(observed) ?? observed.sandboxes[0])?.ips ?? [];
    return ips.length > 0 ? ips : (this.#pod.status?.podIPs ?? []).map(({ ip }) => ip);
  }
  #spec(container: ObservedContainer): Container | undefined {
    return findContainer(this.#pod, container.metadata.name)?.spec;
  }
  readonly #event: PodEventFunction = (container, type, reason, message) =>
    this.#deps.event(this.#pod, container, type, reason, message);

  #publish(observed: ObservedPod): PodStatus {
    const { probes, status, resources, node, clock } = this.#deps;
    const base = this.#deps.apiPod(this.#pod);
    const known = base === undefined ? undefined : status.latest(base);
    const pod = resources.allocated({
      ...this.#pod,
      status: this.#removed
        ? (status.wanted(this.uid) ?? this.#pod.status)
        : (known?.status ?? status.wanted(this.uid) ?? this.#pod.status),
    });
    const computed = podStatus(
      {
        pod,
        observed,
        now: clock.now(),
        hostIPs: node.hostIPs(),
        failures: this.#failures,
        probes: {
          started: (container) => probes.started(this.uid, container, this.#spec(container)),
          ready: (container) => probes.ready(this.uid, container, this.#spec(container)),
        },
        terminationMessage,
        terminal: this.#state.name === "terminated",
        ...(this.#verdict === undefined ? {} : { verdict: this.#verdict }),
        decorate: (containerStatus, kind, container) => resources.decorate(pod, containerStatus, kind, container),
        extraConditions: [
          ...resources.conditions(this.#pod),
          ...(this.#verdict?.condition === undefined ? [] : [this.#verdict.condition]),
        ],
      },
      this.#deps.runtimeName(),
    );
    const result = resources.decoratePod(pod, computed);
    if (known !== undefined && !this.#removed) status.set(known, this.#held(result, known.status));
    return result;
  }

  /**
   * A terminal phase tells others that nothing of the pod runs any more: it is held back until that is true, and with
   * it why the pod failed.
   */
  #held(next: PodStatus, known: PodStatus | undefined): PodStatus {
    const isTerminal = (phase: string | undefined) => phase === "Succeeded" || phase === "Failed";
    if (this.#state.name === "terminated" || !isTerminal(next.phase) || isTerminal(known?.phase)) return next;
    return { ...next, phase: known?.phase ?? "Pending", reason: known?.reason, message: known?.message };
  }

  async #syncPod(parent: AbortSignal): Promise<number | undefined> {
    const { pleg, probes, clock, config } = this.#deps;
    this.#syncAbort = new AbortController();
    const signal = AbortSignal.any([parent, this.#syncAbort.signal]);
    let observed = pleg.get(this.uid);
    const ending = this.#endingGrace();
    if (ending !== undefined) return this.#beginTerminating(ending);
    const deadlineAt = this.#deadlineAt();
    if (deadlineAt !== undefined && clock.now() >= deadlineAt) {
      this.#verdict = {
        reason: "DeadlineExceeded",
        message: "Pod was active on the node longer than the specified deadline",
      };
      this.#event(undefined, "Normal", "DeadlineExceeded", this.#verdict.message);
      return this.#beginTerminating(terminationGraceSeconds(this.#pod));
    }
    probes.update(this.#pod, observed, this.#podIPs(observed)[0] ?? "");
    const status = this.#publish(observed);
    if (status.phase === "Succeeded" || status.phase === "Failed")
      return this.#beginTerminating(terminationGraceSeconds(this.#pod));

    let recheckAt: number | undefined = earliest(deadlineAt, clock.now() + config.syncFrequencySeconds * 1500);
    try {
      recheckAt = earliest(recheckAt, await this.#ensureVolumes(observed, signal));
      if (this.#volumesReady === undefined) return earliest(recheckAt, this.#retryAt());
      for (;;) {
        const restart = await this.#deps.resources.actuate(this.#pod, observed, signal);
        const plan = planPod(this.#planInput(observed, restart));
        this.#noteBackoff(plan.backingOff);
        recheckAt = earliest(recheckAt, plan.recheckAt);
        const retryAt = await this.#execute(plan.steps, observed, signal);
        recheckAt = earliest(recheckAt, retryAt);
        observed = plan.steps.length > 0 ? await pleg.refresh(this.uid, signal) : observed;
        probes.update(this.#pod, observed, this.#podIPs(observed)[0] ?? "");
        const next = this.#publish(observed);
        if (next.phase === "Succeeded" || next.phase === "Failed") {
          this.#wanted = true;
          return undefined;
        }
        if (retryAt === undefined && plan.backingOff.length === 0) this.#retryMs = RETRY_MIN_MS;
        if (plan.steps.length === 0 || retryAt !== undefined) break;
      }
      await this.#removeOldContainers(observed, signal);
    } catch (error) {
      // Whoever interrupted has already set what comes next.
      if (this.#syncAbort.signal.aborted && !parent.aborted) {
        this.#wanted = true;
        return undefined;
      }
      throw error;
    }
    return recheckAt;
  }

  /** Set when the pod must end; the grace it has. */
  #endingGrace(): number | undefined {
    if (this.#verdict !== undefined) return this.#verdict.graceSeconds ?? terminationGraceSeconds(this.#pod);
    if (this.#removed || this.#pod.metadata.deletionTimestamp !== undefined) return terminationGraceSeconds(this.#pod);
    return undefined;
  }

  #deadlineAt(): number | undefined {
    const { activeDeadlineSeconds } = this.#pod.spec;
    const startTime = this.#deps.status.wanted(this.uid)?.startTime ?? this.#pod.status?.startTime;
    return activeDeadlineSeconds === undefined || startTime === undefined
      ? undefined
      : Date.parse(startTime) + activeDeadlineSeconds * 1000;
  }

  #planInput(observed: ObservedPod, restartForResize: ReadonlySet<string>): PlanInput {
    const { probes, crashBackoff, clock } = this.#deps;
    const now = clock.now();
    return {
      pod: this.#pod,
      observed,
      now,
      probes: {
        livenessFailed: (id) => probes.livenessFailed(this.uid, id),
        startupFailed: (id) => probes.startupFailed(this.uid, id),
        started: (container) => probes.started(this.uid, container, this.#spec(container)),
      },
      backoff: (container, finishedAt) => crashBackoff.waiting(this.#backoffKey(container), finishedAt, now),
      restartForResize,
    };
  }
  #backoffKey(container: { name: string; image?: string }): string {
    return `${this.uid}/${container.name}/${container.image ?? ""}`;
  }

  #noteBackoff(backingOff: readonly { name: string; delayMs: number }[]): void {
    for (const { name, delayMs } of backingOff) {
      const message = `back-off ${formatSeconds(delayMs)} restarting failed container=${name} pod=${podFullName(this.#pod)}`;
      if (this.#failures.get(name)?.message === message) continue;
      this.#failures.set(name, { reason: "CrashLoopBackOff", message });
      this.#event(
        name,
        "Warning",
        "BackOff",
        `Back-off restarting failed container ${name} in pod ${podFullName(this.#pod)}`,
      );
    }
  }

  async #ensureVolumes(observed: ObservedPod, signal: AbortSignal): Promise<number | undefined> {
    const { volumes, clock } = this.#deps;
    const due = this.#volumesReady?.recheckAt;
    if (!this.#volumesDirty && this.#volumesReady !== undefined && (due === undefined || clock.now() < due)) return due;
    this.#volumesDirty = false;
    try {
      this.#volumesReady = await volumes.setUp(
        this.#deps.volumeContext(this.#pod, this.#podIPs(observed), this.#event, signal),
      );
      return this.#volumesReady.recheckAt;
    } catch (err) {
      if (signal.aborted) throw err;
      this.#volumesDirty = true;
      const message = err instanceof Error ? err.message : String(err);
      this.#log.warn({ err }, "Setting up the pod's volumes failed");
      this.#event(undefined, "Warning", "FailedMount", message);
      // Containers that already run keep what they have.
      return this.#retryAt();
    }
  }

  /** Executes steps in order; resolves to when to try again if something failed. */
  async #execute(steps: readonly Step[], observed: ObservedPod, signal: AbortSignal): Promise<number | undefined> {
    let retryAt: number | undefined;
    for (const step of steps) {
      signal.throwIfAborted();
      switch (step.type) {
        case "KillSandbox":
          if (observed.containers.length > 0) this.#event(undefined, "Normal", "SandboxChanged", step.message);
          await this.#stopSandbox(step.sandboxId, observed, signal);
          break;
        case "CreateSandbox":
          retryAt = earliest(retryAt, await this.#createSandbox(step.attempt, observed, signal));
          break;
        case "KillContainer":
          await this.#killContainer(step, observed, signal);
          break;
        case "StartContainer":
          retryAt = earliest(retryAt, await this.#startContainer(step, observed, signal));
          break;
      }
    }
    return retryAt;
  }

  #stopSandbox(sandboxId: string, observed: ObservedPod, signal: AbortSignal): Promise<void> {
    const inside = {
      uid: this.uid,
      sandboxes: observed.sandboxes.filter(({ id }) => id === sandboxId),
      containers: observed.containers.filter((c) => c.sandboxId === sandboxId),
    };
    return this.#deps.lifecycle.stopPod(
      this.#pod,
      inside,
      terminationGraceSeconds(this.#pod),
      this.#podIPs(observed)[0] ?? "",
      this.#event,
      signal,
    );
  }

  async #createSandbox(attempt: number, observed: ObservedPod, signal: AbortSignal): Promise<number | undefined> {
    const why = this.#pod.spec.hostNetwork === true ? undefined : this.#deps.networkReady();
    if (why !== undefined) {
      this.#event(undefined, "Warning", "NetworkNotReady", `network is not ready: ${why}`);
      return this.#retryAt();
    }
    try {
      await this.#deps.starter.createSandbox(this.#startContext(observed, signal), attempt);
      return undefined;
    } catch (err) {
      if (signal.aborted) throw err;
      this.#log.warn({ err }, "Creating the pod's sandbox failed");
      this.#event(
        undefined,
        "Warning",
        "FailedCreatePodSandBox",
        `Failed to create pod sandbox: ${err instanceof Error ? err.message : String(err)}`,
      );
      return this.#retryAt();
    }
  }

  #startContext(observed: ObservedPod, signal: AbortSignal) {
    return {
      pod: this.#deps.resources.allocated(this.#pod),
      observed,
      volumes: this.#volumesReady?.volumes ?? new Map(),
      podDirectory: this.#deps.volumes.podDirectory(this.uid),
      event: this.#event,
      signal,
    };
  }

  async #killContainer(
    step: Extract<Step, { type: "KillContainer" }>,
    observed: ObservedPod,
    signal: AbortSignal,
  ): Promise<void> {
    const { container, message, reason } = step;
    const spec = this.#spec(container);
    const probe =
      reason === "LivenessFailed" ? spec?.livenessProbe : reason === "StartupFailed" ? spec?.startupProbe : undefined;
    const grace = probe?.terminationGracePeriodSeconds ?? this.#pod.spec.terminationGracePeriodSeconds ?? 30;
    this.#event(container.metadata.name, "Normal", "Killing", message);
    await this.#deps.lifecycle.stopContainer(
      this.#pod,
      container,
      grace,
      this.#podIPs(observed)[0] ?? "",
      this.#event,
      signal,
    );
  }

  async #startContainer(
    step: Extract<Step, { type: "StartContainer" }>,
    observed: ObservedPod,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { crashBackoff, clock, starter } = this.#deps;
    const spec = findContainer(this.#pod, step.name)!.spec;
    const previous = newestContainer(observed, step.name);
    if (previous?.state === "Exited") crashBackoff.next(this.#backoffKey(spec), previous.finishedAt, clock.now());
    try {
      await starter.startContainer(this.#startContext(observed, signal), step);
      this.#failures.delete(step.name);
      return undefined;
    } catch (error) {
      if (signal.aborted || !(error instanceof StartError)) throw error;
      this.#log.info({ err: error, container: step.name, reason: error.reason }, "Starting a container failed");
      this.#failures.set(step.name, { reason: error.reason, message: error.message });
      if (error.reason === "ErrImagePull") return clock.now() + PULL_RECHECK_MS;
      return error.retryAt ?? this.#retryAt();
    }
  }

  /** Of each container the runtime keeps the newest instance and the one before it (logs --previous). */
  async #removeOldContainers(observed: ObservedPod, signal: AbortSignal): Promise<void> {
    const seen = new Map<string, number>();
    const sandboxesInUse = new Set<string>();
    for (const container of observed.containers) {
      const count = (seen.get(container.metadata.name) ?? 0) + 1;
      seen.set(container.metadata.name, count);
      if (count <= 2 || container.state === "Running") {
        sandboxesInUse.add(container.sandboxId);
        continue;
      }
      await this.#deps.runtime.removeContainer(container.id, { signal });
      if (container.logPath !== "") await rm(container.logPath, { force: true });
    }
    for (const [index, sandbox] of observed.sandboxes.entries()) {
      if (index > 0 && sandbox.state === "NotReady" && !sandboxesInUse.has(sandbox.id))
        await this.#deps.runtime.removeSandbox(sandbox.id, { signal });
    }
  }

  #beginTerminating(graceSeconds: number): undefined {
    this.#retryMs = RETRY_MIN_MS;
    this.#deps.probes.stopLivenessAndStartup(this.uid);
    this.#state = { name: "terminating", graceSeconds, abort: new AbortController(), stopped: false };
    this.#startStopping(this.#state);
    this.#wanted = true;
    return undefined;
  }

  #startStopping(state: Extract<State, { name: "terminating" }>): void {
    const { abort, graceSeconds } = state;
    const parent = this.#runSignal;
    const onAbort = () => abort.abort(parent?.reason);
    parent?.addEventListener("abort", onAbort, { once: true });
    const work = async () => {
      const observed = await this.#deps.pleg.refresh(this.uid, abort.signal);
      await this.#deps.lifecycle.stopPod(
        this.#pod,
        observed,
        graceSeconds,
        this.#podIPs(observed)[0] ?? "",
        this.#event,
        abort.signal,
      );
    };
    const stopping = work().finally(() => parent?.removeEventListener("abort", onAbort));
    stopping.then(
      () => {
        if (abort.signal.aborted) return;
        state.stopped = true;
        this.wake();
      },
      (err: unknown) => {
        if (abort.signal.aborted) return;
        this.#log.warn({ err }, "Stopping the pod failed");
        this.#event(
          undefined,
          "Warning",
          "FailedKillPod",
          `error killing pod: ${err instanceof Error ? err.message : String(err)}`,
        );
        this.#deps.clock.schedule(this.#retryAt() - this.#deps.clock.now(), () => {
          if (!abort.signal.aborted && this.#state === state) this.#startStopping(state);
        });
      },
    );
  }

  async #syncTerminating(
    state: Extract<State, { name: "terminating" }>,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { pleg } = this.#deps;
    const grace = this.#endingGrace();
    if (grace !== undefined && grace < state.graceSeconds && !state.stopped) {
      // A second, more urgent deletion: stop again with less patience.
      state.abort.abort(new Error("The grace period was shortened."));
      state.graceSeconds = grace;
      state.abort = new AbortController();
      this.#startStopping(state);
    }
    if (!state.stopped) {
      this.#publish(pleg.get(this.uid));
      return undefined;
    }
    await pleg.refresh(this.uid, signal);
    this.#state = { name: "terminated", cleaned: false };
    this.#wanted = true;
    return undefined;
  }

  async #syncTerminated(state: Extract<State, { name: "terminated" }>, signal: AbortSignal): Promise<undefined> {
    const { pleg, probes, status, volumes, objects, client, puller, crashBackoff, resources } = this.#deps;
    this.#publish(pleg.get(this.uid));
    if (!state.cleaned) {
      probes.forget(this.uid);
      await volumes.tearDown(this.uid);
      await this.#deps.removeCgroup(this.#pod);
      objects.release(this.uid);
      state.cleaned = true;
    }
    const deleted = this.#pod.metadata.deletionTimestamp !== undefined;
    if (!deleted && !this.#removed) return undefined;
    const now = this.#deps.clock.monotonic();
    const askedLately = this.#deletedAt !== undefined && now - this.#deletedAt < DELETE_AGAIN_MS;
    if (deleted && !this.#removed && !isMirrorPod(this.#pod) && !askedLately) {
      await status.flush(this.uid);
      try {
        await client.delete(pods, keyOf(this.#pod), {
          gracePeriodSeconds: 0,
          preconditions: { uid: this.uid },
          signal,
        });
      } catch (error) {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      }
      this.#deletedAt = now;
    }
    // A finalizer may keep the object: containers go all the same, the worker stays until the object does.
    await removeRuntimePod(this.#deps.runtime, pleg.get(this.uid), signal);
    await rm(podLogDirectory(this.#deps.config.podLogsDir, this.#pod), { recursive: true, force: true });
    await pleg.refresh(this.uid, signal);
    if (!this.#removed) return undefined;
    puller.forget(this.uid);
    crashBackoff.forget(this.uid);
    resources.forget(this.uid);
    status.forget(this.uid);
    this.#state = { name: "finished" };
    this.#onFinished(this);
    return undefined;
  }
}

/** Removes stopped containers and sandboxes of a pod. */
export async function removeRuntimePod(runtime: Runtime, observed: ObservedPod, signal: AbortSignal): Promise<void> {
  await Promise.all(observed.containers.map(({ id }) => runtime.removeContainer(id, { signal })));
  await Promise.all(observed.sandboxes.map(({ id }) => runtime.removeSandbox(id, { signal })));
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

/** Names of all containers of a pod, in the order the API lists their statuses. */
export function containerNames(pod: Pod): string[] {
  return containersOf(pod).map(({ spec }) => spec.name);
}
