import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodStatus } from "#pkg/api/types/core-v1.ts";
import { statusPatch } from "./status-manager.ts";

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
