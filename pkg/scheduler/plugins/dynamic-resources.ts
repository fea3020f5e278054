import { isItself } from "../framework/types.ts";
import { unresolvable, unschedulable } from "../framework/status.ts";
import type { Plugin } from "../framework/types.ts";

const UNSUPPORTED = unresolvable("pod uses resource claims, and this scheduler does not allocate devices");
const NOTHING_TO_GIVE_BACK = unschedulable("no new claims to deallocate");

/**
 * Keeps pods with resource claims (KEP-4381) pending, by name: started without their devices they would fail in ways
 * that are harder to understand.
 */
export function dynamicResources(): Plugin {
  return {
    name: "DynamicResources",
    events: [{ resource: "UnscheduledPod", actions: ["Update"], hint: isItself }],
    // Nothing is ever allocated, so there is nothing that giving it back could help.
    postFilter: () => Promise.resolve({ status: NOTHING_TO_GIVE_BACK }),
    preFilter: ({ pod }) => ((pod.spec.resourceClaims?.length ?? 0) === 0 ? "skip" : { rejected: UNSUPPORTED }),
  };
}
