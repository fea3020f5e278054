import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { defineResource } from "../define.ts";
import type { HorizontalPodAutoscaler as AutoscalerV1 } from "../types/autoscaling-v1.ts";
import type { HorizontalPodAutoscaler, HPAScalingRules } from "../types/autoscaling-v2.ts";
import { autoscalerFromV1, autoscalerToV1 } from "./convert.ts";
import { printAutoscaler } from "./print.ts";
import { validateAutoscaler, validateAutoscalerStatus } from "./validation.ts";

const DEFAULT_CPU_UTILIZATION = 80;

function scaleUpRules(given: HPAScalingRules | undefined): HPAScalingRules {
  return {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [
      { type: "Pods", value: 4, periodSeconds: 15 },
      { type: "Percent", value: 100, periodSeconds: 15 },
    ],
    ...given,
  };
}

function scaleDownRules(given: HPAScalingRules | undefined): HPAScalingRules {
  return { selectPolicy: "Max", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }], ...given };
}

function defaultAutoscaler({ spec }: HorizontalPodAutoscaler): void {
  if (spec === undefined) return;
  if ((spec.metrics ?? []).length === 0) {
    const target = { type: "Utilization", averageUtilization: DEFAULT_CPU_UTILIZATION };
    spec.metrics = [{ type: "Resource", resource: { name: "cpu", target } }];
  }
  const behavior = spec.behavior;
  if (behavior === undefined) return;
  behavior.scaleUp = scaleUpRules(behavior.scaleUp);
  behavior.scaleDown = scaleDownRules(behavior.scaleDown);
}

export const autoscalerV2 = defineResource<HorizontalPodAutoscaler>({
  group: "autoscaling",
  version: "v2",
  kind: "HorizontalPodAutoscaler",
  printRow: printAutoscaler,
  initialStatus: { desiredReplicas: 0 },
  strategy: { generation: false, defaults: defaultAutoscaler, validate: validateAutoscaler },
  status: { validateUpdate: validateAutoscalerStatus },
});

export const autoscalerV1 = defineResource<AutoscalerV1>({
  group: "autoscaling",
  version: "v1",
  kind: "HorizontalPodAutoscaler",
  printRow: (autoscaler, now) => printAutoscaler(autoscalerFromV1(autoscaler), now),
  initialStatus: { currentReplicas: 0, desiredReplicas: 0 },
  strategy: {
    generation: false,
    validate: (autoscaler) => validateAutoscaler(autoscalerFromV1(autoscaler)),
  },
  toStorage(autoscaler) {
    const converted = autoscalerFromV1(autoscaler);
    defaultAutoscaler(converted);
    return converted as unknown as KubeObject;
  },
  fromStorage: (object) => autoscalerToV1(object as unknown as HorizontalPodAutoscaler),
});
