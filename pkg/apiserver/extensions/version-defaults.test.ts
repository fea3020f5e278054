import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { until } from "#pkg/util/testing/index.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";

const REVIEW = { apiVersion: "apiextensions.k8s.io/v1", kind: "ConversionReview" };

const GROUP = "example.com";
const path = (version: string) => `/apis/${GROUP}/${version}/namespaces/default/twos`;
const text = { type: "string" };
const version = (name: string, storage: boolean, properties: object): object => ({
  name,
  served: true,
  storage,
  schema: { openAPIV3Schema: { type: "object", properties: { spec: { type: "object", properties } } } },
});

async function define(server: TestServer, conversion: object): Promise<void> {
  const names = { plural: "twos", kind: "Two" };
  const versions = [
    version("v1", true, { a: { ...text, default: "one" }, b: text, old: text }),
    version("v2", false, { a: text, b: { ...text, default: "two" } }),
  ];
  const { status } = await server.request("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
    body: {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `twos.${GROUP}` },
      spec: { group: GROUP, scope: "Namespaced", names, versions, conversion },
    },
  });
  assert.equal(status, 201);
  await until("the kind is served", async () => (await server.request(path("v2"))).status === 200);
}

const spec = async (server: TestServer, version: string, name: string, given?: object): Promise<unknown> => {
  const body = { apiVersion: `${GROUP}/${version}`, kind: "Two", metadata: { name }, spec: given };
  const answer =
    given === undefined
      ? await server.request(`${path(version)}/${name}`)
      : await server.request(path(version), { body });
  assert.ok(answer.status < 300, answer.text);
  return answer.json["spec"];
};

test("defaults come from the version of the request and the version in the store, not from the one that is read", async () => {
  const server = await startTestServer();
  try {
    await define(server, { strategy: "None" });
    const body = { apiVersion: `${GROUP}/v2`, kind: "Two", metadata: { name: "x" }, spec: {} };
    const pretended = await server.request(`${path("v2")}?dryRun=All`, { body });
    assert.deepEqual(pretended.json["spec"], { a: "one", b: "two" });
    assert.deepEqual(await spec(server, "v2", "x", {}), { a: "one", b: "two" });
    const updated = await server.request(`${path("v2")}/x?dryRun=All`, {
      method: "PATCH",
      headers: { "content-type": "application/merge-patch+json" },
      body: { spec: { a: null } },
    });
    assert.deepEqual(updated.json["spec"], { a: "one", b: "two" });
    assert.deepEqual(await spec(server, "v1", "x"), { a: "one", b: "two" });
    assert.deepEqual(await spec(server, "v1", "y", { old: "o" }), { a: "one", old: "o" });
    assert.deepEqual(await spec(server, "v2", "y"), { a: "one" });
  } finally {
    await server.close();
  }
});

test("a webhook converts complete objects, and what it answers gets no defaults", async () => {
  const asked: unknown[] = [];
  const server = await startTestServer({
    webhooks: {
      exchange: (_config, _timeout, body) => {
        const { request } = body as { request: { uid: string; desiredAPIVersion: string; objects: KubeObject[] } };
        const { uid, desiredAPIVersion: apiVersion, objects } = request;
        asked.push([apiVersion, ...objects.map((object) => object["spec"])]);
        const convertedObjects = objects.map((object) => ({ ...object, apiVersion, spec: { a: "made", none: 1 } }));
        return Promise.resolve({ ...REVIEW, response: { uid, result: { status: "Success" }, convertedObjects } });
      },
    },
  });
  try {
    const clientConfig = { service: { namespace: "default", name: "converter" } };
    await define(server, { strategy: "Webhook", webhook: { conversionReviewVersions: ["v1"], clientConfig } });
    assert.deepEqual(await spec(server, "v1", "y", {}), { a: "one" });
    assert.deepEqual(await spec(server, "v2", "y"), { a: "made" });
    assert.deepEqual(asked, [[`${GROUP}/v2`, { a: "one" }]]);
  } finally {
    await server.close();
  }
});
