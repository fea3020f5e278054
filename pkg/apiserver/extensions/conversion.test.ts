import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { until } from "#pkg/util/testing/index.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";

const REVIEW = { apiVersion: "apiextensions.k8s.io/v1", kind: "ConversionReview" };

let server: TestServer;
let broken = false;
let reviews = 0;
/** Spoils what the webhook answers. */
let spoil = (answer: Answer): object => answer;
interface Answer {
  readonly response: { readonly uid: string; readonly convertedObjects: KubeObject[] };
}

/** v1 has spec.host "a:1", v2 has spec.host and spec.port. */
function convert(object: KubeObject, apiVersion: string): KubeObject {
  const spec = object["spec"] as { host: string; port?: string };
  const [host = "", port] = spec.host.split(":");
  const converted = apiVersion.endsWith("v1") ? { host: `${spec.host}:${spec.port}` } : { host, port };
  return {
    ...object,
    apiVersion,
    metadata: { ...object.metadata, labels: { converted: "yes" }, generation: 99 },
    spec: converted,
  };
}

before(async () => {
  server = await startTestServer({
    webhooks: {
      exchange: (_config, _timeout, body) => {
        if (broken) return Promise.reject(new Error("no endpoints available"));
        reviews++;
        const { uid, desiredAPIVersion, objects } = (
          body as { request: { uid: string; desiredAPIVersion: string; objects: KubeObject[] } }
        ).request;
        const convertedObjects = objects.map((object) => convert(object, desiredAPIVersion));
        const answer = { ...REVIEW, response: { uid, result: { status: "Success" }, convertedObjects } };
        return Promise.resolve(spoil(answer) as Record<string, unknown>);
      },
    },
  });
  const schema = (properties: object) => ({
    openAPIV3Schema: { type: "object", properties: { spec: { type: "object", properties } } },
  });
  const text = { type: "string" };
  const crd = await server.request("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
    body: {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "hosts.example.com" },
      spec: {
        group: "example.com",
        scope: "Namespaced",
        names: { plural: "hosts", kind: "Host" },
        versions: [
          { name: "v1", served: true, storage: true, schema: schema({ host: text }) },
          {
            name: "v2",
            served: true,
            storage: false,
            schema: schema({ host: text, port: text }),
            selectableFields: [{ jsonPath: ".spec.port" }],
          },
        ],
        conversion: {
          strategy: "Webhook",
          webhook: {
            conversionReviewVersions: ["v1"],
            clientConfig: { service: { namespace: "default", name: "converter" } },
          },
        },
      },
    },
  });
  assert.equal(crd.status, 201, crd.text);
  await until("both versions are served", async () => {
    const answers = await Promise.all(["v1", "v2"].map((version) => server.request(path(version))));
    return answers.every(({ status }) => status === 200);
  });
});
after(() => server.close());

const path = (version: string) => `/apis/example.com/${version}/namespaces/default/hosts`;

test("asks the webhook for what is stored in another version, once per object", async () => {
  const created = await server.request(path("v2"), {
    body: { apiVersion: "example.com/v2", kind: "Host", metadata: { name: "a" }, spec: { host: "one", port: "1" } },
  });
  assert.equal(created.status, 201, created.text);
  assert.deepEqual(created.json["spec"], { host: "one", port: "1" });
  assert.deepEqual(created.json.metadata.labels, { converted: "yes" });
  assert.equal(created.json.metadata.generation, 1);
  const stored = await server.request(`${path("v1")}/a`);
  assert.deepEqual(stored.json["spec"], { host: "one:1" });
  await server.request(path("v1"), {
    body: { apiVersion: "example.com/v1", kind: "Host", metadata: { name: "b" }, spec: { host: "two:2" } },
  });
  const before = reviews;
  const list = await server.request(path("v2"));
  assert.deepEqual(
    (list.json["items"] as { spec: { port: string } }[]).map(({ spec }) => spec.port),
    ["1", "2"],
  );
  await server.request(path("v2"));
  assert.equal(reviews, before + 1);
  const selected = await server.request(`${path("v2")}?fieldSelector=spec.port%3D2`);
  assert.equal((selected.json["items"] as unknown[]).length, 1);
  const patched = await server.request(`${path("v2")}/a`, {
    method: "PATCH",
    body: { spec: { port: "9" } },
    headers: { "content-type": "application/merge-patch+json" },
  });
  assert.deepEqual(patched.json["spec"], { host: "one", port: "9" });
});

test("converts watched objects in order, and ends the watch when that fails", async () => {
  const watch = await server.watch(`${path("v2")}?watch=1`);
  assert.deepEqual((await watch.next()).object["spec"], { host: "one", port: "9" });
  assert.equal((await watch.next()).object.metadata.name, "b");
  broken = true;
  await server.request(path("v1"), {
    body: { apiVersion: "example.com/v1", kind: "Host", metadata: { name: "c" }, spec: { host: "three:3" } },
  });
  const error = await watch.next();
  assert.equal(error.type, "ERROR");
  const got = await server.request(`${path("v2")}/c`);
  broken = false;
  assert.equal(got.status, 500);
  assert.match(
    String(got.json["message"]),
    /conversion webhook for example\.com\/v1, Kind=Host failed: no endpoints available/,
  );
});

test("says what is wrong with a webhook's answer", async () => {
  const objects = (change: (object: KubeObject) => object) => (answer: Answer) => {
    const { response } = answer;
    return { ...answer, response: { ...response, convertedObjects: response.convertedObjects.map(change) } };
  };
  const response = (change: object) => (answer: Answer) => ({ ...answer, response: { ...answer.response, ...change } });
  const metadata = (change: object) =>
    objects((object) => ({ ...object, metadata: { ...object.metadata, ...change } }));
  const table: [(answer: Answer) => object, string][] = [
    [response({ uid: undefined }), 'failed: expected response.uid="UID", got ""'],
    [response({ result: { status: "Failure" } }), "failed: response.result.status was 'Failure', not 'Success'"],
    [response({ result: { status: "Failure", message: "no luck" } }), "failed: no luck"],
    [response({ convertedObjects: undefined }), "returned 0 objects, expected 1"],
    [(answer) => ({ ...answer, response: undefined }), "failed: no response provided"],
    [
      (answer) => ({ ...answer, apiVersion: "apiextensions.k8s.io/v1beta1" }),
      "failed: converting (v1beta1.ConversionReview) to (v1.ConversionReview): unknown conversion",
    ],
    [
      ({ response }) => ({ response }),
      "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got /, Kind=",
    ],
    [
      objects((object) => ({ ...object, apiVersion: "other/v1" })),
      "returned invalid object at index 0: invalid groupVersion (expected example.com/v1, received other/v1)",
    ],
    [
      objects((object) => ({ ...object, kind: "Nope" })),
      "returned invalid object at index 0: invalid kind (expected Host, received Nope)",
    ],
    [metadata({ name: "z" }), "returned invalid object: must have the same name: spoilt != z"],
    [
      metadata({ labels: { a: 5 } }),
      "returned invalid metadata: metadata.labels[a] must be a string, but is int64 in converted object",
    ],
  ];
  try {
    for (const [spoilt, message] of table) {
      spoil = spoilt;
      const { status, json } = await server.request(path("v2"), {
        body: {
          apiVersion: "example.com/v2",
          kind: "Host",
          metadata: { name: "spoilt" },
          spec: { host: "h", port: "1" },
        },
      });
      const said = String(json["message"]).replace(/[0-9a-f-]{36}/, "UID");
      assert.deepEqual([status, said], [500, `conversion webhook for example.com/v2, Kind=Host ${message}`]);
    }
  } finally {
    spoil = (answer) => answer;
  }
});
