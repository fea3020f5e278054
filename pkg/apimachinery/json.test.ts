import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeJson, decodeYaml, encodeYaml, fractionsOf, markFractions, parseJson } from "./index.ts";

test("repeated members are reported with their paths, and the last one wins", () => {
  const { value, duplicates } = decodeJson(
    `{"spec": {"replicas": 1, "replicas": 2, "replicas": 3, "c": [{"n": 1}, {"n": 1, "\\u006e": "x\\"y:"}]}, "spec" : {"a": 1}}`,
  );
  assert.deepEqual(duplicates, ["spec.replicas", "spec.c[1].n", "spec"]);
  assert.deepEqual(value, { spec: { a: 1 } });
  assert.deepEqual(decodeJson('{"a":1,"a":2}', { duplicates: false }).duplicates, []);
});

test("any JSON value decodes to itself without duplicates", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const { value: decoded, duplicates } = decodeJson(Buffer.from(JSON.stringify(value, undefined, 1)));
      assert.equal(JSON.stringify(decoded), JSON.stringify(value));
      assert.deepEqual(duplicates, []);
    }),
  );
});

test("integers of 64 bits keep their digits, in JSON and YAML", () => {
  const exact = [
    "9223372036854775807",
    "-9223372036854775808",
    "9007199254740993",
    "-9007199254740993",
    "51742664297848260",
    "42",
    "-7",
  ];
  for (const digits of exact) {
    const text = `{"a":[${digits},{"b":${digits}}]}`;
    assert.equal(JSON.stringify(decodeJson(text).value), text);
    assert.equal(JSON.stringify(parseJson(text)), text);
    const { value } = decodeYaml(`a: [${digits}, {b: ${digits}}]`);
    assert.equal(JSON.stringify(value), text);
    assert.equal(encodeYaml(value), `a:\n- ${digits}\n- b: ${digits}\n`);
  }
  assert.equal(JSON.stringify(decodeYaml("a: 0x7fffffffffffffff").value), '{"a":9223372036854775807}');
  // What 64 bits do not hold is a float, and so is what is written as one.
  for (const text of ["18446744073709551616", "9007199254740993.0", "1e300"]) {
    assert.equal(decodeJson(text).value, Number(text));
    assert.equal(decodeYaml(text).value, Number(text));
  }
  assert.equal(decodeJson('"12345678901234567890"').value, "12345678901234567890");
});

test("syntax errors have Go's words", () => {
  const table: [string, string][] = [
    ["", "unexpected end of JSON input"],
    ['{"a":1', "unexpected end of JSON input"],
    ["{a:1}", "invalid character 'a' looking for beginning of object key string"],
    ['{"a" 1}', "invalid character '1' after object key"],
    ['{"a":1 x}', "invalid character 'x' after object key:value pair"],
    ['{"a":1e999}', "json: cannot unmarshal number into Go value of type float64: value out of range"],
    ["[1 2]", "invalid character '2' after array element"],
    ["{} x", "invalid character 'x' after top-level value"],
    ["trux", "invalid character 'x' in literal true (expecting 'e')"],
    ["-x", "invalid character 'x' in numeric literal"],
    ["1.", "unexpected end of JSON input"],
    ['"\\q"', "invalid character 'q' in string escape code"],
    ["not json", "invalid character 'o' in literal null (expecting 'u')"],
    ["<html>", "invalid character '<' looking for beginning of value"],
    ['"a\nb"', "invalid character '\\n' in string literal"],
  ];
  for (const [text, message] of table) assert.throws(() => decodeJson(text), { name: "DecodeError", message }, text);
});

test("deep nesting is refused, wide documents and brackets in strings are not", () => {
  for (const depth of [1001, 10_000, 1_000_000]) {
    assert.throws(() => decodeJson("[".repeat(depth) + "]".repeat(depth)), { message: "exceeded max depth" });
    assert.throws(() => decodeJson('{"a":'.repeat(depth) + "1" + "}".repeat(depth)), { message: "exceeded max depth" });
    assert.throws(() => decodeJson("[".repeat(depth)), { message: "exceeded max depth" });
  }
  assert.equal((decodeJson(`[${"[],".repeat(5000)}1]`).value as unknown[]).length, 5001);
  assert.equal(decodeJson(JSON.stringify("[{".repeat(5000))).value, "[{".repeat(5000));
  decodeJson("[".repeat(1000) + "]".repeat(1000));
});

test("halves of surrogate pairs become the replacement character, as in Go", () => {
  const { value } = decodeJson('{"\\ud800":"\\udc00x\\ud83d\\ude00","a":"\\\\ud800"}');
  assert.deepEqual(value, { "\ufffd": "\ufffdx\u{1f600}", a: "\\ud800" });
});

test("each byte that belongs to no character becomes the replacement character, as in Go", () => {
  const cases: [string, string][] = [
    ["61ff62", "a\uFFFDb"],
    ["61e282", "a\uFFFD\uFFFD"],
    ["f09f9862c3a9", "\uFFFD\uFFFD\uFFFDb\u00e9"],
    ["eda080", "\uFFFD\uFFFD\uFFFD"],
    ["efbfbd", "\uFFFD"],
  ];
  for (const [hex, text] of cases) assert.equal(decodeJson(Buffer.from(`22${hex}22`, "hex")).value, text, hex);
});

test("numbers that are not written like integers are told by how they are written", () => {
  const text = '{"a":[1,1.0,{"b":1e3}],"c":9223372036854775808,"d":"1.5","e":9007199254740993,"f":1e400}';
  assert.equal(decodeJson(text, { judgesNumbers: true }).fractions, true);
  const expected = { "a[1]": "1.0", "a[2].b": "1e3", c: "9223372036854775808", f: "1e400" };
  assert.deepEqual(Object.fromEntries(fractionsOf(text)), expected);
  const marked = '{"a":[1,"!",{"b":"!"}],"c":"!","d":"1.5","e":9007199254740993,"f":"!"}';
  assert.equal(markFractions(text, '"!"'), marked);
  assert.equal(markFractions('["\\"1.0","1.0\\\\",-1.0e+2 , -0]', "{}"), '["\\"1.0","1.0\\\\",{} , -0]');
  assert.equal(markFractions("1.0", "{}"), "{}");
  assert.throws(() => decodeJson(text), /value out of range/);
  assert.throws(() => decodeJson(`[{"a":-${"9".repeat(400)}}]`), /value out of range/);
  assert.equal(decodeJson('{"a":"1.0","b":123456789012345}').fractions, false);
});
