import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NOW, podOf } from "../testing/objects.ts";
import { boundReplicas, groupPods, proposeReplicas, type Sample, type Tuning } from "./plan.ts";

const TUNING: Tuning = {
  tolerance: 0.1,
  cpuInitializationPeriodMs: 300_000,
  initialReadinessDelayMs: 30_000,
  downscaleStabilizationMs: 300_000,
};
const started = (name: string) => {
  const pod = podOf(name);
  return { ...pod, status: { ...pod.status, startTime: "2025-12-31T00:00:00Z" } };
};
const EMPTY = { recommendations: [], changes: [] };

function propose(values: (number | undefined)[], targetPercent: number) {
  const pods = values.map((_, index) => started(`p${index}`));
  const samples = new Map<string, Sample>();
  values.forEach((value, index) => {
    if (value !== undefined) samples.set(`p${index}`, { value, at: NOW, windowMs: 30_000 });
  });
  const groups = groupPods(pods, samples, true, TUNING, NOW);
  return proposeReplicas(
    values.length,
    groups,
    samples,
    { utilizationPercent: targetPercent },
    () => 1000,
    TUNING.tolerance,
  )?.replicas;
}

test("the ratio of use to target decides, within a tolerance", () => {
  assert.equal(propose([500, 500], 50), 2);
  assert.equal(propose([540, 540], 50), 2, "within the tolerance");
  assert.equal(propose([1000, 1000], 50), 4);
  assert.equal(propose([100, 100, 100, 100], 50), 1);
  assert.equal(propose([undefined, undefined], 50), undefined);
});

test("pods without metrics damp both ways", () => {
  assert.equal(propose([1000, undefined], 50), 2, "idle when scaling up");
  assert.equal(propose([100, 100, undefined], 50), 3, "busy when scaling down");
});

test("speed, window and bounds limit the change", () => {
  const bounds = { min: 1, max: 100 };
  const bound = (
    current: number,
    desired: number,
    behavior?: Parameters<typeof boundReplicas>[3],
    memory = EMPTY as Parameters<typeof boundReplicas>[4],
  ) => boundReplicas(current, desired, bounds, behavior, memory, TUNING, NOW).replicas;
  assert.equal(bound(2, 50), 6, "four pods or twice as many");
  assert.equal(bound(10, 50), 20);
  assert.equal(bound(10, 50, undefined, { recommendations: [], changes: [{ at: NOW - 5000, by: 5 }] }), 10);
  assert.equal(bound(10, 2), 2);
  const recent = { recommendations: [{ at: NOW - 100_000, replicas: 8 }], changes: [] };
  assert.equal(bound(10, 2, undefined, recent), 8, "the highest of the last five minutes");
  assert.equal(bound(10, 2, { scaleDown: { selectPolicy: "Disabled" } }), 10);
  assert.equal(bound(10, 2, { scaleDown: { policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] } }), 9);
  assert.equal(boundReplicas(90, 500, bounds, undefined, EMPTY, TUNING, NOW).replicas, 100);
});

test("the result is always within the bounds", () => {
  fc.assert(
    fc.property(fc.nat(50), fc.nat(200), fc.integer({ min: 1, max: 20 }), fc.nat(30), (current, desired, min, more) => {
      const { replicas } = boundReplicas(current, desired, { min, max: min + more }, undefined, EMPTY, TUNING, NOW);
      assert.ok(replicas >= min && replicas <= min + more);
    }),
  );
});
