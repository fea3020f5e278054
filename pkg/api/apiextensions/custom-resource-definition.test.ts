import assert from "node:assert/strict";
import { test } from "node:test";
import { created, updated } from "../testing/strategies.ts";
import type { CustomResourceDefinition, JSONSchemaProps } from "../types/apiextensions-v1.ts";

const KIND = "apiextensions.k8s.io/v1/CustomResourceDefinition";
const metadata = { name: "widgets.example.com" };
const names = { plural: "widgets", kind: "Widget" };
const objectSchema: JSONSchemaProps = { type: "object" };

function draft(): Record<string, unknown> {
  const versions = [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: objectSchema } }];
  return { metadata, spec: { group: "example.com", names, scope: "Namespaced", versions } };
}

test("names that are not given follow from the kind", () => {
  const definition = created(KIND, draft()) as unknown as CustomResourceDefinition;
  assert.deepEqual(definition.spec.names, { ...names, singular: "widget", listKind: "WidgetList" });
  assert.deepEqual(definition.spec.conversion, { strategy: "None" });
  assert.deepEqual(definition.status!.storedVersions, ["v1"]);
});

test("stored versions follow the storage version", () => {
  const next = { name: "v2", served: true, storage: true, schema: { openAPIV3Schema: objectSchema } };
  const { object, errors } = updated(KIND, draft(), (definition) => {
    const spec = definition["spec"] as { versions: { storage: boolean }[] };
    spec.versions = [{ ...spec.versions[0]!, storage: false }, next];
  });
  assert.deepEqual(errors, []);
  assert.deepEqual((object as unknown as CustomResourceDefinition).status!.storedVersions, ["v1", "v2"]);
});
