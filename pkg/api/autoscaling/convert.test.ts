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

const METRIC_ERRORS: readonly [name: string, metric: object, errors: string[]][] = [
  [
    "an unknown type",
    { type: "Foo" },
    Array.from(
      { length: 2 },
      () =>
        'type: Unsupported value: "Foo": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"',
    ),
  ],
  [
    "no target",
    { type: "Resource", resource: { name: "cpu" } },
    [
      "resource.target.type: Required value: must specify a metric target type",
      'resource.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
      "resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
    ],
  ],
  [
    "two sources",
    {
      type: "Pods",
      pods: { metric: { name: "a" }, target: { type: "AverageValue", averageValue: "1" } },
      resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 1 } },
    },
    ["resource: Forbidden: must populate the given metric source only"],
  ],
  [
    "another type's source",
    { type: "Pods", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 0 } } },
    [
      "resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
      "pods: Required value: must populate information for the given metric source",
    ],
  ],
  [
    "no amount from outside",
    { type: "External", external: { metric: { name: "a/b" }, target: { type: "Value" } } },
    [
      "external.metric.name: Invalid value: \"a/b\": may not contain '/'",
      "external.target.averageValue: Required value: must set either a target value for metric or a per-pod target",
    ],
  ],
];
for (const [name, metric, errors] of METRIC_ERRORS) {
  test(`a metric with ${name} is refused`, () => {
    const spec = { maxReplicas: 5, scaleTargetRef, metrics: [metric] };
    assert.deepEqual(
      createErrors("autoscaling/v2/HorizontalPodAutoscaler", { spec }),
      errors.map((error) => `spec.metrics[0].${error}`),
    );
  });
}

test("scaling to nothing needs a metric that is there without pods", () => {
  assert.deepEqual(
    createErrors("autoscaling/v2/HorizontalPodAutoscaler", {
      spec: { minReplicas: 0, maxReplicas: 1, scaleTargetRef },
    }),
    [
      "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
      "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
    ],
  );
});
