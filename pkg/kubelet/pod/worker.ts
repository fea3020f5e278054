/**
 * Drives one pod from its first sight to its last trace: syncing (sandbox, volumes, containers), terminating (hooks,
 * signals), terminated (volumes, cgroup, the API object). Everything it needs to go on after a restart of the
 * kubelet is in the runtime and the API. Its parts: the executor takes the plan's steps, the publisher tells the
 * status, stopping and retirement are the way out.
 */
import type { Pod, PodStatus } from "#pkg/api/types/core-v1.ts";
import { deepEqual } from "#pkg/apimachinery/index.ts";
import { parseTime } from "#pkg/util/index.ts";
import type { WorkType } from "../metrics.ts";
import { referencesOf } from "../volumes/manager.ts";
import { StepExecutor } from "./executor.ts";
import type { ObservedPod } from "./observed.ts";
import { planPod } from "./plan.ts";
import { isTerminal, publishStatus } from "./publisher.ts";
import { Retirement } from "./retirement.ts";
import { terminationGraceSeconds } from "./spec.ts";
import { Stopping } from "./stopping.ts";
import { earliest, PodSubject } from "./subject.ts";
import type { Verdict, WorkerDeps } from "./worker-deps.ts";

/** Upstream's kubelet sees a sandbox with its next list: after up to a second. */
const SANDBOX_ALONE_MS = 1000;

type State =
  | { readonly name: "syncing" }
  | { readonly name: "terminating"; readonly stopping: Stopping }
  | { readonly name: "terminated"; readonly retirement: Retirement }
  | { readonly name: "finished" };

/** What one round of steps has led to. */
interface Pass {
  readonly observed: ObservedPod;
  readonly recheckAt?: number | undefined;
  /** Are there more steps, or has the pod come to its end? */
  readonly outcome: "more" | "done" | "ended";
}

export class PodWorker {
  readonly uid: string;
  readonly #deps: WorkerDeps;
  readonly #subject: PodSubject;
  readonly #executor: StepExecutor;
  readonly #onFinished: (worker: PodWorker) => void;
  #state: State = { name: "syncing" };
  #verdict: Verdict | undefined;
  #rejected = false;
  #wanted = true;
  /** Monotonic time at which a pod was first seen that has not begun to run. */
  #startingSince: number | undefined;
  readonly #seenAt: number;
  #next: WorkType = "create";
  #resume: (() => void) | undefined;
  /** Cancels telling the status later on. */
  #unpublished: (() => void) | undefined;
  #syncAbort = new AbortController();

  constructor(deps: WorkerDeps, pod: Pod, onFinished: (worker: PodWorker) => void) {
    this.#deps = deps;
    this.#subject = new PodSubject(deps, pod);
    this.#executor = new StepExecutor(this.#subject);
    this.uid = pod.metadata.uid;
    this.#seenAt = deps.clock.monotonic();
    if (pod.status?.startTime === undefined) this.#startingSince = this.#seenAt;
    this.#onFinished = onFinished;
    deps.objects.use(this.uid, referencesOf(pod));
  }

  get pod(): Pod {
    return this.#subject.pod;
  }
  /** The status last computed, or the API's. */
  currentStatus(): PodStatus | undefined {
    return this.#deps.status.wanted(this.uid) ?? this.pod.status;
  }
  get state(): State["name"] {
    return this.#state.name;
  }
  /** True once everything that the pod mounts is there. */
  get volumesReady(): boolean {
    return this.#executor.volumesReady && !this.cleanedUp;
  }
  /** True while the pod's containers may use the node's resources. */
  get active(): boolean {
    return !this.#rejected && (this.#state.name === "syncing" || this.#state.name === "terminating");
  }
  /** True once the pod has given back what it used of the node: nothing of it runs, its volumes and cgroup are gone. */
  get cleanedUp(): boolean {
    return this.#state.name === "finished" || (this.#state.name === "terminated" && this.#state.retirement.cleaned);
  }
  /** Why the kubelet ends the pod of its own accord; undefined while it does not. */
  get endsFor(): string | undefined {
    return this.#verdict?.reason;
  }
  /** True once no source wants the pod any more, however much of it still runs. */
  get removed(): boolean {
    return this.#subject.removed;
  }

  update(pod: Pod): void {
    const old = this.pod;
    this.#subject.pod = pod;
    if (this.#next === "sync") this.#next = "update";
    if (old.metadata.generation !== pod.metadata.generation || old.metadata.generation === undefined)
      this.#deps.objects.use(this.uid, referencesOf(pod));
    const downwardChanged =
      !deepEqual(old.metadata.labels, pod.metadata.labels) ||
      !deepEqual(old.metadata.annotations, pod.metadata.annotations) ||
      old.metadata.generation !== pod.metadata.generation;
    if (downwardChanged) this.#executor.volumesChanged();
    if (pod.metadata.deletionTimestamp !== undefined) this.#interrupt("The pod is being deleted.");
    this.wake();
  }
  /** The pod is no longer wanted by its source. */
  remove(): void {
    this.#subject.removed = true;
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
    this.#executor.volumesChanged();
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
    try {
      await this.#run(signal);
    } finally {
      this.#unpublished?.();
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#wanted = false;
      let recheckAt: number | undefined;
      try {
        recheckAt = await this.#deps.metrics.worked(this.#work(), this.#deps.clock, () => this.#step(signal));
      } catch (err) {
        if (signal.aborted) return;
        this.#subject.log.warn({ err, state: this.state }, "Syncing the pod failed");
        recheckAt = this.#subject.retryAt();
      }
      if (this.state === "finished") return;
      await this.#wait(recheckAt, signal);
    }
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

  /** What the next pass is, as metrics tell passes apart. */
  #work(): WorkType {
    const type = this.#state.name === "syncing" ? this.#next : "kill";
    if (type === "create") {
      this.#deps.metrics.workerStartSeconds.observe((this.#deps.clock.monotonic() - this.#seenAt) / 1000);
      this.#deps.metrics.containersPerPod.observe(this.pod.spec.containers.length);
    }
    this.#next = "sync";
    return type;
  }

  /** One pass through the state the pod is in; resolves to when it wants to be looked at again. */
  async #step(signal: AbortSignal): Promise<number | undefined> {
    const state = this.#state;
    switch (state.name) {
      case "syncing":
        return this.#sync(signal);
      case "terminating":
        return this.#syncTerminating(state.stopping, signal);
      case "terminated":
        return this.#syncTerminated(state.retirement, signal);
      case "finished":
        return undefined;
    }
  }

  /**
   * Containers that start at once are told of together with their sandbox; others do not keep it a secret. What is told
   * then is this: a container whose hook has not ended does not count yet.
   */
  #publishSoon(observed: ObservedPod): void {
    this.#unpublished ??= this.#deps.clock.schedule(SANDBOX_ALONE_MS, () => this.#publish(observed));
  }

  #publish(observed: ObservedPod): PodStatus {
    this.#unpublished?.();
    this.#unpublished = undefined;
    const status = publishStatus(this.#subject, {
      observed,
      verdict: this.#verdict,
      terminal: this.#state.name === "terminated",
      rejected: this.#rejected,
    });
    if (this.#startingSince !== undefined && status.phase === "Running") {
      this.#countStart(status, this.#startingSince);
      this.#startingSince = undefined;
    }
    return status;
  }

  #countStart({ initContainerStatuses = [] }: PodStatus, seenAt: number): void {
    const { metrics, clock, puller } = this.#deps;
    const now = clock.now();
    const ends = initContainerStatuses.map(({ state }) => state?.terminated).filter((end) => end !== undefined);
    const at = (time: string | null | undefined) => parseTime(time ?? undefined) ?? now;
    const initializingMs = ends.length === 0 ? 0 : at(ends.at(-1)?.finishedAt) - at(ends[0]?.startedAt);
    metrics.podStarted({
      sinceSeen: (clock.monotonic() - seenAt) / 1000,
      sinceCreated: Math.max(0, now - at(this.pod.metadata.creationTimestamp)) / 1000,
      pulling: puller.pullingMs(this.uid) / 1000,
      initializing: Math.max(0, initializingMs) / 1000,
    });
  }

  async #sync(parent: AbortSignal): Promise<number | undefined> {
    const { pleg, probes, clock, config } = this.#deps;
    this.#syncAbort = new AbortController();
    const signal = AbortSignal.any([parent, this.#syncAbort.signal]);
    const observed = pleg.get(this.uid);
    const ending = this.#endingGrace();
    if (ending !== undefined) return this.#beginTerminating(ending, parent);
    const deadlineAt = this.#deadlineAt();
    if (deadlineAt !== undefined && clock.now() >= deadlineAt) {
      const message = "Pod was active on the node longer than the specified deadline";
      this.#verdict = { reason: "DeadlineExceeded", message };
      this.#subject.event(undefined, "Normal", "DeadlineExceeded", message);
      return this.#beginTerminating(terminationGraceSeconds(this.pod), parent);
    }
    probes.update(this.pod, observed, this.#subject.podIP(observed), this.#deps.apiPod(this.pod)?.status);
    if (isTerminal(this.#publish(observed).phase))
      return this.#beginTerminating(terminationGraceSeconds(this.pod), parent);
    const recheckAt = earliest(deadlineAt, clock.now() + config.syncFrequencySeconds * 1500);
    try {
      return earliest(recheckAt, await this.#converge(observed, signal));
    } catch (error) {
      // Whoever interrupted has already set what comes next.
      if (this.#syncAbort.signal.aborted && !parent.aborted) {
        this.#wanted = true;
        return undefined;
      }
      throw error;
    }
  }

  /** Plans and executes until nothing is left to do for now; resolves to when to look again. */
  async #converge(first: ObservedPod, signal: AbortSignal): Promise<number | undefined> {
    const executor = this.#executor;
    const { generation } = this.pod.metadata;
    // Where nothing of the pod is there yet, its sandbox is made while its volumes are.
    const together = first.sandboxes.length === 0 && executor.volumesExpected;
    const [volumes, begun] = await Promise.allSettled([
      executor.ensureVolumes(first, signal),
      together ? this.#advance(first, signal) : undefined,
    ]);
    for (const result of [volumes, begun]) if (result.status === "rejected") throw result.reason;
    let recheckAt = volumes.status === "fulfilled" ? volumes.value : undefined;
    if (!executor.volumesReady) return earliest(recheckAt, this.#subject.retryAt());
    let pass = (begun.status === "fulfilled" ? begun.value : undefined) ?? { observed: first, outcome: "more" };
    recheckAt = earliest(recheckAt, pass.recheckAt);
    // A spec that changes meanwhile is for the next pass: it is told as observed before a long step begins for it.
    while (pass.outcome === "more" && this.pod.metadata.generation === generation) {
      pass = await this.#advance(pass.observed, signal);
      recheckAt = earliest(recheckAt, pass.recheckAt);
    }
    if (pass.outcome === "ended") {
      this.#wanted = true;
      return undefined;
    }
    await executor.removeOldContainers(pass.observed, signal);
    return recheckAt;
  }

  /** Takes the steps that are due now. */
  async #advance(before: ObservedPod, signal: AbortSignal): Promise<Pass> {
    const { probes, resources } = this.#deps;
    const executor = this.#executor;
    const restart = await resources.actuate(this.pod, before, signal);
    const plan = planPod(executor.planInput(before, restart));
    const moreAt = executor.noteBackoff(plan.backingOff);
    const { observed, retryAt } = await executor.execute(plan.steps, before, signal);
    probes.update(this.pod, observed, this.#subject.podIP(observed));
    const recheckAt = earliest(earliest(plan.recheckAt, moreAt), retryAt);
    const sandboxAlone = plan.steps.length > 0 && plan.steps.every(({ type }) => type === "CreateSandbox");
    if (sandboxAlone && retryAt === undefined) this.#publishSoon(observed);
    else if (isTerminal(this.#publish(observed).phase)) return { observed, recheckAt, outcome: "ended" };
    if (retryAt === undefined && plan.backingOff.length === 0) this.#subject.wentWell();
    return { observed, recheckAt, outcome: plan.steps.length > 0 && retryAt === undefined ? "more" : "done" };
  }

  /** Set when the pod must end; the grace it has. */
  #endingGrace(): number | undefined {
    if (this.#verdict !== undefined) return this.#verdict.graceSeconds ?? terminationGraceSeconds(this.pod);
    const ending = this.#subject.removed || this.pod.metadata.deletionTimestamp !== undefined;
    return ending ? terminationGraceSeconds(this.pod) : undefined;
  }

  #deadlineAt(): number | undefined {
    const { activeDeadlineSeconds } = this.pod.spec;
    const startTime = this.currentStatus()?.startTime ?? this.pod.status?.startTime;
    return activeDeadlineSeconds === undefined || startTime === undefined
      ? undefined
      : Date.parse(startTime) + activeDeadlineSeconds * 1000;
  }

  #beginTerminating(graceSeconds: number, signal: AbortSignal): undefined {
    this.#subject.wentWell();
    this.#deps.probes.stopLivenessAndStartup(this.uid);
    const stopping = new Stopping(this.#subject, graceSeconds, signal, () => this.wake());
    this.#state = { name: "terminating", stopping };
    this.#wanted = true;
    return undefined;
  }

  async #syncTerminating(stopping: Stopping, signal: AbortSignal): Promise<undefined> {
    const { pleg } = this.#deps;
    const grace = this.#endingGrace();
    if (grace !== undefined) stopping.shorten(grace);
    if (!stopping.stopped) {
      this.#publish(pleg.get(this.uid));
      return undefined;
    }
    await pleg.refresh(this.uid, signal);
    this.#state = { name: "terminated", retirement: new Retirement(this.#subject) };
    this.#wanted = true;
    return undefined;
  }

  async #syncTerminated(retirement: Retirement, signal: AbortSignal): Promise<undefined> {
    this.#publish(this.#deps.pleg.get(this.uid));
    if (!(await retirement.advance(signal))) return undefined;
    this.#state = { name: "finished" };
    this.#onFinished(this);
    return undefined;
  }
}
