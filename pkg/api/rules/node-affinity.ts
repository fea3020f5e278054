/** Which nodes a pod asks for, by nodeSelector and required node affinity. The scheduler has the same compiled, for many nodes. */
import type { Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec } from "../types/core-v1.ts";

function matchesRequirement({ operator, values = [] }: NodeSelectorRequirement, value: string | undefined): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
    case "Lt": {
      if (value === undefined || !/^-?[0-9]+$/.test(value) || !/^-?[0-9]+$/.test(values[0] ?? "")) return false;
      return operator === "Gt" ? BigInt(value) > BigInt(values[0]!) : BigInt(value) < BigInt(values[0]!);
    }
    default:
      return false;
  }
}

function matchesTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length === 0 && matchFields.length === 0) return false; // an empty term selects nothing
  return (
    matchExpressions.every((requirement) => matchesRequirement(requirement, node.metadata.labels?.[requirement.key])) &&
    matchFields.every(
      (requirement) => requirement.key === "metadata.name" && matchesRequirement(requirement, node.metadata.name),
    )
  );
}

/** Do nodeSelector and required node affinity allow this node? */
export function fitsNode(spec: PodSpec | undefined, node: Node): boolean {
  for (const [key, value] of Object.entries(spec?.nodeSelector ?? {}))
    if (node.metadata.labels?.[key] !== value) return false;
  const terms = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return terms === undefined || terms.some((term) => matchesTerm(term, node));
}
