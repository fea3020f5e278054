import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConfigMap } from "#pkg/api/types/core-v1.ts";
import { meta } from "../testing/objects.ts";
import { isRight, published } from "./rootca.ts";

const DESCRIPTION = "kubernetes.io/description";
const map = (data: Record<string, string>, annotations: Record<string, string> = {}): ConfigMap => ({
  metadata: meta("kube-root-ca.crt", { annotations }),
  data,
});

test("what was published is right, and stays right", () => {
  const bare: ConfigMap = { metadata: meta("kube-root-ca.crt") };
  const fresh = published(bare, "root");
  assert.deepEqual(fresh.data, { "ca.crt": "root" });
  assert.match(fresh.metadata.annotations?.[DESCRIPTION] ?? "", /^Contains a CA bundle/);
  assert.equal(isRight(fresh, "root"), true);
  assert.deepEqual(published(fresh, "root"), fresh);
});

test("edited, amended and outdated maps are put right, without losing what others noted", () => {
  const described = { [DESCRIPTION]: "ours" };
  assert.equal(isRight(map({ "ca.crt": "root" }, described), "root"), true, "the words are theirs");
  for (const wrong of [
    map({ "ca.crt": "old" }, described),
    map({}, described),
    map({ "ca.crt": "root", more: "x" }, described),
    map({ "ca.crt": "root" }),
    map({ "ca.crt": "root" }, { [DESCRIPTION]: "" }),
    { metadata: meta("kube-root-ca.crt") },
  ]) {
    assert.equal(isRight(wrong, "root"), false, JSON.stringify(wrong));
    assert.equal(isRight(published(wrong, "root"), "root"), true);
  }
  const { metadata } = published(map({}, { note: "kept" }), "root");
  assert.equal(metadata.annotations?.["note"], "kept");
});
