/** Computes the statuses of a pod's containers from what the runtime shows. Pure. */
import type { Container, ContainerState, ContainerStatus, EphemeralContainer, Pod } from "#pkg/api/types/core-v1.ts";
import { formatTime } from "#pkg/util/index.ts";
import { newestContainer, restartCountOf } from "./observed.ts";
import type { ObservedContainer } from "./observed.ts";
import { containersOf, isSidecar, restartsAfter } from "./spec.ts";
import type { ContainerKind } from "./spec.ts";
import type { StatusInput } from "./status.ts";

/** By kind, each in the order of the pod's spec. */
export type ContainerStatuses = Readonly<Record<ContainerKind, ContainerStatus[]>>;

/** `runtimeName` is the runtime's own name, as in containerd://id. */
export function containerStatuses(input: StatusInput, runtimeName: string): ContainerStatuses {
  const { pod, observed } = input;
  const hasInit = (pod.spec.initContainers ?? []).length > 0;
  const initialized = pod.spec.containers.some(({ name }) => newestContainer(observed, name) !== undefined);
  const oldStatuses = [
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.ephemeralContainerStatuses ?? []),
  ];
  const statuses: Record<ContainerKind, ContainerStatus[]> = { init: [], regular: [], ephemeral: [] };
  const messageBytes = Math.floor(MAX_MESSAGE_BYTES / containersOf(pod).length);
  for (const { kind, spec } of containersOf(pod)) {
    const waitingReason = hasInit && (kind === "init" || !initialized) ? "PodInitializing" : "ContainerCreating";
    const old = oldStatuses.find(({ name }) => name === spec.name);
    const status = containerStatus(input, runtimeName, kind, spec, waitingReason, old);
    const current = newestContainer(observed, spec.name);
    const running = status.state?.running !== undefined && current !== undefined;
    if (kind !== "ephemeral") status.started = running && input.probes.started(current);
    else delete status.started;
    if (kind === "init" && !isSidecar(spec)) status.ready = status.state?.terminated?.exitCode === 0;
    else if (kind !== "ephemeral") status.ready = running && status.started === true && input.probes.ready(current);
    const decorated = input.decorate?.(status, kind, current) ?? status;
    statuses[kind].push(withBoundedMessages(decorated, messageBytes));
  }
  if (input.terminal) endMissing(pod, statuses.init, statuses.regular);
  return statuses;
}

/** The end of a container that nobody saw. */
const unknownEnd = (message: string) => ({
  exitCode: 137,
  reason: "ContainerStatusUnknown",
  message,
  startedAt: null,
  finishedAt: null,
});
const UNKNOWN_END = unknownEnd("The container could not be located when the pod was terminated");
/** Of one that was last seen running. */
const LOST = unknownEnd(
  "The container could not be located when the pod was deleted.  The container used to be Running",
);

function stateOf(
  container: ObservedContainer,
  message: (c: ObservedContainer) => string,
  old: ContainerStatus | undefined,
): ContainerState {
  if (container.state === "Unknown" && old?.state?.running !== undefined)
    return { terminated: { ...LOST, containerID: container.id } };
  if (container.state === "Running") return { running: { startedAt: formatTime(container.startedAt) } };
  if (container.state === "Exited") {
    const reason = container.reason === "" ? (container.exitCode === 0 ? "Completed" : "Error") : container.reason;
    const text = message(container);
    return {
      terminated: {
        exitCode: container.exitCode,
        reason,
        ...(text === "" ? {} : { message: text }),
        startedAt: formatTime(container.startedAt),
        finishedAt: formatTime(container.finishedAt),
        containerID: container.id,
      },
    };
  }
  return { waiting: { reason: "ContainerCreating" } };
}

/** The API's form of an id: which kind of runtime it belongs to, then the runtime's own id. */
function apiContainerId(runtimeName: string, id: string): string {
  return `${runtimeName}://${id}`;
}

/** What was said before of a container's end: its message file goes with the pod's directory, its status stays. */
function rememberedMessage(old: ContainerStatus | undefined, containerID: string): string | undefined {
  const ends = [old?.state?.terminated, old?.lastState?.terminated];
  return ends.find((end) => end?.containerID === containerID)?.message;
}

function containerStatus(
  input: StatusInput,
  runtimeName: string,
  kind: ContainerKind,
  spec: Container | EphemeralContainer,
  waitingReason: string,
  old: ContainerStatus | undefined,
): ContainerStatus {
  const { pod, observed } = input;
  const all = observed.containers.filter(({ metadata }) => metadata.name === spec.name);
  const current = all[0];
  const withId = ({ terminated, ...state }: ContainerState): ContainerState => {
    if (terminated === undefined) return state;
    const containerID = apiContainerId(runtimeName, terminated.containerID ?? "");
    const message = rememberedMessage(old, containerID) ?? terminated.message;
    return { terminated: { ...terminated, ...(message === undefined ? {} : { message }), containerID } };
  };
  if (current === undefined) return vanishedStatus(input, spec, waitingReason, old);

  let state = withId(stateOf(current, input.terminationMessage, old));
  const earlier = all.slice(1).find((container) => container.state === "Exited");
  // What the runtime has forgotten of its past is not told either.
  let lastState: ContainerState =
    earlier === undefined ? {} : withId(stateOf(earlier, input.terminationMessage, undefined));
  const failure = input.failures.get(spec.name);
  if (failure !== undefined && current.state !== "Running" && !input.terminal) {
    const willRun = current.state !== "Exited" || restartsAfter(pod, kind, spec, current);
    if (willRun) {
      if (state.terminated !== undefined) lastState = state;
      state = { waiting: { ...failure } };
    }
  }
  const image = spec.image ?? "";
  return {
    name: spec.name,
    image: current.image.startsWith("sha256:") || current.image === "" ? image : current.image,
    imageID: current.imageRef === "" ? current.imageId : current.imageRef,
    containerID: apiContainerId(runtimeName, current.id),
    restartCount: restartCountOf(current),
    ready: false,
    started: false,
    state,
    lastState,
  };
}

/** Nothing in the runtime: not yet created, or removed behind our back. */
function vanishedStatus(
  input: StatusInput,
  spec: Container | EphemeralContainer,
  waitingReason: string,
  old: ContainerStatus | undefined,
): ContainerStatus {
  const base: ContainerStatus = {
    name: spec.name,
    image: spec.image ?? "",
    imageID: "",
    restartCount: old?.restartCount ?? 0,
    ready: false,
    started: false,
    state: { waiting: { reason: waitingReason } },
    lastState: old?.lastState ?? {},
  };
  const failure = input.failures.get(spec.name);
  if (failure !== undefined && !input.terminal) return { ...base, state: { waiting: { ...failure } } };
  const terminated = old?.state?.terminated;
  if (terminated !== undefined)
    return { ...base, imageID: old?.imageID ?? "", containerID: old?.containerID, state: { terminated } };
  if (old?.state?.running === undefined) return base;
  if (input.terminal)
    return { ...base, imageID: old.imageID, containerID: old.containerID, state: { terminated: UNKNOWN_END } };
  if (base.lastState?.terminated !== undefined) return base;
  // The next one is counted already: nothing will be left to tell that this one ran.
  const restarts = input.pod.metadata.deletionTimestamp === undefined ? 1 : 0;
  return { ...base, restartCount: base.restartCount + restarts, lastState: { terminated: LOST } };
}

const hadItsTurn = ({ state, lastState }: ContainerStatus): boolean =>
  state?.waiting === undefined || lastState?.terminated !== undefined;

/**
 * Of a pod that has ended, what never started has failed: of its init containers the first, and all up to the last that
 * had its turn; the others where those were through.
 */
function endMissing(pod: Pod, init: readonly ContainerStatus[], regular: readonly ContainerStatus[]): void {
  const [last, spec] = [init.at(-1), pod.spec.initContainers?.at(-1)];
  const initialized = last === undefined || last.ready || (isSidecar(spec!) && hadItsTurn(last));
  const turns = Math.max(init.findLastIndex(hadItsTurn), 0) + 1;
  const begun = [...init.slice(0, turns), ...(initialized || regular.some(hadItsTurn) ? regular : [])];
  for (const status of begun) if (status.state?.terminated === undefined) status.state = { terminated: UNKNOWN_END };
}

/** All termination messages of a pod together. */
const MAX_MESSAGE_BYTES = 12 * 1024;

function withBoundedMessages(status: ContainerStatus, bytes: number): ContainerStatus {
  const bounded = (state: ContainerState | undefined): ContainerState | undefined => {
    const message = state?.terminated?.message;
    if (state?.terminated === undefined || message === undefined || Buffer.byteLength(message) <= bytes) return state;
    return { terminated: { ...state.terminated, message: Buffer.from(message).toString("utf8", 0, bytes) } };
  };
  const { state, lastState } = status;
  return {
    ...status,
    ...(state === undefined ? {} : { state: bounded(state) }),
    ...(lastState === undefined ? {} : { lastState: bounded(lastState) }),
  };
}
