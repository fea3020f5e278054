import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { applyJsonPatch } from "../index.ts";

type Case = [string, unknown, unknown[], unknown];

test("operations of RFC 6902", () => {
  const table: Case[] = [
    ["add member", { a: 1 }, [{ op: "add", path: "/b", value: 2 }], { a: 1, b: 2 }],
    ["add inserts", [1, 3], [{ op: "add", path: "/1", value: 2 }], [1, 2, 3]],
    ["add appends", [1], [{ op: "add", path: "/-", value: 2 }], [1, 2]],
    ["add at the end", [1], [{ op: "add", path: "/1", value: 2 }], [1, 2]],
    ["remove", { a: 1, b: 2 }, [{ op: "remove", path: "/a" }], { b: 2 }],
    ["remove from the end", [1, 2], [{ op: "remove", path: "/-1" }], [1]],
    ["replace", { a: { b: 1 } }, [{ op: "replace", path: "/a/b", value: null }], { a: { b: null } }],
    ["replace adds", { a: {} }, [{ op: "replace", path: "/a/b", value: 1 }], { a: { b: 1 } }],
    ["copy of nothing", {}, [{ op: "copy", from: "/a", path: "/b" }], { b: null }],
    ["add nothing", {}, [{ op: "add", path: "/a" }], { a: null }],
    ["replace all", { a: 1 }, [{ op: "replace", path: "", value: { b: 1 } }], { b: 1 }],
    ["move", { a: 1 }, [{ op: "move", from: "/a", path: "/b" }], { b: 1 }],
    ["copy", { a: [1] }, [{ op: "copy", from: "/a", path: "/b" }], { a: [1], b: [1] }],
    ["test", { a: { b: [1] } }, [{ op: "test", path: "/a", value: { b: [1] } }], { a: { b: [1] } }],
    ["test absent against null", {}, [{ op: "test", path: "/a", value: null }], {}],
    ["escapes", { "a/b~c": 1 }, [{ op: "replace", path: "/a~1b~0c", value: 2 }], { "a/b~c": 2 }],
    [
      "annotation",
      { m: { x: {} } },
      [{ op: "add", path: "/m/x/k8s.io~1a", value: "b" }],
      { m: { x: { "k8s.io/a": "b" } } },
    ],
  ];
  for (const [name, original, patch, expected] of table) {
    const before = JSON.stringify(original);
    assert.deepEqual(applyJsonPatch(original, patch), expected, name);
    assert.equal(JSON.stringify(original), before, `${name} changed its input`);
  }
});

test("operations that do not apply fail with the library's messages", () => {
  const table: [unknown, unknown, string][] = [
    [
      {},
      [{ op: "remove", path: "/a" }],
      "error in remove for path: '/a': Unable to remove nonexistent key: a: missing value",
    ],
    [
      {},
      [{ op: "remove", path: "/a/b" }],
      'remove operation does not apply: doc is missing path: "/a/b": missing value',
    ],
    [
      {},
      [{ op: "add", path: "/a/b", value: 1 }],
      'add operation does not apply: doc is missing path: "/a/b": missing value',
    ],
    [
      [],
      [{ op: "replace", path: "/0", value: 1 }],
      "replace operation does not apply: doc is missing key: /0: missing value",
    ],
    [
      {},
      [{ op: "copy", from: "", path: "/a" }],
      "copy operation does not apply: doc is missing from path: : missing value",
    ],
    [
      { a: [] },
      [{ op: "move", from: "/a/b", path: "/c" }],
      `error in move for path: 'b': strconv.Atoi: parsing "b": invalid syntax`,
    ],
    [
      [],
      [{ op: "add", path: "/a", value: 1 }],
      `error in add for path: '/a': value was not a proper array index: 'a': strconv.Atoi: parsing "a": invalid syntax`,
    ],
    [
      [],
      [{ op: "remove", path: "/99999999999999999999" }],
      `error in remove for path: '/99999999999999999999': strconv.Atoi: parsing "99999999999999999999": value out of range`,
    ],
    [{ a: 1 }, [{ op: "test", path: "/a", value: 2 }], "testing value /a failed: test failed"],
    [
      [1],
      [{ op: "add", path: "/3", value: 2 }],
      "error in add for path: '/3': Unable to access invalid index: 3: invalid index referenced",
    ],
    [[1], [{ op: "remove", path: "/x" }], `error in remove for path: '/x': strconv.Atoi: parsing "x": invalid syntax`],
    [{}, [{ op: "frobnicate", path: "/a" }], "Unexpected kind: frobnicate"],
    [
      {},
      [{ op: "move", path: "/a" }],
      "move operation failed to decode from: operation, missing from field: missing value",
    ],
    [
      {},
      [{ op: "add", path: 5 }],
      "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.path of type string",
    ],
    [
      {},
      { op: "add" },
      "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
    ],
  ];
  for (const [original, patch, message] of table) {
    assert.throws(() => applyJsonPatch(original, patch), { name: "PatchError", message });
  }
});

test("copies cannot grow without bound", () => {
  const bomb = Array.from({ length: 64 }, () => ({ op: "copy", from: "/a", path: "/a/-" }));
  assert.throws(() => applyJsonPatch({ a: ["0123456789"] }, bomb), {
    message: /accumulated size increase of copy is \d+, exceeding the limit/,
  });
});

test("inserted values are the document's own", () => {
  const value = { b: 1 };
  const result = applyJsonPatch({}, [
    { op: "add", path: "/a", value },
    { op: "replace", path: "/a/b", value: 2 },
  ]);
  assert.deepEqual(result, { a: { b: 2 } });
  assert.equal(value.b, 1);
});

/** One operation that applies to the document, and what it makes of a plain list of members. */
const steps = fc.array(
  fc.tuple(fc.constantFrom("add", "remove", "replace", "move", "copy"), fc.nat(20), fc.nat(20), fc.integer()),
  { maxLength: 20 },
);

test("sequences of operations do to a list what they would do one by one", () => {
  fc.assert(
    fc.property(fc.array(fc.integer(), { maxLength: 6 }), steps, (start, wanted) => {
      const model = [...start];
      const patch: object[] = [];
      for (const [op, first, second, value] of wanted) {
        if (op === "add") {
          const at = first % (model.length + 1);
          patch.push({ op, path: `/list/${at}`, value });
          model.splice(at, 0, value);
          continue;
        }
        if (model.length === 0) continue;
        const from = first % model.length;
        if (op === "remove") model.splice(from, 1);
        else if (op === "replace") model[from] = value;
        if (op === "remove" || op === "replace") {
          patch.push({ op, path: `/list/${from}`, value });
          continue;
        }
        const moved = model[from]!;
        if (op === "move") model.splice(from, 1);
        const to = second % (model.length + 1);
        model.splice(to, 0, moved);
        patch.push({ op, from: `/list/${from}`, path: `/list/${to}` });
      }
      patch.push({ op: "test", path: "/list", value: model });
      const document = { list: start, other: { kept: true } };
      const before = JSON.stringify(document);
      assert.deepEqual(applyJsonPatch(document, patch), { list: model, other: { kept: true } });
      assert.equal(JSON.stringify(document), before);
    }),
  );
});
