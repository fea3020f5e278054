import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NOW, podOf } from "../testing/objects.ts";
import { boundReplicas } from "./bounds.ts";
import { groupPods, proposeByValue, proposePerPod, proposeReplicas, type Sample, type Tuning } from "./plan.ts";

const TUNING: Tuning = {
  cpuInitializationPeriodMs: 300_000,
  initialReadinessDelayMs: 30_000,
};
const TOLERANCE = { up: 0.1, down: 0.1 };
const DOWNSCALE_MS = 300_000;
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
  return proposeReplicas(values.length, groups, samples, { utilizationPercent: targetPercent }, () => 1000, TOLERANCE)
    .replicas;
}

test("the ratio of use to target decides, within a tolerance", () => {
  assert.equal(propose([500, 500], 50), 2);
  assert.equal(propose([540, 540], 50), 2, "within the tolerance");
  assert.equal(propose([1000, 1000], 50), 4);
  assert.equal(propose([100, 100, 100, 100], 50), 1);
  assert.throws(() => propose([undefined, undefined], 50), /^Error: did not receive metrics for any ready pods$/);
});

test("one number for all pods decides by its ratio to the target, or to the target of each pod", () => {
  assert.equal(proposeByValue(2, 2, 210, 200, TOLERANCE), 2, "within the tolerance");
  assert.equal(proposeByValue(2, 2, 400, 200, TOLERANCE), 4);
  assert.equal(proposeByValue(4, 3, 400, 200, TOLERANCE), 6, "those that are ready bear it");
  assert.equal(proposeByValue(0, 0, 500, 200, TOLERANCE), 3, "from zero");
  assert.equal(proposePerPod(3, 620, 200, TOLERANCE), 3);
  assert.equal(proposePerPod(3, 900, 200, TOLERANCE), 5);
  assert.equal(proposePerPod(0, 900, 200, TOLERANCE), 5);
  assert.equal(proposeByValue(2, 2, 260, 200, { up: 0.5, down: 0 }), 2, "a tolerance of its own");
});

test("pods without metrics damp both ways", () => {
  assert.equal(propose([1000, undefined], 50), 2, "idle when scaling up");
  assert.equal(propose([100, 100, undefined], 50), 3, "busy when scaling down");
});

const BOUNDS = { min: 1, max: 100 };
const POLICIES = {
  scaleUp: {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [
      { type: "Pods", value: 4, periodSeconds: 15 },
      { type: "Percent", value: 100, periodSeconds: 15 },
    ],
  },
  scaleDown: { selectPolicy: "Max", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] },
};
function bound(
  current: number,
  desired: number,
  behavior?: Parameters<typeof boundReplicas>[3],
  memory = EMPTY as Parameters<typeof boundReplicas>[4],
) {
  const bounded = boundReplicas(current, desired, BOUNDS, behavior, memory, DOWNSCALE_MS, NOW);
  return [bounded.replicas, bounded.stabilized.reason, bounded.limited?.reason];
}

test("without a behavior a target at most doubles, and goes down when no recent recommendation was higher", () => {
  assert.deepEqual(bound(1, 50), [4, "ReadyForNewScale", "ScaleUpLimit"]);
  assert.deepEqual(bound(10, 50), [20, "ReadyForNewScale", "ScaleUpLimit"]);
  assert.deepEqual(bound(90, 500), [100, "ReadyForNewScale", "TooManyReplicas"]);
  assert.deepEqual(bound(10, 0), [1, "ReadyForNewScale", "TooFewReplicas"]);
  assert.deepEqual(bound(10, 2), [2, "ReadyForNewScale", undefined]);
  const recent = { recommendations: [{ at: NOW - 100_000, replicas: 8 }], changes: [] };
  assert.deepEqual(bound(10, 2, undefined, recent), [8, "ScaleDownStabilized", undefined]);
});

test("a behavior's windows and policies limit the change", () => {
  assert.deepEqual(bound(2, 50, POLICIES), [6, "ReadyForNewScale", "ScaleUpLimit"]);
  const changed = (by: number) => ({ recommendations: [], changes: [{ at: NOW - 5000, by }] });
  assert.equal(bound(10, 50, POLICIES, changed(5))[0], 10);
  assert.equal(bound(10, 50, POLICIES, changed(-5))[0], 30, "what went down within the period may come back");
  const lower = { recommendations: [{ at: NOW - 10_000, replicas: 3 }], changes: [] };
  const patient = { ...POLICIES, scaleUp: { ...POLICIES.scaleUp, stabilizationWindowSeconds: 60 } };
  assert.deepEqual(bound(2, 5, patient, lower), [3, "ScaleUpStabilized", undefined]);
  assert.deepEqual(bound(10, 2, { scaleDown: { selectPolicy: "Disabled" } }), [
    10,
    "ReadyForNewScale",
    "ScaleDownLimit",
  ]);
  assert.equal(bound(10, 2, { scaleDown: { policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] } })[0], 9);
});

test("the result is always within the bounds", () => {
  fc.assert(
    fc.property(fc.nat(50), fc.nat(200), fc.integer({ min: 1, max: 20 }), fc.nat(30), (current, desired, min, more) => {
      const bounds = { min, max: min + more };
      const { replicas } = boundReplicas(current, desired, bounds, undefined, EMPTY, DOWNSCALE_MS, NOW);
      assert.ok(replicas >= min && replicas <= min + more);
    }),
  );
});
