/** What is said of a pod that had to go. Pure. */
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { canonicalQuantity, parseQuantity } from "#pkg/apimachinery/index.ts";
import { containersOf } from "../pod/spec.ts";
import type { EvictedResource, PodUsage } from "./rank.ts";

interface Shortage {
  readonly resource: EvictedResource;
  readonly threshold: number;
  readonly available: number;
}

function quantity(value: number, resource: EvictedResource): string {
  const bytes = resource === "memory" || resource === "ephemeral-storage";
  return canonicalQuantity(bytes ? `${Math.floor(value / 1024)}Ki` : String(Math.floor(value)));
}

/** Names the shortage, and each container that used more of it than it had asked for. */
export function evictionMessage(pod: Pod, usage: PodUsage | undefined, shortage: Shortage): string {
  const { resource, threshold, available } = shortage;
  let message = `The node was low on resource: ${resource}. Threshold quantity: ${quantity(threshold, resource)}, available: ${quantity(available, resource)}. `;
  if (resource !== "memory" && resource !== "ephemeral-storage") return message;
  for (const { name, memoryBytes, diskBytes } of usage?.containers ?? []) {
    const spec = containersOf(pod).find((container) => container.spec.name === name)?.spec;
    const request = spec?.resources?.requests?.[resource] ?? "0";
    const used = resource === "memory" ? memoryBytes : diskBytes;
    if (spec !== undefined && used > parseQuantity(request).toNumber())
      message += `Container ${name} was using ${quantity(used, resource)}, request is ${canonicalQuantity(request)}, has larger consumption of ${resource}. `;
  }
  return message;
}
