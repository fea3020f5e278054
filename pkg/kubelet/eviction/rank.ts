/** Which pod goes first when a resource runs short. Pure. */
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import { podSums } from "../cgroups/resources.ts";

/** What a container uses of what pods are evicted for. */
export interface ContainerAmounts {
  readonly name: string;
  readonly memoryBytes: number;
  /** Writable layer and log. */
  readonly diskBytes: number;
}

/** What a pod uses of what pods are evicted for. */
export interface PodUsage {
  readonly memoryBytes: number;
  /** Writable layers, logs, and volumes on the node's own disk. */
  readonly diskBytes: number;
  readonly inodes: number;
  readonly processes: number;
  readonly containers: readonly ContainerAmounts[];
}

/** What pods are evicted for, as messages name it. */
export type EvictedResource = "memory" | "ephemeral-storage" | "inodes" | "pids";

function requestOf(pod: Pod, resource: EvictedResource): number {
  if (resource === "memory") return podSums(pod).memoryRequest;
  if (resource !== "ephemeral-storage") return 0;
  return pod.spec.containers.reduce((sum, { resources }) => {
    const request = resources?.requests?.["ephemeral-storage"];
    return sum + (request === undefined ? 0 : parseQuantity(request).toNumber());
  }, 0);
}

function usageOf(usage: PodUsage | undefined, resource: EvictedResource): number {
  if (usage === undefined) return 0;
  if (resource === "memory") return usage.memoryBytes;
  if (resource === "inodes") return usage.inodes;
  return resource === "pids" ? usage.processes : usage.diskBytes;
}

/**
 * Of memory and disk, first those above their request, then by priority from the lowest, then by what they use beyond their
 * request. Nobody requests inodes or processes: of these priority decides, then usage.
 */
export function rankForEviction(
  pods: readonly Pod[],
  usages: ReadonlyMap<string, PodUsage>,
  resource: EvictedResource,
): Pod[] {
  const requestable = resource === "memory" || resource === "ephemeral-storage";
  const excess = (pod: Pod) => usageOf(usages.get(pod.metadata.uid), resource) - requestOf(pod, resource);
  return [...pods].sort((a, b) => {
    const above = requestable ? Number(excess(b) > 0) - Number(excess(a) > 0) : 0;
    return above || (a.spec.priority ?? 0) - (b.spec.priority ?? 0) || excess(b) - excess(a);
  });
}
