import assert from "node:assert/strict";
import { test } from "node:test";
import type { AdmissionAttributes } from "../contract.ts";
import { startTestServer } from "../testing/test-server.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";
const merge = { "content-type": "application/merge-patch+json" };

test("admission sees names and options as upstream's plugins do", async () => {
  const seen: string[] = [];
  const note = (phase: string, { resource, operation, name, options }: AdmissionAttributes): void => {
    if (resource.plural !== "configmaps") return;
    const { kind, apiVersion: _apiVersion, ...stated } = options;
    seen.push(`${phase} ${operation} ${name} ${String(kind)} ${JSON.stringify(stated)}`);
  };
  const server = await startTestServer({
    admission: {
      admit: (attributes) => note("admit", attributes),
      validate: (attributes) => note("validate", attributes),
      settle: () => undefined,
    },
  });
  try {
    const made = await server.request(MAPS, { body: { metadata: { generateName: "g-" } } });
    const { name } = made.json.metadata;
    assert.deepEqual(seen.splice(0), ["admit CREATE  CreateOptions {}", `validate CREATE ${name} CreateOptions {}`]);
    const change = { method: "PATCH", body: { data: { a: "b" } }, headers: merge };
    await server.request(`${MAPS}/${name}?fieldManager=m&fieldValidation=Strict`, change);
    const stated = '{"fieldManager":"m","fieldValidation":"Strict"}';
    assert.deepEqual(seen.splice(0), [
      `admit UPDATE ${name} UpdateOptions ${stated}`,
      `validate UPDATE ${name} UpdateOptions ${stated}`,
    ]);
    await server.request(MAPS, { method: "DELETE" });
    assert.deepEqual(
      seen.map((line) => line.split(" ", 3).join(" ")),
      ["admit DELETE ", "validate DELETE "],
      "what goes with its collection has no name of its own in the request",
    );
  } finally {
    await server.close();
  }
});

test("warnings keep their characters", async () => {
  const server = await startTestServer({
    admission: { admit: (attributes) => attributes.warn("日本 é"), validate: () => undefined, settle: () => undefined },
  });
  try {
    const { headers } = await server.request(MAPS, { body: { metadata: { name: "a" } } });
    assert.equal(Buffer.from(String(headers["warning"]), "latin1").toString(), '299 - "日本 é"');
  } finally {
    await server.close();
  }
});
