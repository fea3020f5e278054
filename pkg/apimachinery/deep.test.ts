import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { deepCopy, deepEqual } from "./index.ts";

test("a copy equals its original and shares nothing with it", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const copy = deepCopy(value);
      assert.deepEqual(copy, value);
      assert.ok(deepEqual(copy, value));
      assert.equal(JSON.stringify(copy), JSON.stringify(value));
      if (typeof value === "object" && value !== null) assert.notEqual(copy, value);
    }),
  );
});

test("equality agrees with JSON text of equal key order", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 2 }), fc.jsonValue({ maxDepth: 2 }), (a, b) => {
      if (JSON.stringify(a) === JSON.stringify(b)) assert.ok(deepEqual(a, b));
      assert.equal(deepEqual(a, b), deepEqual(b, a));
    }),
  );
});

test("what equality looks at", () => {
  const table: [unknown, unknown, boolean][] = [
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, true],
    [{ a: 1, b: undefined }, { a: 1 }, true],
    [{ a: 1 }, { a: 1, b: null }, false],
    [[1, 2], [2, 1], false],
    [[], {}, false],
    [null, undefined, false],
    [{ a: 1 }, { b: 1 }, false],
    ["1", 1, false],
    [{}, { toString: "x" }, false],
  ];
  for (const [a, b, equal] of table) assert.equal(deepEqual(a, b), equal, `${JSON.stringify(a)} ${JSON.stringify(b)}`);
});

test("a member called __proto__ stays data", () => {
  const hostile = JSON.parse('{"__proto__": {"polluted": true}}') as Record<string, unknown>;
  const copy = deepCopy(hostile);
  assert.ok(Object.hasOwn(copy, "__proto__"));
  assert.equal(copy["polluted"], undefined);
  assert.equal(Object.getPrototypeOf(copy), Object.prototype);
});
