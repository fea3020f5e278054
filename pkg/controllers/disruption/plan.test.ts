import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { PodDisruptionBudget } from "#pkg/api/types/policy-v1.ts";
import { meta, NOW, podOf } from "../testing/objects.ts";
import { planBudget, type Scale } from "./plan.ts";

const budget = (spec: PodDisruptionBudget["spec"], status?: PodDisruptionBudget["status"]): PodDisruptionBudget => ({
  metadata: meta("b", { generation: 2 }),
  spec,
  ...(status === undefined ? {} : { status }),
});
const known = (replicas: number) => (): Scale => ({ kind: "known", replicas });
const four = ["a", "b", "c", "d"].map((name) => podOf(name));

test("what is healthy beyond the minimum may be disrupted", () => {
  const allowed = (spec: PodDisruptionBudget["spec"], scale = 4) =>
    planBudget(budget(spec), four, known(scale), NOW).status.disruptionsAllowed;
  assert.equal(allowed({ minAvailable: 3 }), 1);
  assert.equal(allowed({ minAvailable: "50%" }), 2);
  assert.equal(allowed({ minAvailable: "51%" }), 1);
  assert.equal(allowed({ maxUnavailable: 1 }), 1);
  assert.equal(allowed({ maxUnavailable: "30%" }), 2, "rounded up");
  assert.equal(allowed({ maxUnavailable: 1 }, 5), 0, "one is missing already");
  assert.equal(planBudget(budget({ minAvailable: 0 }), [], known(0), NOW).status.disruptionsAllowed, 0);
});

test("granted evictions count until the pod goes or two minutes have passed", () => {
  const at = (ms: number) => new Date(NOW - ms).toISOString();
  const status = { disruptedPods: { a: at(60_000), b: at(150_000), gone: at(1000) } };
  const plan = planBudget(budget({ minAvailable: 2 }, status), four, known(4), NOW);
  assert.deepEqual(Object.keys(plan.status.disruptedPods ?? {}), ["a"]);
  assert.equal(plan.status.currentHealthy, 3);
  assert.equal(plan.requeueAfterMs, 60_000);
});

test("when nothing can be known nothing is allowed", () => {
  const unknown = (): Scale => ({ kind: "unknown", message: "found no controller ref" });
  const before = { disruptionsAllowed: 3, currentHealthy: 4, desiredHealthy: 1, expectedPods: 4 };
  const { status } = planBudget(budget({ maxUnavailable: "50%" }, before), four, unknown, NOW);
  assert.equal(status.disruptionsAllowed, 0);
  assert.deepEqual(
    status.conditions?.map(({ type, status: state, reason }) => [type, state, reason]),
    [["DisruptionAllowed", "False", "SyncFailed"]],
  );
  assert.equal(status.observedGeneration, undefined, "a look that failed has observed nothing");
  assert.equal(status.conditions?.[0]?.observedGeneration, undefined);
  assert.equal(planBudget(budget({ minAvailable: "x%" }), four, known(4), NOW).status.disruptionsAllowed, 0);
});

test("as many as allowed can go and the minimum still holds", () => {
  fc.assert(
    fc.property(fc.nat(12), fc.nat(12), fc.nat(12), (healthy, broken, minAvailable) => {
      const pods = Array.from({ length: healthy + broken }, (_, index) =>
        podOf(`p${index}`, { ready: index < healthy }),
      );
      const { status } = planBudget(budget({ minAvailable }), pods, known(pods.length), NOW);
      assert.ok(status.disruptionsAllowed! >= 0);
      if (status.disruptionsAllowed! > 0) assert.ok(healthy - status.disruptionsAllowed! >= minAvailable);
    }),
  );
});
