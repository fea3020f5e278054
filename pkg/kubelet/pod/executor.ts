/** Brings a pod's volumes, sandbox and containers to what its plan says, one step after the other. */
import { errorMessage } from "#pkg/util/index.ts";
import { rpcText } from "../cri/runtime.ts";
import { ImageError } from "../images/puller.ts";
import { formatSeconds } from "./backoff.ts";
import { removeContainer, surplusOf } from "./dead-containers.ts";
import { newestEnded } from "./observed.ts";
import type { ObservedPod } from "./observed.ts";
import { awaitingRestart, restartTrigger } from "./restart-all.ts";
import type { PlanInput, Step, Waiting } from "./plan.ts";
import { findContainer, podFullName, terminationGraceSeconds } from "./spec.ts";
import { StartError } from "./starter.ts";
import type { StartContext } from "./starter.ts";
import { earliest } from "./subject.ts";
import type { PodSubject } from "./subject.ts";
import { volumesExpected } from "../volumes/expected.ts";
import type { VolumesReady } from "../volumes/manager.ts";
import { unmountedMessage, VolumesError } from "../volumes/volume.ts";

/** After a failed pull the next look says ImagePullBackOff, as upstream's next sync does. */
const PULL_RECHECK_MS = 1500;

/** Half of the shortest delay: with upstream, too, a container's end is seen for a while before CrashLoopBackOff is. */
const END_SHOWN_MS = 5000;

/** As long as upstream waits for a pod's volumes before it says that it does. */
const VOLUMES_TIMEOUT_MS = 123_000;

type StepOf<Type extends Step["type"]> = Extract<Step, { type: Type }>;

export class StepExecutor {
  readonly #subject: PodSubject;
  #volumesDirty = true;
  #volumes: VolumesReady | undefined;
  #volumesAt = 0;
  /** Monotonic time since which volumes have been missing that nothing was said of. */
  #volumesMissingSince: number | undefined;
  /** What was last told of containers that wait for their turn, and when, by name. */
  readonly #backoffTold = new Map<string, { readonly message: string; readonly at: number }>();

  constructor(subject: PodSubject) {
    this.#subject = subject;
  }

  /** What the volumes show may have changed: they are written again before anything else happens. */
  volumesChanged(): void {
    this.#volumesDirty = true;
  }
  /** False as long as containers could not be given their volumes. */
  get volumesReady(): boolean {
    return this.#volumes !== undefined;
  }

  /** True when the sandbox need not wait for the volumes. */
  get volumesExpected(): boolean {
    const { pod, deps } = this.#subject;
    return volumesExpected(pod, (reference) => deps.objects.peek(reference));
  }

  /** Sets volumes up where that is due; resolves to when it is due again. */
  async ensureVolumes(observed: ObservedPod, signal: AbortSignal): Promise<number | undefined> {
    const { deps, pod, event, log } = this.#subject;
    const due = this.#volumes?.recheckAt;
    const now = deps.clock.now();
    // A clock that was set back would put off what is due.
    const fresh = due === undefined || (now >= this.#volumesAt && now < due);
    if (!this.#volumesDirty && this.#volumes !== undefined && fresh) return due;
    this.#volumesDirty = false;
    this.#volumesAt = now;
    try {
      const context = deps.volumeContext(pod, this.#subject.podIPs(observed), signal);
      this.#volumes = await deps.metrics.volumes("volume_mount", deps.clock, () => deps.volumes.setUp(context));
      this.#volumesMissingSince = undefined;
      return this.#volumes.recheckAt;
    } catch (err) {
      if (signal.aborted) throw err;
      this.#volumesDirty = true;
      log.warn({ err }, "Setting up the pod's volumes failed");
      const problems = err instanceof VolumesError ? err.problems : [errorMessage(err)];
      for (const problem of problems) event(undefined, "Warning", "FailedMount", problem);
      if (err instanceof VolumesError && err.processed) this.#noteMissing(err.unmounted);
      // Containers that already run keep what they have.
      return this.#subject.retryAt();
    }
  }

  /** Says of a pod that is held up by its volumes for long that it is. */
  #noteMissing(unmounted: readonly string[]): void {
    const { deps, event } = this.#subject;
    const now = deps.clock.monotonic();
    this.#volumesMissingSince ??= now;
    if (now - this.#volumesMissingSince < VOLUMES_TIMEOUT_MS) return;
    this.#volumesMissingSince = now;
    event(undefined, "Warning", "FailedMount", unmountedMessage(unmounted, [], "context deadline exceeded"));
  }

  /** What the plan must know beside the pod and what is observed of it. */
  planInput(observed: ObservedPod, restartForResize: ReadonlySet<string>): PlanInput {
    const { uid, pod, deps } = this.#subject;
    const { probes, crashBackoff, clock } = deps;
    const now = clock.now();
    return {
      pod,
      observed,
      now,
      probes: {
        livenessFailed: (id) => probes.livenessFailed(uid, id),
        startupFailed: (id) => probes.startupFailed(uid, id),
        started: (container) => probes.started(uid, container, this.#subject.spec(container)),
      },
      backoff: (container, finishedAt) => crashBackoff.waiting(this.#backoffKey(container), finishedAt, now),
      restartForResize,
    };
  }
  #backoffKey(container: { name: string; image?: string }): string {
    return `${this.#subject.uid}/${container.name}/${container.image ?? ""}`;
  }

  /**
   * Tells, once per delay, which containers wait for their turn; answers when there is more to tell. In the status the
   * end stands for itself first, long enough for who asks every few seconds.
   */
  noteBackoff(backingOff: readonly Waiting[]): number | undefined {
    const { failures, pod, event, deps } = this.#subject;
    const now = deps.clock.now();
    let moreAt: number | undefined;
    for (const { name, delayMs } of backingOff) {
      const message = `back-off ${formatSeconds(delayMs)} restarting failed container=${name} pod=${podFullName(pod)}`;
      let told = this.#backoffTold.get(name);
      if (told?.message !== message) {
        this.#backoffTold.set(name, (told = { message, at: now }));
        event(name, "Warning", "BackOff", `Back-off restarting failed container ${name} in pod ${podFullName(pod)}`);
      }
      // Of a clock that was set back, the time is not waited for.
      if (now >= told.at && now < told.at + END_SHOWN_MS) moreAt = earliest(moreAt, told.at + END_SHOWN_MS);
      else failures.set(name, { reason: "CrashLoopBackOff", message });
    }
    return moreAt;
  }

  /** Executes steps in order; resolves to what is observed afterwards, and when to try again if something failed. */
  async execute(
    steps: readonly Step[],
    observed: ObservedPod,
    signal: AbortSignal,
  ): Promise<{ observed: ObservedPod; retryAt: number | undefined }> {
    const { uid, deps } = this.#subject;
    if (steps.length === 0) return { observed, retryAt: undefined };
    const made = { sandboxIds: [] as string[], containers: [] as { id: string; sandboxId: string }[] };
    let retryAt: number | undefined;
    for (const step of steps) {
      signal.throwIfAborted();
      switch (step.type) {
        case "KillSandbox":
          this.#subject.event(undefined, "Normal", "SandboxChanged", step.message);
          await this.#stopSandbox(step, observed, signal);
          break;
        case "CreateSandbox":
          retryAt = earliest(retryAt, await this.#createSandbox(step, observed, signal, made.sandboxIds));
          break;
        case "KillContainer":
          await this.#killContainer(step, observed, signal);
          break;
        case "StartContainer":
          retryAt = earliest(retryAt, await this.#startContainer(step, observed, signal, made.containers));
          break;
      }
    }
    // Whatever else was done, or failed half-way, shows in a list only.
    const allMade = made.sandboxIds.length + made.containers.length === steps.length;
    const after = allMade ? await deps.pleg.add(uid, made, signal) : await deps.pleg.refresh(uid, signal);
    return { observed: after, retryAt };
  }

  #stopSandbox({ sandboxId }: StepOf<"KillSandbox">, observed: ObservedPod, signal: AbortSignal): Promise<void> {
    const { uid, pod, deps, event } = this.#subject;
    const inside = {
      uid,
      sandboxes: observed.sandboxes.filter(({ id }) => id === sandboxId),
      containers: observed.containers.filter((c) => c.sandboxId === sandboxId),
    };
    const podIP = this.#subject.podIP(observed);
    return deps.lifecycle.stopPod(pod, inside, terminationGraceSeconds(pod), podIP, event, signal);
  }

  async #createSandbox(
    { attempt }: StepOf<"CreateSandbox">,
    observed: ObservedPod,
    signal: AbortSignal,
    made: string[],
  ): Promise<number | undefined> {
    const { pod, deps, event, log } = this.#subject;
    const why = pod.spec.hostNetwork === true ? undefined : deps.networkReady();
    if (why !== undefined) {
      event(undefined, "Warning", "NetworkNotReady", `network is not ready: ${why}`);
      return this.#subject.retryAt();
    }
    try {
      made.push(await deps.starter.createSandbox(this.#startContext(observed, signal), attempt));
      return undefined;
    } catch (err) {
      if (signal.aborted) throw err;
      log.warn({ err }, "Creating the pod's sandbox failed");
      event(undefined, "Warning", "FailedCreatePodSandBox", `Failed to create pod sandbox: ${rpcText(err)}`);
      return this.#subject.retryAt();
    }
  }

  #startContext(observed: ObservedPod, signal: AbortSignal): StartContext {
    const { uid, pod, deps, event } = this.#subject;
    return {
      pod: deps.resources.allocated(pod),
      observed,
      volumes: this.#volumes?.volumes ?? new Map(),
      podDirectory: deps.volumes.podDirectory(uid),
      event,
      signal,
    };
  }

  async #killContainer(
    { container, message, reason }: StepOf<"KillContainer">,
    observed: ObservedPod,
    signal: AbortSignal,
  ): Promise<void> {
    const { pod, deps, event } = this.#subject;
    const spec = this.#subject.spec(container);
    const probe =
      reason === "LivenessFailed" ? spec?.livenessProbe : reason === "StartupFailed" ? spec?.startupProbe : undefined;
    const grace =
      reason === "RestartAll"
        ? 0 // without hooks either: whatever runs has lost what it ran for
        : (probe?.terminationGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30);
    event(container.metadata.name, "Normal", "Killing", message);
    await deps.lifecycle.stopContainer(pod, container, grace, this.#subject.podIP(observed), event, signal);
  }

  async #startContainer(
    step: StepOf<"StartContainer">,
    observed: ObservedPod,
    signal: AbortSignal,
    made: { id: string; sandboxId: string }[],
  ): Promise<number | undefined> {
    const { pod, deps, failures, log } = this.#subject;
    const { crashBackoff, clock, starter } = deps;
    const { spec, kind } = findContainer(pod, step.name)!;
    const crashed = newestEnded(observed, step.name);
    const noteRestart = () => {
      if (crashed !== undefined) crashBackoff.next(this.#backoffKey(spec), crashed.finishedAt, clock.now());
    };
    try {
      const id = await deps.metrics.started(
        kind,
        () => starter.startContainer(this.#startContext(observed, signal), step),
        (error) => (error instanceof StartError && !signal.aborted ? error.reason : undefined),
      );
      made.push({ id, sandboxId: step.sandboxId });
      failures.delete(step.name);
      this.#backoffTold.delete(step.name);
      noteRestart();
      return undefined;
    } catch (error) {
      if (signal.aborted || !(error instanceof StartError)) throw error;
      // A pull has a backoff of its own: nothing was restarted.
      if (!(error.cause instanceof ImageError)) noteRestart();
      log.info({ err: error, container: step.name, reason: error.reason }, "Starting a container failed");
      failures.set(step.name, { reason: error.reason, message: error.message });
      if (error.reason === "ErrImagePull") return clock.now() + PULL_RECHECK_MS;
      return error.retryAt ?? this.#subject.retryAt();
    }
  }

  /** Of each container the runtime keeps the newest instance and, by default, the one before it (logs --previous). */
  async removeOldContainers(observed: ObservedPod, signal: AbortSignal): Promise<void> {
    const { pod, deps } = this.#subject;
    const { runtime, config, clock } = deps;
    // As long as others wait to be restarted because of it, one that asked for that must be remembered.
    const trigger = awaitingRestart(pod, observed).size > 0 ? restartTrigger(pod, observed)?.id : undefined;
    const isInit = (name: string) => findContainer(pod, name)?.kind === "init";
    const old = surplusOf(observed, isInit, config.deadContainers, clock.now());
    const surplus = old.filter(({ id }) => id !== trigger);
    for (const container of surplus) await removeContainer(runtime, container, signal);
    const sandboxesInUse = new Set(
      observed.containers.filter((container) => !surplus.includes(container)).map(({ sandboxId }) => sandboxId),
    );
    for (const [index, sandbox] of observed.sandboxes.entries()) {
      if (index > 0 && sandbox.state === "NotReady" && !sandboxesInUse.has(sandbox.id))
        await runtime.removeSandbox(sandbox.id, { signal });
    }
  }
}
