import assert from "node:assert/strict";
import { test } from "node:test";
import type { FieldError } from "#pkg/apimachinery/index.ts";
import { FieldPathError, findFieldPath } from "./field-path.ts";
import { compileRules } from "./rules.ts";
import { validateDefaults } from "./schema-defaults.ts";
import { validateProperties } from "./schema-properties.ts";
import { validateStructure } from "./schema-structure.ts";
import { compileSchemaDefaults } from "./defaulting.ts";
import { structuralSchema } from "#pkg/api/index.ts";
import { compileValues } from "./value-validation.ts";

type Raw = Record<string, unknown>;

const text = { type: "string" };
const root = (a: Raw): Raw => ({ type: "object", properties: { a } });
const lines = (errors: readonly FieldError[]): string[] => errors.map(({ field, message }) => `${field}: ${message}`);

test("a schema is structural when every value has a type of its own", () => {
  const table: [Raw, string[]][] = [
    [{ "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] }, []],
    [{ type: "array" }, ["s.properties[a].items: Required value: must be specified"]],
    [
      { type: "string", anyOf: [{ type: "string" }] },
      ["s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
    ],
    [
      { type: "object", "x-kubernetes-embedded-resource": true },
      [
        "s.properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
      ],
    ],
    [
      { type: "object", allOf: [{ "x-kubernetes-validations": [{ rule: "true" }] }] },
      ["s.properties[a].allOf[0].x-kubernetes-validations: Forbidden: must be empty to be structural"],
    ],
  ];
  for (const [schema, expected] of table) assert.deepEqual(lines(validateStructure(root(schema), "s")), expected);
  const judged = { type: "object", properties: { x: text }, not: { properties: { y: { minLength: 1 } } } };
  assert.deepEqual(lines(validateStructure(judged, "s")), [
    "s.properties[y]: Required value: because it is defined in s.not.properties[y]",
  ]);
  const metadata = { type: "object", properties: { labels: { type: "object" } } };
  assert.deepEqual(lines(validateStructure({ type: "object", properties: { metadata } }, "s")), [
    "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
  ]);
});

test("lists and maps say what their elements need", () => {
  const keyed = (items: Raw, keys: string[]): Raw => ({
    type: "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": keys,
    items,
  });
  const item = { type: "object", required: ["k"], properties: { k: text } };
  const table: [Raw, string[]][] = [
    [keyed(item, ["k"]), []],
    [
      keyed(item, ["k", "k"]),
      ['x-kubernetes-list-map-keys: Invalid value: ["k","k"]: must not contain duplicate entries'],
    ],
    [
      keyed(text, ["k"]),
      ['items.type: Invalid value: "string": must be object if parent array\'s x-kubernetes-list-type is map'],
    ],
    [
      { type: "array", items: item, "x-kubernetes-list-type": "set" },
      [
        "items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
      ],
    ],
    [
      { type: "string", "x-kubernetes-map-type": "atomic" },
      ['type: Invalid value: "string": must be object if x-kubernetes-map-type is specified'],
    ],
    [
      { type: "object", "x-kubernetes-preserve-unknown-fields": false },
      ["x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"],
    ],
  ];
  for (const [schema, expected] of table) {
    assert.deepEqual(
      lines(validateProperties(root(schema), "s")),
      expected.map((line) => `s.properties[a].${line}`),
    );
  }
});

test("paths lead through properties and entries of maps", () => {
  const schema = {
    type: "object",
    properties: { m: { type: "object", additionalProperties: text }, l: { type: "array", items: text } },
  };
  assert.equal(findFieldPath(".m['a.b']", schema, true).path, "m[a.b]");
  assert.equal(findFieldPath(".m.k", schema, false).path, "m[k]");
  for (const [path, why] of [
    [".nope", "does not refer to a valid field"],
    ["m", "expected [ or . but got: m"],
    [".m['k']", "array notation is not allowed"],
    [".", "unexpected end of JSON path"],
  ] as const) {
    assert.throws(() => findFieldPath(path, schema, false), new FieldPathError(why));
  }
});

test("defaults fit their own schema", () => {
  const table: [Raw, string[]][] = [
    [{ type: "string", default: "x" }, []],
    [
      { type: "string", default: 1 },
      ['s.properties[a].default: Invalid value: "integer":  in body must be of type string: "integer"'],
    ],
    [
      { type: "object", properties: { x: text }, default: { y: 1 } },
      ['s.properties[a].default: Invalid value: {"y":1}: must not have unknown fields'],
    ],
    [
      { type: "integer", default: 5, "x-kubernetes-validations": [{ rule: "self < 3" }] },
      ["s.properties[a].default: Invalid value: 5: failed rule: self < 3"],
    ],
  ];
  for (const [schema, expected] of table) assert.deepEqual(lines(validateDefaults(root(schema), "s")), expected);
});

test("nulls where none are allowed count as left out", () => {
  const object = { a: null, b: null, c: null, m: { x: null, y: "z" } };
  const map = { type: "object", additionalProperties: text };
  const schema = {
    type: "object",
    properties: { a: text, b: { ...text, default: "B" }, c: { ...text, nullable: true }, m: map },
  };
  const refused = structuredClone(object);
  compileSchemaDefaults(structuralSchema(schema))(object);
  assert.deepEqual(object, { b: "B", c: null, m: { y: "z" } });
  compileSchemaDefaults(structuralSchema(schema), true)(refused);
  assert.deepEqual(refused, { a: null, b: "B", c: null, m: { x: null, y: "z" } });
});

test("rules see the old value as they ask for it, and what they cost is counted", () => {
  const rules = (list: object[], extra: Raw = {}): Raw => ({ ...text, "x-kubernetes-validations": list, ...extra });
  const optional = compileRules(
    structuralSchema(rules([{ rule: "!oldSelf.hasValue() || oldSelf.value() == self", optionalOldSelf: true }])),
    "s",
  );
  assert.deepEqual(optional.errors, []);
  assert.deepEqual(optional.validate("a", undefined), { errors: [], warnings: [] });
  assert.equal(optional.validate("a", "b").errors.length, 1);
  const needless = compileRules(structuralSchema(rules([{ rule: "self != ''", optionalOldSelf: true }])), "s");
  assert.deepEqual(lines(needless.errors), [
    "s.x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
  ]);
  const list = { type: "array", items: rules([{ rule: "self == oldSelf" }], { maxLength: 5 }), maxItems: 3 };
  assert.deepEqual(lines(compileRules(structuralSchema(list), "s").errors), [
    's.items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within s',
  ]);
  const dear = { type: "array", items: rules([{ rule: "self.contains('abc')" }]) };
  assert.match(
    lines(compileRules(structuralSchema(dear), "s").errors).join("\n"),
    /estimated rule cost exceeds budget by factor of more than 100x/,
  );
});

test("rules warn of what an update leaves as it was, and refuse it where they cannot be asked or compare", () => {
  const failing = (rule: string, more: Raw = {}) => ({
    ...text,
    "x-kubernetes-validations": [{ rule, message: "no", ...more }],
  });
  const judged = (schema: Raw, value: unknown, old: unknown) => {
    const { errors, warnings } = compileRules(structuralSchema(schema), "").validate(value, old);
    return [lines(errors), warnings];
  };
  const [why, compared] = ['Invalid value: "bad": no', 'a: Invalid value: "bad": no'];
  const properties = (rule: string, more?: Raw): Raw => ({
    type: "object",
    properties: { a: failing(rule, more), b: text },
  });
  const [bad, more] = [{ a: "bad" }, { a: "bad", b: "more" }];
  assert.deepEqual(judged(properties("self != 'bad'"), more, bad), [[], [compared]]);
  assert.deepEqual(judged(properties("self != 'bad'"), bad, { a: "good" }), [[compared], []]);
  assert.deepEqual(judged(properties("oldSelf != 'bad'"), more, bad), [[compared], []]);
  assert.match(
    String(judged(properties("int(self) > 0"), more, bad)[0]),
    /^a: Invalid value: "string": .*evaluating rule: no$/,
  );
  const list = { type: "array", items: failing("self != 'bad'") };
  assert.deepEqual(judged(list, ["bad"], ["bad"]), [[], [`[0]: ${why}`]]);
  assert.deepEqual(judged(list, ["bad", "new"], ["bad"]), [[`[0]: ${why}`], []]);
});

test("numbers that are no integers, and schemas of which none fits, are wrong as a whole", () => {
  const check = (schema: Raw, value: unknown): string[] => lines(compileValues(schema)(value, "n", undefined));
  assert.deepEqual(check({ type: "integer" }, 1.5), [
    'n: Invalid value: "number": n in body must be of type integer: "number"',
    '<nil>: Invalid value: "": Checked value must be of type integer (default format) in n',
  ]);
  assert.deepEqual(check({ type: "integer", format: "int32" }, 2 ** 40), [
    '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in n',
  ]);
  for (const [type, multipleOf, value, ...wrong] of [
    ["number", 0.5, 1.5],
    ["number", 0.5, 0.7, "n: Invalid value: 0.7: n in body should be a multiple of 0.5"],
    ["number", 0.5, 2, "n: Invalid value: 0: factor MultipleOf declared for n must be positive: 0"],
    ["number", 1.5, 2],
    ["integer", 2, 3, "n: Invalid value: 3: n in body should be a multiple of 2"],
    ["integer", 0.5, 2, '<nil>: Invalid value: "": MultipleOf value must be of type integer (default format) in n'],
  ] as const)
    assert.deepEqual(check({ type, multipleOf }, value), wrong, `${value} of ${multipleOf}`);
  assert.deepEqual(check({ type: "integer", anyOf: [{ minimum: 10 }, { maximum: 2 }] }, 5), [
    '<nil>: Invalid value: "": "n" must validate at least one schema (anyOf)',
    "n: Invalid value: 5: n in body should be greater than or equal to 10",
  ]);
  assert.deepEqual(check({ type: "string", format: "duration" }, "3 days"), []);
  assert.deepEqual(check({ type: "integer", format: "int64" }, 1e19), [
    'n: Invalid value: "float64": n in body must be of type int64: "float64"',
    '<nil>: Invalid value: "": Checked value must be of type integer with format int64 in n',
  ]);
  assert.deepEqual(check({ type: "number", format: "float" }, 1e39), [
    '<nil>: Invalid value: "": Checked value must be of type number with format float in n',
  ]);
  assert.deepEqual(check({ type: "string", enum: ["a"] }, 1), [
    'n: Invalid value: "integer": n in body must be of type string: "integer"',
    'n: Unsupported value: 1: supported values: "a"',
  ]);
  assert.deepEqual(check({ type: "object", required: ["b"], properties: { a: { type: "string" } } }, { a: 1 }), [
    'n.a: Invalid value: "integer": n.a in body must be of type string: "integer"',
    "n.b: Required value",
  ]);
});
