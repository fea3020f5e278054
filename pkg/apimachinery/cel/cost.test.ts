import assert from "node:assert/strict";
import { test } from "node:test";
import type { FieldSchema } from "../schema.ts";
import { AUTHORIZER_TYPE, authorizerValue, compileCel, mutationFunctions } from "./index.ts";

const IPV6 = "2001:db8:3333:4444:5555:6666:7777:8888";
const FIFTY = "'01234567890123456789012345678901234567890123456789'";

/** Upstream's figures: expression, least and most by estimation, and what it costs when evaluated. */
const COSTS: readonly (readonly [string, number, number, number])[] = [
  ["[1, 2, 3, 4, 5].sum()", 15, 15, 15],
  ["[uint(1), uint(2), uint(3), uint(4), uint(5)].sum()", 20, 20, 20],
  ["[1.0, 2.0, 3.0, 4.0, 5.0].isSorted()", 15, 15, 15],
  ["[1, 2, 3, 4, 5].indexOf(3)", 15, 15, 15],
  [`${FIFTY}.indexOf('123')`, 5, 5, 5],
  ["url('https:://kubernetes.io/').getHost()", 4, 4, 4],
  ["url('https:://kubernetes.io/') == url('http://x.b')", 5, 5, 5],
  ["ip('192.168.0.1')", 2, 2, 2],
  [`ip('${IPV6}').isLoopback()`, 5, 5, 5],
  ["ip('192.168.0.1') == ip('192.168.0.1')", 5, 5, 5],
  ["ip.isCanonical('192.168.0.1')", 3, 3, 3],
  [`ip.isCanonical('${IPV6}')`, 8, 8, 8],
  ["cidr('192.168.0.0/16').masked()", 3, 3, 3],
  ["cidr('192.168.0.0/16').containsCIDR('192.0.0.0/30')", 7, 11, 7],
  ["cidr('192.168.0.0/16').containsIP('192.0.0.1')", 4, 7, 4],
  ["cidr('192.168.0.0/16').containsIP(ip('192.169.0.1'))", 5, 8, 5],
  ["'ABCDEFGHIJ abcdefghij'.lowerAscii()", 3, 3, 3],
  ["'ABCDEFGHIJ abcdefghij'.lowerAscii() == 'abcdefghij ABCDEFGHIJ'.lowerAscii()", 7, 9, 9],
  ["strings.quote('ABCDEFGHIJ abcdefghij')", 3, 3, 3],
  ["'abc 123 def 123'.replace('123', '456')", 3, 3, 3],
  ["'abc 123 def 123'.split(' ', 1)", 3, 3, 3],
  ["'abc 123 def 123'.substring(5, 8)", 2, 2, 2],
  ["'abc 123 def 123'.findAll('123')", 2, 2, 2],
  ["jsonpatch.escapeKey('abc/def~ abc/def~')", 2, 2, 2],
  ['quantity("200M") == quantity("0.2G") && quantity("0.2G") == quantity("200M")', 3, 6, 6],
  ['quantity("50k").add(20).sub(quantity("100k")).asInteger() > 0', 6, 6, 6],
  ['format.named("dns1123Label").value().validate("my-name")', 34, 34, 10],
  ['format.named("dns1123Subdomain").value().validate("my-name")', 34, 34, 17],
  ["sets.contains([1, 2, 3, 4], [2, 3])", 29, 29, 29],
  ["sets.equivalent([1, 2, 3], [3u, 2.0, 1])", 39, 39, 39],
  ["!sets.intersects([1], [])", 22, 22, 22],
  ['semver("1234.56789012345.67890123456789")', 4, 4, 4],
  ['semver("1.0.0").isLessThan(semver("1.1.0"))', 3, 3, 3],
];

test("what the authorizer is asked is dear", () => {
  const authorizer = authorizerValue(() => ({ allowed: true, reason: "" }));
  const costOf = (expression: string): readonly number[] => {
    const program = compileCel(expression, { variables: { authorizer: AUTHORIZER_TYPE } });
    const { min, max } = program.estimatedCost;
    return [min, max, program.evaluate({ authorizer }, { costBudget: 1e7 }).cost];
  };
  const resource =
    "authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend')";
  const selector = "'spec.nodeName=example-node-name.fully.qualified.domain.name.example.com'";
  for (const [expression, cost] of [
    ["authorizer.path('/healthz')", 2],
    [resource, 6],
    [`authorizer.group('').resource('pods').fieldSelector(${selector})`, 1821],
    [`authorizer.group('').resource('pods').labelSelector(${selector})`, 1821],
    ["authorizer.path('/healthz').check('get').allowed()", 350_003],
    [`${resource}.check('create').allowed()`, 350_007],
  ] as const)
    assert.deepEqual(costOf(expression), [cost, cost, cost], expression);
  const thrice = ["a", "b", "c"].map((verb) => `authorizer.path('/x').check('${verb}').allowed()`).join(" && ");
  const program = compileCel(thrice, { variables: { authorizer: AUTHORIZER_TYPE } });
  assert.equal(program.evaluate({ authorizer }).error?.name, "CelCostError");
});

test("expressions cost what they cost upstream", () => {
  const differing: string[] = [];
  for (const [expression, min, max, actual] of COSTS) {
    const program = compileCel(expression, { variables: {}, functions: mutationFunctions, mixedLiterals: true });
    const { cost } = program.evaluate({});
    const { estimatedCost } = program;
    if (estimatedCost.min !== min || estimatedCost.max !== max || cost !== actual)
      differing.push(
        `${expression}: [${estimatedCost.min}, ${estimatedCost.max}] ${cost}, not [${min}, ${max}] ${actual}`,
      );
  }
  assert.deepEqual(differing, []);
});

/** Where upstream evaluates constants beforehand, and follows the bounds of a schema. */
const OPTIMIZED: readonly (readonly [string, number, number, number])[] = [
  ["[3, 1, 2].sort() == [1, 2, 3]", 50, 50, 30],
  ["self.list.map(x, x + '!')", 13, 233, 31],
  ["self.list.filter(x, x != 'a').size()", 14, 164, 21],
  ["self.list.sortBy(x, x).size()", 37, 377, 51],
  ["self.name in ['a', 'hello']", 14, 14, 2],
  ["self.name.contains('ell')", 2, 28, 3],
  ["self.?name.orValue('')", 3, 3, 2],
  ["{'a': self.list}.a", 33, 33, 34],
  ["lists.range(3).reverse()", 28, 28, 28],
];

test("constants cost nothing, and bounds are the schema's", () => {
  const text = (maxLength: number) => ({ type: "string" as const, raw: { maxLength } });
  const list = { type: "array" as const, items: text(20), raw: { maxItems: 10 } };
  const self = {
    type: "object" as const,
    properties: new Map<string, FieldSchema>([
      ["list", list],
      ["name", text(64)],
    ]),
  };
  const costs = OPTIMIZED.map(([expression]) => {
    const program = compileCel(expression, { variables: { self } });
    const { cost } = program.evaluate({ self: { list: ["a", "b"], name: "hello" } });
    return [expression, program.estimatedCost.min, program.estimatedCost.max, cost];
  });
  assert.deepEqual(costs, OPTIMIZED);
});
