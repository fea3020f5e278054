import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolumeClaim, Pod } from "#pkg/api/types/core-v1.ts";
import { EARLIER, meta, podOf } from "../testing/objects.ts";
import { claimsOf, classesOf, holdsClaims, planFinalizers } from "./protection.ts";

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

test("a claim needs the class that it wants, the one it has and the one it is being changed to", () => {
  const claim: PersistentVolumeClaim = {
    metadata: meta("claim"),
    spec: { volumeAttributesClassName: "gold" },
    status: {
      currentVolumeAttributesClassName: "silver",
      modifyVolumeStatus: { status: "InProgress", targetVolumeAttributesClassName: "bronze" },
    },
  };
  assert.deepEqual(classesOf(claim), ["gold", "silver", "bronze"]);
  assert.deepEqual(classesOf({ metadata: meta("claim"), spec: { volumeAttributesClassName: "" } }), []);
  assert.deepEqual(classesOf({ metadata: meta("claim"), spec: {} }), []);
});

test("what lives is protected once, what goes is set free, and finalizers of others stay", () => {
  const ours = "kubernetes.io/vac-protection";
  const deletionTimestamp = EARLIER;
  assert.deepEqual(planFinalizers({}, ours), [ours]);
  assert.deepEqual(planFinalizers({ finalizers: ["a"] }, ours), ["a", ours]);
  assert.equal(planFinalizers({ finalizers: ["a", ours] }, ours), undefined);
  assert.deepEqual(planFinalizers({ deletionTimestamp, finalizers: ["a", ours, "b"] }, ours), ["a", "b"]);
  assert.equal(planFinalizers({ deletionTimestamp, finalizers: ["a"] }, ours), undefined);
});
