/** Computes a pod's status from what is observed and hands it to the status manager. */
import type { Pod, PodStatus } from "#pkg/api/types/core-v1.ts";
import type { ObservedPod } from "./observed.ts";
import { podStatus, rejectedStatus } from "./status.ts";
import type { PodSubject } from "./subject.ts";
import { terminationMessage } from "./termination-message.ts";
import type { Verdict } from "./worker-deps.ts";

/** What a pod's status is made of. */
export interface Publication {
  readonly observed: ObservedPod;
  /** Set when the kubelet itself ends the pod. */
  readonly verdict: Verdict | undefined;
  /** True once nothing of the pod runs any more. */
  readonly terminal: boolean;
  /** True when the verdict fell before anything of the pod ran. */
  readonly rejected: boolean;
}

/** Resolves to the status as computed, whether or not all of it may be told yet. */
export function publishStatus(subject: PodSubject, publication: Publication): PodStatus {
  const { uid, removed, deps } = subject;
  const { status, resources, clock } = deps;
  const { verdict, terminal, rejected } = publication;
  const base = deps.apiPod(subject.pod);
  const known = base === undefined ? undefined : status.latest(base);
  const wanted = status.wanted(uid);
  const before =
    removed || known === undefined ? (wanted ?? subject.pod.status) : withContainersOf(known.status, wanted);
  const pod = resources.allocated({ ...subject.pod, status: before });
  const result =
    rejected && verdict !== undefined
      ? rejectedStatus(pod, verdict, clock.now())
      : resources.decoratePod(pod, computeStatus(subject, pod, publication));
  if (known !== undefined && !removed) {
    const told = isTerminal(known.status?.phase) ? known.status : (wanted ?? known.status);
    status.set(known, terminal ? result : withheld(result, told));
  }
  return result;
}

/**
 * What was told of containers is what we last wanted told, be it still on its way: what is written of a container's end is
 * read from files that may be gone by the next look.
 */
function withContainersOf(status: PodStatus | undefined, wanted: PodStatus | undefined): PodStatus | undefined {
  if (wanted === undefined) return status;
  const { initContainerStatuses, containerStatuses, ephemeralContainerStatuses } = wanted;
  return {
    ...status,
    ...(initContainerStatuses === undefined ? {} : { initContainerStatuses }),
    ...(containerStatuses === undefined ? {} : { containerStatuses }),
    ...(ephemeralContainerStatuses === undefined ? {} : { ephemeralContainerStatuses }),
  };
}

function computeStatus(subject: PodSubject, pod: Pod, { observed, verdict, terminal }: Publication): PodStatus {
  const { uid, deps } = subject;
  const { probes, resources, node } = deps;
  return podStatus(
    {
      pod,
      observed,
      now: deps.clock.now(),
      hostIPs: node.hostIPs(),
      failures: subject.failures,
      probes: {
        started: (container) => probes.started(uid, container, subject.spec(container)),
        ready: (container) => probes.ready(uid, container, subject.spec(container)),
      },
      terminationMessage,
      terminal,
      ...(verdict === undefined ? {} : { verdict }),
      decorate: (containerStatus, kind, container) => resources.decorate(pod, containerStatus, kind, container),
      extraConditions: [
        ...resources.conditions(subject.pod),
        ...(verdict?.condition === undefined ? [] : [verdict.condition]),
      ],
    },
    deps.runtimeName(),
  );
}

/**
 * A terminal phase tells others that nothing of the pod runs any more: it is held back until that is true, and with
 * it why the pod failed. Until then `told` stands, which is what we last wanted written: a write of Running may be on its
 * way while the API still says Pending, and no pod goes back from the one to the other. Pure.
 */
export function withheld(next: PodStatus, told: PodStatus | undefined): PodStatus {
  if (!isTerminal(next.phase) || isTerminal(told?.phase)) return next;
  return { ...next, phase: told?.phase ?? "Pending", reason: told?.reason, message: told?.message };
}

/** Succeeded and Failed are final. */
export function isTerminal(phase: string | undefined): boolean {
  return phase === "Succeeded" || phase === "Failed";
}
