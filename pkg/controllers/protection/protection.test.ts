import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { podOf } from "../testing/objects.ts";
import { claimsOf, holdsClaims } from "./protection.ts";

test("a pod uses the claims that it names and those made for it", () => {
  const pod = podOf("web");
  const volumes = [
    { name: "data", persistentVolumeClaim: { claimName: "shared" } },
    { name: "scratch", ephemeral: {} },
    { name: "tmp", emptyDir: {} },
  ];
  assert.deepEqual(claimsOf({ ...pod, spec: { ...pod.spec, volumes } } as Pod), ["shared", "web-scratch"]);
  assert.deepEqual(claimsOf(pod), []);
});

test("a pod holds its claims from when it has a node until it has ended", () => {
  assert.equal(holdsClaims(podOf("waiting", { node: "", phase: "Pending" })), false);
  assert.equal(holdsClaims(podOf("starting", { phase: "Pending" })), true);
  assert.equal(holdsClaims(podOf("leaving", { deleted: true })), true);
  assert.equal(holdsClaims(podOf("done", { phase: "Succeeded" })), false);
  assert.equal(holdsClaims(podOf("failed", { phase: "Failed" })), false);
});
