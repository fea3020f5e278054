import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FieldSchema } from "../schema.ts";
import {
  applyConfigurationType,
  misplacedLiterals,
  BOOL,
  compileCel,
  DYN,
  RULE_COST_LIMIT,
  showType,
  STRING,
  structType,
} from "./index.ts";

const object = (properties: Record<string, FieldSchema>, more: Partial<FieldSchema> = {}): FieldSchema => ({
  type: "object",
  properties: new Map(Object.entries(properties)),
  ...more,
});
const self = object({
  replicas: { type: "integer" },
  ratio: { type: "number" },
  name: { type: "string", raw: { maxLength: 10 } },
  created: { type: "string", format: "date-time" },
  timeout: { type: "string", format: "duration" },
  data: { type: "string", format: "byte" },
  port: { type: "int-or-string" },
  labels: { type: "map", items: { type: "string" } },
  nothing: { type: "string", nullable: true },
  tags: { type: "array", items: { type: "string" }, listType: "set" },
  rules: {
    type: "array",
    items: object({ host: { type: "string" }, weight: { type: "integer" } }),
    listType: "map",
    listMapKeys: ["host"],
  },
  "dashed-name": { type: "string" },
  namespace: { type: "string" },
  open: { type: "object", preserveUnknownFields: true },
  short: { type: "array", items: { type: "string", raw: { maxLength: 5 } }, raw: { maxItems: 10 } },
});
const compile = (expression: string) => compileCel(expression, { variables: { self } });
function evaluate(expression: string, value: Record<string, unknown>): unknown {
  const result = compile(expression).evaluate({ self: value });
  return result.error === undefined ? result.value : `!${result.error.message}`;
}

test("fields have the types of their schema", () => {
  const value = {
    replicas: 3,
    ratio: 1,
    name: "web",
    created: "2026-01-02T03:04:05Z",
    timeout: "90s",
    data: "aGk=",
    port: "http",
    labels: { a: "1" },
    nothing: null,
    tags: ["a", "b"],
    rules: [{ host: "x", weight: 1 }],
    "dashed-name": "d",
    namespace: "n",
    open: { n: 1, f: 1.5, deep: { list: [true] } },
  };
  const table: [string, unknown][] = [
    ["self.replicas + 1", 4],
    ["self.ratio == 1.0 && type(self.ratio) == double", true],
    ["self.created.getFullYear()", 2026],
    ["self.timeout > duration('1m')", true],
    ["self.data == b'hi'", true],
    ["self.port == 'http' && type(self.port) == string", true],
    ["'a' in self.labels && self.labels.a == '1'", true],
    ["has(self.nothing)", false],
    ["self.?nothing.hasValue()", false],
    ["self.tags == ['b', 'a']", true],
    ["self.tags + ['b', 'c']", ["a", "b", "c"]],
    ["self.rules.exists(r, r.host == 'x' && r.weight == 1)", true],
    ["self.__dashed__ == 'd'", undefined],
    ["self.dashed__dash__name == 'd' && self.__namespace__ == 'n'", true],
    ["self.open == dyn(self.open)", true],
    ["self.?labels['b'].hasValue()", false],
  ];
  for (const [expression, expected] of table) {
    if (expected === undefined) assert.throws(() => compile(expression), { name: "CelCompileError" });
    else assert.deepEqual(evaluate(expression, value), expected, expression);
  }
});

test("absent fields fail where they are read, and logic absorbs what does not matter", () => {
  assert.equal(evaluate("self.replicas > 1", {}), "!no such key: replicas");
  assert.equal(evaluate("has(self.replicas) && self.replicas > 1", {}), false);
  assert.equal(evaluate("self.replicas > 1 || true", {}), true);
  assert.equal(evaluate("self.replicas > 1 && false", {}), false);
  assert.equal(evaluate("self.tags.exists(t, t == 'b' || self.replicas > 1)", { tags: ["a", "b"] }), true);
  assert.equal(evaluate("self.rules[1].host", { rules: [] }), "!index out of bounds: 1");
  assert.equal(evaluate("1 / self.replicas", { replicas: 0 }), "!division by zero");
  assert.equal(evaluate("9223372036854775807 + self.replicas", { replicas: 1 }), "!integer overflow");
});

test("what does not compile is shown as cel-go shows it", () => {
  const table: [string, string][] = [
    ["self.nope == 1", "ERROR: <input>:1:5: undefined field 'nope'\n | self.nope == 1\n | ....^"],
    ["other", "ERROR: <input>:1:1: undeclared reference to 'other' (in container '')\n | other\n | ^"],
    [
      "self.replicas == 'a'",
      "ERROR: <input>:1:15: found no matching overload for '_==_' applied to '(int, string)'\n | self.replicas == 'a'\n | ..............^",
    ],
    [
      "self.replicas.size()",
      "ERROR: <input>:1:19: found no matching overload for 'size' applied to 'int.()'\n | self.replicas.size()\n | ..................^",
    ],
    [
      "self.replicas.x",
      "ERROR: <input>:1:14: type 'int' does not support field selection\n | self.replicas.x\n | .............^",
    ],
    [
      "self.replicas.all(x, true)",
      "ERROR: <input>:1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | self.replicas.all(x, true)\n | ....^",
    ],
    ["[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"],
    ["true &&\n  nope", "ERROR: <input>:2:3: undeclared reference to 'nope' (in container '')\n |   nope\n | ..^"],
  ];
  for (const [expression, message] of table)
    assert.throws(() => compile(expression), { name: "CelCompileError", message });
  for (const expression of [
    "",
    "1 +",
    "(1",
    "'open",
    "a..b",
    "1 2",
    "var",
    "{1}",
    "has(x)",
    "self.true",
    "1.9e999",
    "self.",
    "[1, 2].all(1, true)",
    "@",
  ]) {
    assert.throws(
      () => compile(expression),
      { name: "CelCompileError", message: /^ERROR: <input>:1:\d+: / },
      expression,
    );
  }
});

test("hostile expressions are refused, not run out of stack", () => {
  for (const expression of [
    "(".repeat(10_000),
    "-(".repeat(10_000) + "1",
    "[".repeat(10_000),
    "a" + ".b".repeat(10_000),
    "!(".repeat(10_000),
    "true ? ".repeat(10_000),
    "x".repeat(200_000),
    Array.from({ length: 10_000 }, () => "1").join(" + "),
  ]) {
    assert.throws(() => compile(expression), { name: "CelCompileError" }, expression.slice(0, 10));
  }
  assert.equal(evaluate(Array.from({ length: 400 }, () => "1").join(" + "), {}), 400);
  assert.equal(evaluate(Array.from({ length: 5000 }, () => "true").join(" && "), {}), true);
});

test("an evaluation costs no more than its budget", () => {
  const nested = compile("self.tags.all(a, self.tags.all(b, self.tags.all(c, a + b + c != 'x')))");
  const tags = Array.from({ length: 200 }, (_, i) => `t${i}`);
  const result = nested.evaluate({ self: { tags } });
  assert.equal(result.error?.message, "operation cancelled: actual cost limit exceeded");
  assert.equal(result.error?.name, "CelCostError");
  assert.ok(result.cost <= 1_000_100);
  assert.equal(nested.evaluate({ self: { tags: tags.slice(0, 3) } }).error, undefined);
  const absorbed = compile("self.tags.all(a, self.tags.all(b, a + b != '')) || true");
  assert.equal(absorbed.evaluate({ self: { tags } }, { costBudget: 100 }).error?.name, "CelCostError");
});

test("cost is estimated from the bounds of the schema", () => {
  assert.ok(compile("self.replicas > 1").estimatedCost.max < 10);
  assert.ok(compile("self.short.all(x, self.short.all(y, x != y))").estimatedCost.max < 10_000);
  assert.ok(compile("self.tags.all(x, self.tags.all(y, x != y))").estimatedCost.max > RULE_COST_LIMIT);
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 5 }), { maxLength: 10 }), (short) => {
      const program = compile(
        "self.short.all(x, self.short.exists(y, x == y && x.contains(y))) && size(self.short) < 11",
      );
      const { cost } = program.evaluate({ self: { short } });
      assert.ok(cost <= program.estimatedCost.max, `${cost} > ${program.estimatedCost.max}`);
    }),
  );
});

test("results can be bound to other expressions, and structs made of them", () => {
  const first = compile("self.rules.filter(r, r.weight > 1)").evaluate({ self: { rules: [{ host: "a", weight: 2 }] } });
  assert.ok(first.error === undefined);
  const variables = structType("variables", { heavy: DYN });
  const second = compileCel("variables.heavy.map(r, r.host).join()", { variables: { variables } });
  assert.equal(showType(second.resultType), "string");
  assert.deepEqual([...second.references], ["variables"]);
  const names = second.evaluate({ variables: { heavy: first.raw } });
  assert.equal(names.error ?? names.value, "a");
  const made = compileCel("Object{replicas: 2}", { variables: {}, objectType: applyConfigurationType }).evaluate({});
  assert.ok(made.error === undefined);
  const read = compileCel("made.replicas + 1", { variables: { made: DYN } }).evaluate({ made: made.raw });
  assert.equal(read.error ?? read.value, 3);
  const fake = compileCel("made.celKind", { variables: { made: DYN } }).evaluate({
    made: { celKind: "list", length: 1 },
  });
  assert.equal(fake.error ?? fake.value, "list");
});

test("data that breaks its schema fails like any other evaluation", () => {
  assert.equal(evaluate("self.replicas + 1", { replicas: "three" }), "!no such overload");
  assert.equal(evaluate("self.name.startsWith('a')", { name: 1 }), "!no such overload");
  assert.equal(evaluate("self.tags.all(t, t == 'a')", { tags: 5 }), "!no such overload");
  assert.equal(
    evaluate("self.created.getFullYear()", { created: "yesterday" }),
    "!type conversion error from 'string' to 'google.protobuf.Timestamp'",
  );
  assert.equal(evaluate("self.rules[0].host", { rules: ["x"] }), "!no such key: host");
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom("replicas", "name", "labels", "tags", "rules", "created", "data", "open"),
      (value, field) => {
        const program = compile(
          `has(self.${field}) && (self.replicas > 1 || self.name.contains('a') || 'a' in self.labels || self.tags.all(t, t.size() > 1) || self.rules.exists(r, r.weight == 2) || self.created > timestamp(0) || self.data.size() > 1)`,
        );
        program.evaluate({ self: { [field]: value } });
      },
    ),
    { numRuns: 500 },
  );
});

test("variables may have dotted names, and has() asks whether they are bound", () => {
  const program = compileCel("has(variables.a) ? variables.a : 'none'", { variables: { "variables.a": STRING } });
  const value = (bindings: Record<string, unknown>) => {
    const result = program.evaluate(bindings);
    return result.error ?? result.value;
  };
  assert.equal(value({ "variables.a": "x" }), "x");
  assert.equal(value({}), "none");
  assert.deepEqual([...program.references], ["variables.a"]);
});

test("literals of apply configurations", () => {
  const options = { variables: {}, objectType: applyConfigurationType };
  const program = compileCel("Object{spec: Object.spec{replicas: 3, rules: [Object.spec.rules{host: 'a'}]}}", options);
  const result = program.evaluate({});
  assert.ok(result.error === undefined);
  assert.deepEqual(result.value, { spec: { replicas: 3, rules: [{ host: "a" }] } });
  assert.deepEqual(misplacedLiterals(result.raw), []);
  const misplaced = compileCel("Object{spec: Object.spec{rules: [Object.spec.wrong{}]}}", options).evaluate({});
  assert.deepEqual(misplaced.error === undefined && misplacedLiterals(misplaced.raw), [
    'unexpected type name "Object.spec.wrong", expected "Object.spec.rules", which matches field name path from root Object type',
  ]);
  const patch = compileCel("[JSONPatch{op: 'add', path: '/a', value: 1}]", options).evaluate({});
  assert.deepEqual(patch.error === undefined && patch.value, [{ op: "add", path: "/a", value: 1 }]);
});

test("result types", () => {
  assert.equal(compile("self.replicas > 1").resultType, BOOL);
  assert.equal(compile("self.name").resultType, STRING);
  assert.equal(showType(compile("self.rules.map(r, r.weight)").resultType), "list(int)");
  assert.equal(showType(compile("[]").resultType), "list(dyn)");
});
