import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { schemaOf } from "#pkg/api/index.ts";
import type { KubeObject, ManagedFieldsEntry } from "../index.ts";
import { managerFromUserAgent, updateManagedFields, type UpdateRequest } from "./index.ts";

const schema = schemaOf("io.k8s.api.core.v1.Pod");
const pod = (
  spec: Record<string, unknown>,
  metadata: Record<string, unknown> = {},
  status?: Record<string, unknown>,
): KubeObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "a", namespace: "default", ...metadata },
  spec,
  ...(status === undefined ? {} : { status }),
});
const update = (live: KubeObject | undefined, updated: KubeObject, more: Partial<UpdateRequest> = {}) =>
  updateManagedFields({ schema, live, updated, manager: "m", apiVersion: "v1", time: "2026-01-01T00:00:00Z", ...more });
const withFields = (object: KubeObject, managedFields: ManagedFieldsEntry[]): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, managedFields },
});
const fieldsOf = (entries: ManagedFieldsEntry[]) =>
  Object.fromEntries(entries.map((entry) => [entry.manager, entry.fieldsV1]));

test("a create owns everything it sets but identity", () => {
  const entries = update(
    undefined,
    pod(
      { nodeName: "n", containers: [{ name: "c", resources: {} }] },
      { uid: "u", labels: { a: "b" }, creationTimestamp: "x" },
    ),
  );
  assert.deepEqual(entries, [
    {
      manager: "m",
      operation: "Update",
      apiVersion: "v1",
      time: "2026-01-01T00:00:00Z",
      fieldsType: "FieldsV1",
      fieldsV1: {
        "f:metadata": { "f:labels": { ".": {}, "f:a": {} } },
        "f:spec": {
          "f:nodeName": {},
          "f:containers": { 'k:{"name":"c"}': { ".": {}, "f:name": {}, "f:resources": {} } },
        },
      },
    },
  ]);
});

test("a write takes the fields it changes from their owners", () => {
  const object = pod({ nodeName: "n", priority: 1 });
  const live = withFields(object, update(undefined, object, { manager: "first" }));
  const entries = update(live, pod({ nodeName: "n", priority: 2, hostNetwork: true }), { manager: "second" });
  assert.deepEqual(fieldsOf(entries), {
    first: { "f:spec": { "f:nodeName": {} } },
    second: { "f:spec": { "f:priority": {}, "f:hostNetwork": {} } },
  });
});

test("what is removed belongs to nobody; a write that only removes leaves its own time alone", () => {
  const object = pod({ nodeName: "n", priority: 1 });
  const live = withFields(object, update(undefined, object));
  const entries = update(live, pod({ nodeName: "n" }), { time: "2026-02-02T00:00:00Z" });
  assert.deepEqual(fieldsOf(entries), { m: { "f:spec": { "f:nodeName": {} } } });
  assert.equal(entries[0]!.time, "2026-01-01T00:00:00Z");
});

test("nothing changed: the very same entries", () => {
  const object = pod({ nodeName: "n" });
  const live = withFields(object, update(undefined, object));
  const entries = update(live, structuredClone(live), { manager: "other" });
  assert.deepEqual(entries, live.metadata.managedFields);
  const again = update(live, pod({ nodeName: "n", priority: 5 }), { manager: "other" });
  assert.equal(again[0], live.metadata.managedFields![0]);
});

test("subresources are managers of their own, and reset fields are never owned", () => {
  const object = pod({ nodeName: "n" });
  const live = withFields(object, update(undefined, object));
  const status = update(live, pod({ nodeName: "n" }, {}, { phase: "Running" }), { subresource: "status" });
  assert.deepEqual(
    status.map(({ manager, subresource, fieldsV1 }) => ({ manager, subresource, fieldsV1 })),
    [
      { manager: "m", subresource: undefined, fieldsV1: { "f:spec": { "f:nodeName": {} } } },
      { manager: "m", subresource: "status", fieldsV1: { "f:status": { "f:phase": {} } } },
    ],
  );
  const main = update(undefined, pod({ nodeName: "n" }, {}, { phase: "Running" }), { resetFields: ["status"] });
  assert.deepEqual(main[0]!.fieldsV1, { "f:spec": { "f:nodeName": {} } });
  const owned = withFields(pod({ nodeName: "n" }, {}, { phase: "Running" }), status);
  const cleared = update(owned, pod({ nodeName: "n" }), { resetFields: ["status"], manager: "other" });
  assert.deepEqual(cleared, status, "a write that cannot reach status takes nothing from its owner");
});

test("clients may set managedFields, give them up, or not know them", () => {
  const object = pod({ nodeName: "n" });
  const live = withFields(object, update(undefined, object));
  const renamed = live.metadata.managedFields!.map((entry) => ({ ...entry, manager: "renamed" }));
  assert.deepEqual(update(live, withFields(object, renamed))[0]!.manager, "renamed");
  assert.deepEqual(update(live, withFields(object, [{}])), []);
  assert.deepEqual(update(object, pod({ nodeName: "other" })), [], "untracked objects stay so");
  assert.deepEqual(update(live, withFields(object, [])), live.metadata.managedFields);
  assert.deepEqual(
    update(live, withFields(object, [{ manager: "x", operation: "Bogus" }])),
    live.metadata.managedFields,
  );
  assert.deepEqual(update(live, withFields(object, renamed), { subresource: "status" })[0]!.manager, "m");
});

test("at most ten updaters, the oldest merged", () => {
  let live = pod({}, { labels: {} });
  for (let i = 0; i < 14; i++) {
    const updated = pod(
      {},
      { labels: { ...live.metadata.labels, [`l${i}`]: "x" }, managedFields: live.metadata.managedFields },
    );
    const time = new Date(Date.UTC(2026, 0, 1, 0, i)).toISOString().replace(".000", "");
    live = withFields(updated, update(i === 0 ? undefined : live, updated, { manager: `m${i}`, time }));
  }
  const entries = live.metadata.managedFields!;
  assert.equal(entries.length, 10);
  assert.deepEqual(
    entries.map(({ manager }) => manager),
    ["ancient-changes", "m5", "m6", "m7", "m8", "m9", "m10", "m11", "m12", "m13"],
  );
  assert.equal(entries[0]!.time, "2026-01-01T00:04:00Z");
});

test("items that share a key are owned together", () => {
  const spec = (value: string) => ({
    containers: [
      {
        name: "c",
        env: [
          { name: "X", value: "1" },
          { name: "X", value },
        ],
      },
    ],
  });
  const live = withFields(pod(spec("1")), update(undefined, pod(spec("1"))));
  const entries = update(live, pod(spec("2")), { manager: "other" });
  assert.deepEqual(fieldsOf(entries)["other"], {
    "f:spec": { "f:containers": { 'k:{"name":"c"}': { "f:env": { 'k:{"name":"X"}': {} } } } },
  });
});

test("after any two writes, every owned field exists and every changed one has an owner", () => {
  const labels = fc.dictionary(fc.constantFrom("a", "b", "c"), fc.constantFrom("1", "2"));
  const containers = fc.uniqueArray(
    fc.record({ name: fc.constantFrom("x", "y", "z"), image: fc.constantFrom("1", "2") }),
    {
      selector: ({ name }) => name,
    },
  );
  const object = fc.record({ labels, containers }).map((o) => pod({ containers: o.containers }, { labels: o.labels }));
  fc.assert(
    fc.property(object, object, (first, second) => {
      const live = withFields(first, update(undefined, first, { manager: "one" }));
      const entries = update(live, second, { manager: "two" });
      const owned = new Set(
        entries.flatMap((entry) => Object.keys((entry.fieldsV1 as never)?.["f:metadata"]?.["f:labels"] ?? {})),
      );
      owned.delete(".");
      assert.deepEqual(owned, new Set(Object.keys(second.metadata.labels ?? {}).map((key) => `f:${key}`)));
      const two = entries.find(({ manager }) => manager === "two")?.fieldsV1;
      for (const [key, value] of Object.entries(second.metadata.labels ?? {})) {
        const mine = (two as never)?.["f:metadata"]?.["f:labels"]?.[`f:${key}`] !== undefined;
        assert.equal(mine, first.metadata.labels?.[key] !== value, key);
      }
    }),
  );
});

test("what is remembered of sets that objects share says what working it out says", () => {
  const label = fc.dictionary(fc.constantFrom("a", "b"), fc.constantFrom("1", "2"));
  const status = fc.record({
    phase: fc.constantFrom("Pending", "Running"),
    conditions: fc.uniqueArray(
      fc.record({ type: fc.constantFrom("A", "B"), status: fc.constantFrom("True", "False") }),
      {
        selector: ({ type }) => type,
      },
    ),
  });
  const write = fc.record({ labels: label, status, manager: fc.constantFrom("one", "two") });
  fc.assert(
    fc.property(fc.array(write, { minLength: 2, maxLength: 6 }), (writes) => {
      let live: KubeObject | undefined;
      for (const { labels, status: written, manager } of writes) {
        const object = pod({ containers: [{ name: "c" }] }, { labels }, written);
        const entries = update(live, object, { manager });
        // Read from a store, the sets are this object's own.
        const read = live && (JSON.parse(JSON.stringify(live)) as KubeObject);
        assert.equal(JSON.stringify(entries), JSON.stringify(update(read, object, { manager })));
        live = withFields(object, entries);
      }
    }),
  );
});

test("names of managers from user agents", () => {
  assert.equal(managerFromUserAgent("kubectl/v1.36.0 (linux/amd64)"), "kubectl");
  assert.equal(managerFromUserAgent(undefined), "");
  assert.equal(managerFromUserAgent("a\u0000b/1"), "ab");
});
