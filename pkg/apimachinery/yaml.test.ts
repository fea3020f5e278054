import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeYaml, encodeYaml, parseJson } from "./index.ts";

test("plain scalars mean what sigs.k8s.io/yaml takes them for", () => {
  const table: [string, unknown][] = [
    ["yes", true],
    ["Off", false],
    ["y", true],
    ["true", true],
    ["TRUE", true],
    ["tRue", "tRue"],
    ["0644", 420],
    ["0o644", 420],
    ["0x1F", 31],
    ["0b101", 5],
    ["1_000", 1000],
    ["-12", -12],
    ["089", 89],
    ["1.5", 1.5],
    ["1e3", 1000],
    [".5", 0.5],
    ["~", null],
    ["null", null],
    ["", null],
    ["'yes'", "yes"],
    ['"0644"', "0644"],
    ["!!str 12", "12"],
    ["!!int '12'", 12],
    ["!!binary aGk=", "hi"],
    ["2020-01-01", "2020-01-01"],
    ["1.2.3", "1.2.3"],
    ["10.0.0.1", "10.0.0.1"],
    ["100m", "100m"],
    ["0x", "0x"],
  ];
  for (const [text, value] of table) assert.deepEqual(decodeYaml(`a: ${text}\n`).value, { a: value }, text);
});

test("JSON is read as YAML, flow mappings as themselves", () => {
  assert.deepEqual(decodeYaml('{"a": [1, "yes", true, null], "b": {"c": "0644"}}').value, {
    a: [1, "yes", true, null],
    b: { c: "0644" },
  });
  assert.deepEqual(decodeYaml("{a: yes, b: [0644]}").value, { a: true, b: [420] });
  assert.deepEqual(decodeYaml('{"a": 1,\n "a": 2}').duplicateMessages, ['line 2: key "a" already set in map']);
  assert.throws(() => decodeYaml(`${'{"a":'.repeat(2000)}1${"}".repeat(2000)}`), { name: "DecodeError" });
});

test("keys become strings", () => {
  assert.deepEqual(decodeYaml("1: a\ntrue: b\n1.5: c\n").value, { 1: "a", true: "b", 1.5: "c" });
  assert.throws(() => decodeYaml("[1]: a\n"), { message: /unsupported map key of type: slice/ });
});

test("repeated keys are reported with path and line", () => {
  const { value, duplicates, duplicateMessages } = decodeYaml(
    "spec:\n  replicas: 1\n  list:\n  - a: 1\n    a: 2\n  replicas: 2\n",
  );
  assert.deepEqual(duplicates, ["spec.list[0].a", "spec.replicas"]);
  assert.deepEqual(duplicateMessages, [
    'line 5: key "a" already set in map',
    'line 6: key "replicas" already set in map',
  ]);
  assert.deepEqual(value, { spec: { replicas: 2, list: [{ a: 2 }] } });
});

test("anchors, aliases and merge keys copy", () => {
  const value = decodeYaml("a: &x {p: 1, q: 2}\nb: *x\nc:\n  <<: *x\n  q: 3\nd:\n  <<: [{r: 1}, *x]\n").value as Record<
    string,
    unknown
  >;
  assert.deepEqual(value, { a: { p: 1, q: 2 }, b: { p: 1, q: 2 }, c: { q: 3, p: 1 }, d: { r: 1, p: 1, q: 2 } });
  assert.notEqual(value["a"], value["b"]);
  assert.throws(() => decodeYaml("a: *nowhere\n"), { name: "DecodeError" });
});

test("bombs and deep nesting are refused", () => {
  const levels = Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(9)}*a${i}]`);
  assert.throws(() => decodeYaml(["a0: &a0 [x]", ...levels].join("\n")), {
    message: "yaml: document contains excessive aliasing",
  });
  assert.throws(() => decodeYaml("[".repeat(10_000)), { name: "DecodeError" });
});

test("only the first document is read, and errors name the line", () => {
  assert.deepEqual(decodeYaml("---\na: 1\n---\nb: 2\n").value, { a: 1 });
  assert.equal(decodeYaml("").value, null);
  assert.throws(() => decodeYaml("a: 1\nb: [\n"), { name: "DecodeError", message: /^yaml: line \d+: / });
});

test("what is written reads back", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), (value) => {
      const plain: unknown = parseJson(JSON.stringify({ value }));
      assert.deepEqual(decodeYaml(encodeYaml(plain)).value, plain);
    }),
  );
});
