import type { Plugin } from "../framework/types.ts";

/** Higher priority first, then the longer waiting. */
export function prioritySort(): Plugin {
  return {
    name: "PrioritySort",
    compare: (a, b) => b.info.priority - a.info.priority || a.queuedAt - b.queuedAt,
  };
}
