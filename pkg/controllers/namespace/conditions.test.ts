import assert from "node:assert/strict";
import { test } from "node:test";
import { NOW } from "../testing/objects.ts";
import { type Findings, namespaceConditions } from "./conditions.ts";

const CLEAN: Findings = { undiscovered: new Map(), failures: [], remaining: new Map(), finalizers: new Map() };

test("conditions name what is in the way, as upstream words it", () => {
  const conditions = namespaceConditions(
    undefined,
    {
      undiscovered: new Map([["metrics.k8s.io/v1beta1", "the server is currently unable to handle the request"]]),
      failures: ["boom"],
      remaining: new Map([
        ["pods.", 2],
        ["widgets.example.com", 1],
      ]),
      finalizers: new Map([["example.com/f", 1]]),
    },
    NOW,
  );
  assert.deepEqual(
    conditions.map(({ type, status, message }) => [type, status, message]),
    [
      [
        "NamespaceDeletionDiscoveryFailure",
        "True",
        "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: metrics.k8s.io/v1beta1: the server is currently unable to handle the request",
      ],
      ["NamespaceDeletionGroupVersionParsingFailure", "False", "All legacy kube types successfully parsed"],
      ["NamespaceDeletionContentFailure", "True", "Failed to delete all resource types, 1 remaining: boom"],
      [
        "NamespaceContentRemaining",
        "True",
        "Some resources are remaining: pods. has 2 resource instances, widgets.example.com has 1 resource instances",
      ],
      [
        "NamespaceFinalizersRemaining",
        "True",
        "Some content in the namespace has finalizers remaining: example.com/f in 1 resource instances",
      ],
    ],
  );
});

test("times move only when something is said differently", () => {
  const first = namespaceConditions(undefined, CLEAN, NOW);
  assert.ok(first.every(({ status }) => status === "False"));
  assert.deepEqual(namespaceConditions(first, CLEAN, NOW + 60_000), first);
  const changed = namespaceConditions(first, { ...CLEAN, remaining: new Map([["pods.", 1]]) }, NOW + 60_000);
  assert.deepEqual(
    changed.filter((condition, index) => condition !== first[index]).map(({ type }) => type),
    ["NamespaceContentRemaining"],
  );
});
