import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "#pkg/api/types/core-v1.ts";
import { meta, NOW } from "../testing/objects.ts";
import { toleratedSeconds } from "../tainteviction/plan.ts";
import { observe, planUnknown } from "./health.ts";
import { planTaints } from "./taints.ts";
import { EvictionLimiter, evictionRate, zoneOf, zoneState } from "./zones.ts";

const GRACE = { monitorMs: 50_000, startupMs: 60_000 };
const nodeOf = (conditions: Record<string, string>, spec: Node["spec"] = {}, heartbeat = "1"): Node => ({
  metadata: meta("n"),
  spec,
  status: {
    conditions: Object.entries(conditions).map(([type, status]) => ({ type, status, lastHeartbeatTime: heartbeat })),
  },
});

const at = (now: number) => ({ now, monotonic: now });

test("a node is silent only when neither lease nor status moves", () => {
  const node = nodeOf({ Ready: "True" });
  let health = observe(undefined, node, "r1", NOW);
  assert.equal(planUnknown(node, health, GRACE, at(NOW + 50_000)), undefined);
  health = observe(health, node, "r2", NOW + 40_000);
  assert.equal(planUnknown(node, health, GRACE, at(NOW + 90_000)), undefined);
  health = observe(health, nodeOf({ Ready: "True" }, {}, "2"), "r2", NOW + 80_000);
  assert.equal(planUnknown(node, health, GRACE, at(NOW + 130_000)), undefined);
  const silent = planUnknown(node, health, GRACE, at(NOW + 130_001));
  assert.deepEqual(
    silent?.map(({ type, status, reason }) => [type, status, reason]),
    [
      ["Ready", "Unknown", "NodeStatusUnknown"],
      ["MemoryPressure", "Unknown", "NodeStatusNeverUpdated"],
      ["DiskPressure", "Unknown", "NodeStatusNeverUpdated"],
      ["PIDPressure", "Unknown", "NodeStatusNeverUpdated"],
    ],
  );
  const marked = { ...node, status: { conditions: silent } };
  assert.equal(
    planUnknown(marked, observe(health, marked, "r2", NOW + 140_000), GRACE, at(NOW + 200_000)),
    undefined,
    "said once",
  );
});

test("a node that never reported has the longer grace", () => {
  const fresh: Node = { metadata: meta("n"), spec: {} };
  const health = observe(undefined, fresh, undefined, NOW);
  assert.equal(planUnknown(fresh, health, GRACE, at(NOW + 59_000)), undefined);
  assert.equal(planUnknown(fresh, health, GRACE, at(NOW + 61_000))?.[0]?.reason, "NodeStatusNeverUpdated");
});

test("conditions become taints, other people's taints stay", () => {
  const mine = { key: "mine", effect: "NoSchedule" };
  const keys = (node: Node, noExecute: string) =>
    planTaints(node, noExecute, NOW)?.map(({ key, effect }) => `${key}:${effect}`);
  assert.deepEqual(
    keys(nodeOf({ Ready: "Unknown", MemoryPressure: "True" }, { taints: [mine], unschedulable: true }), "keep"),
    [
      "mine:NoSchedule",
      "node.kubernetes.io/unreachable:NoSchedule",
      "node.kubernetes.io/memory-pressure:NoSchedule",
      "node.kubernetes.io/unschedulable:NoSchedule",
    ],
  );
  const notReady = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" };
  assert.deepEqual(
    keys(nodeOf({ Ready: "True" }, { taints: [notReady, { ...notReady, effect: "NoExecute" }] }), "none"),
    [],
  );
  assert.equal(keys(nodeOf({ Ready: "True" }, { taints: [mine] }), "none"), undefined);
  const swapped = keys(
    nodeOf({ Ready: "Unknown" }, { taints: [{ ...notReady, effect: "NoExecute" }] }),
    "node.kubernetes.io/unreachable",
  );
  assert.deepEqual(swapped, ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]);
});

test("zones and their rates", () => {
  assert.equal(zoneState(5, 0, 0.55), "Normal");
  assert.equal(zoneState(1, 2, 0.55), "Normal", "two alone are no disruption");
  assert.equal(zoneState(2, 3, 0.55), "PartialDisruption");
  assert.equal(zoneState(0, 1, 0.55), "FullDisruption");
  const rates = {
    nodeEvictionRate: 0.1,
    secondaryNodeEvictionRate: 0.01,
    largeClusterSizeThreshold: 50,
    unhealthyZoneThreshold: 0.55,
  };
  assert.deepEqual(
    [
      evictionRate("Normal", 9, rates),
      evictionRate("PartialDisruption", 9, rates),
      evictionRate("PartialDisruption", 99, rates),
    ],
    [0.1, 0, 0.01],
  );
  assert.equal(zoneOf(nodeOf({})), "");
  const limiter = new EvictionLimiter(0.1, NOW);
  assert.deepEqual(
    [0, 1000, 9000, 10_000, 10_001, 20_000].map((ms) => limiter.tryTake(NOW + ms)),
    [true, false, false, true, false, true],
  );
  limiter.setRate(0, NOW + 30_000);
  assert.equal(limiter.tryTake(NOW + 60_000), false);
});

test("the shortest toleration decides", () => {
  const taint = (key: string) => ({ key, effect: "NoExecute" });
  const toleration = (key: string, tolerationSeconds?: number) => ({
    key,
    operator: "Exists",
    effect: "NoExecute",
    tolerationSeconds,
  });
  assert.equal(toleratedSeconds([], undefined), Infinity);
  assert.equal(toleratedSeconds([taint("a")], undefined), 0);
  assert.equal(toleratedSeconds([taint("a"), taint("b")], [toleration("a", 30), toleration("b", 10)]), 10);
  assert.equal(toleratedSeconds([taint("a"), taint("b")], [toleration("a", 30)]), 0);
  assert.equal(toleratedSeconds([taint("a")], [toleration("a")]), Infinity);
  assert.equal(toleratedSeconds([taint("a")], [{ operator: "Exists" }, toleration("a", 5)]), 5);
  assert.equal(toleratedSeconds([taint("a")], [toleration("a", -5)]), 0);
});
