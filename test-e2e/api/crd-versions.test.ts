import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Api, type Answer } from "../framework/api.ts";
import { eventually, useCluster } from "../framework/lab.ts";
import { startPodServer } from "../framework/pod-server.ts";

const context = useCluster("crd-versions");
const limit = { timeout: 120_000 };
const run = Math.random().toString(36).slice(2, 8);
const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const group = `v${run}.example.com`;
const reversed = `com.example.v${run}`;
const jsonPatch = { "content-type": "application/json-patch+json" };
let api: Api;

after(async () => {
  await api?.ask(`${definitions}?labelSelector=run%3D${run}`, { method: "DELETE" });
  await api?.close();
});

const open = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
interface Options {
  readonly plural: string;
  readonly kind: string;
  readonly versions?: readonly string[];
  readonly schema?: object;
  readonly spec?: object;
  readonly inGroup?: string;
}
function definition({ plural, kind, versions = ["v1"], schema = open, spec, inGroup = group }: Options) {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${inGroup}`, labels: { run } },
    spec: {
      group: inGroup,
      scope: "Namespaced",
      names: { plural, kind },
      versions: versions.map((name, index) => ({
        name,
        served: true,
        storage: index === 0,
        schema: { openAPIV3Schema: schema },
        subresources: { status: {} },
      })),
      ...spec,
    },
  };
}
const objects = (plural: string, version = "v1") =>
  `/apis/${group}/${version}/namespaces/${context.cluster.namespace}/${plural}`;
async function create(body: ReturnType<typeof definition>): Promise<string> {
  const answer = await api.ask(definitions, { body });
  assert.equal(answer.status, 201, answer.text);
  return `${definitions}/${body.metadata.name}`;
}
/** Waits for something that has to be there within about a second, on a busy machine a few. */
async function soon<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  const started = Date.now();
  const found = await eventually(what, probe, 30_000, 50);
  assert.ok(Date.now() - started < 10_000, `${what} took ${Date.now() - started} ms`);
  return found;
}
const served = (plural: string, version = "v1") =>
  soon(`${plural} are served`, async () =>
    (await api.ask(objects(plural, version))).status === 200 ? true : undefined,
  );
const edit = async (path: string, ...operations: object[]): Promise<void> => {
  const answer = await api.ask(path, { method: "PATCH", body: JSON.stringify(operations), headers: jsonPatch });
  assert.equal(answer.status, 200, answer.text);
};
type Json = Record<string, unknown>;
const published = async (kind: string, version = "v1", inGroup = reversed): Promise<Json | undefined> => {
  const { json } = await api.ask("/openapi/v2");
  return (json as unknown as { definitions: Record<string, Json> }).definitions[`${inGroup}.${version}.${kind}`];
};

test("definitions are created, listed, watched, and removed by label", limit, async () => {
  api = await new Api(context.cluster).ready();
  for (let i = 0; i < 10; i++) await create(definition({ plural: `lots${i}`, kind: `Lots${i}` }));
  const query = `${definitions}?labelSelector=run%3D${run}`;
  assert.equal(((await api.ask(query)).json as unknown as { items: unknown[] }).items.length, 10);
  await served("lots9");
  const watching = api.watch(`${objects("lots0")}?watch=true`);
  const lot = (name: string) => ({ apiVersion: `${group}/v1`, kind: "Lots0", metadata: { name }, n: 1 });
  assert.equal((await api.ask(objects("lots0"), { body: lot("a") })).status, 201);
  await watching.next("ADDED", "a");
  await api.ask(`${objects("lots0")}/a`, { method: "PATCH", body: { n: 2 } });
  await watching.next("MODIFIED", "a");
  await api.ask(`${objects("lots0")}/a`, { method: "DELETE" });
  await watching.next("DELETED", "a");
  watching.close();

  const one = `${definitions}/lots0.${group}`;
  const before = (await api.ask(`${one}/status`)).json as unknown as { status: { conditions: object[] } };
  const conditions = [
    ...before.status.conditions,
    { type: "StatusUpdate", status: "True", reason: "E2E", message: "Set" },
  ];
  const put = await api.ask(`${one}/status`, {
    method: "PUT",
    body: { ...before, status: { ...before.status, conditions } },
  });
  assert.equal(put.status, 200, put.text);
  await edit(`${one}/status`, {
    op: "add",
    path: "/status/conditions/-",
    value: { type: "Patched", status: "True", reason: "E2E", message: "Set" },
  });
  const { status } = (await api.ask(one)).json as unknown as {
    status: { conditions: { type: string }[]; storedVersions: string[] };
  };
  assert.deepEqual(status.conditions.map(({ type }) => type).sort(), [
    "Established",
    "NamesAccepted",
    "Patched",
    "StatusUpdate",
  ]);
  assert.deepEqual(status.storedVersions, ["v1"]);

  assert.equal((await api.ask(query, { method: "DELETE" })).status, 200);
  await eventually("all are gone", async () =>
    ((await api.ask(query)).json as unknown as { items: unknown[] }).items.length === 0 ? true : undefined,
  );
  const groups = (await api.ask("/apis")).json as unknown as {
    groups: { name: string; preferredVersion: { groupVersion: string } }[];
  };
  assert.equal(
    groups.groups.find(({ name }) => name === "apiextensions.k8s.io")?.preferredVersion.groupVersion,
    "apiextensions.k8s.io/v1",
  );
  assert.equal(
    groups.groups.find(({ name }) => name === group),
    undefined,
  );
});

test("OpenAPI follows versions that are added, renamed and withdrawn", limit, async () => {
  const schema = {
    type: "object",
    description: "Foo CRD for Testing",
    properties: {
      spec: {
        type: "object",
        description: "Specification of Foo",
        properties: {
          bars: {
            type: "array",
            description: "List of Bars and their specs.",
            items: {
              type: "object",
              required: ["name"],
              properties: {
                name: { type: "string", description: "Name of Bar." },
                age: { type: "string", description: "Age of Bar." },
                feeling: { type: "string", enum: ["Great", "Down"], description: "Whether Bar is feeling great." },
                bazs: { type: "array", items: { type: "string" }, description: "List of Bazs." },
              },
            },
          },
        },
      },
      status: {
        type: "object",
        description: "Status of Foo",
        properties: {
          bars: { type: "array", items: { type: "object", properties: { available: { type: "boolean" } } } },
        },
      },
    },
  };
  const path = await create(definition({ plural: "foos", kind: "Foo", versions: ["v1", "v2"], schema }));
  const other = `w${run}.example.com`;
  await create(definition({ plural: "foos", kind: "Foo", schema, inGroup: other }));
  await create(
    definition({ plural: "bars", kind: "Bar", schema: { ...open, properties: { spec: { type: "object" } } } }),
  );
  const inner = { type: "object", properties: { spec: { ...open, properties: { dummy: { type: "object" } } } } };
  await create(definition({ plural: "inners", kind: "Inner", schema: inner }));
  const foo = await soon("Foo is published", () => published("Foo", "v2"));
  const { apiVersion, kind, metadata, ...properties } = foo["properties"] as Json;
  assert.ok(apiVersion !== undefined && kind !== undefined && metadata !== undefined);
  assert.deepEqual(properties, schema.properties);
  assert.equal(foo["description"], "Foo CRD for Testing");
  assert.deepEqual(foo["x-kubernetes-group-version-kind"], [{ group, kind: "Foo", version: "v2" }]);
  await soon("the other group is published", () => published("Foo", "v1", `com.example.w${run}`));
  assert.deepEqual(await soon("Bar is published", () => published("Bar")), {
    type: "object",
    "x-kubernetes-group-version-kind": [{ group, kind: "Bar", version: "v1" }],
  });
  const nested = ((await soon("Inner is published", () => published("Inner")))["properties"] as Record<string, Json>)[
    "spec"
  ];
  // As upstream publishes it: with a type, older clients would take it for an object without any fields.
  assert.deepEqual(nested, { "x-kubernetes-preserve-unknown-fields": true });

  await edit(path, { op: "replace", path: "/spec/versions/1/name", value: "v3" });
  await soon("v3 is published", () => published("Foo", "v3"));
  assert.equal(await published("Foo", "v2"), undefined);
  assert.notEqual(await published("Foo", "v1"), undefined);
  await edit(path, { op: "replace", path: "/spec/versions/1/served", value: false });
  await soon("v3 is withdrawn", async () => ((await published("Foo", "v3")) === undefined ? true : undefined));
  assert.equal((await api.ask(`/apis/${group}/v3`)).status, 404);
  assert.equal((await api.ask(`/openapi/v3/apis/${group}/v3`)).status, 404);

  const { cluster } = context;
  const foos = (spec: object) => ({
    stdin: JSON.stringify({ apiVersion: `${group}/v1`, kind: "Foo", metadata: { name: "one" }, ...spec }),
  });
  await cluster.kubectl(["create", "-f", "-"], foos({ spec: { bars: [{ name: "x", age: "10" }] } }));
  await cluster.kubectl(["apply", "-f", "-"], foos({ spec: { bars: [{ name: "x" }, { name: "y" }] } }));
  const unknown = await cluster.try(["apply", "-f", "-"], foos({ foo: true }));
  assert.match(unknown.stderr, /unknown field "foo"/);
  const incomplete = await cluster.try(["apply", "-f", "-"], foos({ spec: { bars: [{ age: "10" }] } }));
  assert.match(incomplete.stderr, /spec\.bars\[0\]\.name: Required value/);
  assert.match(
    await cluster.kubectl(["explain", `foos.${group}.spec.bars`]),
    /Whether Bar is feeling great|feeling\t<string>/,
  );
  assert.match((await cluster.try(["explain", `foos.${group}.spec.bars2`])).stderr, /field "bars2" does not exist/);
  const anything = {
    stdin: JSON.stringify({
      apiVersion: `${group}/v1`,
      kind: "Bar",
      metadata: { name: "one" },
      any: [1],
    }),
  };
  await cluster.kubectl(["create", "-f", "-"], anything);
  await cluster.kubectl(["apply", "-f", "-"], anything);
  assert.match(await cluster.kubectl(["explain", `bars.${group}`]), /KIND: +Bar/);
});

test("defaults apply to requests and to what is stored, and stay where they were written", limit, async () => {
  const schema = (defaults: Record<string, string>) => ({
    type: "object",
    properties: Object.fromEntries(
      ["a", "b"].map((name) => [
        name,
        { type: "string", ...(defaults[name] === undefined ? {} : { default: defaults[name] }) },
      ]),
    ),
  });
  const path = await create(definition({ plural: "defaulted", kind: "Defaulted", schema: schema({}) }));
  await served("defaulted");
  const make = (name: string) =>
    api.ask(objects("defaulted"), { body: { apiVersion: `${group}/v1`, kind: "Defaulted", metadata: { name } } });
  const seen = async (name: string) => {
    const { a, b } = (await api.ask(`${objects("defaulted")}/${name}`)).json as Json;
    return JSON.stringify([a ?? null, b ?? null]);
  };
  assert.equal((await make("first")).status, 201);
  assert.equal(await seen("first"), "[null,null]");
  const replace = (defaults: Record<string, string>) =>
    edit(path, { op: "replace", path: "/spec/versions/0/schema/openAPIV3Schema", value: schema(defaults) });
  await replace({ a: "A" });
  await soon("the default shows", async () => ((await seen("first")) === '["A",null]' ? true : undefined));
  assert.equal((await make("second")).status, 201);
  await replace({ b: "B" });
  await soon("the other default shows", async () => ((await seen("first")) === '[null,"B"]' ? true : undefined));
  assert.equal(await seen("second"), '["A","B"]');
});

test("a conversion webhook translates objects, lists, watches and field selectors", limit, async () => {
  const { cluster } = context;
  const caBundle = await startPodServer(cluster, { name: "converter", script: "webhook.ts" });
  const string = { type: "string" };
  const version = (name: string, properties: object, path: string, storage: boolean) => ({
    name,
    served: true,
    storage,
    schema: { openAPIV3Schema: { type: "object", properties } },
    selectableFields: [{ jsonPath: path }],
  });
  const clientConfig = { caBundle, service: { namespace: cluster.namespace, name: "converter", path: "/convert" } };
  const path = await create(
    definition({
      plural: "hosts",
      kind: "Host",
      spec: {
        versions: [
          version("v1", { hostPort: string }, ".hostPort", true),
          version("v2", { host: string, port: string }, ".host", false),
        ],
        conversion: { strategy: "Webhook", webhook: { clientConfig, conversionReviewVersions: ["v1", "v1beta1"] } },
      },
    }),
  );
  await served("hosts", "v2");
  const host = (name: string, apiVersion: string, spec: object) =>
    api.ask(objects("hosts", apiVersion), {
      body: { apiVersion: `${group}/${apiVersion}`, kind: "Host", metadata: { name }, ...spec },
    });
  const made = await host("one", "v1", { hostPort: "alpha:8080" });
  assert.equal(made.status, 201, made.text);
  const fields = ({ json }: Answer) => json as Json;
  const read = await eventually("the converter is reached", async () => {
    const answer = await api.ask(`${objects("hosts", "v2")}/one`);
    return answer.status === 200 ? fields(answer) : undefined;
  });
  assert.deepEqual(
    [read["host"], read["port"], read["hostPort"], read["apiVersion"]],
    ["alpha", "8080", undefined, `${group}/v2`],
  );
  await edit(
    path,
    { op: "replace", path: "/spec/versions/0/storage", value: false },
    { op: "replace", path: "/spec/versions/1/storage", value: true },
  );
  assert.equal((await host("two", "v2", { host: "beta", port: "80" })).status, 201);
  const list = async (version: string, query = "") =>
    ((await api.ask(`${objects("hosts", version)}${query}`)).json as unknown as { items: Json[] }).items;
  assert.deepEqual(
    (await list("v2")).map((item) => item["host"]),
    ["alpha", "beta"],
  );
  assert.deepEqual(
    (await list("v1")).map((item) => item["hostPort"]),
    ["alpha:8080", "beta:80"],
  );
  assert.deepEqual(
    (await list("v2", "?fieldSelector=host%3Dalpha")).map((item) => item["host"]),
    ["alpha"],
  );
  assert.deepEqual(
    (await list("v1", "?fieldSelector=hostPort%3Dbeta:80")).map((item) => item["hostPort"]),
    ["beta:80"],
  );
  const wrong = await api.ask(`${objects("hosts", "v1")}?fieldSelector=host%3Dalpha`);
  assert.equal(wrong.status, 400);

  const watching = api.watch(`${objects("hosts", "v2")}?watch=true&fieldSelector=host%3Dalpha`);
  const initial = await watching.next("ADDED", "one");
  assert.equal((initial.object as Json)["host"], "alpha");
  await api.ask(`${objects("hosts", "v1")}/one`, { method: "PATCH", body: { hostPort: "gamma:1" } });
  await watching.next("DELETED", "one");
  await api.ask(`${objects("hosts", "v1")}/one`, { method: "PATCH", body: { hostPort: "alpha:2" } });
  assert.equal(((await watching.next("ADDED", "one")).object as Json)["port"], "2");
  await api.ask(`${objects("hosts", "v1")}/two`, { method: "DELETE" });
  await api.ask(`${objects("hosts", "v1")}/one`, { method: "DELETE" });
  await watching.next("DELETED", "one");
  assert.equal(watching.events.length, 0);
  watching.close();
});
