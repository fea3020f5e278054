import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { deepCopy, type FieldSchema, type KubeObject } from "#pkg/apimachinery/index.ts";
import { builtinResources, checkFields, prune, type RequestInfo, type ResourceDefinition } from "./index.ts";

const everything = builtinResources({ runtimeConfig: { "api/all": true } });
const info: RequestInfo = {
  user: { name: "tester", groups: ["testers"], extra: { scope: ["all"] } },
  namespace: "default",
  dryRun: false,
  now: Date.UTC(2026, 0, 1),
  warnings: [],
};

function find(kind: string, group = ""): ResourceDefinition {
  return everything.find((definition) => definition.kind === kind && definition.group === group)!;
}

/** Words that mean something somewhere, so that random objects get past the first check. */
const WORDS = [
  "",
  "a",
  "web",
  "a.b",
  "10.0.0.1",
  "Always",
  "Never",
  "TCP",
  "None",
  "ClusterIP",
  "RollingUpdate",
  "*",
  "/x",
  "Exists",
  "cpu",
];
const QUANTITIES = ["1", "100m", "1Gi", "0", "-1", "1.5"];

/** Objects of the schema's shape: right types, any subset of the fields, arbitrary values, here and there a null. */
function shapeOf(schema: FieldSchema, depth: number): fc.Arbitrary<unknown> {
  return fc.option(valueOf(schema, depth), { freq: 30 });
}

function valueOf(schema: FieldSchema, depth: number): fc.Arbitrary<unknown> {
  switch (schema.type) {
    case "string":
      return fc.constantFrom(...WORDS);
    case "bytes":
      return fc.constantFrom("", "YQ==", "LS0t");
    case "boolean":
      return fc.boolean();
    case "integer":
      return fc.constantFrom(0, 1, -1, 80, 70_000);
    case "number":
      return fc.constantFrom(0, 0.5);
    case "quantity":
      return fc.constantFrom(...QUANTITIES);
    case "int-or-string":
      return fc.constantFrom(0, 1, "50%", "web", "120%");
    case "time":
      return fc.constant("2026-01-01T00:00:00Z");
    case "micro-time":
      return fc.constant("2026-01-01T00:00:00.000000Z");
    case "array":
      return depth <= 0 ? fc.constant([]) : fc.array(shapeOf(schema.items!, depth - 1), { maxLength: 2 });
    case "map":
      return depth <= 0
        ? fc.constant({})
        : fc.dictionary(fc.constantFrom("a", "cpu", "storage", "x/y", "B@d"), shapeOf(schema.items!, depth - 1), {
            maxKeys: 2,
            noNullPrototype: true,
          });
    case "object": {
      if (schema.properties === undefined || depth <= 0) return fc.constant({});
      const members: Record<string, fc.Arbitrary<unknown>> = {};
      for (const [name, member] of schema.properties) members[name] = shapeOf(member, depth - 1);
      return fc.record(members, { requiredKeys: [], noNullPrototype: true });
    }
    default:
      return fc.constantFrom({}, 1, "x");
  }
}

function objectsOf(definition: ResourceDefinition): fc.Arbitrary<KubeObject> {
  return valueOf(definition.schema, 7).map((value) => {
    const object = value as KubeObject;
    return {
      ...object,
      apiVersion: definition.group === "" ? definition.version : `${definition.group}/${definition.version}`,
      kind: definition.kind,
      metadata: { ...object.metadata, name: "web", namespace: "default" },
    };
  });
}

test("every resource of the table is served, beta and alpha ones on request", () => {
  assert.equal(builtinResources().length, 68);
  assert.equal(everything.length, 95);
  const some = builtinResources({ runtimeConfig: { "resource.k8s.io/v1beta1": true } });
  assert.deepEqual(
    some.filter(({ version }) => version !== "v1" && version !== "v2").map(({ plural }) => plural),
    ["deviceclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices"],
  );
  assert.equal(
    builtinResources({ runtimeConfig: { "batch/v1": false } }).some(({ group }) => group === "batch"),
    false,
  );
});

test("every row has as many cells as its kind has columns", () => {
  for (const definition of everything) {
    const object: KubeObject = { metadata: { name: "x" } };
    definition.applyDefaults(object);
    assert.equal(definition.printRow(object, info.now).length, definition.columns.length, definition.kind);
  }
});

for (const definition of everything) {
  const title = `${definition.kind} ${definition.group}/${definition.version}`;

  test(`${title}: any object of its shape can be handled`, () => {
    fc.assert(
      fc.property(objectsOf(definition), (object) => {
        assert.deepEqual(checkFields(definition.schema, object).errors, []);
        prune(definition.schema, object);
        definition.applyDefaults(object);
        const once = deepCopy(object);
        definition.applyDefaults(object);
        assert.deepEqual(object, once, "defaults are idempotent");

        definition.strategy.prepareForCreate?.(object, info);
        definition.strategy.validate?.(object);
        definition.strategy.warnings?.(object);
        definition.printRow(object, info.now);
        definition.strategy.gracePeriodSeconds?.(object, undefined);
        for (const valueOf of definition.selectableFields.values()) assert.equal(typeof valueOf(object), "string");
        if (definition.toStorage !== undefined) definition.fromStorage?.(definition.toStorage(object));
      }),
      { numRuns: 25, seed: 5 },
    );
  });

  test(`${title}: an update never changes the old object`, () => {
    fc.assert(
      fc.property(objectsOf(definition), objectsOf(definition), (object, old) => {
        for (const each of [object, old]) definition.applyDefaults(prune(definition.schema, each));
        const before = deepCopy(old);
        const strategies = [
          definition.strategy,
          ...definition.subresources.flatMap(({ implementation }) =>
            "strategy" in implementation && implementation.strategy !== undefined ? [implementation.strategy] : [],
          ),
        ];
        for (const strategy of strategies) {
          const updated = deepCopy(object);
          strategy.prepareForUpdate?.(updated, old, info);
          strategy.validateUpdate?.(updated, old);
          strategy.warnings?.(updated, old);
        }
        assert.deepEqual(old, before);
      }),
      { numRuns: 15, seed: 6 },
    );
  });
}

test("status is not the client's to set at creation", () => {
  const replicaSet: KubeObject = { metadata: { name: "x" }, status: { replicas: 7 } };
  find("ReplicaSet", "apps").strategy.prepareForCreate?.(replicaSet, info);
  assert.deepEqual(replicaSet["status"], { replicas: 0 });
});
