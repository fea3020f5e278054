import assert from "node:assert/strict";
import { test } from "node:test";
import { builtinResources } from "#pkg/api/index.ts";
import { customDefinitions } from "./custom.ts";
import type { Json } from "./schemas.ts";

const [template] = builtinResources();

/** What is published of the fields of a custom kind. */
function published(dialect: "v2" | "v3", properties: Json): Record<string, Json> {
  const definition = {
    ...template!,
    group: "example.com",
    version: "v1",
    kind: "Thing",
    listKind: "ThingList",
    schema: { type: "object" as const, raw: { type: "object", properties } },
  };
  const { "com.example.v1.Thing": thing } = customDefinitions(dialect, definition) as Record<string, Json>;
  const { apiVersion, kind, metadata, ...own } = thing!["properties"] as Record<string, Json>;
  assert.ok(apiVersion && kind && metadata);
  return own;
}

test("version 2 leaves out what its clients would refuse good objects for", () => {
  const open = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const anything = { "x-kubernetes-preserve-unknown-fields": true };
  const table: [Json, Json, Json][] = [
    [{ ...open, properties: { a: { type: "string" } } }, anything, { ...open, properties: { a: { type: "string" } } }],
    [
      { type: "string", example: "a", default: "b" },
      { type: "string", example: "a" },
      { type: "string", example: "a", default: "b" },
    ],
    [
      { type: "string", nullable: true, maxLength: 9 },
      { maxLength: 9 },
      { type: "string", nullable: true, maxLength: 9 },
    ],
    [
      { "x-kubernetes-int-or-string": true },
      { "x-kubernetes-int-or-string": true },
      { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] },
    ],
    [
      { type: "object", "x-kubernetes-validations": [{ rule: "true" }], oneOf: [{}] },
      { type: "object", "x-kubernetes-validations": [{ rule: "true" }] },
      { type: "object", "x-kubernetes-validations": [{ rule: "true" }], oneOf: [{}] },
    ],
  ];
  for (const [field, old, recent] of table) {
    assert.deepEqual(published("v2", { field })["field"], old);
    assert.deepEqual(published("v3", { field })["field"], recent);
  }
});

test("objects inside objects say what they are", () => {
  const embedded = { type: "object", "x-kubernetes-embedded-resource": true };
  for (const dialect of ["v2", "v3"] as const) {
    const { field } = published(dialect, { field: { ...embedded, required: ["spec"], properties: { spec: {} } } });
    assert.deepEqual(field!["required"], ["spec", "kind", "apiVersion"]);
    assert.deepEqual(Object.keys(field!["properties"] as Json), ["spec", "apiVersion", "kind", "metadata"]);
  }
  const open = { ...embedded, "x-kubernetes-preserve-unknown-fields": true };
  const { type, ...without } = open;
  assert.equal(type, "object");
  assert.deepEqual(published("v2", { field: open })["field"], without);
});
