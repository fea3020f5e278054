import assert from "node:assert/strict";
import { test } from "node:test";
import { created, createErrors, definitionOf } from "../testing/strategies.ts";

const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
const v1 = definitionOf("autoscaling/v1/HorizontalPodAutoscaler");

test("v1 is stored as v2 and read back", () => {
  const spec = { scaleTargetRef, maxReplicas: 5, targetCPUUtilizationPercentage: 60 };
  const autoscaler = created("autoscaling/v1/HorizontalPodAutoscaler", { spec });
  const stored = v1.toStorage!(autoscaler);
  assert.equal(stored.apiVersion, "autoscaling/v2");
  assert.deepEqual(stored["spec"], {
    scaleTargetRef,
    minReplicas: 1,
    maxReplicas: 5,
    metrics: [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 60 } } }],
  });
  assert.deepEqual(v1.fromStorage!(stored)["spec"], { ...spec, minReplicas: 1 });
});

test("what v1 has no field for travels in annotations", () => {
  const external = {
    type: "External",
    external: { metric: { name: "queue" }, target: { type: "Value", value: "10" } },
  };
  const v2 = created("autoscaling/v2/HorizontalPodAutoscaler", {
    spec: {
      scaleTargetRef,
      maxReplicas: 5,
      metrics: [external],
      behavior: { scaleUp: { stabilizationWindowSeconds: 5 } },
    },
  });
  const shown = v1.fromStorage!(v2);
  assert.deepEqual(JSON.parse(shown.metadata.annotations!["autoscaling.alpha.kubernetes.io/metrics"]!), [external]);
  assert.deepEqual(v1.toStorage!(shown)["spec"], v2["spec"]);
  assert.deepEqual((v2["spec"] as { behavior: object }).behavior, {
    scaleUp: {
      stabilizationWindowSeconds: 5,
      selectPolicy: "Max",
      policies: [
        { type: "Pods", value: 4, periodSeconds: 15 },
        { type: "Percent", value: 100, periodSeconds: 15 },
      ],
    },
    scaleDown: { selectPolicy: "Max", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] },
  });
});

test("an autoscaler that could not work is refused", () => {
  assert.deepEqual(
    createErrors("autoscaling/v2/HorizontalPodAutoscaler", {
      spec: { minReplicas: 3, maxReplicas: 1, scaleTargetRef: {} },
    }),
    [
      "spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`",
      "spec.scaleTargetRef.kind: Required value",
      "spec.scaleTargetRef.name: Required value",
    ],
  );
});
