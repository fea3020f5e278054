import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import { amountOf } from "../cache/resources.ts";

export interface ScoredResource {
  readonly name: string;
  readonly weight: number;
}

/**
 * What of a resource would be requested on the node with the pod there, containers without requests counting as the
 * defaults; undefined for an extended resource that the pod does not ask for.
 */
export function requestedForScoring(pod: PodInfo, node: NodeInfo, name: string): number | undefined {
  if (name === "cpu") return node.nonZeroMilliCpu + pod.nonZeroMilliCpu;
  if (name === "memory") return node.nonZeroMemory + pod.nonZeroMemory;
  const wanted = amountOf(pod.requests, name);
  if (wanted === 0 && name !== "ephemeral-storage") return undefined;
  return amountOf(node.requested, name) + wanted;
}
