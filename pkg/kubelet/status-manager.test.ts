import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodStatus } from "#pkg/api/types/core-v1.ts";
import { statusPatch, withTimesOf } from "./status-manager.ts";

const base: PodStatus = {
  phase: "Pending",
  podIPs: [{ ip: "10.0.0.1" }],
  conditions: [
    { type: "Ready", status: "False", reason: "ContainersNotReady" },
    { type: "example.com/gate", status: "True" },
  ],
};

test("no change makes no patch, whatever others have written", () => {
  assert.equal(
    statusPatch(base, {
      phase: "Pending",
      podIPs: [{ ip: "10.0.0.1" }],
      conditions: [{ type: "Ready", status: "False", reason: "ContainersNotReady", message: undefined }],
    }),
    undefined,
  );
});

test("a patch names what changed and no more", () => {
  const next: PodStatus = {
    phase: "Running",
    podIPs: [{ ip: "10.0.0.2" }],
    conditions: [{ type: "Ready", status: "True" }],
  };
  assert.deepEqual(statusPatch(base, next), {
    phase: "Running",
    podIPs: [{ ip: "10.0.0.2" }, { $patch: "replace" }],
    conditions: [{ type: "Ready", status: "True", reason: null, message: null }],
  });
});

test("resize conditions that are over are deleted", () => {
  const before: PodStatus = { phase: "Running", conditions: [{ type: "PodResizePending", status: "True" }] };
  assert.deepEqual(statusPatch(before, { phase: "Running", conditions: [] }), {
    conditions: [{ $patch: "delete", type: "PodResizePending" }],
  });
});

test("times move only with what they speak of, even while the API does not know it yet", () => {
  const ready = (status: string, lastTransitionTime: string, startTime = lastTransitionTime): PodStatus => ({
    startTime,
    conditions: [{ type: "Ready", status, lastTransitionTime }],
  });
  assert.deepEqual(withTimesOf(ready("True", "1"), ready("True", "2")), ready("True", "1"));
  assert.deepEqual(withTimesOf(ready("True", "1"), ready("False", "2")), ready("False", "2", "1"));
  assert.deepEqual(withTimesOf(undefined, ready("True", "2")), ready("True", "2"));
});
