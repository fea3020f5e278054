import assert from "node:assert/strict";
import { test } from "node:test";
import { createErrors } from "../testing/strategies.ts";

test("alpha and beta kinds need what their schema requires", () => {
  assert.deepEqual(createErrors("coordination.k8s.io/v1beta1/LeaseCandidate", { spec: { leaseName: "a" } }), [
    "spec.binaryVersion: Required value",
    "spec.strategy: Required value",
  ]);
  assert.deepEqual(
    createErrors("scheduling.k8s.io/v1alpha2/Workload", { spec: { podGroupTemplates: [{ name: "g" }] } }),
    ["spec.podGroupTemplates[0].schedulingPolicy: Required value"],
  );
  assert.deepEqual(createErrors("storagemigration.k8s.io/v1beta1/StorageVersionMigration", { spec: {} }), [
    "spec.resource.resource: Required value",
  ]);
});
