import { toleratesTaint } from "#pkg/api/rules/index.ts";
import type { Taint, Toleration } from "#pkg/api/types/core-v1.ts";

/** How long a pod may stay on a node with these NoExecute taints, in seconds; Infinity: for ever. */
export function toleratedSeconds(taints: readonly Taint[], tolerations: readonly Toleration[] | undefined): number {
  let shortest = Infinity;
  for (const taint of taints) {
    const matching = (tolerations ?? []).filter((toleration) => toleratesTaint(toleration, taint));
    if (matching.length === 0) return 0;
    for (const { tolerationSeconds } of matching)
      if (tolerationSeconds !== undefined) shortest = Math.min(shortest, Math.max(0, tolerationSeconds));
  }
  return shortest;
}
