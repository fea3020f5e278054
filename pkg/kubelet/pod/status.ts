/** Computes a pod's status from what the runtime shows. Pure; the status manager decides what is written. */
import type {
  Container,
  ContainerState,
  ContainerStatus,
  EphemeralContainer,
  Pod,
  PodCondition,
  PodStatus,
} from "#pkg/api/types/core-v1.ts";
import { formatTime } from "#pkg/util/index.ts";
import { newestContainer, readySandbox, restartCountOf } from "./observed.ts";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import { awaitingRestart, restartingCondition } from "./restart-all.ts";
import { containersOf, isSidecar, qosClass, restartsAfter } from "./spec.ts";
import type { ContainerKind } from "./spec.ts";

export interface StartFailure {
  readonly reason: string;
  readonly message: string;
}
export interface StatusInput {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly now: number;
  readonly hostIPs: readonly string[];
  /** Why a container could not be started lately, by name. */
  readonly failures: ReadonlyMap<string, StartFailure>;
  readonly probes: {
    started(container: ObservedContainer): boolean;
    ready(container: ObservedContainer): boolean;
  };
  /** The text a container left behind when it ended. */
  readonly terminationMessage: (container: ObservedContainer) => string;
  /** Set when the kubelet itself ended the pod (evicted, deadline, rejected): phase Failed. */
  readonly verdict?: { readonly reason: string; readonly message: string };
  /** True once the pod's containers have all been stopped for good. */
  readonly terminal: boolean;
  /** Adds resources, allocatedResources, user and volume mounts to a running container's status. */
  readonly decorate?: (
    status: ContainerStatus,
    kind: ContainerKind,
    container: ObservedContainer | undefined,
  ) => ContainerStatus;
  readonly extraConditions?: readonly PodCondition[];
}

/** The end of a container that nobody saw. */
const UNKNOWN_END = {
  exitCode: 137,
  reason: "ContainerStatusUnknown",
  message: "The container could not be located when the pod was terminated",
  startedAt: null,
  finishedAt: null,
};

function stateOf(container: ObservedContainer, message: (c: ObservedContainer) => string): ContainerState {
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

  let state = withId(stateOf(current, input.terminationMessage));
  const earlier = all.slice(1).find((container) => container.state === "Exited");
  let lastState: ContainerState =
    earlier === undefined ? (old?.lastState ?? {}) : withId(stateOf(earlier, input.terminationMessage));
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
  return { ...base, lastState: { terminated: { ...UNKNOWN_END, containerID: old.containerID } } };
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

export interface PhaseInput {
  readonly pod: Pod;
  readonly init: readonly ContainerStatus[];
  readonly regular: readonly ContainerStatus[];
  readonly terminal: boolean;
  /** Containers that run again whatever they ended with, because all are restarted. */
  readonly restarting?: ReadonlySet<string>;
}

/** Source: the pod lifecycle documentation; sidecars do not count. */
function phaseOf({
  pod,
  init,
  regular,
  terminal,
  restarting,
}: PhaseInput): "Pending" | "Running" | "Succeeded" | "Failed" {
  const sidecars = new Set((pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  let pendingInit = 0;
  for (const status of init) {
    if (sidecars.has(status.name) || (!terminal && restarting?.has(status.name) === true)) continue;
    const ended =
      status.state?.terminated ?? (status.state?.waiting === undefined ? undefined : status.lastState?.terminated);
    if (ended === undefined || status.state?.running !== undefined) pendingInit++;
    else if (ended.exitCode !== 0) {
      const spec = pod.spec.initContainers?.find(({ name }) => name === status.name);
      if (terminal || (spec !== undefined && !restartsAfter(withoutDeletion(pod), "init", spec, ended)))
        return "Failed";
      pendingInit++;
    }
  }
  let waiting = 0;
  let running = 0;
  let succeeded = 0;
  let failed = 0;
  let willRestart = false;
  for (const status of regular) {
    const ended =
      status.state?.terminated ?? (status.state?.waiting === undefined ? undefined : status.lastState?.terminated);
    if (status.state?.running !== undefined) running++;
    else if (ended === undefined) waiting++;
    else if (!terminal && restarting?.has(status.name) === true) willRestart = true;
    else {
      if (ended.exitCode === 0) succeeded++;
      else failed++;
      const spec = pod.spec.containers.find(({ name }) => name === status.name);
      if (spec !== undefined && restartsAfter(withoutDeletion(pod), "regular", spec, ended)) willRestart = true;
    }
  }
  if (terminal) return waiting + running > 0 || failed > 0 || pendingInit > 0 ? "Failed" : "Succeeded";
  if (pendingInit > 0 || waiting > 0) return "Pending";
  if (running > 0 || willRestart) return "Running";
  return failed > 0 ? "Failed" : "Succeeded";
}

/** A deleted pod's containers do not restart, but deletion alone must not make its phase terminal. */
function withoutDeletion(pod: Pod): Pod {
  return pod.metadata.deletionTimestamp === undefined
    ? pod
    : { ...pod, metadata: { ...pod.metadata, deletionTimestamp: undefined } };
}

function initializedCondition(pod: Pod, init: readonly ContainerStatus[], phase: string): Omit<PodCondition, "type"> {
  const specs = pod.spec.initContainers ?? [];
  if (phase === "Succeeded") return { status: "True", reason: "PodCompleted" };
  const incomplete = specs.filter((spec, index) => {
    const status = init[index];
    if (status === undefined) return true;
    return isSidecar(spec)
      ? status.started !== true && status.state?.terminated === undefined
      : status.state?.terminated?.exitCode !== 0;
  });
  if (incomplete.length === 0) return { status: "True" };
  const list = incomplete.map(({ name }) => name).join(" ");
  return {
    status: "False",
    reason: "ContainersNotInitialized",
    message: `containers with incomplete status: [${list}]`,
  };
}

function containersReadyCondition(
  pod: Pod,
  init: readonly ContainerStatus[],
  regular: readonly ContainerStatus[],
  phase: string,
): Omit<PodCondition, "type"> {
  if (phase === "Succeeded") return { status: "False", reason: "PodCompleted" };
  if (phase === "Failed") return { status: "False", reason: "PodFailed" };
  const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar);
  const relevant = [...init.filter(({ name }) => sidecars.some((s) => s.name === name)), ...regular];
  const unready = relevant.filter(({ ready }) => !ready).map(({ name }) => name);
  if (unready.length === 0) return { status: "True" };
  return {
    status: "False",
    reason: "ContainersNotReady",
    message: `containers with unready status: [${unready.join(" ")}]`,
  };
}

function readyCondition(pod: Pod, containersReady: Omit<PodCondition, "type">): Omit<PodCondition, "type"> {
  if (containersReady.status !== "True") return containersReady;
  const messages = (pod.spec.readinessGates ?? []).flatMap(({ conditionType }) => {
    const condition = pod.status?.conditions?.find(({ type }) => type === conditionType);
    if (condition === undefined)
      return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    return condition.status === "True"
      ? []
      : [`the status of pod readiness gate "${conditionType}" is not "True", but ${condition.status}`];
  });
  return messages.length === 0
    ? containersReady
    : { status: "False", reason: "ReadinessGatesNotReady", message: messages.join(", ") };
}

function withTransition(pod: Pod, now: number, type: string, condition: Omit<PodCondition, "type">): PodCondition {
  const old = pod.status?.conditions?.find((candidate) => candidate.type === type);
  const same = old !== undefined && old.status === condition.status;
  return {
    type,
    ...condition,
    lastProbeTime: undefined,
    lastTransitionTime: same ? old.lastTransitionTime : formatTime(now),
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
  };
}

/** Of a pod that was not let in there is nothing to tell but why. */
export function rejectedStatus(
  pod: Pod,
  { reason, message }: { readonly reason: string; readonly message: string },
  now: number,
): PodStatus {
  const { generation } = pod.metadata;
  return {
    phase: "Failed",
    reason,
    message: `Pod was rejected: ${message}`,
    startTime: pod.status?.startTime ?? formatTime(now),
    qosClass: qosClass(pod),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
}

/** `runtimeName` is the runtime's own name, as in containerd://id. */
export function podStatus(input: StatusInput, runtimeName: string): PodStatus {
  const { pod, observed, now } = input;
  const { phase: knownPhase } = pod.status ?? {};
  const nothingLeft = observed.containers.length === 0 && observed.sandboxes.length === 0;
  if (nothingLeft && (knownPhase === "Succeeded" || knownPhase === "Failed")) {
    // The runtime has forgotten the pod, or never knew it: what was told of it stands.
    const { generation } = pod.metadata;
    return { ...pod.status, ...(generation === undefined ? {} : { observedGeneration: generation }) };
  }
  const hasInit = (pod.spec.initContainers ?? []).length > 0;
  const sandbox = readySandbox(observed);
  const initialized = pod.spec.containers.some(({ name }) => newestContainer(observed, name) !== undefined);
  const oldStatuses = [
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.ephemeralContainerStatuses ?? []),
  ];
  const statuses = {
    init: [] as ContainerStatus[],
    regular: [] as ContainerStatus[],
    ephemeral: [] as ContainerStatus[],
  };
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

  const phase =
    input.verdict !== undefined
      ? "Failed"
      : keepTerminalPhase(
          pod,
          phaseOf({
            pod,
            init: statuses.init,
            regular: statuses.regular,
            terminal: input.terminal,
            restarting: awaitingRestart(pod, observed),
          }),
        );
  const containersReady = containersReadyCondition(pod, statuses.init, statuses.regular, phase);
  const networkReady = sandbox !== undefined && (pod.spec.hostNetwork === true || sandbox.ips.length > 0);
  const condition = (type: string, value: Omit<PodCondition, "type">) => withTransition(pod, now, type, value);
  const conditions = [
    condition("PodReadyToStartContainers", { status: networkReady && !input.terminal ? "True" : "False" }),
    condition("Initialized", initializedCondition(pod, statuses.init, phase)),
    condition("Ready", readyCondition(pod, containersReady)),
    condition("ContainersReady", containersReady),
    condition("PodScheduled", { status: "True" }),
    ...[restartingCondition(pod, observed, phase), ...(input.extraConditions ?? [])]
      .filter((extra) => extra !== undefined)
      .map(({ type, ...rest }) => condition(type, rest)),
  ];
  const ips = pod.spec.hostNetwork === true ? input.hostIPs : ((sandbox ?? observed.sandboxes[0])?.ips ?? []);
  const knownIps = ips.length > 0 ? ips : (pod.status?.podIPs ?? []).map(({ ip }) => ip);
  const verdict =
    input.verdict ??
    (pod.status?.phase === phase && (phase === "Failed" || phase === "Succeeded") ? pod.status : undefined);
  return {
    phase,
    ...(verdict?.reason === undefined ? {} : { reason: verdict.reason }),
    ...(verdict?.message === undefined ? {} : { message: verdict.message }),
    conditions,
    hostIP: input.hostIPs[0],
    hostIPs: input.hostIPs.map((ip) => ({ ip })),
    ...(knownIps.length === 0 ? {} : { podIP: knownIps[0], podIPs: knownIps.map((ip) => ({ ip })) }),
    startTime: pod.status?.startTime ?? formatTime(now),
    qosClass: qosClass(pod),
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    ...(statuses.init.length === 0 ? {} : { initContainerStatuses: statuses.init }),
    containerStatuses: statuses.regular,
    ...(statuses.ephemeral.length === 0 ? {} : { ephemeralContainerStatuses: statuses.ephemeral }),
  };
}

/** Succeeded and Failed are final: nothing observed later may leave them. */
function keepTerminalPhase(
  pod: Pod,
  phase: "Pending" | "Running" | "Succeeded" | "Failed",
): "Pending" | "Running" | "Succeeded" | "Failed" {
  const known = pod.status?.phase;
  return known === "Succeeded" || known === "Failed" ? known : phase;
}
