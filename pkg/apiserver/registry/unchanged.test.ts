import assert from "node:assert/strict";
import test from "node:test";
import { applyJsonPatch, applyMergePatch, deepCopy, type KubeObject } from "#pkg/apimachinery/index.ts";
import {
  changedPart,
  shareUnchanged,
  unchangedOf,
  unmentionedByJsonPatch,
  unmentionedByMerge,
  withUnchanged,
} from "./unchanged.ts";

const old = (): KubeObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "a", labels: { app: "x" }, managedFields: [{ manager: "m", operation: "Update" }] },
  spec: { containers: [{ name: "c" }] },
  status: { phase: "Running" },
});

test("a merge patch leaves alone what it does not mention", () => {
  const before = old();
  const patch = { metadata: { labels: { app: "y" } }, status: { phase: "Failed" } };
  const unchanged = unmentionedByMerge(patch, before);
  assert.deepEqual([...unchanged.fields], ["spec"]);
  const part = applyMergePatch(changedPart(before, unchanged), patch) as KubeObject;
  const whole = withUnchanged(part, before, unchanged);
  assert.deepEqual(whole, applyMergePatch(before, patch));
  assert.deepEqual(Object.keys(whole), Object.keys(before));
  assert.equal(whole["spec"], before["spec"]);
  assert.equal(whole.metadata.managedFields, before.metadata.managedFields);
  assert.notEqual(whole.metadata, before.metadata);
});

test("managedFields are the write's own when the patch speaks of them, or takes all metadata away", () => {
  for (const metadata of [{ managedFields: [] }, { $patch: "replace" }, null]) {
    assert.equal(unmentionedByMerge({ metadata }, old()).managedFields, false);
  }
  assert.equal(unmentionedByMerge({ spec: {} }, old()).managedFields, true);
});

test("a patch with directives at its top shares nothing", () => {
  const unchanged = unmentionedByMerge({ "$setElementOrder/x": [], metadata: {} }, old());
  assert.equal(unchanged.fields.size, 0);
  assert.equal(unchanged.managedFields, false);
});

test("a JSON patch mentions every field that it points into, from either side", () => {
  const before = old();
  const operations = [
    { op: "copy", from: "/spec/containers/0/name", path: "/metadata/labels/container" },
    { op: "add", path: "/extra", value: 1 },
  ] as const;
  const unchanged = unmentionedByJsonPatch(operations, before);
  assert.deepEqual([...unchanged.fields], ["status"]);
  assert.equal(unchanged.managedFields, true);
  const part = applyJsonPatch(changedPart(before, unchanged), [...operations]) as KubeObject;
  assert.deepEqual(withUnchanged(part, before, unchanged), applyJsonPatch(before, [...operations]));
});

test("a JSON patch with a pointer to the whole, an escaped one or none shares nothing", () => {
  for (const path of ["", "/", "spec", "/sp~1ec/x", "/~0"]) {
    assert.equal(unmentionedByJsonPatch([{ op: "test", path }], old()).fields.size, 0, path);
  }
  for (const path of ["/metadata", "/metadata/managedFields/0", "/metadata/managed~0Fields"]) {
    assert.equal(unmentionedByJsonPatch([{ op: "test", path }], old()).managedFields, false, path);
  }
});

test("fields that say the same become the old object's own", () => {
  const before = old();
  const object = deepCopy(before);
  object["status"] = { phase: "Failed" };
  shareUnchanged(object, before);
  assert.equal(object["spec"], before["spec"]);
  assert.equal(object.metadata.managedFields, before.metadata.managedFields);
  assert.deepEqual(object["status"], { phase: "Failed" });
  assert.deepEqual([...unchangedOf(object, before).fields], ["spec"]);
});
