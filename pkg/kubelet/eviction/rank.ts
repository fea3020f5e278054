/** Which pod goes first when a resource runs short. Pure. */
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import { podSums } from "../cgroups/resources.ts";

export interface PodUsage {
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly inodes: number;
  readonly processes: number;
}

function requestOf(pod: Pod, resource: string): number {
  if (resource === "memory") return podSums(pod).memoryRequest;
  if (resource !== "ephemeral-storage") return 0;
  return pod.spec.containers.reduce((sum, { resources }) => {
    const request = resources?.requests?.["ephemeral-storage"];
    return sum + (request === undefined ? 0 : parseQuantity(request).toNumber());
  }, 0);
}

export function usageOf(usage: PodUsage | undefined, resource: string): number {
  if (usage === undefined) return 0;
  if (resource === "memory") return usage.memoryBytes;
  if (resource === "inodes") return usage.inodes;
  return resource === "pids" ? usage.processes : usage.diskBytes;
}

/** First those above their request, then by priority from the lowest, then by what they use beyond their request. */
export function rankForEviction(pods: readonly Pod[], usages: ReadonlyMap<string, PodUsage>, resource: string): Pod[] {
  const excess = (pod: Pod) => usageOf(usages.get(pod.metadata.uid), resource) - requestOf(pod, resource);
  return [...pods].sort((a, b) => {
    const above = Number(excess(b) > 0) - Number(excess(a) > 0);
    if (above !== 0) return above;
    return (a.spec.priority ?? 0) - (b.spec.priority ?? 0) || excess(b) - excess(a);
  });
}
