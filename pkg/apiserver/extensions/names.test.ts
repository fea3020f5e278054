import assert from "node:assert/strict";
import { test } from "node:test";
import type { CustomResourceDefinition } from "#pkg/api/types/apiextensions-v1.ts";
import { approvalCondition } from "./approval.ts";
import { judgeNames } from "./names.ts";

const crd = (name: string, names: object, accepted?: object): CustomResourceDefinition =>
  ({
    metadata: { name },
    spec: { group: "example.com", names: { plural: name, kind: "", ...names } },
    status: accepted === undefined ? undefined : { acceptedNames: { plural: name, kind: "", ...accepted } },
  }) as unknown as CustomResourceDefinition;
const first = crd("a", {}, { singular: "one", kind: "One", listKind: "OneList", shortNames: ["x", "y"] });

test("names that another definition was given are refused, and the last refusal is told", () => {
  const { accepted, conflict } = judgeNames(
    crd("b", { singular: "one", shortNames: ["x", "y", "z"], kind: "Two", categories: ["all"] }),
    [first],
  );
  assert.deepEqual(accepted, { plural: "b", kind: "Two", categories: ["all"] });
  assert.deepEqual(conflict, {
    reason: "ShortNamesConflict",
    message: '["x" is already in use, "y" is already in use]',
  });
  assert.equal(judgeNames(crd("c", { singular: "one", kind: "One" }), [first]).conflict?.reason, "KindConflict");
});

test("what a definition has it keeps: when others claim it, and when it asks in vain for something else", () => {
  const holder = crd("b", { singular: "two", kind: "B" }, { singular: "two", kind: "B", shortNames: ["b"] });
  const claiming = crd("c", {}, { singular: "two", kind: "C" });
  assert.equal(judgeNames(holder, [claiming]).conflict, undefined);
  const wanting = crd("b", { shortNames: ["x"], kind: "One" }, { kind: "B", shortNames: ["b"] });
  assert.deepEqual(judgeNames(wanting, [first]).accepted, { plural: "b", kind: "B", shortNames: ["b"] });
});

test("definitions in the community's groups say whether they are approved", () => {
  const judged = (group: string, approval?: string): string => {
    const annotations = approval === undefined ? {} : { "api-approved.kubernetes.io": approval };
    const condition = approvalCondition({
      metadata: { name: "x", annotations },
      spec: { group },
    } as unknown as CustomResourceDefinition);
    return condition === undefined ? "" : `${condition.status} ${condition.reason}: ${condition.message}`;
  };
  assert.equal(judged("example.com"), "");
  assert.equal(judged("x.k8s.io", "unapproved, yet"), 'False UnapprovedAnnotation: not approved: "unapproved, yet"');
  assert.equal(judged("x.k8s.io", "https://a.b/c"), "True ApprovedAnnotation: approved in https://a.b/c");
  assert.match(judged("kubernetes.io"), /^False MissingAnnotation: protected groups must have approval annotation/);
  assert.match(judged("kubernetes.io", "yes"), /^False InvalidAnnotation: .* with either a URL or a reason/);
});
