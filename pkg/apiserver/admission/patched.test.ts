import assert from "node:assert/strict";
import { test } from "node:test";
import { type ResourceDefinition, schemaOf } from "#pkg/api/index.ts";
import { type KubeObject, StatusError } from "#pkg/apimachinery/index.ts";
import { equivalentsOf } from "./equivalents.ts";
import { decodePatched } from "./patched.ts";

const custom = { group: "g.io", version: "v1", kind: "Thing", custom: true } as unknown as ResourceDefinition;
const pod = {
  group: "",
  version: "v1",
  kind: "Pod",
  custom: false,
  schema: schemaOf("io.k8s.api.core.v1.Pod"),
} as unknown as ResourceDefinition;
const thing = { apiVersion: "g.io/v1", kind: "Thing", metadata: { name: "a" } } as KubeObject;
const aPod = { apiVersion: "v1", kind: "Pod", metadata: { name: "a" } } as KubeObject;

function decoded(definition: ResourceDefinition, before: KubeObject, result: unknown): unknown {
  try {
    return decodePatched(
      before,
      result,
      definition,
      equivalentsOf(() => []),
    );
  } catch (error) {
    assert.ok(error instanceof StatusError);
    return `${error.code} ${error.message}`;
  }
}

test("a webhook's patch leaves an object of the same kind", () => {
  const internal = "500 Internal error occurred: ";
  const { kind: _kind, ...unkind } = thing;
  assert.equal(
    decoded(custom, thing, unkind),
    `${internal}Object 'Kind' is missing in '{"apiVersion":"g.io/v1","metadata":{"name":"a"}}'`,
  );
  assert.equal(
    decoded(custom, thing, { ...thing, kind: "Other" }),
    '422 Other.g.io "a" is invalid: kind: Invalid value: "Other": must be Thing',
  );
  assert.equal(
    decoded(custom, thing, { ...thing, apiVersion: "x/v1" }),
    `${internal}Internal error occurred: x/v1, Kind=Thing is unstructured and is not suitable for converting to "g.io/v1"`,
  );
  assert.equal(
    decoded(pod, aPod, { ...aPod, kind: "Other" }),
    `${internal}no kind "Other" is registered for version "v1"`,
  );
});

test("what a webhook's patch makes is of the types of its kind", () => {
  assert.match(
    String(decoded(pod, aPod, { ...aPod, spec: { containers: "x" } })),
    /^500 Internal error occurred: json: cannot unmarshal string into Go struct field .*containers of type/,
  );
  assert.equal(
    decoded(custom, thing, { ...thing, metadata: "x" }),
    "500 Internal error occurred: system metadata was not initialized",
  );
  const labels = { a: 5 };
  assert.deepEqual(decoded(custom, thing, { ...thing, metadata: { name: "a", labels } }), thing);
  assert.deepEqual(decoded(pod, aPod, { ...aPod, metadata: null }), { ...aPod, metadata: {} });
});
