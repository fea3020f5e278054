import assert from "node:assert/strict";
import { test } from "node:test";
import { compileCel } from "./index.ts";
import { specTests, type SpecTest } from "./conformance-data.ts";
import { celEquals } from "./equality.ts";
import { kindOf, type Value } from "./values.ts";

const CEL_GO_DIFFERS = new Set(["indexof_out_of_range", "lastindexof_out_of_range", "get_milliseconds"]);
const UNCHECKED = "evaluates what the checker refuses";

/** Why a test of the specification does not apply; undefined: it must pass. */
function exemption({ suite, name, expr, disableCheck, expected, needsProtobuf }: SpecTest): string | undefined {
  if (needsProtobuf) return "API objects have no protobuf messages, enums or wrappers";
  if (suite.startsWith("block_ext")) return "cel.block is an optimiser's internal form";
  if (/^(?:encoders|math|bindings)_ext/.test(suite)) return "not among Kubernetes' libraries";
  if (suite.startsWith("string_ext/format"))
    return "Kubernetes' version of the library formats numbers and lists otherwise";
  if (CEL_GO_DIFFERS.has(name)) return "cel-go, which Kubernetes uses, decides otherwise";
  if (expr.includes(".reverse()")) return "not in Kubernetes' version of the library";
  if (/existsOne\(\w+, [^,]*\)/.test(expr)) return "not in Kubernetes' version of the language";
  // Kubernetes checks every expression, so what does not type-check is refused and never evaluated.
  if (disableCheck && expected !== undefined) return UNCHECKED;
  if (/\b(?:fn|tuple|sort)\(/.test(expr)) return "declares functions of its own";
  return undefined;
}

function outcome({ expr, variables, bindings, container, checkOnly }: SpecTest): Value | Error {
  try {
    const program = compileCel(expr, { variables, mixedLiterals: true, container });
    if (checkOnly) return true;
    const result = program.evaluate(bindings, { costBudget: 1e9 });
    return result.error ?? result.raw;
  } catch (error) {
    if (error instanceof Error && error.name === "CelCompileError") return error;
    throw error;
  }
}

function matches({ expected, checkOnly }: SpecTest, actual: Value | Error): boolean {
  if (actual instanceof Error) return expected === undefined;
  if (checkOnly) return true;
  if (expected === undefined) return false;
  if (Number.isNaN(expected)) return Number.isNaN(actual);
  return kindOf(actual) === kindOf(expected) && celEquals(actual, expected);
}

test("the specification's conformance tests", () => {
  const tests = specTests();
  const exempt = new Map<string, number>();
  const failures: string[] = [];
  let passed = 0;
  for (const spec of tests) {
    const reason = exemption(spec);
    if (reason !== undefined) {
      exempt.set(reason, (exempt.get(reason) ?? 0) + 1);
      // It is the checker that refuses, not the parser; what it lets pass has to be right.
      if (reason === UNCHECKED) {
        const actual = outcome(spec);
        if (actual instanceof Error) assert.doesNotMatch(String(actual), /Syntax error/, spec.expr);
        else assert.ok(matches(spec, actual), spec.expr);
      }
      continue;
    }
    const actual = outcome(spec);
    if (matches(spec, actual)) passed++;
    else failures.push(`${spec.suite} ${spec.name}: ${spec.expr} gave ${String(actual)}`);
  }
  assert.deepEqual(failures, []);
  assert.deepEqual(
    [...exempt.values()].sort((a, b) => b - a),
    [693, 208, 89, 31, 25, 5, 3],
    "another version of the specification: look at what it exempts",
  );
  assert.equal(passed, 1290);
  assert.equal(passed + 693 + 208 + 89 + 31 + 25 + 5 + 3, tests.length);
});
