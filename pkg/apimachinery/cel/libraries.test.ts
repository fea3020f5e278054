import assert from "node:assert/strict";
import { test } from "node:test";
import {
  authorizerValue,
  AUTHORIZER_TYPE,
  type AuthorizationCheck,
  compileCel,
  mutationFunctions,
  requestResourceValue,
  RESOURCE_CHECK_TYPE,
  STRING,
} from "./index.ts";

/** JSON value of an expression, or the error's message after "!". */
function evaluate(expression: string): unknown {
  const result = compileCel(expression, { variables: {}, functions: mutationFunctions }).evaluate({});
  return result.error === undefined ? result.value : `!${result.error.message}`;
}
function check(table: readonly (readonly [string, unknown])[]): void {
  for (const [expression, expected] of table) assert.deepEqual(evaluate(expression), expected, expression);
}

test("lists", () => {
  check([
    ["[1, 3, 4].isSorted()", true],
    ["['b', 'a'].isSorted()", false],
    ["[].isSorted()", true],
    ["[1, 3].sum()", 4],
    ["[1.0, 3.5].sum()", 4.5],
    ["['b', 'a', 'c'].max()", "c"],
    ["[3, 1, 2].min()", 1],
    ["[1, 2, 2].indexOf(2)", 1],
    ["[1, 2, 2].lastIndexOf(2)", 2],
    ["[duration('1m'), duration('1h')].max() == duration('1h')", true],
    ["['b', 'c', 'c', 'a'].isSorted()", false],
    ["['a', 'b', 'b', 'c'].isSorted()", true],
    ["[duration('1m'), duration('1s')].sum() == duration('1m1s')", true],
    ["[].sum()", 0],
    ["['a', 'b', 'b'].indexOf('c')", -1],
    ["dyn([]).min()", "!min called on empty list"],
  ]);
});

test("regular expressions are RE2, in linear time", () => {
  check([
    ["'abc 123'.find('[0-9]+')", "123"],
    ["'abc'.find('[0-9]+')", ""],
    ["'123 abc 456'.findAll('[0-9]+')", ["123", "456"]],
    ["'123 abc 456'.findAll('[0-9]+', 1)", ["123"]],
    ["'abc 123'.find('xyz')", ""],
    ["'123 abc 456'.findAll('xyz')", []],
    ["'123 abc 456 def 789'.findAll('[0-9]+', 2)", ["123", "456"]],
    ["'abc 123'.findAll('[0-9]*', 0)", []],
    ["'a'.matches('' + '(')", "!error parsing regexp: missing closing ): `(`"],
  ]);
  const started = process.hrtime.bigint();
  assert.equal(evaluate(`'${"a".repeat(200)}!'.matches('^(a+)+$')`), false);
  assert.ok(process.hrtime.bigint() - started < 2_000_000_000n);
});

test("URLs", () => {
  check([
    ["isURL('https://example.com/a')", true],
    ["isURL('/absolute/path')", true],
    ["isURL('relative')", false],
    ["isURL('https://a:b:c/')", false],
    ["url('https://[::1]:80/p').getHost()", "[::1]:80"],
    ["url('https://[::1]:80/p').getHostname()", "::1"],
    ["url('https://example.com:80/').getPort()", "80"],
    ["url('https://example.com/').getScheme()", "https"],
    ["url('https://example.com/path with spaces/').getEscapedPath()", "/path%20with%20spaces/"],
    ["url('https://example.com').getEscapedPath()", ""],
    ["url('https://example.com/p?q=1#part').getQuery()", { q: ["1"] }],
    ["url('mailto:somebody@example.com').getScheme()", "mailto"],
    ["url('mailto:somebody@example.com').getHost()", ""],
    ["isURL('https://exa mple.com/')", false],
    ["isURL('*') && !isURL('https://[::1/')", true],
    ["url('https://e.com/?a=%zz&b=1;2&c=3').getQuery()", { c: ["3"] }],
    ["isURL('../relative-path')", false],
    ["url('/path').getHost()", ""],
    ["url('https://example.com:80/').getHostname()", "example.com"],
    ["url('https://[::1]:80/').getPort()", "80"],
    ["url('https://example.com/?').getQuery()", {}],
    ["url('https://e.com/?k1=a&k2=b&k2=c').getQuery()", { k1: ["a"], k2: ["b", "c"] }],
    ["url('/p') == url('/p')", true],
    ["url('nope')", '!URL parse error during conversion from string: parse "nope": invalid URI for request'],
  ]);
});

test("quantities", () => {
  check([
    ["quantity('200M').isGreaterThan(quantity('0.2G'))", false],
    ["quantity('200M').compareTo(quantity('0.2G'))", 0],
    ["quantity('50k').add(20) == quantity('50020')", true],
    ["quantity('50k').sub(quantity('20')).asInteger()", 49980],
    ["quantity('1.5').isInteger()", false],
    ["quantity('1.5k').asInteger()", 1500],
    ["quantity('1.5Ki').isInteger()", false],
    ["quantity('1Ki').add(quantity('1')).asInteger()", 1025],
    ["isQuantity(' 1')", false],
    ["bool('T') && !bool('F')", true],
    ["sign(quantity('-3'))", -1],
    ["quantity('0.5').asApproximateFloat()", 0.5],
    ["quantity('50000000Gi').isInteger()", true],
    ["quantity('9999999999999999999999999999999999999G').isInteger()", false],
    ["quantity('500k').compareTo(quantity('1000M'))", -1],
    ["quantity('50Mi').isGreaterThan(quantity('50M'))", true],
    ["isQuantity('10000k') && !isQuantity('200K') && !isQuantity('Three')", true],
    ["isQuantity('1.3Gi')", true],
    ["isQuantity('1,3G')", false],
    ["quantity('50k') == quantity('50000')", true],
  ]);
});

test("addresses and networks", () => {
  check([
    ["isIP('127.0.0.1')", true],
    ["isIP('127.0.0.01')", false],
    ["isIP('::ffff:1.2.3.4')", false],
    ["isIP('fe80::1%eth0')", false],
    ["ip('2001:DB8::0').family()", 6],
    ["ip.isCanonical('2001:DB8::0')", false],
    ["ip.isCanonical('2001:db8::')", true],
    ["string(ip('2001:db8:0:0:1:0:0:1'))", "2001:db8::1:0:0:1"],
    ["ip('127.0.0.1').isLoopback() && ip('::').isUnspecified()", true],
    ["ip('224.0.0.1').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast()", true],
    ["ip('192.168.0.1').isGlobalUnicast()", true],
    ["isIP('256.0.0.1')", false],
    ["isIP('2001:db8::1')", true],
    ["ip('::1').isLoopback() && !ip('127.0.0.1').isUnspecified()", true],
    ["ip('169.254.169.254').isLinkLocalUnicast() && ip('ff02::1').isLinkLocalMulticast()", true],
    ["ip('255.255.255.255').isGlobalUnicast()", false],
    ["ip('0.0.0.0').isUnspecified()", true],
    ["cidr('192.168.0.0/24').ip().family()", 4],
    ["cidr('::1/128').ip() == ip('::1')", true],
    ["cidr('192.168.0.0/24') == cidr('192.168.0.0/24').masked()", true],
    ["cidr('192.168.0.15/24') == cidr('192.168.0.15/24').masked()", false],
    ["isCIDR('192.168.1.0/24') && !isCIDR('192.168.0.1/240')", true],
    ["cidr('192.168.0.0/24').containsIP('192.168.0.1')", true],
    ["cidr('192.168.0.0/24').containsIP(ip('192.168.1.1'))", false],
    ["cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24')", true],
    ["cidr('192.168.0.0/24').containsCIDR('192.168.0.0/16')", false],
    ["string(cidr('192.168.1.1/24').masked())", "192.168.1.0/24"],
    ["cidr('::/64').prefixLength()", 64],
    ["cidr('192.168.0.1/24').ip() == ip('192.168.0.1')", true],
    ["isCIDR('192.168.0.0/33')", false],
    ["isCIDR('10.0.0.0')", false],
  ]);
});

test("formats", () => {
  check([
    ["!format.dns1123Label().validate('my-label').hasValue()", true],
    ["format.labelValue().validate('-').value().size()", 1],
    ["format.named('uuid').value().validate('not-a-uuid').value()", ["does not match the UUID format"]],
    ["format.named('nope').hasValue()", false],
    ["format.date().validate('2026-02-30').hasValue()", true],
    ["format.datetime().validate('2026-02-03T04:05:06Z').hasValue()", false],
    ["format.byte().validate('aGk=').hasValue()", false],
    ["format.dns1123LabelPrefix().validate('web-').hasValue()", false],
  ]);
});

test("versions", () => {
  check([
    ["semver('1.2.3').compareTo(semver('1.10.0'))", -1],
    ["semver('1.2.3-alpha').isLessThan(semver('1.2.3'))", true],
    ["semver('v01.2', true) == semver('1.2.0')", true],
    ["isSemver('1.0') || isSemver('200K') || isSemver('Mi')", false],
    ["isSemver('1.0', true) && isSemver('01.01.01', true)", true],
    ["semver('1.2.3').major() == 1 && semver('1.2.3').patch() == 3", true],
    ["semver('1.0.0').isGreaterThan(semver('1.0.0-rc.1'))", true],
    ["isSemver('v1.2.3')", false],
    ["isSemver('v1.2.3', true)", true],
    ["semver('1.2.3').minor()", 2],
  ]);
});

test("sets, math, strings, optionals, two-variable comprehensions", () => {
  check([
    ["sets.equivalent([1, 2, 2], [2, 1])", true],
    ["sets.intersects([1], [2])", false],
    ["'a,b,c'.split(',', 2)", ["a", "b,c"]],
    ["'%s is %d'.format(['x', 2])", "x is 2"],
    ["optional.none().orValue(1)", 1],
    ["{'a': 1}[?'b'].hasValue()", false],
    ["[?optional.of(1), ?optional.none()]", [1]],
    ["{'a': {'b': 2}}.?a.?b.optMap(x, x * 2).orValue(0)", 4],
    ["[10, 20].transformMap(i, v, v + i)", { 0: 10, 1: 21 }],
    ["{'a': 1, 'b': 2}.transformList(k, v, v > 1, k)", ["b"]],
    ["{'a': 'x'}.transformMapEntry(k, v, {v: k})", { x: "a" }],
    ["[1, 2].all(i, v, v == i + 1)", true],
    ["{'a': 1}.existsOne(k, v, v == 1)", true],
    ["string(timestamp('2024-05-06T01:08:09.5+02:00'))", "2024-05-06T01:08:09.5+02:00"],
    ["timestamp('2024-05-06T01:08:09-05:30') - duration('10m')", "2024-05-06T00:58:09-05:30"],
    ["timestamp('2024-05-06T01:08:09+00:00')", "2024-05-06T01:08:09Z"],
    ["timestamp('2024-05-06T01:08:09+02:00') == timestamp('2024-05-05T23:08:09Z')", true],
    ["jsonpatch.escapeKey('k8s.io/a~b')", "k8s.io~1a~0b"],
  ]);
  // Mutations alone have it.
  assert.throws(() => compileCel("jsonpatch.escapeKey('a')", { variables: {} }), /undeclared reference to/);
});

test("authorizer", () => {
  const asked: AuthorizationCheck[] = [];
  const authorize = (question: AuthorizationCheck) => {
    asked.push(question);
    return { allowed: question.verb === "get", reason: "because" };
  };
  const parts = { group: "", resource: "pods", subresource: "", namespace: "ns", name: "p" };
  const run = (expression: string): unknown => {
    const program = compileCel(expression, {
      variables: { authorizer: AUTHORIZER_TYPE, "authorizer.requestResource": RESOURCE_CHECK_TYPE },
    });
    const result = program.evaluate({
      authorizer: authorizerValue(authorize),
      "authorizer.requestResource": requestResourceValue(authorize, parts),
    });
    return result.error ?? result.value;
  };
  assert.equal(run("authorizer.path('/healthz').check('get').allowed()"), true);
  assert.equal(
    run(
      "authorizer.group('apps').resource('deployments').subresource('scale').namespace('d').name('x').check('update').allowed()",
    ),
    false,
  );
  assert.equal(run("authorizer.serviceAccount('d', 'sa').group('').resource('pods').check('get').reason()"), "because");
  assert.equal(run("authorizer.requestResource.check('get').allowed()"), true);
  assert.deepEqual(asked, [
    { path: "/healthz", verb: "get" },
    { group: "apps", resource: "deployments", subresource: "scale", namespace: "d", name: "x", verb: "update" },
    {
      group: "",
      resource: "pods",
      subresource: "",
      namespace: "",
      name: "",
      verb: "get",
      serviceAccount: { namespace: "d", name: "sa" },
    },
    { ...parts, verb: "get" },
  ]);
});

test("literals that can never work are refused when compiled", () => {
  const compile = (expression: string) => () => compileCel(expression, { variables: { self: STRING } });
  assert.throws(compile("self.matches('(a')"), /ERROR: <input>:1:14: invalid matches argument/);
  assert.throws(compile("self.matches('a(?=b)')"), /invalid matches argument/);
  assert.throws(compile("duration('soon') > duration('1s')"), /ERROR: <input>:1:10: invalid duration argument/);
  assert.throws(compile("timestamp('yesterday') < timestamp(self)"), /invalid timestamp argument/);
  assert.throws(compile("timestamp('2023-02-30T00:00:00Z') < timestamp(self)"), /invalid timestamp argument/);
  compile("self.matches('^a+$') && duration('1m') > duration('1s')")();
});
