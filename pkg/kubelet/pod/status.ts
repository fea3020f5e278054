/**
 * Computes a pod's status from what the runtime shows: container-status.ts, phase.ts and conditions.ts put together. Pure;
 * the status manager decides what is written.
 */
import type { ContainerStatus, Pod, PodCondition, PodStatus } from "#pkg/api/types/core-v1.ts";
import { formatTime } from "#pkg/util/index.ts";
import { podConditions } from "./conditions.ts";
import { containerStatuses } from "./container-status.ts";
import { readySandbox } from "./observed.ts";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import { podPhase } from "./phase.ts";
import { qosClass } from "./spec.ts";
import type { ContainerKind } from "./spec.ts";

/** Why a container is waiting. */
export interface StartFailure {
  readonly reason: string;
  readonly message: string;
}

/** What a pod's status is made of; `now` in epoch milliseconds. */
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
  const statuses = containerStatuses(input, runtimeName);
  const phase = podPhase(input, statuses);
  const sandbox = readySandbox(observed) ?? observed.sandboxes[0];
  const ips = pod.spec.hostNetwork === true ? input.hostIPs : (sandbox?.ips ?? []);
  const knownIps = ips.length > 0 ? ips : (pod.status?.podIPs ?? []).map(({ ip }) => ip);
  const verdict =
    input.verdict ??
    (pod.status?.phase === phase && (phase === "Failed" || phase === "Succeeded") ? pod.status : undefined);
  return {
    phase,
    ...(verdict?.reason === undefined ? {} : { reason: verdict.reason }),
    ...(verdict?.message === undefined ? {} : { message: verdict.message }),
    conditions: podConditions(input, statuses, phase),
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
