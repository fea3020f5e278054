import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { until } from "#pkg/util/testing/index.ts";
import { startTestServer, type TestResponse, type TestServer } from "../testing/test-server.ts";

const CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const OWN = `${CRD}/moves.example.com`;
let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.close());

const schema = (name: object) => ({
  openAPIV3Schema: { type: "object", properties: { spec: { type: "object", properties: { name } } } },
});
const version = (name: string, storage: boolean, text: object = { type: "string" }) => ({
  name,
  served: true,
  storage,
  schema: schema(text),
});
const object = (v: string, spec: object) => ({
  apiVersion: `example.com/${v}`,
  kind: "Move",
  metadata: { name: "m" },
  spec,
});
const at = (v: string) => `/apis/example.com/${v}/namespaces/default/moves`;
const patch = (path: string, body: object): Promise<TestResponse> =>
  server.request(path, { method: "PATCH", body, headers: { "content-type": "application/merge-patch+json" } });
const stored = async (): Promise<Readonly<KubeObject>> =>
  (await server.api.registry.lookup("example.com", "v1", "moves")!.cache!.get("default", "m"))!.object;
const storedVersions = (crd: TestResponse): string[] =>
  (crd.json["status"] as { storedVersions: string[] }).storedVersions;

test("objects move to another storage version as they are written, and the old one can then go", async () => {
  const names = { plural: "moves", singular: "move", kind: "Move" };
  const spec = {
    group: "example.com",
    scope: "Namespaced",
    names,
    versions: [version("v1", true), version("v2", false)],
  };
  const created = await server.request(CRD, { body: { metadata: { name: "moves.example.com" }, spec } });
  assert.equal(created.status, 201, created.text);
  await until("serving", async () => (await server.request(at("v1"))).status === 200);
  await server.request(at("v2"), { body: object("v2", { name: "a" }) });
  assert.equal((await stored()).apiVersion, "example.com/v1");

  const moved = await patch(OWN, { spec: { versions: [version("v1", false), version("v2", true)] } });
  assert.equal(moved.status, 200, moved.text);
  assert.deepEqual(storedVersions(moved), ["v1", "v2"], "what was stored so far is in the old version");
  const early = await patch(OWN, { spec: { versions: [version("v2", true)] } });
  assert.equal(early.status, 422);
  assert.match(
    early.text,
    /status\.storedVersions\[0\]: Invalid value: \\"v1\\": missing from spec\.versions; v1 was previously a storage version, and must remain in spec\.versions until a storage migration ensures no data remains persisted in v1/,
  );
  assert.equal((await stored()).apiVersion, "example.com/v1");

  const current = await server.request(`${at("v2")}/m`);
  const untouched = await server.request(`${at("v2")}/m`, { method: "PUT", body: current.json });
  assert.equal(untouched.status, 200, untouched.text);
  assert.equal((await stored()).apiVersion, "example.com/v2", "an update without changes migrates");
  assert.notEqual(untouched.json.metadata.resourceVersion, current.json.metadata.resourceVersion);

  const cleared = await patch(`${OWN}/status`, { status: { storedVersions: ["v2"] } });
  assert.equal(cleared.status, 200, cleared.text);
  const gone = await patch(OWN, { spec: { versions: [version("v2", true)] } });
  assert.equal(gone.status, 200, gone.text);
  await until("v1's end", async () => (await server.request(at("v1"))).status === 404);
  assert.deepEqual((await server.request(`${at("v2")}/m`)).json["spec"], { name: "a" });
});

test("a schema that grows stricter is forgiven what was there before", async () => {
  const stricter = { type: "string", minLength: 3, "x-kubernetes-validations": [{ rule: "self.startsWith('x')" }] };
  const narrowed = await patch(OWN, { spec: { versions: [version("v2", true, stricter)] } });
  assert.equal(narrowed.status, 200, narrowed.text);
  await until("the new schema", async () => {
    const refused = await server.request(`${at("v2")}?dryRun=All`, {
      body: { ...object("v2", { name: "b" }), metadata: { name: "n" } },
    });
    return refused.status === 422;
  });
  const labelled = await patch(`${at("v2")}/m`, { metadata: { labels: { still: "fine" } } });
  assert.equal(labelled.status, 200, labelled.text);
  const changed = await patch(`${at("v2")}/m`, { spec: { name: "b" } });
  assert.equal(changed.status, 422);
  assert.match(changed.text, /spec\.name in body should be at least 3 chars long/);
  assert.equal((await patch(`${at("v2")}/m`, { spec: { name: "xyz" } })).status, 200);
});
