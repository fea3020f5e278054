import { deepEqual } from "#pkg/apimachinery/index.ts";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { amountOf, podRequests } from "./cache/resources.ts";
import type { ActionType, ClusterEvent } from "./framework/types.ts";

export function isTerminal({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

export function isAssigned({ spec }: Pod): boolean {
  return spec.nodeName !== undefined && spec.nodeName !== "";
}

export function nodeAdded(node: Node): ClusterEvent {
  return { resource: "Node", actions: ["Add"], label: "NodeAdd", object: node };
}
export function nodeDeleted(node: Node): ClusterEvent {
  return { resource: "Node", actions: ["Delete"], label: "NodeDelete", old: node };
}
/** What of a node has changed that pods may wait for; undefined for a mere sign of life. */
export function nodeUpdated(node: Node, old: Node): ClusterEvent | undefined {
  const actions: ActionType[] = [];
  if (!deepEqual(old.status?.allocatable, node.status?.allocatable)) actions.push("UpdateNodeAllocatable");
  if (!deepEqual(old.metadata.labels, node.metadata.labels)) actions.push("UpdateNodeLabel");
  const taintsDiffer =
    !deepEqual(old.spec.taints, node.spec.taints) || old.spec.unschedulable !== node.spec.unschedulable;
  if (taintsDiffer) actions.push("UpdateNodeTaint");
  return actions.length === 0 ? undefined : { resource: "Node", actions, label: "NodeUpdate", object: node, old };
}

export function assignedPodAdded(pod: Pod): ClusterEvent {
  return { resource: "AssignedPod", actions: ["Add"], label: "AssignedPodAdd", object: pod };
}
export function assignedPodDeleted(pod: Pod): ClusterEvent {
  return { resource: "AssignedPod", actions: ["Delete"], label: "AssignedPodDelete", object: pod };
}
/** What of a pod has changed that matters to scheduling: others' when it is on a node, its own when it waits. */
export function podUpdated(pod: Pod, old: Pod): ClusterEvent | undefined {
  const actions: ActionType[] = [];
  if (!deepEqual(old.metadata.labels, pod.metadata.labels)) actions.push("UpdatePodLabel");
  if (requestsShrank(pod, old)) actions.push("UpdatePodScaleDown");
  if (!deepEqual(old.spec.tolerations, pod.spec.tolerations)) actions.push("UpdatePodToleration");
  if ((old.spec.schedulingGates?.length ?? 0) > 0 && (pod.spec.schedulingGates?.length ?? 0) === 0)
    actions.push("UpdatePodSchedulingGatesEliminated");
  if (actions.length === 0 && old.metadata.generation !== pod.metadata.generation) actions.push("Update");
  if (actions.length === 0) return undefined;
  const resource = isAssigned(pod) ? "AssignedPod" : "UnscheduledPod";
  return { resource, actions, label: `${resource}Update`, object: pod, old };
}

function requestsShrank(pod: Pod, old: Pod): boolean {
  const unchanged = old.metadata.generation === pod.metadata.generation && old.metadata.generation !== undefined;
  if (unchanged && old.status?.containerStatuses === pod.status?.containerStatuses) return false;
  try {
    const now = podRequests(pod).requests;
    const before = podRequests(old).requests;
    const names = ["cpu", "memory", "ephemeral-storage", ...(before.scalars?.keys() ?? [])];
    return names.some((name) => amountOf(now, name) < amountOf(before, name));
  } catch {
    return false; // quantities that cannot be read count as none
  }
}
