import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeviceTaint, ResourceClaim, ResourceSlice } from "#pkg/api/types/resource-v1.ts";
import { meta, NOW, podOf } from "../testing/objects.ts";
import { claimEndsAt, podEndsAt, taintedDevices } from "./plan.ts";

const taint: DeviceTaint = { key: "sick", effect: "NoExecute", timeAdded: new Date(NOW - 5000).toISOString() };

function sliceOf(generation: number, taints: DeviceTaint[]): ResourceSlice {
  const pool = { name: "pool", generation, resourceSliceCount: 1 };
  return { metadata: meta(`slice-${generation}`), spec: { driver: "d", pool, devices: [{ name: "gpu-0", taints }] } };
}

function claimOf(tolerations?: { key: string; operator: string; tolerationSeconds?: number }[]): ResourceClaim {
  const result = { request: "r", driver: "d", pool: "pool", device: "gpu-0", ...(tolerations ? { tolerations } : {}) };
  return {
    metadata: meta("claim"),
    spec: {},
    status: {
      allocation: { devices: { results: [result] } },
      reservedFor: [{ resource: "pods", name: "p", uid: "uid-p" }],
    },
  };
}
const endOf = (claim: ResourceClaim) => claimEndsAt(claim, (id) => (id === "d/pool/gpu-0" ? [taint] : []), NOW);

test("only NoExecute taints of a pool's newest generation count", () => {
  assert.deepEqual([...taintedDevices([sliceOf(1, [taint])])], [["d/pool/gpu-0", [taint]]]);
  assert.equal(taintedDevices([sliceOf(1, [taint]), sliceOf(2, [])]).size, 0);
  assert.equal(taintedDevices([sliceOf(1, [{ ...taint, effect: "NoSchedule" }])]).size, 0);
});

test("the shortest toleration decides, from when the taint was added", () => {
  assert.equal(endOf(claimOf()), NOW - 5000);
  assert.equal(endOf(claimOf([{ key: "sick", operator: "Exists" }])), Infinity);
  const some = { key: "sick", operator: "Exists" };
  const both = [
    { ...some, tolerationSeconds: 60 },
    { ...some, tolerationSeconds: 20 },
  ];
  assert.equal(endOf(claimOf(both)), NOW + 15_000);
});

test("only pods that a claim is reserved for have to go", () => {
  assert.equal(podEndsAt(podOf("p"), [claimOf()], endOf), NOW - 5000);
  assert.equal(podEndsAt(podOf("other"), [claimOf()], endOf), Infinity);
});
