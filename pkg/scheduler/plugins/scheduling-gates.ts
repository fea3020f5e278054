import { unresolvable } from "../framework/status.ts";
import { isItself } from "../framework/types.ts";
import type { Plugin } from "../framework/types.ts";

/** A pod with scheduling gates is not looked at until they are all gone. */
export function schedulingGates(): Plugin {
  return {
    name: "SchedulingGates",
    events: [
      {
        resource: "UnscheduledPod",
        actions: ["UpdatePodSchedulingGatesEliminated"],
        hint: isItself,
      },
    ],
    preEnqueue: ({ spec }) => {
      const gates = (spec.schedulingGates ?? []).map(({ name }) => name);
      if (gates.length === 0) return undefined;
      return unresolvable(`waiting for scheduling gates: [${gates.join(" ")}]`);
    },
  };
}
