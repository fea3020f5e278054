import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { applyStrategicMergePatch, type FieldSchema } from "../index.ts";

const string: FieldSchema = { type: "string" };
const object = (properties: Record<string, FieldSchema>, more: Partial<FieldSchema> = {}): FieldSchema => ({
  type: "object",
  properties: new Map(Object.entries(properties)),
  ...more,
});
const container = object({
  name: string,
  image: string,
  args: { type: "array", items: string },
  env: { type: "array", items: object({ name: string, value: string }), patchStrategy: "merge", patchMergeKey: "name" },
});
const schema = object({
  labels: { type: "map", items: string },
  finalizers: { type: "array", items: string, patchStrategy: "merge" },
  containers: { type: "array", items: container, patchStrategy: "merge", patchMergeKey: "name" },
  strategy: object({ type: string, rollingUpdate: object({ maxSurge: string }) }, { patchStrategy: "retainKeys" }),
  replaced: object({ a: string, b: string }, { patchStrategy: "replace" }),
  tolerations: { type: "array", items: object({ key: string }) },
});

type Case = [name: string, original: Record<string, unknown>, patch: Record<string, unknown>, expected: unknown];
const c = (name: string, more: Record<string, unknown> = {}) => ({ name, ...more });

const CASES: Case[] = [
  [
    "members merge, null deletes",
    { labels: { a: "1", b: "2" } },
    { labels: { a: null, c: "3" } },
    { labels: { b: "2", c: "3" } },
  ],
  [
    "lists merge by key, server order kept",
    { containers: [c("a", { image: "1" }), c("b", { image: "1" })] },
    { containers: [c("b", { image: "2" })] },
    { containers: [c("a", { image: "1" }), c("b", { image: "2" })] },
  ],
  [
    "new elements are appended",
    { containers: [c("a")] },
    { containers: [c("z"), c("a")] },
    { containers: [c("z"), c("a")] },
  ],
  [
    "$patch delete by key",
    { containers: [c("a"), c("b")] },
    { containers: [c("a", { $patch: "delete" })] },
    { containers: [c("b")] },
  ],
  [
    "$patch replace in a list that is not there yet",
    {},
    { containers: [c("b"), { $patch: "replace" }] },
    { containers: [c("b")] },
  ],
  [
    "$patch replace in a list",
    { containers: [c("a")] },
    { containers: [c("b"), { $patch: "replace" }] },
    { containers: [c("b")] },
  ],
  [
    "$patch replace in a map",
    { labels: { a: "1" } },
    { labels: { $patch: "replace", b: "2" } },
    { labels: { b: "2" } },
  ],
  ["$patch delete in a map", { strategy: { type: "x" } }, { strategy: { $patch: "delete" } }, { strategy: {} }],
  [
    "scalar lists merge without repetition",
    { finalizers: ["a", "b"] },
    { finalizers: ["b", "c"] },
    { finalizers: ["a", "b", "c"] },
  ],
  [
    "$deleteFromPrimitiveList",
    { finalizers: ["a", "b", "c"] },
    { "$deleteFromPrimitiveList/finalizers": ["b"] },
    { finalizers: ["a", "c"] },
  ],
  [
    "$setElementOrder on scalars",
    { finalizers: ["a", "b", "c"] },
    { "$setElementOrder/finalizers": ["c", "a", "d"], finalizers: ["d"] },
    { finalizers: ["b", "c", "a", "d"] },
  ],
  [
    "$setElementOrder on maps, server items near their neighbours",
    { containers: [c("a"), c("server"), c("b")] },
    { "$setElementOrder/containers": [c("b"), c("a")], containers: [c("a", { image: "2" })] },
    { containers: [c("server"), c("b"), c("a", { image: "2" })] },
  ],
  [
    "$retainKeys",
    { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "1" } } },
    { strategy: { $retainKeys: ["type"], type: "Recreate" } },
    { strategy: { type: "Recreate" } },
  ],
  ["strategy replace", { replaced: { a: "1", b: "2" } }, { replaced: { a: "3" } }, { replaced: { a: "3" } }],
  [
    "lists without strategy are replaced",
    { tolerations: [{ key: "a" }] },
    { tolerations: [{ key: "b" }] },
    { tolerations: [{ key: "b" }] },
  ],
  [
    "nested lists",
    { containers: [c("a", { env: [{ name: "x", value: "1" }], args: ["1"] })] },
    { containers: [c("a", { env: [{ name: "y", value: "2" }], args: ["2"] })] },
    {
      containers: [
        c("a", {
          env: [
            { name: "y", value: "2" },
            { name: "x", value: "1" },
          ],
          args: ["2"],
        }),
      ],
    },
  ],
  ["nulls of new parts are dropped", {}, { labels: { a: null, b: "1" } }, { labels: { b: "1" } }],
  [
    "directives of new parts are dropped",
    {},
    { containers: [c("a", { $patch: "delete" }), c("b")] },
    { containers: [c("b")] },
  ],
  ["null removes a list", { containers: [c("a")] }, { containers: null }, {}],
];

test("strategic merge patches", () => {
  for (const [name, original, patch, expected] of CASES) {
    const before = JSON.stringify([original, patch]);
    assert.deepEqual(applyStrategicMergePatch(schema, original, patch), expected, name);
    assert.equal(JSON.stringify([original, patch]), before, `${name} changed its input`);
  }
});

test("bad patches fail with upstream's messages", () => {
  const original = { containers: [c("a")], labels: { a: "1" }, strategy: { type: "x" }, finalizers: ["a", "b"] };
  const table: [Record<string, unknown>, RegExp][] = [
    [{ containers: [{ image: "x" }] }, /^map: map\[image:x\] does not contain declared merge key: name$/],
    [{ containers: [{ $patch: "delete" }] }, /does not contain declared merge key: name$/],
    [{ labels: { $patch: "explode" } }, /^unknown patch type: explode in map: map\[\$patch:explode\]$/],
    [{ labels: { $patch: "merge", b: "2" } }, /^unknown patch type: merge in map: map\[\$patch:merge b:2\]$/],
    [{ labels: { $patch: 1 } }, /^unknown patch type: %!s\(float64=1\) in map: map\[\$patch:1\]$/],
    [{ "$setElementOrder/finalizers": "a" }, /^expected a \[\]interface \{\}, but received a string$/],
    [
      { "$setElementOrder/finalizers": ["a"], finalizers: null },
      /^expected a \[\]interface \{\}, but received a %!s\(<nil>\)$/,
    ],
    [
      { "$deleteFromPrimitiveList/finalizers": [{}] },
      /^list element types are not identical: \[\[a b\] \[map\[\]\]\]$/,
    ],
    [{ containers: [c("b", { $patch: "merge" })] }, /^merging lists cannot yet be specified in the patch$/],
    [{ strategy: { $retainKeys: ["type"], other: 1 } }, /^invalid patch format of retainKeys$/],
    [{ "$setElementOrder/finalizers": ["a", "c"], finalizers: ["c", "a"] }, /^The order in patch list:/],
    [{ $setElementOrder: [] }, /^invalid patch format of setElementOrder list$/],
  ];
  for (const [patch, message] of table) {
    assert.throws(() => applyStrategicMergePatch(schema, original, patch), { name: "PatchError", message });
  }
});

const names = fc.constantFrom("a", "b", "c", "d");
const plain = { noNullPrototype: true } as const;
const words = fc.constantFrom("x", "y", "z");
const byName = { selector: (item: { name: string }) => item.name, maxLength: 4 };
const variables = fc.uniqueArray(fc.record({ name: names, value: words }, plain), byName);
const containers = fc.uniqueArray(
  fc.record({ name: names, image: words, env: variables, args: fc.array(words) }, { requiredKeys: ["name"], ...plain }),
  byName,
);
const specs = fc.record(
  {
    labels: fc.dictionary(names, words, plain),
    finalizers: fc.uniqueArray(words),
    containers,
    tolerations: fc.array(fc.record({ key: words }, plain)),
  },
  { requiredKeys: [], ...plain },
);

test("a patch without directives adds and replaces, and doing it again changes nothing", () => {
  fc.assert(
    fc.property(specs, specs, (original, patch) => {
      const before = JSON.stringify([original, patch]);
      const once = applyStrategicMergePatch(schema, original, patch) as typeof original;
      assert.deepEqual(applyStrategicMergePatch(schema, once, patch), once);
      assert.equal(JSON.stringify([original, patch]), before);
      assert.deepEqual(once.labels ?? {}, { ...original.labels, ...patch.labels });
      assert.deepEqual(
        new Set(once.finalizers),
        new Set([...(original.finalizers ?? []), ...(patch.finalizers ?? [])]),
      );
      assert.deepEqual(once.tolerations, patch.tolerations ?? original.tolerations);
      const find = (of: typeof original, name: string) => of.containers?.find((one) => one.name === name);
      for (const name of ["a", "b", "c", "d"]) {
        const [old, wanted, is] = [find(original, name), find(patch, name), find(once, name)];
        assert.equal(is?.image, wanted?.image ?? old?.image);
        assert.deepEqual(is?.args, wanted?.args ?? old?.args);
        const values = (one = old) => Object.fromEntries((one?.env ?? []).map((entry) => [entry.name, entry.value]));
        assert.deepEqual(values(is), { ...values(old), ...values(wanted) });
      }
    }),
  );
});

test("deletion by key and the order of a list leave exactly what they say, in that order", () => {
  fc.assert(
    fc.property(containers, fc.shuffledSubarray(["a", "b", "c", "d"]), (original, order) => {
      const kept = order.filter((name) => original.some((one) => one.name === name));
      const gone = original.filter(({ name }) => !kept.includes(name)).map(({ name }) => ({ name, $patch: "delete" }));
      const patch = { "$setElementOrder/containers": kept.map((name) => ({ name })), containers: gone };
      const result = applyStrategicMergePatch(schema, { containers: original }, patch) as { containers: object[] };
      const expected = kept.map((name) => original.find((one) => one.name === name));
      assert.deepEqual(result.containers, expected);
    }),
  );
});
