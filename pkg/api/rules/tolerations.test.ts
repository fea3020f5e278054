import assert from "node:assert/strict";
import { test } from "node:test";
import { toleratesTaint } from "./tolerations.ts";
import type { Taint, Toleration } from "../types/core-v1.ts";

const taint: Taint = { key: "k", value: "5", effect: "NoSchedule" };
const cases: readonly (readonly [Toleration, boolean])[] = [
  [{ key: "k", operator: "Exists" }, true],
  [{ operator: "Exists" }, true],
  [{ key: "k", value: "5" }, true],
  [{ key: "k", value: "6" }, false],
  [{ key: "k", operator: "Exists", effect: "NoExecute" }, false],
  [{ key: "other", operator: "Exists" }, false],
  [{ key: "k", operator: "Gt", value: "4" }, true],
  [{ key: "k", operator: "Gt", value: "5" }, false],
  [{ key: "k", operator: "Lt", value: "10" }, true],
  [{ key: "k", operator: "Lt", value: "x" }, false],
];
for (const [toleration, expected] of cases) {
  test(`${JSON.stringify(toleration)} ${expected ? "tolerates" : "does not tolerate"} k=5:NoSchedule`, () =>
    assert.equal(toleratesTaint(toleration, taint), expected));
}
