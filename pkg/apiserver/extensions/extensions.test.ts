import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { until } from "#pkg/util/testing/index.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import { compileJsonPath } from "./json-path.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.close());

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const MERGE = { "content-type": "application/merge-patch+json" };

const schema = {
  type: "object",
  properties: {
    spec: {
      type: "object",
      required: ["size"],
      "x-kubernetes-validations": [{ rule: "self.size < 100", message: "size must be small" }],
      properties: {
        size: { type: "integer", minimum: 1 },
        color: { type: "string", default: "red", enum: ["red", "blue"] },
        name: { type: "string", pattern: "^[a-z]+$" },
        when: { type: "string", format: "date-time" },
        free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        ports: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["port"],
          items: {
            type: "object",
            required: ["port"],
            properties: { port: { type: "integer" }, name: { type: "string" } },
          },
        },
      },
    },
    status: { type: "object", properties: { ready: { type: "integer" } } },
  },
};

const version = (name: string, extra: object = {}) => ({
  name,
  served: true,
  storage: name === "v1",
  schema: { openAPIV3Schema: schema },
  subresources: { status: {}, scale: { specReplicasPath: ".spec.size", statusReplicasPath: ".status.ready" } },
  additionalPrinterColumns: [{ name: "Size", type: "integer", jsonPath: ".spec.size" }],
  selectableFields: [{ jsonPath: ".spec.color" }],
  ...extra,
});

async function define(plural: string, kind: string, versions = [version("v1"), version("v2")]): Promise<void> {
  const group = "example.com";
  const created = await server.request(CRDS, {
    body: {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${plural}.${group}` },
      spec: { group, scope: "Namespaced", names: { plural, kind, shortNames: [plural.slice(0, 2)] }, versions },
    },
  });
  assert.equal(created.status, 201, created.text);
  await until("the definition is established", async () =>
    conditions((await server.request(`${CRDS}/${plural}.${group}`)).json).includes("Established=True"),
  );
}

function conditions(crd: KubeObject): string[] {
  const { conditions: all = [] } = (crd["status"] ?? {}) as { conditions?: { type: string; status: string }[] };
  return all.map(({ type, status }) => `${type}=${status}`);
}

const path = (plural: string, v = "v1") => `/apis/example.com/${v}/namespaces/default/${plural}`;
const body = (kind: string, spec: object, v = "v1") => ({
  apiVersion: `example.com/${v}`,
  kind,
  metadata: { name: "a" },
  spec,
});

test("serves a definition: defaults, pruning, versions, tables, scale, status, selectors", async () => {
  await define("widgets", "Widget");
  const created = await server.request(path("widgets"), {
    body: body("Widget", { size: 3, nonsense: 1, free: { x: { y: 1 } } }),
  });
  assert.equal(created.status, 201, created.text);
  assert.match(String(created.headers["warning"]), /unknown field \\"spec.nonsense\\"/);
  assert.deepEqual(created.json["spec"], { size: 3, color: "red", free: { x: { y: 1 } } });
  const other = await server.request(`${path("widgets", "v2")}/a`);
  assert.equal(other.json.apiVersion, "example.com/v2");
  const table = await server.request(path("widgets"), {
    headers: { accept: "application/json;as=Table;g=meta.k8s.io;v=v1" },
  });
  assert.deepEqual((table.json["rows"] as { cells: unknown[] }[])[0]!.cells, ["a", 3]);
  const scaled = await server.request(`${path("widgets")}/a/scale`, {
    method: "PATCH",
    body: { spec: { replicas: 7 } },
    headers: MERGE,
  });
  assert.equal(scaled.status, 200, scaled.text);
  const scale = (replicas: number, name = "a") => ({
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name },
    spec: { replicas },
  });
  const put = (object: object) => server.request(`${path("widgets")}/a/scale`, { method: "PUT", body: object });
  assert.equal((await put(scale(7))).status, 200, "it needs no resourceVersion, though the object does");
  assert.equal(
    (await put(scale(7, "b"))).json["message"],
    "the name of the object (b) does not match the name on the URL (a)",
  );
  await server.request(path("widgets"), {
    body: { apiVersion: "example.com/v1", kind: "Widget", metadata: { name: "unsized" } },
  });
  const unsized = await server.request(`${path("widgets")}/unsized/scale`);
  assert.match(String(unsized.json["message"]), /the spec replicas field ".spec.size" does not exist/);
  await server.request(`${path("widgets")}/unsized`, { method: "DELETE" });
  const negative = await server.request(path("widgets"), { body: body("Widget", { size: -1 }) });
  assert.match(String(negative.json["message"]), /\.spec\.size: Invalid value: -1: should be a non-negative integer/);
  const status = await server.request(`${path("widgets")}/a/status`, {
    method: "PATCH",
    body: { status: { ready: 2 }, spec: { size: 1 } },
    headers: MERGE,
  });
  assert.equal((status.json["spec"] as { size: number }).size, 7);
  assert.equal((status.json["status"] as { ready: number }).ready, 2);
  assert.equal(status.json.metadata.generation, 2);
  const red = await server.request(`${path("widgets")}?fieldSelector=spec.color%3Dred`);
  assert.equal((red.json["items"] as unknown[]).length, 1);
  const { resourceVersion } = red.json.metadata;
  assert.deepEqual(red.json.metadata, { continue: "", resourceVersion }, "a custom list says that nothing follows");
  const blue = await server.request(`${path("widgets", "v2")}?fieldSelector=spec.color%3Dblue`);
  assert.equal((blue.json["items"] as unknown[]).length, 0);
});

test("refuses values with upstream's messages", async () => {
  await define("gadgets", "Gadget");
  const refusals: [object, RegExp][] = [
    [{}, /spec\.size: Required value/],
    [{ size: "x" }, /spec\.size: Invalid value: "string": spec\.size in body must be of type integer: "string"/],
    [{ size: 0 }, /spec\.size: Invalid value: 0: spec\.size in body should be greater than or equal to 1/],
    [{ size: 200 }, /spec: Invalid value: size must be small/],
    [{ size: 1, color: "green" }, /spec\.color: Unsupported value: "green": supported values: "red", "blue"/],
    [{ size: 1, name: "A" }, /spec\.name: Invalid value: "A": spec\.name in body should match '\^\[a-z\]\+\$'/],
    [{ size: 1, ports: [{ port: 1 }, { port: 1 }] }, /spec\.ports\[1\]: Duplicate value: \{"port":1\}/],
  ];
  for (const [spec, expected] of refusals) {
    const response = await server.request(path("gadgets"), { body: body("Gadget", spec) });
    assert.equal(response.status, 422, response.text);
    assert.match(String(response.json["message"]), expected);
  }
  const strict = await server.request(`${path("gadgets")}?fieldValidation=Strict`, {
    body: body("Gadget", { size: 1, x: 1 }),
  });
  assert.equal(strict.status, 400);
  assert.match(String(strict.json["message"]), /strict decoding error: unknown field "spec.x"/);
});

test("objects inside a custom resource are checked like every object, and strict about their metadata", async () => {
  const inside = {
    type: "object",
    "x-kubernetes-embedded-resource": true,
    "x-kubernetes-preserve-unknown-fields": true,
  };
  const spec = { type: "object", properties: { inner: inside, many: { type: "array", items: inside } } };
  await define("capsules", "Capsule", [
    { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object", properties: { spec } } } },
  ] as unknown as ReturnType<typeof version>[]);
  const pod = { apiVersion: "v1", kind: "Pod" };
  const table: [object, number, string][] = [
    [
      { inner: { ...pod, metadata: { unknown: 1 } }, x: 1 },
      400,
      'strict decoding error: unknown field "metadata.y", unknown field "alpha", unknown field "spec.x", unknown field "spec.inner.metadata.unknown"',
    ],
    [
      { inner: { ...pod, metadata: { name: 1 } } },
      400,
      'spec.inner.metadata: Invalid value: {"name":1}: json: cannot unmarshal number into Go struct field ObjectMeta.name of type string',
    ],
    [{ inner: { ...pod, kind: 1 } }, 400, "spec.inner.kind: Invalid value: 1: must be a string"],
    [{ many: [pod, { kind: "Pod" }] }, 422, "spec.many[1].apiVersion: Required value"],
    [{ inner: { ...pod, metadata: { name: "a/b" } } }, 422, "spec.inner.metadata.name: Invalid value"],
    [
      { inner: { ...pod, metadata: { namespace: "a", labels: { "b c": "" } } } },
      422,
      "spec.inner.metadata.labels: Inv",
    ],
    [{ inner: { ...pod, apiVersion: "a/b/c" } }, 422, "unexpected GroupVersion string: a/b/c"],
  ];
  for (const [each, status, message] of table) {
    const rest = message.includes("metadata.y") ? { alpha: 1, metadata: { name: "h", y: 1 } } : {};
    const response = await server.request(`${path("capsules")}?fieldValidation=Strict`, {
      body: { ...body("Capsule", each), ...rest },
    });
    assert.equal(response.status, status, response.text);
    assert.ok(String(response.json["message"]).includes(message), response.text);
  }
  const fine = await server.request(path("capsules"), { body: body("Capsule", { inner: { ...pod, spec: { a: 1 } } }) });
  assert.equal(fine.status, 201, fine.text);
});

test("refuses what is not served in the words of upstream's handler of custom resources", async () => {
  await define("refusals", "Refusal");
  const path = "/apis/example.com/v1/namespaces/default/refusals";
  const table: [method: string, path: string, status: number, message: string | undefined][] = [
    ["GET", `${path}/a/nope`, 404, 'refusals.example.com "a" not found'],
    ["POST", `${path}/a/status`, 405, 'create is not supported on resources of kind "refusals.example.com"'],
    ["DELETE", `${path}/a/scale`, 405, 'delete is not supported on resources of kind "refusals.example.com"'],
    ["PUT", path, 400, "name must be provided"],
    ["POST", "/apis/example.com/v1/refusals", 404, undefined],
    [
      "GET",
      `${path}?resourceVersion=x`,
      400,
      'invalid resource version: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax',
    ],
  ];
  for (const [method, asked, status, message] of table) {
    const response = await server.request(asked, { method });
    assert.deepEqual(
      [response.status, status === 404 && message === undefined ? undefined : response.json["message"]],
      [status, message],
      asked,
    );
  }
});

test("says how old a revision is that a watch cannot begin at", async () => {
  // Its cache begins with the definition, so everything before that is up to the store.
  await define("olds", "Old");
  const compacted = await server.cacher.store.currentRevision();
  await server.cacher.store.compact(compacted);
  const { json, status } = await server.request(`${path("olds")}?watch=1&resourceVersion=1&timeoutSeconds=60`);
  const { type, object } = json as unknown as { type: string; object: { message: string; code: number } };
  const message = `too old resource version: 1 (${compacted})`;
  assert.deepEqual([status, type, object.code, object.message], [200, "ERROR", 410, message]);
});

test("publishes and withdraws OpenAPI and discovery with the definition", async () => {
  await define("things", "Thing");
  const name = "com.example.v1.Thing";
  const v2 = async () => (await server.request("/openapi/v2")).json["definitions"] as Record<string, unknown>;
  assert.ok((await v2())[name]);
  const v3 = await server.request("/openapi/v3/apis/example.com/v1");
  const { schemas } = v3.json["components"] as { schemas: Record<string, unknown> };
  assert.ok(schemas[name]);
  for (const [, referenced = ""] of v3.text.matchAll(/"#\/components\/schemas\/([^"]+)"/g))
    assert.ok(schemas[referenced], referenced);
  assert.ok(schemas["io.k8s.api.autoscaling.v1.ScaleSpec"]);
  const { "/apis/example.com/v1/": discovery, ...paths } = v3.json["paths"] as Record<string, unknown>;
  assert.match(JSON.stringify(discovery), /protobuf/);
  assert.doesNotMatch(JSON.stringify(paths), /strategic-merge-patch|protobuf/, "custom resources have neither");
  const unserved = { spec: { versions: [version("v1"), version("v2", { served: false })] } };
  await server.request(`${CRDS}/things.example.com`, { method: "PATCH", body: unserved, headers: MERGE });
  await until("version v2 is served no more", async () => (await server.request(path("things", "v2"))).status === 404);
  await server.request(path("things"), { body: body("Thing", { size: 1 }) });
  await server.request(`${CRDS}/things.example.com`, { method: "DELETE" });
  await until(
    "the definition is gone",
    async () => (await server.request(`${CRDS}/things.example.com`)).status === 404,
  );
  assert.equal((await server.request(path("things"))).status, 404);
  assert.equal((await v2())[name], undefined);
});

test("waits for finalizers of instances before a definition goes", async () => {
  await define("holders", "Holder");
  const held = body("Holder", { size: 1 });
  await server.request(path("holders"), {
    body: { ...held, metadata: { name: "a", finalizers: ["example.com/hold"] } },
  });
  const { generation } = (await server.request(`${CRDS}/holders.example.com`)).json.metadata;
  const marked = await server.request(`${CRDS}/holders.example.com`, { method: "DELETE" });
  assert.match(marked.text, /"reason":"InstanceDeletionPending"/);
  assert.equal(marked.json.metadata.generation, generation);
  await until(
    "the instance is being deleted",
    async () => (await server.request(`${path("holders")}/a`)).json.metadata.deletionTimestamp !== undefined,
  );
  assert.ok(conditions((await server.request(`${CRDS}/holders.example.com`)).json).includes("Terminating=True"));
  const late = await server.request(path("holders"), { body: held });
  assert.equal(late.status, 403);
  assert.match(late.text, /create not allowed while custom resource definition is terminating/);
  await server.request(`${path("holders")}/a`, {
    method: "PATCH",
    body: { metadata: { finalizers: null } },
    headers: MERGE,
  });
  await until(
    "the definition is gone",
    async () => (await server.request(`${CRDS}/holders.example.com`)).status === 404,
  );
});

test("nulls that no schema allows are left out of what is sent whole, and refused in what is applied", async () => {
  const spec = { type: "object", properties: { s: { type: "string" } } };
  await define("nones", "None", [
    version("v1", { schema: { openAPIV3Schema: { type: "object", properties: { spec } } }, selectableFields: [] }),
  ]);
  const body = { apiVersion: "example.com/v1", kind: "None", metadata: { name: "a" }, spec: { s: null } };
  const created = await server.request(path("nones"), { body });
  assert.deepEqual([created.status, created.json["spec"]], [201, {}]);
  const headers = { "content-type": "application/apply-patch+yaml" };
  const applied = await server.request(`${path("nones")}/a?fieldManager=m`, { method: "PATCH", headers, body });
  assert.equal(applied.status, 422);
  const why = 'spec.s: Invalid value: "null": spec.s in body must be of type string: "null"';
  assert.equal(applied.json["message"], `None.example.com "a" is invalid: ${why}`);
});

test("custom resources say what they are, keep long integers and warn of bare finalizers", async () => {
  const open = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  await define("plains", "Plain", [version("v1", { schema: { openAPIV3Schema: open }, selectableFields: [] })]);
  const text = (more: string) => `{"metadata":{"name":"a","finalizers":["bare"]},${more}}`;
  const apiVersion = '"apiVersion":"example.com/v1"';
  const silent = await server.request(path("plains"), { body: text(apiVersion) });
  assert.match(String(silent.json["message"]), /unrecognized \(must be of type Plain\): Object 'Kind' is missing in /);
  const other = await server.request(path("plains"), { body: text(`${apiVersion},"kind":"X"`) });
  assert.equal(other.json["message"], 'X.example.com "a" is invalid: kind: Invalid value: "X": must be Plain');
  const large = '"spec":{"n":9223372036854775807}';
  const made = await server.request(path("plains"), { body: text(`${apiVersion},"kind":"Plain",${large}`) });
  assert.equal(made.status, 201, made.text);
  assert.match(made.text, /"n":9223372036854775807/);
  assert.match(String(made.headers["warning"]), /"bare\\": prefer a domain-qualified finalizer name/);
  const patched = await server.request(`${path("plains")}/a`, {
    method: "PATCH",
    headers: { "content-type": "application/merge-patch+json" },
    body: { metadata: { finalizers: null }, spec: { m: 1 } },
  });
  assert.match(patched.text, /"n":9223372036854775807/);
  const unconditional = await server.request(`${path("plains")}/a`, {
    method: "PUT",
    body: { apiVersion: "example.com/v1", kind: "Plain", metadata: { name: "a" } },
  });
  assert.equal(
    unconditional.json["message"],
    'plains.example.com "a" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update',
  );
});

test("refuses a name that another definition holds, until it is free", async () => {
  await define("firsts", "Clash");
  const second = await server.request(CRDS, {
    body: {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "seconds.example.com" },
      spec: {
        group: "example.com",
        scope: "Namespaced",
        names: { plural: "seconds", kind: "Clash" },
        versions: [version("v1")],
      },
    },
  });
  assert.equal(second.status, 201, second.text);
  const state = async () => conditions((await server.request(`${CRDS}/seconds.example.com`)).json);
  await until("its names are refused", async () => (await state()).includes("NamesAccepted=False"));
  assert.equal((await server.request(path("seconds"))).status, 404);
  await server.request(`${CRDS}/firsts.example.com`, { method: "DELETE" });
  await until("it is established", async () => (await state()).includes("Established=True"));
});

test("judges definitions themselves", async () => {
  const bad = (mutate: object) => ({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "bads.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "bads", kind: "Bad" },
      versions: [version("v1")],
      ...mutate,
    },
  });
  const refused: [object, RegExp][] = [
    [
      { names: { plural: "others", kind: "Bad" } },
      /metadata\.name: Invalid value: "bads\.example\.com": must be spec\.names\.plural\+"\."\+spec\.group/,
    ],
    [
      { versions: [{ ...version("v1"), schema: undefined }] },
      /spec\.versions\[0\]\.schema\.openAPIV3Schema: Required value/,
    ],
    [
      { versions: [version("v1", { schema: { openAPIV3Schema: { type: "object", properties: { a: {} } } } })] },
      /spec\.validation\.openAPIV3Schema\.properties\[a\]\.type: Required value/,
    ],
    [
      {
        versions: [
          version("v1"),
          version("v2", { storage: false, schema: { openAPIV3Schema: { type: "object", properties: { a: {} } } } }),
        ],
      },
      /spec\.versions\[1\]\.schema\.openAPIV3Schema\.properties\[a\]\.type: Required value/,
    ],
    [
      {
        versions: [
          version("v1", {
            schema: { openAPIV3Schema: { type: "object", "x-kubernetes-validations": [{ rule: "self.nope" }] } },
          }),
        ],
      },
      /spec\.validation\.openAPIV3Schema\.x-kubernetes-validations\[0\]\.rule: Invalid value: \{"Rule":"self\.nope","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null\}: compilation failed: ERROR: <input>:1:5: undefined field 'nope'/,
    ],
    [
      {
        conversion: {
          strategy: "Webhook",
          webhook: { conversionReviewVersions: ["v1"], clientConfig: { service: {} } },
        },
      },
      /\[spec\.conversion\.webhookClientConfig\.service\.name: Required value, spec\.conversion\.webhookClientConfig\.service\.namespace: Required value\]/,
    ],
    [
      { conversion: { webhook: { clientConfig: { url: "https://x" } } } },
      /\[spec\.conversion\.strategy: Required value, spec\.conversion\.webhookClientConfig: Forbidden: should not be set/,
    ],
    [
      { versions: [{ ...version("v1"), name: "" }] },
      /is invalid: spec\.versions\[0\]\.name: Invalid value: "": a DNS-1035 label must consist of (?!.*spec\.version:)/,
    ],
    [
      {
        versions: [
          version("v1", { schema: { openAPIV3Schema: { type: "object", $schema: "x" } }, selectableFields: [] }),
        ],
      },
      /is invalid: spec\.validation\.openAPIV3Schema: Invalid value: "": OpenAPIV3Schema 'schema' is not supported$/,
    ],
  ];
  for (const [mutate, expected] of refused) {
    const response = await server.request(CRDS, { body: bad(mutate) });
    assert.equal(response.status, 422, response.text);
    assert.match(String(response.json["message"]), expected);
  }
  const properties = { a: { type: "string", format: "mac-and-cheese" }, b: { type: "integer", format: "int32" } };
  const strange = bad({
    versions: [
      version("v1", {
        schema: { openAPIV3Schema: { type: "object", properties } },
        subresources: {},
        selectableFields: [],
      }),
    ],
  });
  const { status, headers } = await server.request(`${CRDS}?dryRun=All`, { body: strange });
  assert.deepEqual([status, headers["warning"]], [201, '299 - "unrecognized format \\"mac-and-cheese\\""']);
});

test("reads JSON paths", () => {
  const object = {
    a: [
      { t: "x", v: 1 },
      { t: "y", v: 2 },
    ],
    "b.c": { d: true },
  };
  assert.deepEqual(compileJsonPath('.a[?(@.t=="y")].v')(object), [2]);
  assert.deepEqual(compileJsonPath(".a[*].t")(object), ["x", "y"]);
  assert.deepEqual(compileJsonPath("['b.c'].d")(object), [true]);
  assert.deepEqual(compileJsonPath(".b\\.c.d")(object), [true]);
  assert.deepEqual(compileJsonPath(".nope.x")(object), []);
});
