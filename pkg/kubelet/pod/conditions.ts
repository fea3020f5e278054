/** Computes a pod's conditions. Pure. */
import type { ContainerStatus, Pod, PodCondition } from "#pkg/api/types/core-v1.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { ContainerStatuses } from "./container-status.ts";
import { readySandbox } from "./observed.ts";
import type { Phase } from "./phase.ts";
import { restartingCondition } from "./restart-all.ts";
import { isSidecar } from "./spec.ts";
import type { StatusInput } from "./status.ts";

/** Those that the kubelet writes; the time of a condition moves only with its status. */
export function podConditions(input: StatusInput, statuses: ContainerStatuses, phase: Phase): PodCondition[] {
  const { pod, observed, now } = input;
  const sandbox = readySandbox(observed);
  const networkReady = sandbox !== undefined && (pod.spec.hostNetwork === true || sandbox.ips.length > 0);
  const containersReady = containersReadyCondition(pod, statuses.init, statuses.regular, phase);
  const condition = (type: string, value: Omit<PodCondition, "type">) => withTransition(pod, now, type, value);
  return [
    condition("PodReadyToStartContainers", { status: networkReady && !input.terminal ? "True" : "False" }),
    condition("Initialized", initializedCondition(pod, statuses, phase)),
    condition("Ready", readyCondition(pod, containersReady)),
    condition("ContainersReady", containersReady),
    condition("PodScheduled", { status: "True" }),
    ...[restartingCondition(pod, observed, phase), ...(input.extraConditions ?? [])]
      .filter((extra) => extra !== undefined)
      .map(({ type, ...rest }) => condition(type, rest)),
  ];
}

function initializedCondition(
  pod: Pod,
  { init, regular }: ContainerStatuses,
  phase: string,
): Omit<PodCondition, "type"> {
  const specs = pod.spec.initContainers ?? [];
  if (phase === "Succeeded") return { status: "True", reason: "PodCompleted" };
  // Once initialized a pod stays so, whatever becomes of its sidecars.
  const begun = regular.some(({ state }) => state?.running !== undefined || state?.terminated !== undefined);
  if (begun) return { status: "True" };
  const incomplete = specs.filter((spec, index) => {
    const status = init[index];
    return isSidecar(spec) ? status?.started !== true : status?.ready !== true;
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
