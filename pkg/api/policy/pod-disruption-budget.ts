import { defineResource } from "../define.ts";
import type { PodDisruptionBudget } from "../types/policy-v1.ts";
import { printPodDisruptionBudget } from "./print.ts";
import { validatePodDisruptionBudget, validatePodDisruptionBudgetStatus } from "./validation.ts";

export const podDisruptionBudget = defineResource<PodDisruptionBudget>({
  group: "policy",
  version: "v1",
  kind: "PodDisruptionBudget",
  printRow: printPodDisruptionBudget,
  initialStatus: { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 },
  strategy: { allowUnconditionalUpdate: false, validate: validatePodDisruptionBudget },
  status: { validateUpdate: validatePodDisruptionBudgetStatus },
});
