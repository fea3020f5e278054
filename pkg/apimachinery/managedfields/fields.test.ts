import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  difference,
  type Fields,
  fieldsOfPaths,
  intersection,
  isMember,
  pathTexts,
  recursiveDifference,
  union,
} from "./fields.ts";

/** Paths of a tree as texts, the simple model that the operations are checked against. */
function model(fields: Fields, prefix = "", paths = new Set<string>()): Set<string> {
  for (const [key, child] of Object.entries(fields)) {
    if (key === ".") continue;
    if (isMember(child)) paths.add(prefix + key);
    model(child, `${prefix}${key}/`, paths);
  }
  return paths;
}
const tree: fc.Arbitrary<Fields> = fc.letrec<{ tree: Fields; node: Fields }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3 },
    fc.constant({}),
    fc.constant({}),
    tie("tree"),
    tie("tree").map((children) => ({ ".": {}, ...children })),
  ),
  tree: fc.dictionary(fc.constantFrom("f:a", "f:b", "f:c"), tie("node"), { minKeys: 1, maxKeys: 3 }),
})).tree;

test("tree operations are set operations", () => {
  fc.assert(
    fc.property(tree, tree, (a, b) => {
      const before = JSON.stringify([a, b]);
      const [left, right] = [model(a), model(b)];
      assert.deepEqual(model(union(a, b)), left.union(right));
      assert.deepEqual(model(difference(a, b)), left.difference(right));
      assert.deepEqual(model(intersection(a, b)), left.intersection(right));
      const below = [...right].map((path) => `${path}/`);
      const outside = [...left].filter((path) => !right.has(path) && !below.some((parent) => path.startsWith(parent)));
      assert.deepEqual(model(recursiveDifference(a, b)), new Set(outside));
      assert.equal(JSON.stringify([a, b]), before, "an argument changed");
    }),
    { numRuns: 500 },
  );
});

test("operations that change nothing return their argument", () => {
  const fields = fieldsOfPaths(["spec.replicas", "metadata.labels"]);
  assert.equal(union(fields, fieldsOfPaths(["spec.replicas"])), fields);
  assert.equal(difference(fields, fieldsOfPaths(["status"])), fields);
});

test("paths print as conflicts show them", () => {
  const fields: Fields = {
    "f:spec": {
      "f:containers": { 'k:{"name":"a"}': { ".": {}, "f:image": {} } },
      "f:ports": { 'k:{"containerPort":80,"protocol":"TCP"}': {} },
    },
    "f:metadata": { "f:finalizers": { 'v:"x"': {} }, "f:labels": { "f:k8s.io/a": {} } },
    "f:type": {},
  };
  assert.deepEqual(pathTexts(fields), [
    ".type",
    '.metadata.finalizers[="x"]',
    ".metadata.labels.k8s.io/a",
    '.spec.containers[name="a"]',
    '.spec.containers[name="a"].image',
    '.spec.ports[containerPort=80,protocol="TCP"]',
  ]);
});
