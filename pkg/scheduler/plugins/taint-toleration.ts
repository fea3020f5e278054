import type { Node, Taint, Toleration } from "#pkg/api/types/core-v1.ts";
import { defaultNormalize } from "../framework/scoring.ts";
import { unresolvable } from "../framework/status.ts";
import type { Status } from "../framework/status.ts";
import { isItself } from "../framework/types.ts";
import type { Plugin } from "../framework/types.ts";
import { tolerates, untoleratedTaint } from "./taints.ts";

/** Verdicts kept by taint, since a tainted pool of nodes refuses with one and the same. */
const MAX_KEPT = 256;

/** Refuses nodes with taints the pod does not tolerate; prefers those with fewer "PreferNoSchedule" ones. */
export function taintToleration(): Plugin<unknown, readonly Toleration[]> {
  const refusals = new Map<string, Status>();
  const refusal = ({ key, value = "" }: Taint): Status => {
    const reason = `node(s) had untolerated taint {${key}: ${value}}`;
    let status = refusals.get(reason);
    if (status === undefined) {
      if (refusals.size >= MAX_KEPT) refusals.clear();
      refusals.set(reason, (status = unresolvable(reason)));
    }
    return status;
  };
  return {
    name: "TaintToleration",
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
      return taint === undefined ? undefined : refusal(taint);
    },
    preScore: (pod, nodes) => {
      const matters = nodes.some(({ taints }) => taints.some(({ effect }) => effect === "PreferNoSchedule"));
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
