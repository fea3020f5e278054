import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { schemaOf } from "#pkg/api/index.ts";
import type { FieldSchema, KubeObject } from "../index.ts";
import { applyObject, type ApplyRequest, updateManagedFields } from "./index.ts";

const schema = schemaOf("io.k8s.api.apps.v1.Deployment");
const TIME = "2026-01-01T00:00:00Z";
const NOW = Date.parse(TIME);

function deployment(spec: Record<string, unknown>, metadata: Record<string, unknown> = {}): KubeObject {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "default", ...metadata },
    spec,
  };
}
const container = (name: string, more: Record<string, unknown> = {}) => ({ name, image: `${name}:1`, ...more });
const pods = (...containers: unknown[]) => ({ template: { spec: { containers } } });

function created(object: KubeObject, manager = "kubectl-create"): KubeObject {
  const managedFields = updateManagedFields({
    schema,
    live: undefined,
    updated: object,
    manager,
    apiVersion: "apps/v1",
    time: TIME,
  });
  return { ...object, metadata: { ...object.metadata, managedFields } };
}
function apply(live: KubeObject | undefined, applied: KubeObject, more: Partial<ApplyRequest> = {}) {
  return applyObject({
    schema,
    live,
    applied,
    manager: "kubectl",
    force: false,
    apiVersion: "apps/v1",
    now: NOW,
    ...more,
  });
}
function applied(live: KubeObject | undefined, config: KubeObject, more: Partial<ApplyRequest> = {}): KubeObject {
  const result = apply(live, config, more);
  assert.equal(result.conflict, undefined);
  return "object" in result ? result.object : assert.fail("conflict");
}
const ownersOf = (object: KubeObject) =>
  Object.fromEntries(
    (object.metadata.managedFields ?? []).map((entry) => [`${entry.manager} ${entry.operation}`, entry.fieldsV1]),
  );

test("apply creates an object and owns what it says", () => {
  const object = applied(
    undefined,
    deployment(
      { replicas: 2, ...pods(container("a", { ports: [{ containerPort: 80 }] })) },
      { labels: { app: "web" } },
    ),
  );
  assert.deepEqual(object.metadata.managedFields, [
    {
      manager: "kubectl",
      operation: "Apply",
      apiVersion: "apps/v1",
      time: TIME,
      fieldsType: "FieldsV1",
      fieldsV1: {
        "f:metadata": { "f:labels": { "f:app": {} } },
        "f:spec": {
          "f:replicas": {},
          "f:template": {
            "f:spec": {
              "f:containers": {
                'k:{"name":"a"}': {
                  ".": {},
                  "f:name": {},
                  "f:image": {},
                  "f:ports": { 'k:{"containerPort":80,"protocol":"TCP"}': { ".": {}, "f:containerPort": {} } },
                },
              },
            },
          },
        },
      },
    },
  ]);
});

test("changing another manager's field is a conflict with upstream's message", () => {
  const live = created(deployment({ replicas: 1, ...pods(container("a")) }), "kubectl");
  const one = apply(live, deployment({ replicas: 3 }));
  assert.equal(
    one.conflict?.message,
    'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas',
  );
  assert.equal(one.conflict?.code, 409);
  assert.deepEqual(one.conflict?.details?.causes, [
    { reason: "FieldManagerConflict", message: 'conflict with "kubectl" using apps/v1', field: ".spec.replicas" },
  ]);
  const two = apply(live, deployment({ replicas: 3, ...pods({ name: "a", image: "other" }) }));
  assert.equal(
    two.conflict?.message,
    'Apply failed with 2 conflicts: conflicts with "kubectl" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name="a"].image',
  );
});

test("an applier conflicts too, without a version, with its subresource", () => {
  const first = applied(undefined, deployment({ replicas: 1 }), { manager: "a", subresource: "scale" });
  const result = apply(first, deployment({ replicas: 2 }), { manager: "b" });
  assert.equal(
    result.conflict?.message,
    'Apply failed with 1 conflict: conflict with "a" with subresource "scale": .spec.replicas',
  );
});

test("the same value is shared without conflict; force takes the field", () => {
  const live = created(deployment({ replicas: 1 }));
  const shared = applied(live, deployment({ replicas: 1 }));
  assert.deepEqual(Object.keys(ownersOf(shared)), ["kubectl Apply", "kubectl-create Update"]);
  const forced = applied(live, deployment({ replicas: 5 }), { force: true });
  assert.deepEqual(ownersOf(forced), { "kubectl Apply": { "f:spec": { "f:replicas": {} } } });
  assert.equal((forced["spec"] as { replicas: number }).replicas, 5);
});

test("what is left out of the next apply goes, unless somebody else owns it", () => {
  const both = applied(undefined, deployment({ replicas: 1, paused: true, ...pods(container("a"), container("b")) }));
  const shared = applied(both, deployment({ paused: true }), { manager: "other" });
  const next = applied(shared, deployment({ ...pods(container("a")) }));
  assert.deepEqual(next["spec"], { paused: true, template: { spec: { containers: [container("a")] } } });
});

test("unowned parts stay, but a removed list item takes its defaults along", () => {
  const first = applied(undefined, deployment({ ...pods(container("a"), container("b")) }));
  const defaulted = structuredClone(first);
  const spec = defaulted["spec"] as {
    replicas?: number;
    template: { spec: { containers: Record<string, unknown>[] } };
  };
  spec.replicas = 1;
  for (const item of spec.template.spec.containers) item["imagePullPolicy"] = "Always";
  const next = applied(defaulted, deployment({ ...pods(container("b")) }));
  assert.deepEqual(next["spec"], {
    replicas: 1,
    template: { spec: { containers: [container("b", { imagePullPolicy: "Always" })] } },
  });
});

test("lists merge by key: applied order, with foreign items at their place", () => {
  const live = created(deployment({ ...pods(container("a"), container("sidecar"), container("c")) }));
  const next = applied(live, deployment({ ...pods(container("c"), container("a"), container("z")) }));
  const names = (
    next["spec"] as { template: { spec: { containers: { name: string }[] } } }
  ).template.spec.containers.map((c) => c.name);
  assert.deepEqual([...names].sort(), ["a", "c", "sidecar", "z"]);
  assert.ok(names.indexOf("c") < names.indexOf("a") && names.indexOf("a") < names.indexOf("z"), names.join());
});

test("sets, atomic lists and atomic maps", () => {
  const live = created(
    deployment(
      { selector: { matchLabels: { app: "x" } }, ...pods(container("a", { args: ["1"] })) },
      { finalizers: ["f/a"] },
    ),
  );
  const next = applied(
    live,
    deployment(
      { selector: { matchLabels: { app: "x" } }, ...pods({ name: "a", args: ["1"] }) },
      { finalizers: ["f/b"] },
    ),
  );
  assert.deepEqual(next.metadata.finalizers, ["f/a", "f/b"]);
  const owned = ownersOf(next)["kubectl Apply"];
  assert.deepEqual((owned as Record<string, unknown>)["f:metadata"], { "f:finalizers": { 'v:"f/b"': {} } });
  assert.deepEqual((owned as { "f:spec": Record<string, unknown> })["f:spec"]["f:selector"], {});
});

test("an apply that changes nothing keeps its time and says so", () => {
  const first = applied(undefined, deployment({ replicas: 1 }));
  const again = apply(first, deployment({ replicas: 1 }), { now: NOW + 60_000 });
  assert.equal("changed" in again && again.changed, false);
  assert.deepEqual("managedFields" in again && again.managedFields, first.metadata.managedFields);
});

test("objects that nobody tracked get a manager before the first apply", () => {
  const live = deployment({ replicas: 1 });
  const result = apply(live, deployment({ replicas: 2 }));
  assert.match(result.conflict?.message ?? "", /conflict with "before-first-apply" using apps\/v1: .spec.replicas/);
});

test("a key that is null is a key, for validation to refuse", () => {
  const applied = apply(undefined, deployment({ ...pods({ name: null, image: "x" }) }));
  assert.match(JSON.stringify(applied), /k:\{\\"name\\":null\}/);
});

test("configurations that do not fit the schema are refused", () => {
  const table: [KubeObject, RegExp][] = [
    [deployment({ nonsense: 1 }), /^\.spec\.nonsense: field not declared in schema$/],
    [deployment({ replicas: "x" }), /^\.spec\.replicas: expected numeric \(int or float\)/],
    [
      deployment({ ...pods(container("a"), container("a")) }),
      /^\.spec\.template\.spec\.containers: duplicate entries for key \[name="a"\]$/,
    ],
    [
      deployment({ ...pods({ image: "x" }) }),
      /element 0: associative list with keys has an element that omits all key fields \["name"\]/,
    ],
    [deployment({ replicas: 1, template: [] }), /^\.spec\.template: expected map/],
  ];
  for (const [config, message] of table)
    assert.throws(() => apply(undefined, config), { name: "TypedObjectError", message });
  assert.throws(() => apply(undefined, deployment({}, { managedFields: [] })), {
    message: "metadata.managedFields must be nil",
  });
});

test("null in a configuration is a value, and owned like others", () => {
  const live = created(deployment({ replicas: 1, paused: true }));
  const next = applied(live, deployment({ paused: null }), { force: true });
  // What null means for the kind is the decoder's to say: built-in kinds drop it.
  assert.deepEqual(next["spec"], { replicas: 1, paused: null });
});

test("apply never changes its arguments", () => {
  const live = created(deployment({ replicas: 1, ...pods(container("a")) }));
  const config = deployment({ replicas: 2, ...pods(container("a"), container("b")) });
  const before = JSON.stringify([live, config]);
  const object = applied(live, config, { force: true });
  (object["spec"] as { template: unknown }).template = "changed";
  assert.equal(JSON.stringify([live, config]), before);
});

test("data without schema is divided by what it looks like", () => {
  const custom: FieldSchema = {
    type: "object",
    properties: new Map<string, FieldSchema>([["spec", { type: "object", preserveUnknownFields: true }]]),
  };
  const object = (spec: unknown): KubeObject => ({
    apiVersion: "example.com/v1",
    kind: "Foo",
    metadata: { name: "a" },
    spec,
  });
  const options = {
    schema: {
      ...custom,
      properties: new Map([
        ...custom.properties!,
        ["metadata", schemaOf("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")],
        ["apiVersion", { type: "string" }],
        ["kind", { type: "string" }],
      ] as [string, FieldSchema][]),
    },
    apiVersion: "example.com/v1",
  };
  const first = applied(undefined, object({ a: { b: 1 }, list: [1] }), options);
  assert.deepEqual(first.metadata.managedFields?.[0]?.fieldsV1, {
    "f:spec": { "f:a": { ".": {}, "f:b": {} }, "f:list": {} },
  });
  const second = applied(first, object({ a: { c: 2 }, list: [2] }), options);
  assert.deepEqual(second["spec"], { a: { c: 2 }, list: [2] });
});

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

test("kubectl takes over what it applied client-side, and keeps its annotation current", () => {
  const old = deployment({ replicas: 1, paused: true });
  const annotations = { [LAST_APPLIED]: JSON.stringify(old) };
  const live = created(deployment({ replicas: 1, paused: true }, { annotations }), "kubectl-client-side-apply");
  const next = applied(live, deployment({ replicas: 2, paused: true }));
  assert.equal((next["spec"] as { replicas: number }).replicas, 2);
  assert.equal(
    next.metadata.annotations?.[LAST_APPLIED],
    `${JSON.stringify(deployment({ replicas: 2, paused: true }, { annotations: {} }))}\n`,
  );
  assert.match(apply(live, deployment({ replicas: 2 }), { manager: "other" }).conflict?.message ?? "", /1 conflict/);

  const changedSince = { ...live, spec: { replicas: 7, paused: true } };
  assert.match(apply(changedSince, deployment({ replicas: 2 })).conflict?.message ?? "", /: \.spec\.replicas$/);
});

const name = fc.constantFrom("a", "b", "c", "d");
const config = fc
  .record(
    {
      replicas: fc.integer({ min: 0, max: 3 }),
      paused: fc.boolean(),
      labels: fc.dictionary(name, fc.constantFrom("1", "2"), { minKeys: 1, maxKeys: 3 }),
      containers: fc.uniqueArray(fc.record({ name, image: fc.constantFrom("i", "j") }), {
        selector: (c) => c.name,
        minLength: 1,
        maxLength: 4,
      }),
    },
    { requiredKeys: [] },
  )
  .map(({ labels, containers, ...spec }) =>
    deployment(
      { ...spec, ...(containers === undefined ? {} : pods(...containers)) },
      labels === undefined ? {} : { labels },
    ),
  );
/** Everything `part` says is so in `whole`. */
function contains(whole: unknown, part: unknown): boolean {
  if (Array.isArray(part)) {
    return part.every((item: { name: string }) =>
      contains(
        (whole as { name: string }[]).find((other) => other.name === item.name),
        item,
      ),
    );
  }
  if (typeof part !== "object" || part === null) return whole === part;
  return Object.entries(part).every(([key, value]) =>
    contains((whole as Record<string, unknown> | undefined)?.[key], value),
  );
}

test("after an apply the object says what the configuration says, and doing it again changes nothing", () => {
  fc.assert(
    fc.property(config, config, config, (first, other, second) => {
      let live = applied(undefined, first, { manager: "one" });
      live = applied(live, other, { manager: "two", force: true });
      live = applied(live, second, { manager: "one", force: true });
      assert.ok(contains(live, second), JSON.stringify([live, second]));
      const again = apply(live, second, { manager: "one", force: true, now: NOW + 5000 });
      assert.ok("object" in again && !again.changed);
      assert.deepEqual(again.object, live);
    }),
    { numRuns: 300 },
  );
});

test("an applier that gives everything up leaves what the others said", () => {
  const { spec: _spec, ...empty } = deployment({});
  fc.assert(
    fc.property(config, config, (mine, theirs) => {
      const both = applied(applied(undefined, theirs, { manager: "two" }), mine, { manager: "one", force: true });
      const rest = applied(both, empty, { manager: "one", force: true });
      assert.equal(ownersOf(rest)["one Apply"], undefined);
      const alone = applied(applied(undefined, mine, { manager: "one" }), empty, { manager: "one" });
      assert.deepEqual(Object.keys(alone.metadata), ["name", "namespace"]);
      assert.equal(alone["spec"], undefined);
    }),
    { numRuns: 300 },
  );
});
