import type { Node, Toleration } from "#pkg/api/types/core-v1.ts";
import { defaultNormalize } from "../framework/scoring.ts";
import { unresolvable } from "../framework/status.ts";
import { isItself } from "../framework/types.ts";
import type { Plugin } from "../framework/types.ts";
import { tolerates, untoleratedTaint } from "./taints.ts";

/** Which taint it was is not said: keys and values may be nobody's business who can read the pod. */
const REFUSED = unresolvable("node(s) had untolerated taint(s)");

/** Refuses nodes with taints the pod does not tolerate; prefers those with fewer "PreferNoSchedule" ones. */
export function taintToleration(): Plugin<unknown, readonly Toleration[]> {
  return {
    name: "TaintToleration",
    nodeLocal: ({ tolerations }) => tolerations,
    events: [
      {
        resource: "Node",
        actions: ["Add", "UpdateNodeTaint"],
        hint: (pod, event) => untoleratedTaint((event.object as Node).spec.taints ?? [], pod.tolerations) === undefined,
      },
      {
        resource: "UnscheduledPod",
        actions: ["UpdatePodToleration"],
        hint: isItself,
      },
    ],
    filter: (_state, pod, { taints }) => {
      if (taints.length === 0) return undefined;
      const taint = untoleratedTaint(taints, pod.tolerations);
      return taint === undefined ? undefined : REFUSED;
    },
    preScore: (pod, nodes) => {
      const matters = nodes.some(({ hasSoftTaints }) => hasSoftTaints);
      // Without such taints all nodes score alike, and a constant changes no choice.
      if (!matters) return "skip";
      return { state: pod.tolerations.filter(({ effect = "" }) => effect === "" || effect === "PreferNoSchedule") };
    },
    score: (preferences, _pod, { taints }) => {
      let intolerable = 0;
      for (const taint of taints) {
        if (taint.effect === "PreferNoSchedule" && !tolerates(preferences, taint)) intolerable++;
      }
      return intolerable;
    },
    normalizeScore: (_state, _pod, _nodes, scores) => defaultNormalize(scores, true),
  };
}
