import { deepEqual } from "#pkg/apimachinery/index.ts";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { PodInfo } from "./cache/pod-info.ts";
import { amountOf } from "./cache/resources.ts";
import type { ActionType, ClusterEvent } from "./framework/types.ts";

/** Has the pod come to its end? Then it needs no room any more. */
export function isTerminal({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** Has the pod a node? */
export function isAssigned({ spec }: Pod): boolean {
  return spec.nodeName !== undefined && spec.nodeName !== "";
}

/** The event of a node that has come. */
export function nodeAdded(node: Node): ClusterEvent {
  return { resource: "Node", actions: ["Add"], object: node };
}

/** The event of a node that has gone. */
export function nodeDeleted(node: Node): ClusterEvent {
  return { resource: "Node", actions: ["Delete"], old: node };
}
/** What of a node has changed that pods may wait for; undefined for a mere sign of life. */
export function nodeUpdated(node: Node, old: Node): ClusterEvent | undefined {
  const actions: ActionType[] = [];
  if (!deepEqual(old.status?.allocatable, node.status?.allocatable)) actions.push("UpdateNodeAllocatable");
  if (!deepEqual(old.metadata.labels, node.metadata.labels)) actions.push("UpdateNodeLabel");
  const taintsDiffer =
    !deepEqual(old.spec.taints, node.spec.taints) || old.spec.unschedulable !== node.spec.unschedulable;
  if (taintsDiffer) actions.push("UpdateNodeTaint");
  return actions.length === 0 ? undefined : { resource: "Node", actions, object: node, old };
}

/** The event of a pod that takes room on a node now. */
export function assignedPodAdded(info: PodInfo): ClusterEvent {
  return { resource: "AssignedPod", actions: ["Add"], object: info.pod, pod: info };
}

/** The event of a pod that takes room no more. */
export function assignedPodDeleted(info: PodInfo): ClusterEvent {
  return { resource: "AssignedPod", actions: ["Delete"], object: info.pod, pod: info };
}
/** What of a pod has changed that matters to scheduling: others' when it is on a node, its own when it waits. */
export function podUpdated(pod: PodInfo, old: Pod): ClusterEvent | undefined {
  const { metadata, spec, status } = pod.pod;
  // Most updates of a pod are its status: nothing that scheduling goes by.
  const sameSpec = old.metadata.generation !== undefined && old.metadata.generation === metadata.generation;
  const sameStatus = deepEqual(old.status?.containerStatuses, status?.containerStatuses);
  const sameLabels = deepEqual(old.metadata.labels, metadata.labels);
  if (sameSpec && sameStatus && sameLabels) return undefined;
  const oldPod = new PodInfo(old);
  const actions: ActionType[] = [];
  if (!sameLabels) actions.push("UpdatePodLabel");
  if (requestsShrank(pod, oldPod)) actions.push("UpdatePodScaleDown");
  if (!deepEqual(old.spec.tolerations, spec.tolerations)) actions.push("UpdatePodToleration");
  if ((old.spec.schedulingGates?.length ?? 0) > 0 && (spec.schedulingGates?.length ?? 0) === 0)
    actions.push("UpdatePodSchedulingGatesEliminated");
  if (actions.length === 0 && !sameSpec) actions.push("Update");
  if (actions.length === 0) return undefined;
  const resource = isAssigned(pod.pod) ? "AssignedPod" : "UnscheduledPod";
  return { resource, actions, object: pod.pod, old, pod, oldPod };
}

function requestsShrank({ requests: now }: PodInfo, { requests: before }: PodInfo): boolean {
  const names = ["cpu", "memory", "ephemeral-storage", ...(before.scalars?.keys() ?? [])];
  return names.some((name) => amountOf(now, name) < amountOf(before, name));
}
