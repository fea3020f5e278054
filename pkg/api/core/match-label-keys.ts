import type { Pod } from "../types/core-v1.ts";
import { unshared } from "#pkg/apimachinery/index.ts";
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
export function mergeMatchLabelKeys(pod: Pod): void {
  if (!termsOf(pod).some(({ matchLabelKeys, mismatchLabelKeys }) => matchLabelKeys ?? mismatchLabelKeys)) return;
  pod.spec = unshared(pod.spec);
  for (const term of termsOf(pod)) mergeInto(term, pod.metadata.labels ?? {});
}

/** Everything in a pod's spec that selects pods. */
function termsOf({ spec }: Pod): Term[] {
  const { topologySpreadConstraints = [], affinity } = spec ?? {};
  if (topologySpreadConstraints.length === 0 && affinity === undefined) return [];
  const rules = [affinity?.podAffinity, affinity?.podAntiAffinity];
  return [
    ...topologySpreadConstraints,
    ...rules.flatMap((rule) => rule?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...rules.flatMap((rule) =>
      (rule?.preferredDuringSchedulingIgnoredDuringExecution ?? []).flatMap(
        ({ podAffinityTerm }) => podAffinityTerm ?? [],
      ),
    ),
  ];
}
