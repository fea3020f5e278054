import assert from "node:assert/strict";
import { test } from "node:test";
import { created, createErrors, updated } from "../testing/strategies.ts";
import type { CustomResourceDefinition, JSONSchemaProps } from "../types/apiextensions-v1.ts";

const KIND = "apiextensions.k8s.io/v1/CustomResourceDefinition";
const metadata = { name: "widgets.example.com" };
const names = { plural: "widgets", kind: "Widget" };
const objectSchema: JSONSchemaProps = { type: "object" };

function draft(schema: JSONSchemaProps = objectSchema, spec: object = {}): Record<string, unknown> {
  const versions = [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }];
  return { metadata, spec: { group: "example.com", names, scope: "Namespaced", versions, ...spec } };
}

test("names that are not given follow from the kind", () => {
  const definition = created(KIND, draft()) as unknown as CustomResourceDefinition;
  assert.deepEqual(definition.spec.names, { ...names, singular: "widget", listKind: "WidgetList" });
  assert.deepEqual(definition.spec.conversion, { strategy: "None" });
  assert.deepEqual(definition.status!.storedVersions, ["v1"]);
});

const versions = [
  { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: objectSchema } },
  { name: "v2", served: true, storage: true, schema: { openAPIV3Schema: objectSchema } },
];
const refused: readonly [what: string, draft: Record<string, unknown>, errors: string[]][] = [
  ["a good one", draft(), []],
  [
    "a name that is not its own",
    { ...draft(), metadata: { name: "gadgets.example.com" } },
    ['metadata.name: Invalid value: "gadgets.example.com": must be spec.names.plural+"."+spec.group'],
  ],
  [
    "two storage versions",
    draft(objectSchema, { versions }),
    ['spec.versions: Invalid value: ["v1","v2"]: must have exactly one version marked as storage version'],
  ],
  [
    "no schema",
    draft(objectSchema, { versions: [{ name: "v1", served: true, storage: true }] }),
    ["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"],
  ],
  [
    "a protected group",
    { ...draft(objectSchema, { group: "my.k8s.io" }), metadata: { name: "widgets.my.k8s.io" } },
    [
      'metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
    ],
  ],
  [
    "a field without a type",
    draft({ type: "object", properties: { spec: {} } }),
    [
      "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
    ],
  ],
  [
    "structure inside a restriction",
    draft({ type: "object", properties: { a: { type: "string", anyOf: [{ type: "string" }] } } }),
    ["spec.validation.openAPIV3Schema.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
  ],
  [
    "a map list without keys",
    draft({
      type: "object",
      properties: { a: { type: "array", items: { type: "object" }, "x-kubernetes-list-type": "map" } },
    }),
    [
      "spec.validation.openAPIV3Schema.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
    ],
  ],
  [
    "int-or-string spelt out",
    draft({
      type: "object",
      properties: { a: { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] } },
    }),
    [],
  ],
];
for (const [what, object, errors] of refused) {
  test(`creating ${what}`, () => assert.deepEqual(createErrors(KIND, object), errors));
}

test("an established kind keeps its scope", () => {
  const established = (object: Record<string, unknown>) =>
    (object["status"] = { storedVersions: ["v1"], conditions: [{ type: "Established", status: "True" }] });
  const change = updated(KIND, draft(), (object) => {
    established(object);
    (object["spec"] as { scope: string }).scope = "Cluster";
  });
  // The status a client sends does not count: the kind is not established yet.
  assert.deepEqual(change.errors, []);
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
