import type { Node } from "#pkg/api/types/core-v1.ts";
import { unresolvable } from "../framework/status.ts";
import { isItself } from "../framework/types.ts";
import type { Plugin } from "../framework/types.ts";
import { tolerates } from "./taints.ts";

const REFUSED = unresolvable("node(s) were unschedulable");
const TAINT = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/** Refuses cordoned nodes, except to pods that tolerate the taint cordoning brings. */
export function nodeUnschedulable(): Plugin {
  return {
    name: "NodeUnschedulable",
    nodeLocal: ({ tolerations }) => tolerations,
    events: [
      {
        resource: "Node",
        actions: ["Add", "UpdateNodeTaint"],
        hint: (pod, event) => (event.object as Node).spec.unschedulable !== true || tolerates(pod.tolerations, TAINT),
      },
      {
        resource: "UnscheduledPod",
        actions: ["UpdatePodToleration"],
        hint: (pod, event) => isItself(pod, event) && tolerates(pod.tolerations, TAINT),
      },
    ],
    filter: (_state, pod, node) => (!node.unschedulable || tolerates(pod.tolerations, TAINT) ? undefined : REFUSED),
  };
}
