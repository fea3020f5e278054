import type { Node } from "#pkg/api/types/core-v1.ts";
import { unresolvable } from "../framework/status.ts";
import type { Plugin } from "../framework/types.ts";

const REFUSED = unresolvable("node(s) didn't match the requested node name");

/** A pod that names its node can be on no other. */
export function nodeName(): Plugin {
  return {
    name: "NodeName",
    nodeLocal: ({ pod }) => pod.spec.nodeName ?? "",
    events: [
      {
        resource: "Node",
        actions: ["Add"],
        hint: ({ pod }, event) => pod.spec.nodeName === (event.object as Node).metadata.name,
      },
    ],
    filter: (_state, { pod }, node) => {
      const wanted = pod.spec.nodeName;
      return wanted === undefined || wanted === "" || wanted === node.name ? undefined : REFUSED;
    },
  };
}
