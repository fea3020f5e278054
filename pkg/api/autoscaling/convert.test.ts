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
  assert.deepEqual(shown.metadata.annotations, {
    "autoscaling.alpha.kubernetes.io/metrics":
      '[{"type":"External","external":{"metricName":"queue","targetValue":"10"}}]',
    "autoscaling.alpha.kubernetes.io/behavior":
      '{"ScaleUp":{"StabilizationWindowSeconds":5,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15},' +
      '{"Type":"Percent","Value":100,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":{"StabilizationWindowSeconds":null,' +
      '"SelectPolicy":"Max","Policies":[{"Type":"Percent","Value":100,"PeriodSeconds":15}],"Tolerance":null}}',
  });
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

const METRICS = "autoscaling.alpha.kubernetes.io/metrics";
const fromAnnotations = (annotations: Record<string, string>) =>
  v1.toStorage!({
    ...created("autoscaling/v1/HorizontalPodAutoscaler", {
      metadata: { name: "a", annotations },
      spec: { scaleTargetRef, maxReplicas: 5, targetCPUUtilizationPercentage: 60 },
    }),
  });

test("metrics of v1 of every type become those of v2, the processor's last, and come back", () => {
  const metrics = [
    {
      type: "Object",
      object: {
        target: { kind: "Service", name: "s", apiVersion: "v1" },
        metricName: "hits",
        targetValue: "0",
        selector: { matchLabels: { a: "b" } },
        averageValue: "500m",
      },
    },
    { type: "Pods", pods: { metricName: "packets", targetAverageValue: "1k" } },
    { type: "Resource", resource: { name: "memory", targetAverageValue: "1Gi" } },
    { type: "ContainerResource", containerResource: { name: "cpu", targetAverageUtilization: 5, container: "c" } },
    { type: "External", external: { metricName: "queue", targetAverageValue: "3" } },
  ];
  const stored = fromAnnotations({ [METRICS]: JSON.stringify(metrics), mine: "x" });
  assert.deepEqual(stored.metadata.annotations, { mine: "x" });
  assert.deepEqual((stored["spec"] as { metrics: object[] }).metrics, [
    {
      type: "Object",
      object: {
        describedObject: { kind: "Service", name: "s", apiVersion: "v1" },
        metric: { name: "hits", selector: { matchLabels: { a: "b" } } },
        target: { type: "AverageValue", averageValue: "500m" },
      },
    },
    { type: "Pods", pods: { metric: { name: "packets" }, target: { type: "AverageValue", averageValue: "1k" } } },
    { type: "Resource", resource: { name: "memory", target: { type: "AverageValue", averageValue: "1Gi" } } },
    {
      type: "ContainerResource",
      containerResource: { name: "cpu", container: "c", target: { type: "Utilization", averageUtilization: 5 } },
    },
    { type: "External", external: { metric: { name: "queue" }, target: { type: "AverageValue", averageValue: "3" } } },
    { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 60 } } },
  ]);
  const shown = v1.fromStorage!(stored);
  assert.deepEqual(JSON.parse(shown.metadata.annotations![METRICS]!), metrics);
  assert.equal((shown["spec"] as { targetCPUUtilizationPercentage: number }).targetCPUUtilizationPercentage, 60);
});

for (const text of ["{", '"x"', '[{"type":3}]', '[{"pods":{"targetAverageValue":"x"}}]', "[3]"]) {
  test(`an annotation with ${text} is left out`, () => {
    assert.equal((fromAnnotations({ [METRICS]: text })["spec"] as { metrics: object[] }).metrics.length, 1);
  });
}

test("what metrics and conditions are travels in annotations of v1, in the words of its types", () => {
  const status = {
    currentReplicas: 1,
    desiredReplicas: 2,
    currentMetrics: [
      { type: "Resource", resource: { name: "cpu", current: { averageUtilization: 30 } } },
      { type: "External", external: { metric: { name: "q" }, current: { value: "4" } } },
    ],
    conditions: [{ type: "AbleToScale", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z", reason: "R" }],
  };
  const spec = { scaleTargetRef, maxReplicas: 5 };
  const shown = v1.fromStorage!({ ...created("autoscaling/v2/HorizontalPodAutoscaler", { spec }), status });
  assert.deepEqual(shown.metadata.annotations, {
    "autoscaling.alpha.kubernetes.io/current-metrics":
      '[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":30,"currentAverageValue":"0"}},' +
      '{"type":"External","external":{"metricName":"q","currentValue":"4"}}]',
    "autoscaling.alpha.kubernetes.io/conditions":
      '[{"type":"AbleToScale","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"R"}]',
  });
  assert.deepEqual(shown["status"], { currentReplicas: 1, desiredReplicas: 2, currentCPUUtilizationPercentage: 30 });
  assert.deepEqual((v1.toStorage!(shown)["status"] as typeof status).conditions, status.conditions);
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
