/**
 * Drives one pod from its first sight to its last trace: syncing (sandbox, volumes, containers), terminating (hooks,
 * signals), terminated (volumes, cgroup, the API object). Everything it needs to go on after a restart of the
 * kubelet is in the runtime and the API. Its parts: the executor takes the plan's steps, the publisher tells the
 * status, stopping and retirement are the way out.
 */
import type { Pod, PodStatus } from "#pkg/api/types/core-v1.ts";
import { deepEqual } from "#pkg/apimachinery/index.ts";
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

type State =
  | { readonly name: "syncing" }
  | { readonly name: "terminating"; readonly stopping: Stopping }
  | { readonly name: "terminated"; readonly retirement: Retirement }
  | { readonly name: "finished" };

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
  #resume: (() => void) | undefined;
  #syncAbort = new AbortController();

  constructor(deps: WorkerDeps, pod: Pod, onFinished: (worker: PodWorker) => void) {
    this.#deps = deps;
    this.#subject = new PodSubject(deps, pod);
    this.#executor = new StepExecutor(this.#subject);
    this.uid = pod.metadata.uid;
    if (pod.status?.startTime === undefined) this.#startingSince = deps.clock.monotonic();
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
  /** True while the pod's containers may use the node's resources. */
  get active(): boolean {
    return !this.#rejected && (this.#state.name === "syncing" || this.#state.name === "terminating");
  }

  update(pod: Pod): void {
    const old = this.pod;
    this.#subject.pod = pod;
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
    while (!signal.aborted) {
      this.#wanted = false;
      let recheckAt: number | undefined;
      try {
        recheckAt = await this.#step(signal);
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

  #publish(observed: ObservedPod): PodStatus {
    const status = publishStatus(this.#subject, {
      observed,
      verdict: this.#verdict,
      terminal: this.#state.name === "terminated",
      rejected: this.#rejected,
    });
    if (this.#startingSince !== undefined && status.phase === "Running") {
      this.#deps.metrics.podStartSeconds.observe((this.#deps.clock.monotonic() - this.#startingSince) / 1000);
      this.#startingSince = undefined;
    }
    return status;
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
    probes.update(this.pod, observed, this.#subject.podIP(observed));
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
    const { probes, resources } = this.#deps;
    const executor = this.#executor;
    let observed = first;
    let recheckAt = await executor.ensureVolumes(observed, signal);
    if (!executor.volumesReady) return earliest(recheckAt, this.#subject.retryAt());
    const { generation } = this.pod.metadata;
    // A spec that changes meanwhile is for the next pass: it is told as observed before a long step begins for it.
    while (this.pod.metadata.generation === generation) {
      const restart = await resources.actuate(this.pod, observed, signal);
      const plan = planPod(executor.planInput(observed, restart));
      executor.noteBackoff(plan.backingOff);
      const done = await executor.execute(plan.steps, observed, signal);
      const { retryAt } = done;
      observed = done.observed;
      recheckAt = earliest(earliest(recheckAt, plan.recheckAt), retryAt);
      probes.update(this.pod, observed, this.#subject.podIP(observed));
      if (isTerminal(this.#publish(observed).phase)) {
        this.#wanted = true;
        return undefined;
      }
      if (retryAt === undefined && plan.backingOff.length === 0) this.#subject.wentWell();
      if (plan.steps.length === 0 || retryAt !== undefined) break;
    }
    await executor.removeOldContainers(observed, signal);
    return recheckAt;
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
