import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeJson, decodeYaml } from "#pkg/apimachinery/index.ts";
import { goText } from "./go-text.ts";
import { repeatedInJson, repeatedInPatch, repeatedInYaml, wrongInOperations } from "./strict-errors.ts";

const text =
  '{"spec":{"x":1,"dupe":1,"dupe":{"paused":1,"paused":1},"paused":true,"paused":false,"list":[{"name":"c"},{"b":1,"a":1,"name":"d","name":"e"}]},"metadata":{"name":"a","name":"b","name":"c"}}';
const unknown = ["spec.x", "spec.dupe", "spec.list[1].b", "spec.list[1].a"];

test("a typed body is reported on in the order of its text, each field once", () => {
  const bytes = Buffer.from(text);
  const { duplicates } = decodeJson(bytes);
  assert.deepEqual(repeatedInJson(bytes, duplicates).among(unknown, false), [
    'unknown field "spec.x"',
    'unknown field "spec.dupe"',
    'duplicate field "spec.paused"',
    'unknown field "spec.list[1].b"',
    'unknown field "spec.list[1].a"',
    'duplicate field "spec.list[1].name"',
    'duplicate field "metadata.name"',
  ]);
});

test("custom resources and patches have their repetitions first", () => {
  const bytes = Buffer.from(text);
  const { duplicates } = decodeJson(bytes);
  const repetitions = [
    'duplicate field "spec.dupe"',
    'duplicate field "spec.dupe.paused"',
    'duplicate field "spec.paused"',
    'duplicate field "spec.list[1].name"',
    'duplicate field "metadata.name"',
  ];
  const sorted = ["spec.dupe", "spec.list[1].a", "spec.list[1].b", "spec.x"].map((path) => `unknown field "${path}"`);
  assert.deepEqual(repeatedInJson(bytes, duplicates).among(unknown, true), [...repetitions, ...sorted]);
  assert.deepEqual(repeatedInPatch(["spec.x"]).among(["a[10].x", "a[2].x"], false), [
    'duplicate field "spec.x"',
    'unknown field "a[2].x"',
    'unknown field "a[10].x"',
  ]);
});

test("a JSON patch has what is wrong with its operations first", () => {
  const wrong = (patch: string): string[] => {
    const { value, duplicates } = decodeJson(Buffer.from(patch));
    return wrongInOperations(Buffer.from(patch), value, duplicates).among(["spec.x"], false);
  };
  assert.deepEqual(
    wrong('[{"op":"add","foo":{"a":1,"a":2},"path":"/a","value":{"b":1,"b":2}},{"op":"x","op":"add","Path":"/c"}]'),
    [
      'json patch unknown field "[0].foo"',
      'json patch duplicate field "[0].value.b"',
      'json patch duplicate field "[1].op"',
      'json patch unknown field "[1].Path"',
      'unknown field "spec.x"',
    ],
  );
  assert.deepEqual(wrong('[{"op":"add","op":"add","path":"/a"}]'), [
    'json patch duplicate field "[0].op"',
    'unknown field "spec.x"',
  ]);
  assert.deepEqual(wrong('[{"op":"add","path":"/a","from":"/b","value":1}]'), ['unknown field "spec.x"']);
});

test("repetitions in YAML are one error", () => {
  const { duplicateMessages } = decodeYaml("b: 1\na: 1\nb: 2\na: 2\n");
  assert.deepEqual(repeatedInYaml(duplicateMessages).among(["b", "a"], false), [
    'yaml: unmarshal errors:\n  line 3: key "b" already set in map\n  line 4: key "a" already set in map',
    'unknown field "a"',
    'unknown field "b"',
  ]);
});

test("values as Go prints them", () => {
  const table: [unknown, string][] = [
    [{ b: [1, "x y", null], a: { c: true } }, "map[a:map[c:true] b:[1 x y <nil>]]"],
    [{}, "map[]"],
    [1.5, "1.5"],
    [0.00001, "1e-05"],
    [1e21, "1e+21"],
  ];
  for (const [value, expected] of table) assert.equal(goText(value), expected);
});
