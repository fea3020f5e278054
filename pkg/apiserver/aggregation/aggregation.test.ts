import assert from "node:assert/strict";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import { until } from "#pkg/util/testing/index.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";

let server: TestServer;
let backend: Server;
let seen: Record<string, unknown> = {};

/** Of a server that knows no version 3. */
const DESCRIPTION = {
  swagger: "2.0",
  paths: {
    "/apis/sample.example.com/v1/fischers": {
      parameters: [{ name: "pretty", in: "query", type: "string", uniqueItems: true, description: "Indented?" }],
      post: {
        operationId: "createFischer",
        consumes: ["application/json", "application/yaml"],
        produces: ["application/json"],
        schemes: ["https"],
        parameters: [
          { name: "body", in: "body", required: true, schema: { $ref: "#/definitions/sample.Fischer" } },
          { name: "times", in: "query", type: "integer", format: "int32" },
        ],
        responses: { 201: { description: "Created", schema: { $ref: "#/definitions/sample.Fischer" } }, 401: {} },
        "x-kubernetes-action": "post",
      },
    },
    "/apis/elsewhere/v1": {},
  },
  definitions: {
    "sample.Fischer": {
      type: "object",
      properties: { fish: { type: "array", items: { $ref: "#/definitions/sample.Fish" } } },
    },
    "sample.Fish": { type: "string" },
    "sample.Unused": { type: "string" },
  },
};

before(async () => {
  server = await startTestServer();
  const now = Date.now();
  const ca = await createCa({ commonName: "backend-ca", validityDays: 1, now });
  const leaf = await issueCertificate(ca, {
    commonName: "sample",
    usages: ["server"],
    dnsNames: ["sample.default.svc"],
    validityDays: 1,
    now,
  });
  backend = createServer({ cert: leaf.cert, key: leaf.key }, (request, response) => {
    seen = { url: request.url, user: request.headers["x-remote-user"], groups: request.headers["x-remote-group"] };
    response.setHeader("content-type", "application/json");
    if (request.url === "/apis/sample.example.com/v1") {
      const resources = [
        { name: "fischers", singularName: "fischer", namespaced: true, kind: "Fischer", verbs: ["get", "list"] },
        { name: "fischers/status", singularName: "", namespaced: true, kind: "Fischer", verbs: ["get"] },
      ];
      response.end(JSON.stringify({ kind: "APIResourceList", groupVersion: "sample.example.com/v1", resources }));
    } else if (request.url === "/openapi/v2") {
      response.end(JSON.stringify(DESCRIPTION));
    } else if (request.url?.startsWith("/openapi") === true) {
      response.statusCode = 404;
      response.end("{}");
    } else response.end(JSON.stringify({ kind: "FischerList", items: [] }));
  });
  await new Promise<void>((resolve) => backend.listen(0, "127.0.0.1", resolve));
  const { port } = backend.address() as AddressInfo;
  await server.request("/api/v1/namespaces/default/services", {
    body: { metadata: { name: "sample" }, spec: { ports: [{ port: 443 }] } },
  });
  // Loopback endpoints are none that the API would take.
  await server.api.registry.cache("discovery.k8s.io", "endpointslices").create({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "sample", namespace: "default", labels: { "kubernetes.io/service-name": "sample" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["127.0.0.1"], conditions: { ready: true } }],
    ports: [{ name: "", port, protocol: "TCP" }],
  });
  const service = {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: "v1.sample.example.com" },
    spec: {
      group: "sample.example.com",
      version: "v1",
      groupPriorityMinimum: 100,
      versionPriority: 10,
      service: { namespace: "default", name: "sample" },
      caBundle: Buffer.from(ca.cert).toString("base64"),
    },
  };
  const created = await server.request("/apis/apiregistration.k8s.io/v1/apiservices", { body: service });
  assert.equal(created.status, 201, created.text);
});
after(async () => {
  backend.closeAllConnections();
  backend.close();
  await server.close();
});

async function available(): Promise<{ status: string; message: string }> {
  return until("the aggregated server is available", async () => {
    const { json } = await server.request("/apis/apiregistration.k8s.io/v1/apiservices/v1.sample.example.com");
    const { conditions = [] } = (json["status"] ?? {}) as { conditions?: { status: string; message: string }[] };
    return conditions[0]?.status === "True" && conditions[0];
  });
}

test("passes requests on with the user's identity once the server answers", async () => {
  const condition = await available();
  assert.equal(condition.status, "True", condition.message);
  const { text } = await server.request("/metrics");
  assert.match(text, /^aggregator_unavailable_apiservice\{name="v1.sample.example.com"\} 0$/m);
  const list = await server.request("/apis/sample.example.com/v1/namespaces/default/fischers?limit=5");
  assert.equal(list.json.kind, "FischerList", list.text);
  assert.deepEqual(seen, {
    url: "/apis/sample.example.com/v1/namespaces/default/fischers?limit=5",
    user: "admin",
    groups: "system:masters, system:authenticated",
  });
});

test("shows aggregated groups in both forms of discovery", async () => {
  const groups = (await server.request("/apis")).json["groups"] as { name: string }[];
  assert.ok(groups.some(({ name }) => name === "sample.example.com"));
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  const items = (await server.request("/apis", { headers: { accept } })).json["items"] as {
    metadata: { name: string };
    versions: { resources: { resource: string; subresources: unknown[] }[] }[];
  }[];
  const [version] = items.find(({ metadata }) => metadata.name === "sample.example.com")!.versions;
  assert.equal(version!.resources[0]!.resource, "fischers");
  assert.equal(version!.resources[0]!.subresources.length, 1);
});

test("describes a server that knows only version 2 of OpenAPI in version 3", async () => {
  const path = "apis/sample.example.com/v1";
  const index = (await server.request("/openapi/v3")).json as unknown as {
    paths: Record<string, { serverRelativeURL: string }>;
  };
  const address = index.paths[path]?.serverRelativeURL ?? "";
  assert.match(address, /^\/openapi\/v3\/apis\/sample\.example\.com\/v1\?hash=[0-9A-F]{128}$/);
  const response = await server.request(address);
  assert.equal(response.headers["content-type"], "application/json");
  const reference = { $ref: "#/components/schemas/sample.Fischer" };
  assert.deepEqual(response.json as unknown, {
    openapi: "3.0.0",
    info: (response.json as unknown as { info: object }).info,
    paths: {
      "/apis/sample.example.com/v1/fischers": {
        parameters: [
          { name: "pretty", in: "query", description: "Indented?", schema: { type: "string", uniqueItems: true } },
        ],
        post: {
          operationId: "createFischer",
          "x-kubernetes-action": "post",
          parameters: [{ name: "times", in: "query", schema: { type: "integer", format: "int32" } }],
          requestBody: {
            content: { "application/json": { schema: reference }, "application/yaml": { schema: reference } },
            required: true,
          },
          responses: {
            201: { description: "Created", content: { "application/json": { schema: reference } } },
            401: { description: "" },
          },
        },
      },
    },
    components: {
      schemas: {
        "sample.Fischer": {
          type: "object",
          properties: { fish: { type: "array", items: { $ref: "#/components/schemas/sample.Fish" } } },
        },
        "sample.Fish": { type: "string" },
      },
    },
  });
});

test("registers what is served here, and forgets what is withdrawn", async () => {
  const local = "/apis/apiregistration.k8s.io/v1/apiservices/v1.apps";
  await until("the group apps is registered", async () => (await server.request(local)).status === 200);
  await server.request("/apis/apiregistration.k8s.io/v1/apiservices/v1.sample.example.com", { method: "DELETE" });
  assert.equal((await server.request("/apis/sample.example.com/v1/fischers")).status, 404);
});
