import { ageOf } from "../printers/cells.ts";
import type { PodDisruptionBudget } from "../types/policy-v1.ts";

export function printPodDisruptionBudget(budget: Readonly<PodDisruptionBudget>, now: number): unknown[] {
  return [
    budget.metadata.name,
    budget.spec?.minAvailable === undefined ? "N/A" : String(budget.spec.minAvailable),
    budget.spec?.maxUnavailable === undefined ? "N/A" : String(budget.spec.maxUnavailable),
    budget.status?.disruptionsAllowed ?? 0,
    ageOf(budget, now),
  ];
}
