import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { Api, type Answer } from "../framework/api.ts";
import { eventually, useCluster } from "../framework/lab.ts";
import { pod } from "../framework/manifests.ts";
import { startPodServer } from "../framework/pod-server.ts";

const context = useCluster("webhooks");
const limit = { timeout: 120_000 };
const run = Math.random().toString(36).slice(2, 8);
const registration = "/apis/admissionregistration.k8s.io/v1";
const core = () => `/api/v1/namespaces/${context.cluster.namespace}`;
let api: Api;
let caBundle: string;

afterEach(async () => {
  for (const family of ["validating", "mutating"] as const)
    await api?.ask(`${plural(family)}?labelSelector=run%3D${run}`, { method: "DELETE" });
});
after(() => api?.close());

interface HookOptions {
  readonly path: string;
  readonly operations?: readonly string[];
  readonly resources?: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly more?: object;
}
/** A webhook of the pod, for requests in this file's namespace only. */
const hook = ({ path, operations = ["CREATE"], resources = ["configmaps"], apiGroups = [""], more }: HookOptions) => ({
  name: `${path.slice(1)}.example.com`,
  rules: [{ apiGroups, apiVersions: ["*"], operations, resources }],
  clientConfig: { service: { namespace: context.cluster.namespace, name: "webhook", path }, caBundle },
  namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": context.cluster.namespace } },
  sideEffects: "None",
  admissionReviewVersions: ["v1"],
  ...more,
});
type Family = "validating" | "mutating";
const plural = (family: Family) => `${registration}/${family}webhookconfigurations`;

async function register(family: Family, name: string, ...webhooks: object[]): Promise<string> {
  const metadata = { name: `${name}-${run}`, labels: { run } };
  const { status, text } = await api.ask(plural(family), { body: { metadata, webhooks } });
  assert.equal(status, 201, text);
  return `${plural(family)}/${metadata.name}`;
}
const drop = async (path: string) => assert.equal((await api.ask(path, { method: "DELETE" })).status, 200);

const configMap = (name: string, data: object = { start: "yes" }, labels: object = {}) =>
  api.ask(`${core()}/configmaps`, { body: { metadata: { name, labels }, data } });
const dataOf = ({ json }: Answer) => (json as { data?: Record<string, string> }).data;
const scratch = (data?: object) =>
  api.ask(`${core()}/configmaps?dryRun=All`, {
    body: { metadata: { name: `scratch-${Math.random().toString(36).slice(2)}` }, data: data ?? { start: "yes" } },
  });
/** A change of webhooks has to count at once; on a busy machine the requests that show it take their time. */
const soon = (
  what: string,
  holds: (answer: Answer) => boolean,
  ask: () => Promise<Answer> = scratch,
): Promise<Answer> =>
  eventually(
    what,
    async () => {
      const answer = await ask();
      return holds(answer) ? answer : undefined;
    },
    10_000,
  );

test("a webhook runs as a pod behind a Service", limit, async () => {
  api = await new Api(context.cluster).ready();
  caBundle = await startPodServer(context.cluster, { name: "webhook", script: "webhook.ts" });
});

test("mutating webhooks act in order, and only while they are registered", limit, async () => {
  const config = await register(
    "mutating",
    "order",
    hook({ path: "/stages" }),
    hook({ path: "/stages", more: { name: "second.example.com" } }),
  );
  const both = await soon("the webhooks act", (answer) => dataOf(answer)?.["stage-2"] === "yes");
  assert.deepEqual(dataOf(both), { start: "yes", "stage-1": "yes", "stage-2": "yes" });
  const rule = { operations: ["UPDATE"], apiGroups: [""], apiVersions: ["*"], resources: ["configmaps"] };
  const webhooks = [{ ...hook({ path: "/stages" }), rules: [rule] }];
  assert.equal((await api.ask(config, { method: "PATCH", body: { webhooks } })).status, 200);
  await soon("creation is left alone", (answer) => dataOf(answer)?.["stage-1"] === undefined);
  const restored = JSON.stringify([{ op: "replace", path: "/webhooks/0/rules/0/operations", value: ["CREATE"] }]);
  const headers = { "content-type": "application/json-patch+json" };
  assert.equal((await api.ask(config, { method: "PATCH", body: restored, headers })).status, 200);
  await soon("creation is changed again", (answer) => dataOf(answer)?.["stage-1"] === "yes");
  await drop(config);
  await soon("nothing is changed any more", (answer) => dataOf(answer)?.["stage-1"] === undefined);
});

test("a collection of webhooks is listed and deleted by label", limit, async () => {
  for (let i = 0; i < 10; i++) await register("validating", `list-${i}`, hook({ path: "/validate-data" }));
  const listed = await api.ask(`${plural("validating")}?labelSelector=run%3D${run}`);
  assert.equal((listed.json as unknown as { items: unknown[] }).items.length, 10);
  const denied = await soon(
    "creation is denied",
    ({ status }) => status !== 201,
    () => scratch({ key: "offending" }),
  );
  assert.equal(denied.status, 400);
  assert.equal(
    denied.json.message,
    'admission webhook "validate-data.example.com" denied the request: the object contains unwanted key',
  );
  const removed = await api.ask(`${plural("validating")}?labelSelector=run%3D${run}`, { method: "DELETE" });
  assert.equal(removed.status, 200, removed.text);
  await soon(
    "creation is allowed",
    ({ status }) => status === 201,
    () => scratch({ key: "offending" }),
  );
});

test(
  "objects that do not comply are denied on create, update and patch, except where selectors let them pass",
  limit,
  async () => {
    const writes = { operations: ["CREATE", "UPDATE", "DELETE"] };
    const exempt = { objectSelector: { matchExpressions: [{ key: "exempt", operator: "DoesNotExist" }] } };
    const config = await register(
      "validating",
      "deny",
      hook({ path: "/validate-pod", resources: ["pods"] }),
      hook({ path: "/validate-data", ...writes, more: exempt }),
      hook({ path: "/attach", resources: ["pods/attach"], operations: ["CONNECT"] }),
    );
    await soon(
      "creation is denied",
      ({ status }) => status === 400,
      () => scratch({ key: "offending" }),
    );
    const bad = await api.ask(`${core()}/pods`, { body: pod("disallowed", { labels: { disallowed: "true" } }) });
    assert.equal(bad.status, 400);
    assert.match(
      bad.json.message!,
      /^admission webhook "validate-pod\.example\.com" denied the request: the pod contains unwanted/,
    );
    assert.equal((await configMap("good", {})).status, 201);
    const offending = { data: { key: "offending" } };
    for (const method of ["PATCH", "PUT"]) {
      const body = method === "PUT" ? { metadata: { name: "good" }, ...offending } : offending;
      const { status, json } = await api.ask(`${core()}/configmaps/good`, { method, body });
      assert.equal(status, 400);
      assert.match(json.message!, /denied the request: the object contains unwanted key/);
    }
    assert.equal((await configMap("exempt", { key: "offending" }, { exempt: "yes" })).status, 201);
    const attach = await context.cluster.try(["attach", "webhook", "-i"], { stdin: "", timeoutMs: 20_000 });
    assert.equal(attach.exitCode, 1);
    assert.match(attach.stderr, /attaching to pod 'webhook' is not allowed/);
    await drop(config);
    await soon(
      "creation is allowed",
      ({ status }) => status === 201,
      () => scratch({ key: "offending" }),
    );
  },
);

test("an injected container gets its defaults, and the object of a request stays whose it was", limit, async () => {
  const config = await register("mutating", "pods", hook({ path: "/add-init", resources: ["pods"] }));
  const made = await soon(
    "pods are changed",
    (answer) => (answer.json.spec as { initContainers?: unknown[] }).initContainers?.length === 1,
    () => api.ask(`${core()}/pods?dryRun=All`, { body: pod("injected") }),
  );
  const [init] = (made.json.spec as { initContainers: Record<string, unknown>[] }).initContainers;
  assert.equal(init!["name"], "webhook-added-init-container");
  assert.equal(init!["terminationMessagePolicy"], "File");
  assert.equal(init!["imagePullPolicy"], "IfNotPresent");
  assert.ok((init!["volumeMounts"] as unknown[]).length === 1, "the service account's token is mounted there too");
  await drop(config);
  const refusals: Record<string, RegExp> = {
    "/move": /the namespace of the (provided )?object does not match the namespace (sent )?on the request/,
    "/no-metadata": /metadata\.name: Required value: name or generateName is required/,
    "/bad-patch": /replace operation does not apply: doc is missing path: \/does\/not\/exist/,
  };
  for (const [path, message] of Object.entries(refusals)) {
    const wrong = await register("mutating", "wrong", hook({ path }));
    const refused = await soon(`${path} is refused`, ({ status }) => status !== 201);
    assert.match(refused.text, message);
    await drop(wrong);
    await soon(`${path} is gone`, ({ status }) => status === 201);
  }
  const operations = ["CREATE", "UPDATE"];
  await configMap("steady");
  const uid = (await api.ask(`${core()}/configmaps/steady`)).json.metadata.uid;
  for (const path of ["/uid", "/rename"]) {
    const wrong = await register("mutating", "wrong", hook({ path, operations }));
    const update = () =>
      api.ask(`${core()}/configmaps/steady`, { method: "PATCH", body: { data: { changed: String(Math.random()) } } });
    const refused = await soon(`${path} is refused`, ({ status }) => status !== 200, update);
    assert.match(refused.json.message!, /metadata\.(uid|name): Invalid value: "(0|other)": field is immutable/);
    if (path === "/uid") assert.notEqual((await scratch()).json.metadata.uid, "0");
    await drop(wrong);
    await soon(`${path} is gone`, ({ status }) => status === 200, update);
  }
  assert.equal((await api.ask(`${core()}/configmaps/steady`)).json.metadata.uid, uid);
});

test("webhook configurations are themselves out of reach of webhooks", limit, async () => {
  const resources = ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"];
  const rules = { apiGroups: ["admissionregistration.k8s.io"], resources, operations: ["CREATE", "DELETE", "UPDATE"] };
  const everywhere = { namespaceSelector: {} };
  await register(
    "validating",
    "guard",
    hook({ path: "/deny", ...rules, more: everywhere }),
    hook({ path: "/validate-data" }),
  );
  await register("mutating", "guard", hook({ path: "/label", ...rules, more: everywhere }));
  await soon(
    "they count",
    ({ status }) => status === 400,
    () => scratch({ key: "offending" }),
  );
  const victim = await register("mutating", "victim", hook({ path: "/stages" }));
  assert.equal((await api.ask(victim)).json.metadata.labels?.["mutated"], undefined);
  await drop(victim);
  for (const family of ["validating", "mutating"] as const) await drop(`${plural(family)}/guard-${run}`);
});

test("time-outs, failures and dry runs follow the webhook's policies", limit, async () => {
  const cases = [
    { timeoutSeconds: 1, failurePolicy: "Fail", status: 500 },
    { timeoutSeconds: 1, failurePolicy: "Ignore", status: 201 },
    { timeoutSeconds: 10, failurePolicy: "Fail", status: 201 },
    { failurePolicy: "Fail", status: 201 },
  ];
  for (const { status, ...more } of cases) {
    const name = `slow-${Math.random().toString(36).slice(2, 8)}`;
    const path = await register("validating", name, hook({ path: "/wait", more }), hook({ path: "/validate-data" }));
    // The marker is for the second webhook; it comes back as soon as the configuration counts.
    await eventually("it counts", async () =>
      (await scratch({ key: "offending" })).status === 201 ? undefined : true,
    );
    const answer = await configMap(name, {});
    assert.equal(answer.status, status, `${JSON.stringify(more)}: ${answer.text}`);
    if (status === 500)
      assert.match(
        answer.json.message!,
        /failed calling webhook "wait\.example\.com": failed to call webhook: Post "https:\/\/webhook\.[a-z0-9-]+\.svc:443\/wait\?timeout=1s": context deadline exceeded/,
      );
    await drop(path);
  }
  const failClosed = hook({ path: "/deny", more: { failurePolicy: "Fail" } });
  const { caBundle: _, ...untrusted } = failClosed.clientConfig;
  const closed = await register("validating", "closed", { ...failClosed, clientConfig: untrusted });
  const refused = await soon("it fails closed", ({ status }) => status !== 201);
  assert.equal(refused.status, 500);
  assert.match(refused.json.message!, /x509: certificate signed by unknown authority/);
  await drop(closed);
});

test("what a broken webhook answers is refused and never stored", limit, async () => {
  const refusals: Record<string, RegExp> = {
    "/garbage": /failed to call webhook: yaml: /,
    "/empty": /failed to call webhook: 0-length response with status code: 200/,
    "/huge": /the response is larger than 8388608 bytes/,
    "/wrong-uid": /received invalid webhook response: expected response\.uid="[0-9a-f-]+", got "0"/,
    "/absent": /received invalid webhook response: webhook response was absent/,
    "/nowhere": /the server could not find the requested resource/,
  };
  for (const [path, message] of Object.entries(refusals)) {
    const config = await register("validating", "broken", hook({ path }));
    const refused = await soon(`${path} is refused`, ({ status }) => status !== 201);
    assert.equal(refused.status, 500, refused.text);
    assert.match(refused.json.message!, message);
    await drop(config);
    await soon(`${path} is gone`, ({ status }) => status === 201);
  }
});

test("match conditions are stored, obeyed, and checked when they are written", limit, async () => {
  const matchConditions = [{ name: "not-me", expression: "object.metadata.name != 'skip-me'" }];
  const config = await register("mutating", "conditions", hook({ path: "/stages", more: { matchConditions } }));
  await soon("it counts", (answer) => dataOf(answer)?.["stage-1"] === "yes");
  assert.equal(dataOf(await configMap("skip-me"))?.["stage-1"], undefined);
  assert.equal(dataOf(await configMap("not-skipped"))?.["stage-1"], "yes");
  const changed = [{ name: "changed", expression: "true" }];
  const updated = await api.ask(config, {
    method: "PATCH",
    body: JSON.stringify([{ op: "replace", path: "/webhooks/0/matchConditions", value: changed }]),
    headers: { "content-type": "application/json-patch+json" },
  });
  assert.deepEqual(
    (updated.json as unknown as { webhooks: { matchConditions: object[] }[] }).webhooks[0]!.matchConditions,
    changed,
  );
  await drop(config);
  for (const family of ["mutating", "validating"] as const) {
    const invalid = hook({ path: "/stages", more: { matchConditions: [{ name: "bad", expression: "... [}" }] } });
    const { status, json } = await api.ask(plural(family), {
      body: { metadata: { name: `bad-${run}` }, webhooks: [invalid] },
    });
    assert.equal(status, 422);
    assert.match(json.message!, /compilation failed/);
  }
});

test("custom resources and their definitions pass webhooks like everything else", limit, async () => {
  const group = `hooks-${run}.example.com`;
  const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const definition = (labels: object, properties: object) => ({
    metadata: { name: `things.${group}`, labels },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural: "things", kind: "Thing" },
      versions: ["v1", "v2"].map((name) => ({
        name,
        served: true,
        storage: name === "v1",
        schema: { openAPIV3Schema: { type: "object", properties: { data: { type: "object", ...properties } } } },
      })),
    },
  });
  const crd = hook({ path: "/crd", apiGroups: ["apiextensions.k8s.io"], resources: ["customresourcedefinitions"] });
  const guard = await register("validating", "crd", { ...crd, namespaceSelector: {} });
  const open = { "x-kubernetes-preserve-unknown-fields": true };
  const denied = await soon(
    "definitions are denied",
    ({ status }) => status !== 201,
    () => api.ask(`${definitions}?dryRun=All`, { body: definition({ disallowed: "true" }, open) }),
  );
  assert.match(denied.json.message!, /denied the request: the custom resource definition contains unwanted label/);
  await drop(guard);
  assert.equal((await api.ask(definitions, { body: definition({}, open) })).status, 201);
  const things = (version: string) => `/apis/${group}/${version}/namespaces/${context.cluster.namespace}/things`;
  const thing = (name: string, data: object = { start: "yes" }) => ({
    apiVersion: `${group}/v1`,
    kind: "Thing",
    metadata: { name },
    data,
  });
  await eventually("things are served", async () => ((await api.ask(things("v1"))).status === 200 ? true : undefined));
  const rules = { apiGroups: [group], resources: ["things"] };
  const config = await register(
    "mutating",
    "things",
    hook({ path: "/stages", ...rules, operations: ["CREATE", "UPDATE"] }),
    hook({ path: "/stages", ...rules, operations: ["CREATE", "UPDATE"], more: { name: "second.example.com" } }),
  );
  const validate = await register(
    "validating",
    "things",
    hook({ path: "/validate-data", ...rules, operations: ["CREATE", "UPDATE", "DELETE"] }),
  );
  const made = await soon(
    "things are changed",
    (answer) => dataOf(answer)?.["stage-2"] === "yes",
    () => api.ask(`${things("v1")}?dryRun=All`, { body: thing("scratch") }),
  );
  assert.deepEqual(dataOf(made), { start: "yes", "stage-1": "yes", "stage-2": "yes" });
  assert.equal((await api.ask(things("v1"), { body: thing("bad", { key: "offending" }) })).status, 400);
  assert.equal((await api.ask(things("v1"), { body: thing("one", {}) })).status, 201);
  const offending = await api.ask(`${things("v1")}/one`, { method: "PATCH", body: { data: { key: "offending" } } });
  assert.match(offending.json.message!, /denied the request: the object contains unwanted key/);

  const versions = `${definitions}/things.${group}`;
  const swap = JSON.stringify([
    { op: "replace", path: "/spec/versions/0/storage", value: false },
    { op: "replace", path: "/spec/versions/1/storage", value: true },
  ]);
  const jsonPatch = { "content-type": "application/json-patch+json" };
  assert.equal((await api.ask(versions, { method: "PATCH", body: swap, headers: jsonPatch })).status, 200);
  const patched = await eventually("the new storage version is used", async () => {
    const answer = await api.ask(`${things("v1")}/one`, { method: "PATCH", body: { data: { start: "yes" } } });
    return answer.status === 200 ? answer : undefined;
  });
  assert.equal(dataOf(patched)?.["stage-1"], "yes");

  const closed = definition({}, { properties: { start: { type: "string" }, "stage-1": { type: "string" } } }).spec
    .versions;
  const pruning = JSON.stringify([
    { op: "replace", path: "/spec/versions/1/schema", value: closed[1]!.schema },
    { op: "replace", path: "/spec/versions/0/schema", value: closed[0]!.schema },
  ]);
  assert.equal((await api.ask(versions, { method: "PATCH", body: pruning, headers: jsonPatch })).status, 200);
  await soon(
    "what the schema does not know is pruned",
    (answer) => answer.status === 201 && dataOf(answer)?.["stage-2"] === undefined,
    () => api.ask(`${things("v1")}?dryRun=All`, { body: thing("scratch") }),
  );
  // An object that offends already may not be deleted either.
  await drop(config);
  await drop(validate);
  await soon(
    "things are left alone",
    ({ status }) => status === 201,
    () => api.ask(`${things("v1")}?dryRun=All`, { body: thing("x", {}) }),
  );
  assert.equal((await api.ask(versions, { method: "DELETE" })).status, 200);
});
