import type { TopologySpreadConstraint } from "#pkg/api/types/core-v1.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import { withLabelKeys } from "../cache/pod-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import { compileLabelSelector } from "../cache/selectors.ts";
import type { LabelMatcher } from "../cache/selectors.ts";
import { untoleratedTaint } from "./taints.ts";

/** A topologySpreadConstraint, compiled. */
export interface SpreadConstraint {
  readonly topologyKey: string;
  readonly maxSkew: number;
  readonly minDomains: number;
  readonly hard: boolean;
  readonly honorsAffinity: boolean;
  readonly honorsTaints: boolean;
  readonly matcher: LabelMatcher;
}

/** The pod's own constraints. @throws SelectorError */
export function ownConstraints({ pod, labels }: PodInfo): SpreadConstraint[] {
  return (pod.spec.topologySpreadConstraints ?? []).map((constraint) => compileConstraint(constraint, labels));
}

function compileConstraint(
  constraint: TopologySpreadConstraint,
  labels: Readonly<Record<string, string>>,
): SpreadConstraint {
  const selector = withLabelKeys(constraint.labelSelector, labels, constraint.matchLabelKeys);
  return {
    topologyKey: constraint.topologyKey,
    maxSkew: constraint.maxSkew,
    minDomains: constraint.minDomains ?? 1,
    hard: constraint.whenUnsatisfiable === "DoNotSchedule",
    honorsAffinity: (constraint.nodeAffinityPolicy ?? "Honor") === "Honor",
    honorsTaints: constraint.nodeTaintsPolicy === "Honor",
    matcher: compileLabelSelector(selector),
  };
}

/** Does the constraint count this node at all (KEP-3094)? */
export function countsNode({ honorsAffinity, honorsTaints }: SpreadConstraint, pod: PodInfo, node: NodeInfo): boolean {
  if (honorsAffinity) {
    const matches = pod.nodeMatcher;
    if (matches !== undefined && !matches(node.labels, node.name)) return false;
  }
  return !honorsTaints || untoleratedTaint(node.taints, pod.tolerations) === undefined;
}

/** Nothing about the pod or the constraint excludes a node: all those with the topology labels count. */
export function countsEveryNode({ honorsAffinity, honorsTaints }: SpreadConstraint, pod: PodInfo): boolean {
  return !honorsTaints && (!honorsAffinity || pod.nodeMatcher === undefined);
}
