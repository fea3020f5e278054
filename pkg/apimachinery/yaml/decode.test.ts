import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeYaml, encodeYaml, parseJson } from "../index.ts";

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
    ["1e400", "1e400"],
    ["2001-1-1", "2001-1-1"],
    ["!!float 1", 1],
    ["!!int 0x1F", 31],
    ["!foo x", "x"],
    ["|\n  x", "x\n"],
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
  const text = "1: a\ntrue: b\n1.5: c\n1e6: d\n16777217.0: e\n";
  assert.deepEqual(decodeYaml(text).value, { 1: "a", true: "b", 1.5: "c", "1e+06": "d", "1.6777216e+07": "e" });
});

test("repeated keys are reported with the lines of their values", () => {
  const { value, duplicateMessages } = decodeYaml(
    "spec:\n  replicas: 1\n  list:\n  - a: 1\n    a: 2\n  replicas: 2\nspec:\n  x: 1\n1: a\n'1': b\n1: c\n",
  );
  assert.deepEqual(duplicateMessages, [
    'line 5: key "a" already set in map',
    'line 6: key "replicas" already set in map',
    'line 8: key "spec" already set in map',
    "line 11: key 1 already set in map",
  ]);
  assert.deepEqual(value, { spec: { x: 1 }, 1: "b" });
});

test("a block scalar at the end of a text without a line break has none either", () => {
  assert.deepEqual(decodeYaml("a: |\n  x").value, { a: "x" });
  assert.deepEqual(decodeYaml("a: >\n  x\n  y\n\n   z\n  w").value, { a: "x y\n\n z\nw" });
  assert.deepEqual(decodeYaml("a: |+\n  x\n\nb: |2-\n    y\n\n").value, { a: "x\n\n", b: "  y" });
});

test("mistakes are told in libyaml's words, with its lines", () => {
  const table: [text: string, message: string][] = [
    ["a: 1\n b: 2\n", "line 2: mapping values are not allowed in this context"],
    ["a: b: c\n", "mapping values are not allowed in this context"],
    ["a:\n  b: 1\n c: 2\n", "line 2: did not find expected key"],
    ["a:\n- b\n c\n  - d\n- e: [\n", "line 5: did not find expected node content"],
    ["a:\n  - b\n c: d\n", "line 2: did not find expected key"],
    ["a:\n\tb: 1\n", "line 2: found character that cannot start any token"],
    ["a: @b\n", "found character that cannot start any token"],
    ["a: 1\nb\nc: 2\n", "line 3: could not find expected ':'"],
    ["a: 1\nb", "line 3: could not find expected ':'"],
    ['a: "b\nc: d\n', "line 3: found unexpected end of stream"],
    ['a: "b"c\nd: e\n', "did not find expected key"],
    ["a: [1, 2\nb: 3\n", "line 1: did not find expected ',' or ']'"],
    ["a: {b: 1\nc: 2\n", "line 1: did not find expected ',' or '}'"],
    ["a: 1\nb: *c\n", "unknown anchor 'c' referenced"],
    ['a: 1\nb: "\\q"\n', "line 2: found unknown escape character"],
    ['a: 1\nb: "\\ud800"\n', "line 2: found invalid Unicode character escape code"],
    ["a: - b\n", "block sequence entries are not allowed in this context"],
    ["a: 1\n- b\n", "line 1: did not find expected key"],
    ["a: !!int x\n", "cannot decode !!str `x` as a !!int"],
    ["a: {{ .Values.name }}\n", 'invalid map key: map[interface {}]interface {}{".Values.name":interface {}(nil)}'],
    ["[1]: a\n", "invalid map key: []interface {}{1}"],
    ["a: &x [*x]\n", "anchor 'x' value contains itself"],
    ["a: |\n  b\n\tc\n", "line 3: found a tab character where an indentation space is expected"],
    ["a: b\n\tc\n", "line 2: found a tab character that violates indentation"],
    ["a: !e!x 1\n", "found undefined tag handle"],
    ["a: b\0c\n", "control characters are not allowed"],
  ];
  for (const [text, message] of table) {
    assert.throws(() => decodeYaml(text), { name: "DecodeError", message: `yaml: ${message}` }, text);
  }
  assert.throws(() => decodeYaml("~: 1\n"), {
    message: "unsupported map key of type: %!s(<nil>), key: <nil>, value: 1",
  });
  assert.throws(() => decodeYaml("a: .inf\n"), { message: "json: unsupported value: +Inf" });
});

test("anchors, aliases and merge keys copy, what comes later wins", () => {
  const value = decodeYaml("a: &x {p: 1, q: 2}\nb: *x\nc:\n  <<: *x\n  q: 3\nd:\n  p: 9\n  <<: [{r: 1}, *x]\n")
    .value as Record<string, unknown>;
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

test("only the first document is read", () => {
  assert.deepEqual(decodeYaml("---\na: 1\n---\nb: 2\n").value, { a: 1 });
  assert.deepEqual(decodeYaml("%YAML 1.1\n---\na: 1\n...\n}{\n").value, { a: 1 });
  assert.deepEqual(decodeYaml("\ufeffa: 1\r\nb: 2\r\n").value, { a: 1, b: 2 });
  assert.equal(decodeYaml("").value, null);
});

test("what is written reads back", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), (value) => {
      const plain: unknown = parseJson(JSON.stringify({ value }));
      assert.deepEqual(decodeYaml(encodeYaml(plain)).value, plain);
    }),
  );
});
