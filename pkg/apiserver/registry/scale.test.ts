import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestServer, type TestServer } from "../testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer();
  const template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: "x" }] } };
  const body = {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "web" },
    spec: { replicas: 2, selector: { matchLabels: { a: "b" } }, template },
  };
  const created = await server.request("/apis/apps/v1/namespaces/default/statefulsets?fieldManager=creator", { body });
  assert.equal(created.status, 201, created.text);
});
after(() => server.close());

const object = "/apis/apps/v1/namespaces/default/statefulsets/web";
const scale = `${object}/scale`;

function patch(type: string, body: unknown, query = "") {
  return server.request(`${scale}${query}`, {
    method: "PATCH",
    headers: { "content-type": `application/${type}` },
    body,
  });
}

function replicas(json: object): unknown {
  return (json as { spec: { replicas?: number } }).spec.replicas;
}

test("what is not found is the scale, or the object, by kind", async () => {
  const message = async (path: string) => (await server.request(`${path}/nope/scale`)).json["message"];
  const apps = "/apis/apps/v1/namespaces/default";
  assert.equal(await message(`${apps}/deployments`), 'deployments/scale.apps "nope" not found');
  assert.equal(await message(`${apps}/statefulsets`), 'statefulsets.apps "nope" not found');
  assert.equal(
    await message("/api/v1/namespaces/default/replicationcontrollers"),
    'replicationcontrollers/scale.autoscaling "nope" not found',
  );
});

test("a Scale is shown as kubectl get --subresource=scale shows it", async () => {
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  const { json } = await server.request(scale, { headers: { accept } });
  const table = json as unknown as { columnDefinitions: { name: string }[]; rows: { cells: unknown[] }[] };
  assert.deepEqual(
    table.columnDefinitions.map(({ name }) => name),
    ["Name", "Desired", "Available", "Age"],
  );
  assert.deepEqual(table.rows[0]?.cells.slice(0, 3), ["web", 2, 0]);
});

test("a Scale takes every kind of patch", async () => {
  const merged = await patch("merge-patch+json", { spec: { replicas: 3 } });
  assert.equal(merged.json.kind, "Scale");
  assert.equal(replicas(merged.json), 3);
  const strategic = await patch("strategic-merge-patch+json", { spec: { replicas: 4 } });
  assert.equal(replicas(strategic.json), 4);
  const json = await patch("json-patch+json", [{ op: "replace", path: "/spec/replicas", value: 5 }]);
  assert.equal(replicas(json.json), 5);
  assert.equal(replicas((await server.request(object)).json), 5);
});

test("a strategic merge patch may name any kind, the others only the right one", async () => {
  // Ansible names the kind of the object that it scales.
  const named = { kind: "StatefulSet", spec: { replicas: 6 } };
  const strategic = await patch("strategic-merge-patch+json", named);
  assert.deepEqual([strategic.status, strategic.json.kind, replicas(strategic.json)], [200, "Scale", 6]);
  const merge = await patch("merge-patch+json", named);
  assert.equal(merge.status, 422);
  assert.match(
    String(merge.json["message"]),
    /^ "" is invalid: patch: Invalid value: ".*": no kind "StatefulSet" is registered for version "autoscaling\/v1" in scheme "/,
  );
  const json = await patch("json-patch+json", [{ op: "replace", path: "/apiVersion", value: "v2" }]);
  assert.match(String(json.json["message"]), /no kind "Scale" is registered for version "v2"/);
  assert.equal((await patch("merge-patch+json", { kind: null, spec: { replicas: 5 } })).status, 200);
});

test("applying a Scale owns the replicas of the object", async () => {
  const configuration = (count: number) => ({
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name: "web" },
    spec: { replicas: count },
  });
  const apply = (count: number, query: string) => patch("apply-patch+yaml", configuration(count), query);
  const refused = await apply(7, "?fieldManager=scaler");
  assert.equal(refused.status, 409);
  assert.match(
    String(refused.json["message"]),
    /conflict with "unknown" with subresource "scale" using apps\/v1: \.spec\.replicas$/,
  );
  const forced = await apply(7, "?fieldManager=scaler&force=true");
  assert.equal(forced.status, 200, forced.text);
  assert.equal(forced.json.kind, "Scale");
  assert.equal(replicas(forced.json), 7);
  const { managedFields = [] } = (await server.request(object)).json.metadata;
  const entry = managedFields.find(({ manager }) => manager === "scaler");
  assert.deepEqual(
    [entry?.operation, entry?.subresource, entry?.apiVersion, entry?.fieldsV1],
    ["Apply", "scale", "apps/v1", { "f:spec": { "f:replicas": {} } }],
  );
  const creator = managedFields.find(({ manager }) => manager === "creator");
  assert.doesNotMatch(JSON.stringify(creator!.fieldsV1), /f:replicas/);

  const anonymous = await patch("apply-patch+yaml", configuration(1));
  assert.equal(anonymous.status, 422);
  const foreign = { ...configuration(1), spec: { replicas: 1, template: {} } };
  const unknown = await patch("apply-patch+yaml", foreign, "?fieldManager=scaler");
  assert.equal(unknown.status, 500);
  assert.match(String(unknown.json["message"]), /\(\/web; autoscaling\/v1, Kind=Scale\): \.spec\.template: field not/);
  const negative = await apply(-1, "?fieldManager=scaler");
  assert.equal(negative.status, 422);
  assert.equal(replicas((await server.request(object)).json), 7);
});

test("a Scale of another object of the name is a conflict", async () => {
  const { json } = await server.request(scale);
  const body = { ...json, metadata: { ...json.metadata, uid: "other" } };
  assert.equal((await server.request(scale, { method: "PUT", body })).status, 409);
});
