import type { Pod } from "../types/core-v1.ts";
import type { LabelSelector } from "../types/meta-v1.ts";

interface Term {
  labelSelector?: LabelSelector;
  matchLabelKeys?: string[];
  mismatchLabelKeys?: string[];
}

function mergeInto(term: Term, labels: Readonly<Record<string, string>>): void {
  if (term.labelSelector === undefined) return;
  const add = (keys: readonly string[] | undefined, operator: "In" | "NotIn") => {
    for (const key of keys ?? []) {
      const value = labels[key];
      if (value === undefined) continue;
      term.labelSelector!.matchExpressions = [
        ...(term.labelSelector!.matchExpressions ?? []),
        { key, operator, values: [value] },
      ];
    }
  };
  add(term.matchLabelKeys, "In");
  add(term.mismatchLabelKeys, "NotIn");
}

/**
 * matchLabelKeys stand for the values that the pod itself has: they are written into the selectors when it is created,
 * so that the scheduler sees plain selectors (KEP-3633, KEP-3243).
 */
export function mergeMatchLabelKeys({ metadata, spec }: Pod): void {
  const labels = metadata.labels ?? {};
  for (const constraint of spec?.topologySpreadConstraints ?? []) mergeInto(constraint, labels);
  const { podAffinity, podAntiAffinity } = spec?.affinity ?? {};
  for (const rules of [podAffinity, podAntiAffinity]) {
    for (const term of rules?.requiredDuringSchedulingIgnoredDuringExecution ?? []) mergeInto(term, labels);
    for (const { podAffinityTerm } of rules?.preferredDuringSchedulingIgnoredDuringExecution ?? []) {
      if (podAffinityTerm !== undefined) mergeInto(podAffinityTerm, labels);
    }
  }
}
