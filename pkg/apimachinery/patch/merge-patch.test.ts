import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { applyMergePatch } from "../index.ts";

test("the examples of RFC 7386", () => {
  const table: [unknown, unknown, unknown][] = [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"],
    ],
    [{ a: "b" }, ["c"], ["c"]],
    [{ a: "foo" }, null, null],
    [{ a: "foo" }, "bar", "bar"],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [original, patch, expected] of table) assert.deepEqual(applyMergePatch(original, patch), expected);
});

test("nulls in a list that takes no object's place are left out, as the library does", () => {
  const list = [{ a: null, b: [{ c: null }, null] }];
  assert.deepEqual(applyMergePatch({}, { list }), { list: [{ b: [{}, null] }] });
  assert.deepEqual(applyMergePatch({ list: [1] }, { list }), { list: [{ b: [{}, null] }] });
  assert.deepEqual(applyMergePatch({ list: {} }, { list }), { list });
});

test("the result shares nothing with its arguments, which stay as they are", () => {
  const object = fc.dictionary(fc.stringMatching(/^[a-d]$/), fc.jsonValue({ maxDepth: 2 }));
  fc.assert(
    fc.property(object, object, (original, patch) => {
      const before = JSON.stringify([original, patch]);
      const result = applyMergePatch(original, patch) as Record<string, unknown>;
      assert.equal(JSON.stringify([original, patch]), before);
      for (const [key, value] of Object.entries(result)) {
        if (typeof value === "object" && value !== null) assert.ok(value !== original[key] && value !== patch[key]);
      }
      const again = applyMergePatch(result, patch);
      assert.deepEqual(applyMergePatch(again, patch), again);
    }),
  );
});
