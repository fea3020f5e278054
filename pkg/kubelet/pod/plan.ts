/**
 * Decides what has to happen to a pod's sandbox and containers. Pure: everything it knows is in its input, so that
 * running it again after every step, or after the kubelet has restarted, continues where the pod is.
 */
import type { Container, EphemeralContainer, Pod } from "#pkg/api/types/core-v1.ts";
import { newestContainer, newestEnded, readySandbox, restartCountOf, runningContainers } from "./observed.ts";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import { isOutdated, restartTrigger } from "./restart-all.ts";
import { containerHash, isSidecar, restartsAfter } from "./spec.ts";
import type { ContainerKind } from "./spec.ts";

/** One thing to do for a pod. */
export type Step =
  | { readonly type: "KillSandbox"; readonly sandboxId: string; readonly message: string }
  | { readonly type: "CreateSandbox"; readonly attempt: number }
  | {
      readonly type: "KillContainer";
      readonly container: ObservedContainer;
      readonly reason:
        | "LivenessFailed"
        | "StartupFailed"
        | "SpecChanged"
        | "Orphaned"
        | "RestartForResize"
        | "RestartAll";
      readonly message: string;
    }
  | {
      readonly type: "StartContainer";
      readonly kind: ContainerKind;
      readonly name: string;
      readonly restartCount: number;
      readonly sandboxId: string;
      /** Id of the container after whose end all were restarted. */
      readonly restartedAfter?: string;
    };

/** A container that has to wait before it is started again. */
export interface Waiting {
  readonly name: string;
  readonly delayMs: number;
}

/** What to do for a pod, in order. */
export interface PodPlan {
  readonly steps: readonly Step[];
  /** Containers that crashed and wait for their turn. */
  readonly backingOff: readonly Waiting[];
  /** When to look again even if nothing happens; epoch milliseconds. */
  readonly recheckAt?: number;
}

/** What is decided by; `now` in epoch milliseconds. */
export interface PlanInput {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly now: number;
  /** Probe verdicts by container id. */
  readonly probes: {
    livenessFailed(containerId: string): boolean;
    startupFailed(containerId: string): boolean;
    /** True when the startup probe succeeded or there is none. */
    started(container: ObservedContainer): boolean;
  };
  /** The crash-loop delay in force for a container that ended at `finishedAt`. */
  readonly backoff: (
    container: Container | EphemeralContainer,
    finishedAt: number,
  ) => { delayMs: number; untilMs: number } | undefined;
  /** Containers that must be restarted for a resize to take effect. */
  readonly restartForResize?: ReadonlySet<string>;
}

/** What there is of the pod since all of its containers were last restarted, beside all there is. */
interface Round extends PlanInput {
  readonly current: ObservedPod;
  readonly restartedAfter: string | undefined;
}

interface Draft {
  steps: Step[];
  readonly backingOff: Waiting[];
  recheckAt: number | undefined;
}

/** The steps that bring the pod nearer to what it should be; none when it is that already. */
export function planPod(input: PlanInput): PodPlan {
  const { pod, observed } = input;
  const draft: Draft = { steps: [], backingOff: [], recheckAt: undefined };
  const sandbox = readySandbox(observed);

  const stale = observed.sandboxes.filter(({ id, state }) => state === "Ready" && id !== sandbox?.id);
  for (const { id } of stale)
    draft.steps.push({ type: "KillSandbox", sandboxId: id, message: "More than one sandbox is running." });
  if (sandbox === undefined) {
    const newest = observed.sandboxes[0];
    // Containers cannot outlive their sandbox; what still runs belongs to a broken one. One that died lets its network go.
    if (newest !== undefined) {
      draft.steps.push({
        type: "KillSandbox",
        sandboxId: newest.id,
        message: "Pod sandbox changed, it will be killed and re-created.",
      });
    }
    draft.steps.push({ type: "CreateSandbox", attempt: newest === undefined ? 0 : newest.metadata.attempt + 1 });
    return finish(draft);
  }
  if (stale.length > 0) return finish(draft);

  const trigger = restartTrigger(pod, observed);
  const outdated = runningContainers(observed).filter((container) => isOutdated(container, trigger));
  for (const container of outdated) {
    const message = `Container ${container.metadata.name} will be restarted with all others of its pod`;
    draft.steps.push({ type: "KillContainer", container, reason: "RestartAll", message });
  }
  if (outdated.length > 0) return finish(draft);
  const fresh = observed.containers.filter((container) => !isOutdated(container, trigger));
  const round: Round = { ...input, current: { ...observed, containers: fresh }, restartedAfter: trigger?.id };

  for (const container of pod.spec.ephemeralContainers ?? []) {
    if (newestContainer(observed, container.name) === undefined) {
      draft.steps.push({
        type: "StartContainer",
        kind: "ephemeral",
        name: container.name,
        restartCount: 0,
        sandboxId: sandbox.id,
      });
    }
  }
  const initialized = planInitContainers(round, sandbox.id, draft);
  if (initialized) planRegularContainers(round, sandbox.id, draft);
  return finish(draft);
}

function finish({ steps, backingOff, recheckAt }: Draft): PodPlan {
  return { steps, backingOff, ...(recheckAt === undefined ? {} : { recheckAt }) };
}

/** Plans init containers in their order; true when the regular containers may run. */
function planInitContainers(input: Round, sandboxId: string, draft: Draft): boolean {
  const { pod, probes } = input;
  const alreadyInitialized = pod.spec.containers.some(
    ({ name }) => newestContainer(input.current, name, sandboxId) !== undefined,
  );
  for (const container of pod.spec.initContainers ?? []) {
    const current = newestContainer(input.current, container.name, sandboxId);
    if (isSidecar(container)) {
      planContainer(input, "init", container, sandboxId, draft);
      const started = current?.state === "Running" && probes.started(current);
      if (!started && !alreadyInitialized) return false;
      continue;
    }
    if (alreadyInitialized || (current?.state === "Exited" && current.exitCode === 0)) continue;
    if (current?.state === "Running") return false;
    if (current === undefined || current.state !== "Exited" || restartsAfter(pod, "init", container, current)) {
      start(input, "init", container, sandboxId, draft);
    }
    return false;
  }
  return true;
}

function planRegularContainers(input: Round, sandboxId: string, draft: Draft): void {
  const { containers } = input.pod.spec;
  for (const container of containers) planContainer(input, "regular", container, sandboxId, draft);
  // The last that run, none of which comes back, take the pod with them: its end is what is told then.
  const killed = draft.steps.filter((step) => step.type === "KillContainer");
  const goOn = containers.filter(({ name }) => newestContainer(input.current, name)?.state === "Running");
  const last = killed.length === draft.steps.length && draft.backingOff.length === 0 && killed.length >= goOn.length;
  if (!last) return;
  draft.steps = killed.map((step) => ({ ...step, message: `Stopping container ${step.container.metadata.name}` }));
}

function planContainer(input: Round, kind: ContainerKind, container: Container, sandboxId: string, draft: Draft): void {
  const { pod, probes } = input;
  const current = newestContainer(input.current, container.name);
  if (current?.state === "Running" && current.sandboxId === sandboxId) {
    const kill = (reason: Extract<Step, { type: "KillContainer" }>["reason"], message: string) => {
      draft.steps.push({ type: "KillContainer", container: current, reason, message });
    };
    // Whoever changed the spec asked for another container: no policy and no earlier crash stands against that.
    const replace: typeof kill = (reason, message) => {
      kill(reason, message);
      pushStart(input, kind, container, sandboxId, draft);
    };
    // One that fails its probe is replaced whatever it ends with, unless it has crashed only just before.
    const fail: typeof kill = (reason, message) => {
      const restarts = restartsAfter(pod, kind, container, undefined);
      kill(reason, restarts ? `${message}, will be restarted` : message);
      const crashed = newestEnded(input.observed, container.name);
      if (!restarts || (crashed !== undefined && backsOff(input, container, crashed.finishedAt, draft))) return;
      pushStart(input, kind, container, sandboxId, draft);
    };
    const hash = current.annotations["io.kubernetes.container.hash"];
    if (hash !== undefined && hash !== containerHash(container)) {
      replace("SpecChanged", `Container ${container.name} definition changed, will be restarted`);
    } else if (probes.livenessFailed(current.id)) {
      fail("LivenessFailed", `Container ${container.name} failed liveness probe`);
    } else if (probes.startupFailed(current.id)) {
      fail("StartupFailed", `Container ${container.name} failed startup probe`);
    } else if (input.restartForResize?.has(container.name) === true) {
      replace("RestartForResize", `Container ${container.name} resize requires restart`);
    }
    return;
  }
  const ended = current?.state === "Exited" ? current : undefined;
  // "Created" was never started and "Unknown" cannot be trusted: both are replaced whatever the policy.
  if (ended !== undefined && !restartsAfter(pod, kind, container, ended)) return;
  start(input, kind, container, sandboxId, draft);
}

function start(input: Round, kind: ContainerKind, container: Container, sandboxId: string, draft: Draft): void {
  const previous = newestContainer(input.observed, container.name);
  if (previous?.state === "Exited") {
    if (backsOff(input, container, previous.finishedAt, draft)) return;
  } else if (previous !== undefined && previous.state !== "Created") {
    draft.steps.push({
      type: "KillContainer",
      container: previous,
      reason: "Orphaned",
      message: `Container ${container.name} is in an unknown state`,
    });
  }
  pushStart(input, kind, container, sandboxId, draft);
}

/** Notes that a container which ended then has to wait; false when it need not. */
function backsOff(input: Round, container: Container, finishedAt: number, draft: Draft): boolean {
  const waiting = input.backoff(container, finishedAt);
  if (waiting === undefined) return false;
  draft.backingOff.push({ name: container.name, delayMs: waiting.delayMs });
  draft.recheckAt = Math.min(draft.recheckAt ?? Infinity, waiting.untilMs);
  return true;
}

function pushStart(input: Round, kind: ContainerKind, { name }: Container, sandboxId: string, { steps }: Draft): void {
  const previous = newestContainer(input.observed, name);
  steps.push({
    type: "StartContainer",
    kind,
    name,
    restartCount: nextRestartCount(input, name, previous),
    sandboxId,
    ...(input.restartedAfter === undefined ? {} : { restartedAfter: input.restartedAfter }),
  });
}

function nextRestartCount({ pod }: PlanInput, name: string, previous: ObservedContainer | undefined): number {
  if (previous !== undefined) return restartCountOf(previous) + (previous.state === "Created" ? 0 : 1);
  // The runtime has forgotten the container (removed by hand): the count in the API still stands.
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const known = statuses.find((status) => status.name === name);
  if (known === undefined) return 0;
  // The loss of one that ran is in the count; of one whose end was seen, the restart is not.
  const seen = known.containerID ?? known.lastState?.terminated?.containerID ?? "";
  return known.restartCount + (seen === "" ? 0 : 1);
}
