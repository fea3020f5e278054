import { isItself } from "../framework/types.ts";
import { unresolvable } from "../framework/status.ts";
import type { Plugin } from "../framework/types.ts";

const UNSUPPORTED = unresolvable("pod uses resource claims, and this scheduler does not allocate devices");

/**
 * Keeps pods with resource claims (KEP-4381) pending, by name: started without their devices they would fail in ways
 * that are harder to understand.
 */
export function dynamicResources(): Plugin {
  return {
    name: "DynamicResources",
    events: [{ resource: "UnscheduledPod", actions: ["Update"], hint: isItself }],
    preFilter: ({ pod }) => ((pod.spec.resourceClaims?.length ?? 0) === 0 ? "skip" : { rejected: UNSUPPORTED }),
  };
}
