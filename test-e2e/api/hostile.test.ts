import assert from "node:assert/strict";
import { connect } from "node:http2";
import { after, before, test } from "node:test";
import { buildPrograms } from "../../hack/lib/cluster.ts";
import { eventually } from "../framework/lab.ts";
import { type Reply, TestMaster } from "../framework/master.ts";

const limit = { timeout: 60_000 };
const master = new TestMaster();
const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";

before(
  async () => {
    if (process.env["KUBITS_LAB"] === undefined) await buildPrograms();
    const people = 'flood,flooder,1,"people"\nbeat,system:node:n1,2,"system:nodes"\n';
    // Few seats, so that little makes a flood.
    const seats = ["--max-requests-inflight=20", "--max-mutating-requests-inflight=10"];
    await master.start(`--token-auth-file=${master.file("tokens.csv", people)}`, ...seats);
  },
  { timeout: 120_000 },
);
after(() => master.stop());

const string = { type: "string" };
const rule = (expression: string, of: object = string) => ({
  ...of,
  "x-kubernetes-validations": [{ rule: expression }],
});
const definition = (plural: string, spec: object) => ({
  metadata: { name: `${plural}.hostile.example.com` },
  spec: {
    group: "hostile.example.com",
    scope: "Namespaced",
    names: { plural, kind: plural[0]!.toUpperCase() + plural.slice(1) },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: "object", properties: { spec } } },
      },
    ],
  },
});
const define = (plural: string, spec: object) => master.ask(crds, { body: definition(plural, spec) });
const at = (plural: string) => `/apis/hostile.example.com/v1/namespaces/default/${plural}`;
const make = (plural: string, name: string, spec: unknown) =>
  master.ask(at(plural), {
    body: {
      apiVersion: "hostile.example.com/v1",
      kind: plural[0]!.toUpperCase() + plural.slice(1),
      metadata: { name },
      spec,
    },
  });
/** The server stays at others' service while it deals with something. */
async function bounded(what: string, asked: Promise<Reply>): Promise<Reply> {
  const started = Date.now();
  const reply = await asked;
  const took = Date.now() - started;
  assert.ok(took < 5000, `${what} took ${took} ms`);
  assert.equal((await master.ask("/livez")).text, "ok");
  return reply;
}

test("rules that could cost too much are refused before they are stored", limit, async () => {
  const strings = (more: object = {}) => ({ type: "array", items: string, ...more });
  const bombs: Record<string, [object, RegExp]> = {
    nested: [
      rule("self.all(a, self.all(b, self.all(c, a + b != c)))", strings()),
      /Forbidden: estimated rule cost exceeds budget by factor of more than 100x/,
    ],
    unbounded: [
      { type: "array", items: { type: "array", items: rule("self.matches('a+')") } },
      /Forbidden: estimated rule cost exceeds budget|Forbidden: contributed to estimated rule cost total exceeding cost limit/,
    ],
    broken: [rule("self..x"), /Invalid value: .*compilation failed: ERROR: <input>:1:6: Syntax error/],
    untyped: [
      rule("self + 1 == 2"),
      /compilation failed: .*found no matching overload for '_\+_' applied to '\(string, int\)'/,
    ],
    pattern: [rule("self.matches('(a')"), /compilation failed: .*invalid matches argument/],
  };
  for (const [plural, [spec, message]] of Object.entries(bombs)) {
    const { status, json, text } = await bounded(plural, define(plural, spec));
    assert.equal(status, 422, text);
    assert.match(String(json["message"]), message);
  }
  const bounds = { maxItems: 5, items: { ...string, maxLength: 10 } };
  const fine = await define("bounded", rule("self.all(a, self.all(b, a != b || a == b))", strings(bounds)));
  assert.equal(fine.status, 201, fine.text);
});

test("schemas that recurse, are deep, or are no structural schemas are refused", limit, async () => {
  let deep: object = string;
  for (let i = 0; i < 1000; i++) deep = { type: "object", properties: { a: deep } };
  const wrong: Record<string, [object, RegExp]> = {
    referring: [{ $ref: "#/properties/spec" }, /Forbidden: \$ref is not supported/],
    untyped: [{ properties: { a: {} } }, /type: Required value: must not be empty for specified object fields/],
    unique: [
      { type: "array", uniqueItems: true, items: string },
      /uniqueItems: Forbidden: uniqueItems cannot be set to true/,
    ],
    both: [
      { type: "object", additionalProperties: string, properties: { a: string } },
      /Forbidden: properties and additionalProperties are mutual exclusive|additionalProperties: Forbidden/,
    ],
    unkeyed: [
      { type: "array", "x-kubernetes-list-type": "map", items: { type: "object", properties: { a: string } } },
      /x-kubernetes-list-map-keys: Required value/,
    ],
    misfit: [{ type: "string", pattern: "(", default: 1 }, /pattern: Invalid value|default: Invalid value/],
  };
  for (const [plural, [spec, message]] of Object.entries(wrong)) {
    const { status, text } = await bounded(plural, define(plural, spec));
    assert.equal(status, 422, text);
    assert.match(text, message);
  }
  const bottomless = await bounded("deep", define("deep", deep));
  assert.ok(
    bottomless.status === 400 || bottomless.status === 422 || bottomless.status === 413,
    `${bottomless.status}: ${bottomless.text.slice(0, 300)}`,
  );
});

test("patterns and expressions cannot keep the server busy", limit, async () => {
  const spec = {
    type: "object",
    properties: {
      pattern: { ...string, pattern: "^(a+)+$" },
      rule: { ...rule("self.matches('^(a|a)*$') || self.size() > 3", { ...string, maxLength: 100_000 }) },
      heavy: {
        type: "array",
        maxItems: 400,
        items: { type: "string", maxLength: 4 },
        "x-kubernetes-validations": [{ rule: "self.all(a, self.exists(b, b.contains(a) && a.contains(b)))" }],
      },
    },
  };
  assert.equal((await define("busy", spec)).status, 201);
  await eventually("they are served", async () => ((await master.ask(at("busy"))).status === 200 ? true : undefined));
  const evil = `${"a".repeat(50_000)}!`;
  const refused = await bounded("a pattern", make("busy", "pattern", { pattern: evil }));
  assert.equal(refused.status, 422);
  assert.match(refused.text, /should match '\^\(a\+\)\+\$'/);
  assert.equal((await bounded("an expression", make("busy", "rule", { rule: evil }))).status, 201);
  const heavy = Array.from({ length: 400 }, (_, index) => `x${index}`.padEnd(4, "y"));
  const { status } = await bounded("a heavy rule", make("busy", "heavy", { heavy }));
  assert.ok(status === 201 || status === 422, String(status));
});

test("a policy that spends its budget fails by its failure policy, and others go on", limit, async () => {
  const range = `[${Array.from({ length: 100 }, (_, index) => index).join(",")}]`;
  const validations = [
    { expression: `${range}.all(a, ${range}.all(b, ${range}.all(c, ${range}.all(d, a + b + c + d >= 0))))` },
  ];
  const matchConstraints = {
    resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["configmaps"] }],
  };
  const made = await master.ask(policies, {
    body: { metadata: { name: "bomb" }, spec: { matchConstraints, validations } },
  });
  assert.equal(made.status, 201, made.text);
  const binding = { metadata: { name: "bomb" }, spec: { policyName: "bomb", validationActions: ["Deny"] } };
  assert.equal((await master.ask(policies.replace("policies", "policybindings"), { body: binding })).status, 201);
  const refused = await eventually("the policy counts", async () => {
    const reply = await bounded(
      "a bomb",
      master.ask("/api/v1/namespaces/default/configmaps?dryRun=All", { body: { metadata: { name: "x" } } }),
    );
    return reply.status === 201 ? undefined : reply;
  });
  assert.match(
    refused.text,
    /cost limit exceeded|exceeds? (the )?cost|validation failed due to running out of cost budget/,
  );
  assert.equal(
    (await master.ask("/api/v1/namespaces/default/secrets?dryRun=All", { body: { metadata: { name: "x" } } })).status,
    201,
  );
  assert.equal((await master.ask(`${policies}/bomb`, { method: "DELETE" })).status, 200);
});

test("bodies that are too large, too deep or no objects are refused", limit, async () => {
  const data = "x".repeat(4 * 1024 * 1024);
  const tooLarge = { metadata: { name: "x" }, data: { data } };
  // The server may close the connection while the body is still being written: then no answer is read, and we try again.
  const huge = await eventually("the refusal is read", () =>
    bounded("a huge body", master.ask("/api/v1/namespaces/default/configmaps", { body: tooLarge })),
  );
  assert.equal(huge.status, 413);
  assert.match(huge.text, /RequestEntityTooLarge/);
  const wide = await bounded(
    "a ConfigMap over its limit",
    master.ask("/api/v1/namespaces/default/configmaps", {
      body: { metadata: { name: "x" }, data: { data: data.slice(0, 1_200_000) } },
    }),
  );
  assert.equal(wide.status, 422);
  assert.match(wide.text, /Too long: may not be more than 1048576 bytes/);
  for (const body of [[1], { kind: "ConfigMap", metadata: "x" }, { metadata: { name: { a: 1 } } }]) {
    const { status } = await bounded("nonsense", master.ask("/api/v1/namespaces/default/configmaps", { body }));
    assert.ok(status === 400 || status === 422, `${JSON.stringify(body)}: ${status}`);
  }
  const polluted = JSON.parse('{"metadata":{"name":"polluted"},"data":{"__proto__":"x","constructor":"y"}}') as object;
  assert.equal((await master.ask("/api/v1/namespaces/default/configmaps", { body: polluted })).status, 201);
  const read = (await master.ask("/api/v1/namespaces/default/configmaps/polluted")).json["data"];
  assert.equal(JSON.stringify(read), '{"__proto__":"x","constructor":"y"}');
});

test("a client that floods the server does not keep nodes from renewing their leases", limit, async () => {
  const rbac = "/apis/rbac.authorization.k8s.io/v1";
  const apiGroup = "rbac.authorization.k8s.io";
  const rules = [{ apiGroups: [""], resources: ["configmaps"], verbs: ["list"] }];
  await master.ask(`${rbac}/clusterroles`, { body: { metadata: { name: "look" }, rules } });
  const roleRef = { kind: "ClusterRole", name: "look", apiGroup };
  const subjects = [{ kind: "Group", name: "people", apiGroup }];
  await master.ask(`${rbac}/clusterrolebindings`, { body: { metadata: { name: "look" }, roleRef, subjects } });
  const body = (name: string) => ({ body: { metadata: { name }, data: { text: "x".repeat(2000) } } });
  const configMaps = "/api/v1/namespaces/default/configmaps";
  await Promise.all(Array.from({ length: 100 }, (_, index) => master.ask(configMaps, body(`flood-${index}`))));
  const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
  const spec = { holderIdentity: "n1", leaseDurationSeconds: 40 };
  assert.equal((await master.ask(leases, { token: "beat", body: { metadata: { name: "n1" }, spec } })).status, 201);

  const session = connect(`https://127.0.0.1:${master.port}`, { ca: master.ca });
  session.on("error", () => undefined); // the server may cut a flood off
  const answers = new Map<number, number>();
  let flooding = true;
  const list = (): Promise<void> =>
    new Promise((resolve) => {
      const stream = session.request({ ":path": "/api/v1/configmaps", authorization: "Bearer flood" });
      stream.on("response", (headers) => {
        const status = headers[":status"] ?? 0;
        const level = headers["x-kubernetes-pf-prioritylevel-uid"];
        if (typeof level !== "string" || level.length !== 36) answers.set(-1, 1);
        if (status === 429 && !(Number(headers["retry-after"]) > 0)) answers.set(-2, 1);
        answers.set(status, (answers.get(status) ?? 0) + 1);
      });
      stream.on("error", () => undefined).on("close", resolve);
      stream.resume();
    });
  const floods = Array.from({ length: 90 }, async () => {
    while (flooding && !session.destroyed) await list();
  });
  await eventually("the flood is there", async () => ((answers.get(200) ?? 0) > 20 ? true : undefined));
  const headers = { "content-type": "application/merge-patch+json" };
  let slowest = 0;
  for (let beat = 0; beat < 8; beat++) {
    const started = Date.now();
    const renewal = { spec: { renewTime: new Date().toISOString().replace("Z", "000Z") } };
    const { status } = await master.ask(`${leases}/n1`, { method: "PATCH", token: "beat", body: renewal, headers });
    assert.equal(status, 200);
    slowest = Math.max(slowest, Date.now() - started);
  }
  flooding = false;
  await Promise.all(floods);
  session.close();
  const metrics = (await master.ask("/metrics")).text;
  const dispatched = /apiserver_flowcontrol_dispatched_requests_total\{flow_schema="global-default",[^}]*\} (\d+)/.exec(
    metrics,
  );
  assert.ok(Number(dispatched?.[1]) >= answers.get(200)!, metrics);
  assert.match(
    metrics,
    /apiserver_flowcontrol_request_wait_duration_seconds_count\{execute="true",flow_schema="system-node-high"/,
  );
  assert.ok(slowest < 5000, `a lease took ${slowest} ms`); // a node renews every ten seconds
  assert.deepEqual(
    [...answers.keys()].filter((status) => status !== 200 && status !== 429),
    [],
  );
});
