import assert from "node:assert/strict";
import { test } from "node:test";
import { printSelector } from "./print-selector.ts";

test("selectors are printed as Go prints them", () => {
  assert.equal(printSelector(undefined), "nil");
  assert.equal(
    printSelector({ matchLabels: { b: "2", a: "1" } }),
    "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{},}",
  );
  assert.equal(
    printSelector({
      matchExpressions: [
        { key: "a", operator: "In", values: ["x", "y"] },
        { key: "b", operator: "Exists" },
      ],
    }),
    "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:a,Operator:In,Values:[x y],},LabelSelectorRequirement{Key:b,Operator:Exists,Values:[],},},}",
  );
});
