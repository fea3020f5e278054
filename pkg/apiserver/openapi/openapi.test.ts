import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestServer, type TestServer } from "../testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer({
    descriptions: () => ({
      "io.k8s.api.core.v1.Pod": { "": "About pods." },
      "io.k8s.api.core.v1.PodSpec": { "": "About specs." },
    }),
  });
});
after(() => server.close());

type Schemas = Record<string, { description?: string; properties: Record<string, Record<string, unknown>> }>;

test("publishes version 3 per group version, each complete in itself", async () => {
  const index = await server.request("/openapi/v3");
  const paths = index.json["paths"] as Record<string, { serverRelativeURL: string }>;
  assert.ok(paths["apis/apps/v1"]);
  const document = await server.request(paths["api/v1"]!.serverRelativeURL);
  assert.equal(document.headers["cache-control"], "public, immutable");
  const { schemas } = document.json["components"] as { schemas: Schemas };
  const pod = schemas["io.k8s.api.core.v1.Pod"]!;
  assert.equal(pod.description, "About pods.");
  assert.deepEqual(pod.properties["spec"], {
    description: "About specs.",
    allOf: [{ $ref: "#/components/schemas/io.k8s.api.core.v1.PodSpec" }],
  });
  const referenced = new Set(
    Array.from(document.text.matchAll(/"#\/components\/schemas\/([^"]+)"/g), ([, name]) => name!),
  );
  for (const name of referenced) assert.ok(schemas[name], name);
  const stale = await server.request("/openapi/v3/api/v1?hash=OLD");
  assert.equal(stale.status, 301);
  assert.equal(stale.headers["location"], paths["api/v1"]!.serverRelativeURL);
});

test("each group version has a document of its own, also where versions serve the same names", async () => {
  const index = await server.request("/openapi/v3");
  const paths = index.json["paths"] as Record<string, { serverRelativeURL: string }>;
  const urls = Object.values(paths).map(({ serverRelativeURL }) => serverRelativeURL.replace(/.*hash=/, ""));
  assert.equal(new Set(urls).size, urls.length);
  for (const version of ["v1", "v2"]) {
    const { json } = await server.request(paths[`apis/autoscaling/${version}`]!.serverRelativeURL);
    const own = `/apis/autoscaling/${version}/namespaces/{namespace}/horizontalpodautoscalers`;
    assert.ok((json["paths"] as object)[own as never], own);
    const { schemas } = json["components"] as { schemas: Schemas };
    assert.ok(schemas[`io.k8s.api.autoscaling.${version}.HorizontalPodAutoscaler`]);
  }
});

test("describes discovery and what the server says of itself", async () => {
  const index = (await server.request("/openapi/v3")).json["paths"] as Record<string, { serverRelativeURL: string }>;
  const v2 = (await server.request("/openapi/v2")).json["paths"] as Record<string, { get: { operationId: string } }>;
  const cases: readonly [name: string, operation: string, definition?: string][] = [
    ["version", "getCodeVersion", "io.k8s.apimachinery.pkg.version.Info"],
    ["api", "getCoreAPIVersions", "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions"],
    ["apis", "getAPIVersions", "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList"],
    ["apis/apps", "getAppsAPIGroup", "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup"],
    ["apis/apps/v1", "getAppsV1APIResources", "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList"],
    ["openid/v1/jwks", "getServiceAccountIssuerOpenIDKeyset"],
    [".well-known/openid-configuration", "getServiceAccountIssuerOpenIDConfiguration"],
  ];
  for (const [name, operation, definition] of cases) {
    const { json } = await server.request(index[name]!.serverRelativeURL);
    const paths = json["paths"] as typeof v2;
    for (const described of [paths, v2]) assert.equal(described[`/${name}/`]!.get.operationId, operation);
    const { schemas = {} } = json["components"] as { schemas?: Schemas };
    if (definition !== undefined) assert.ok(schemas[definition], definition);
  }
});

test("publishes version 2 as JSON and as protobuf", async () => {
  const json = await server.request("/openapi/v2");
  const definitions = json.json["definitions"] as Schemas;
  for (const [, name = ""] of json.text.matchAll(/"#\/definitions\/([^"]+)"/g)) assert.ok(definitions[name], name);
  const patch = (json.json["paths"] as Record<string, Record<string, { parameters: { name: string }[] }>>)[
    "/api/v1/namespaces/{namespace}/pods/{name}"
  ]!["patch"]!;
  assert.ok(patch.parameters.some(({ name }) => name === "fieldValidation"));
  const binary = await server.request("/openapi/v2", {
    headers: { accept: "application/com.github.proto-openapi.spec.v2@v1.0+protobuf" },
  });
  assert.equal(binary.headers["content-type"], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
  assert.deepEqual([...binary.bytes.subarray(0, 5)], [0x0a, 3, 0x32, 0x2e, 0x30]);
  const again = await server.request("/openapi/v2", { headers: { "if-none-match": String(json.headers["etag"]) } });
  assert.equal(again.status, 304);
});
