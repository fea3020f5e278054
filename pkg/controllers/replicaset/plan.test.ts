import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { selectorFromSet } from "#pkg/apimachinery/index.ts";
import { safeSelector } from "../common/claim.ts";
import { EARLIER, NOW, podOf, templateOf } from "../testing/objects.ts";
import { BURST_REPLICAS, isInterim, planReplicas, planStatus, type ReplicaOwner } from "./plan.ts";

const owner = (replicas: number, extra: Partial<ReplicaOwner> = {}): ReplicaOwner => ({
  generation: 3,
  replicas,
  minReadySeconds: 0,
  selector: selectorFromSet({ app: "x" }),
  template: templateOf({ app: "x", tier: "y" }),
  deleted: false,
  status: { replicas: 0 },
  ...extra,
});
const nobody = () => 0;

test("creates what is missing, deletes what is too much, at most a burst", () => {
  assert.equal(planReplicas(owner(3), [], nobody, NOW).create, 3);
  assert.equal(planReplicas(owner(100_000), [], nobody, NOW).create, BURST_REPLICAS);
  const pods = [podOf("a"), podOf("b"), podOf("c")];
  assert.deepEqual(planReplicas(owner(3), pods, nobody, NOW), { create: 0, delete: [] });
  assert.equal(planReplicas(owner(1), pods, nobody, NOW).delete.length, 2);
  assert.deepEqual(planReplicas(owner(0, { deleted: true }), pods, nobody, NOW).delete, []);
});

test("deletes in order: unassigned, pending, unready, cheap, crowded, young", () => {
  const doomed = (pods: ReturnType<typeof podOf>[], rank: (node: string) => number = nobody) =>
    planReplicas(owner(pods.length - 1), pods, rank, NOW).delete[0]?.metadata.name;
  assert.equal(doomed([podOf("a"), podOf("unassigned", { node: "" })]), "unassigned");
  assert.equal(doomed([podOf("a"), podOf("pending", { phase: "Pending" })]), "pending");
  assert.equal(doomed([podOf("a"), podOf("unready", { ready: false })]), "unready");
  const cost = { "controller.kubernetes.io/pod-deletion-cost": "-5" };
  assert.equal(doomed([podOf("a"), podOf("cheap", { annotations: cost })]), "cheap");
  const crowded = (node: string) => (node === "full" ? 4 : 1);
  assert.equal(doomed([podOf("a"), podOf("crowded", { node: "full" })], crowded), "crowded");
  assert.equal(doomed([podOf("a"), podOf("young", { readySince: "2025-12-31T23:59:00Z" })]), "young");
});

test("the plan always leads to the wanted number within a burst", () => {
  fc.assert(
    fc.property(fc.nat(40), fc.array(fc.boolean(), { maxLength: 40 }), (replicas, ready) => {
      const pods = ready.map((isReady, index) => podOf(`p${index}`, { ready: isReady }));
      const plan = planReplicas(owner(replicas), pods, nobody, NOW);
      assert.equal(pods.length + plan.create - plan.delete.length, replicas);
      assert.equal(new Set(plan.delete).size, plan.delete.length);
      // A ready pod never goes while one that is not ready stays.
      const kept = pods.filter((pod) => !plan.delete.includes(pod));
      const readyOf = (pod: (typeof pods)[number]) => pod.status?.conditions?.[0]?.status === "True";
      if (plan.delete.some(readyOf)) assert.ok(kept.every(readyOf));
    }),
  );
});

test("status counts labels, readiness and availability, and says when to look again", () => {
  const pods = [
    podOf("full", { labels: { app: "x", tier: "y" } }),
    podOf("half", { labels: { app: "x" }, readySince: new Date(NOW - 4000).toISOString() }),
    podOf("unready", { labels: { app: "x" }, ready: false }),
  ];
  const { status, recheckAfterMs } = planStatus(owner(3, { minReadySeconds: 10 }), pods, 2, undefined, NOW);
  assert.deepEqual(status, {
    replicas: 3,
    fullyLabeledReplicas: 1,
    readyReplicas: 2,
    availableReplicas: 1,
    terminatingReplicas: 2,
    observedGeneration: 3,
  });
  assert.equal(recheckAfterMs, 6000);
});

test("a failure is a condition until it is over", () => {
  const failure = { reason: "FailedCreate" as const, message: "quota" };
  const failed = planStatus(owner(1), [], 0, failure, NOW).status;
  assert.deepEqual(
    failed.conditions?.map(({ type, status, reason, message }) => [type, status, reason, message]),
    [["ReplicaFailure", "True", "FailedCreate", "quota"]],
  );
  assert.equal(planStatus(owner(1, { status: failed }), [], 0, undefined, NOW).status.conditions, undefined);
});

test("a selector that cannot be read selects nothing", () => {
  const broken = safeSelector({ matchExpressions: [{ key: "a", operator: "Nonsense", values: [EARLIER] }] });
  assert.equal(broken.matches({ a: "1" }), false);
  assert.equal(broken.matches({}), false);
});

test("only a status that tells of some more ready pods, and not of all, may be late", () => {
  const before = { replicas: 3, readyReplicas: 1, availableReplicas: 1, observedGeneration: 3 };
  const interim = (next: object, replicas = 3) =>
    isInterim(owner(replicas, { status: before }), { ...before, ...next });
  assert.equal(interim({ readyReplicas: 2, availableReplicas: 2 }), true);
  assert.equal(interim({ readyReplicas: 2 }), true);
  assert.equal(interim({ readyReplicas: 3, availableReplicas: 3 }), false, "all are ready");
  assert.equal(interim({}), false, "nothing is new");
  assert.equal(interim({ readyReplicas: 0, availableReplicas: 0 }), false, "one is not ready any more");
  assert.equal(interim({ readyReplicas: 2, replicas: 4 }), false, "there are other pods");
  assert.equal(interim({ readyReplicas: 2, observedGeneration: 4 }), false, "another spec was seen");
});
