import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { builtinResources } from "#pkg/api/index.ts";
import { SeededRandom } from "#pkg/util/index.ts";
import { decodeProtobuf, encodeProtobuf } from "../protobuf/index.ts";
import { randomObject } from "../protobuf/random-object.ts";
import { fieldsOfNew } from "./added.ts";
import { compareObjects } from "./compare.ts";
import { writeEntries } from "./managers.ts";
import { type Fields, fieldsOfPaths, union } from "./fields.ts";
import { type Node, nodeOf } from "./nodes.ts";
import { trackedFields } from "./strip.ts";
import { updateManagedFields } from "./update.ts";
import type { KubeObject } from "../object.ts";
import { share } from "../shared.ts";

const kinds = builtinResources().filter(({ protobufMessage }) => protobufMessage !== undefined);

/** What an object takes with it when it goes is what it brought, found the long way: member by member. */
function goneWith(node: Node, object: object): Fields {
  const { changed, removed } = compareObjects(node, object, {});
  return union(changed, removed);
}

/** "a b.c" as a set of fields. */
const tree = (paths: string): Fields => fieldsOfPaths(paths.split(" "));

function treeOfNew(node: Node, object: Record<string, unknown>, resetFields: readonly string[]): Fields {
  return fieldsOfNew(node, object, resetFields)?.tree ?? {};
}

test("the fields of a new object are what comparing it with nothing says, for every kind", () => {
  for (const { schema, protobufMessage, kind } of kinds) {
    const same = (seed: number) => {
      const random = randomObject(new SeededRandom(seed), protobufMessage!, 5);
      const object = decodeProtobuf(protobufMessage!, encodeProtobuf(protobufMessage!, random)) as KubeObject;
      const node = nodeOf(schema);
      const whole = { apiVersion: "v1", kind, ...object };
      for (const reset of [[], ["status"], ["status", "spec"]]) {
        const expected = trackedFields(goneWith(node, whole), reset);
        assert.deepEqual(treeOfNew(node, whole, reset), expected, kind);
        assert.deepEqual(trackedFields(compareObjects(node, {}, whole).changed, reset), expected, kind);
      }
    };
    fc.assert(fc.property(fc.nat(), same), { numRuns: 5 });
  }
});

test("what is empty, null, repeated or unknown is owned as by comparison", () => {
  const pod = nodeOf(kinds.find(({ kind }) => kind === "Pod")!.schema);
  const container = { name: "a", resources: {}, env: [], ports: [{ containerPort: 1 }, { containerPort: 1 }] };
  const objects: Record<string, unknown>[] = [
    {},
    { metadata: {} },
    { metadata: null },
    { metadata: { labels: {}, annotations: null, finalizers: ["a", "a", "b"], ownerReferences: [{ uid: "u" }] } },
    { metadata: { labels: { 'quo"te': "x", ünicode: "y", "a.b/c-d_e": "z", constructor: "w" } } },
    { spec: {} },
    { spec: null },
    { spec: { containers: [] } },
    { spec: { containers: null, tolerations: [{}], nodeSelector: {} } },
    { spec: { containers: [container, { name: "b" }, { name: "b", image: "i" }] } },
    { spec: "text", unknown: { deep: [1], map: { a: 1 } } },
    { status: { conditions: [{ type: "Ready" }], phase: undefined } },
  ];
  for (const object of objects) {
    const expected = trackedFields(goneWith(pod, object), []);
    assert.deepEqual(treeOfNew(pod, object, []), expected, JSON.stringify(object));
  }
});

test("what an empty Go object holds anyway is nobody's, as upstream's typed comparison has it", () => {
  const event = { eventTime: null, firstTimestamp: null, reportingComponent: "", source: {}, reason: "x" };
  const expectations: [schema: string, object: Record<string, unknown>, fields: object][] = [
    ["v1 Event", event, { "f:reason": {} }],
    [
      "v1 Event",
      { ...event, reportingComponent: "c", source: { host: "h" } },
      tree("reason reportingComponent source.host"),
    ],
    ["events.k8s.io/v1 Event", { eventTime: null, deprecatedLastTimestamp: null, type: "Normal" }, { "f:type": {} }],
    ["discovery.k8s.io/v1 EndpointSlice", { addressType: "IPv4", endpoints: null, ports: null }, tree("addressType")],
    ["discovery.k8s.io/v1 EndpointSlice", { endpoints: [], ports: [] }, tree("endpoints ports")],
    ["rbac.authorization.k8s.io/v1 Role", { rules: null }, {}],
    ["rbac.authorization.k8s.io/v1 Role", { rules: [] }, tree("rules")],
    ["storage.k8s.io/v1 CSINode", { spec: { drivers: [] } }, tree("spec.drivers")],
    ["scheduling.k8s.io/v1 PriorityClass", { value: 0 }, {}],
    [
      "resource.k8s.io/v1 ResourceSlice",
      { spec: { driver: "", pool: { name: "p", generation: 0 } } },
      tree("spec.pool.name"),
    ],
    ["v1 Node", { status: { daemonEndpoints: { kubeletEndpoint: { Port: 0 } } } }, {}],
    // A pointer to a zero was set by somebody, and what is in a new item was not there before.
    ["v1 ConfigMap", { immutable: false }, tree("immutable")],
    [
      "storage.k8s.io/v1 CSINode",
      { spec: { drivers: [{ name: "d", nodeID: "", topologyKeys: null }] } },
      { "f:spec": { "f:drivers": { 'k:{"name":"d"}': { ".": {}, ...tree("name nodeID topologyKeys") } } } },
    ],
  ];
  for (const [name, object, fields] of expectations) {
    const node = nodeOf(
      kinds.find(({ group, version, kind }) => `${group}/${version} ${kind}`.replace(/^\//, "") === name)!.schema,
    );
    assert.deepEqual(treeOfNew(node, object, []), fields, JSON.stringify([name, object]));
    assert.deepEqual(
      trackedFields(compareObjects(node, {}, object).changed, []),
      fields,
      JSON.stringify([name, object]),
    );
    assert.deepEqual(trackedFields(goneWith(node, object), []), fields, JSON.stringify([name, object]));
  }
});

test("objects that share a member have the fields that each would have alone", () => {
  const pod = nodeOf(kinds.find(({ kind }) => kind === "Pod")!.schema);
  const spec = { containers: [{ name: "a", image: "i" }] };
  const shared = share(structuredClone(spec));
  const rests: Record<string, unknown>[] = [
    {},
    { metadata: { name: "a" } },
    { metadata: { labels: { a: "b" } } },
    { metadata: { labels: { c: "b" } }, status: { phase: "Pending" } },
    { metadata: { labels: { a: "c" } } },
  ];
  for (const rest of [...rests, ...rests]) {
    for (const reset of [[], ["status"], ["spec"]]) {
      const expected = fieldsOfNew(pod, { ...rest, spec }, reset);
      assert.equal(fieldsOfNew(pod, { ...rest, spec: shared }, reset), expected);
      assert.equal(
        fieldsOfNew(pod, { spec: shared, ...rest }, reset)?.text,
        fieldsOfNew(pod, { spec, ...rest }, reset)?.text,
      );
    }
  }
});

test("entries are written as JSON.stringify writes them, and shared sets cannot be changed", () => {
  const { schema } = kinds.find(({ kind }) => kind === "ConfigMap")!;
  const create = (manager: string) =>
    updateManagedFields({
      schema,
      live: undefined,
      updated: { metadata: { name: "a" }, data: { "k\n": "v" } } as never,
      manager,
      apiVersion: "v1",
      time: "2026-01-01T00:00:00Z",
      subresource: manager === "b" ? "status" : "",
    });
  const entries = [...create('a"'), ...create("b"), { manager: "c", operation: "Update" as const }];
  const pieces: string[] = [];
  writeEntries(entries, (piece) => pieces.push(piece.toString()));
  assert.equal(pieces.join(""), JSON.stringify(entries));
  assert.equal(entries[0]!.fieldsV1, entries[1]!.fieldsV1);
  assert.throws(() => Object.assign(entries[0]!.fieldsV1!, { "f:x": {} }), TypeError);
  assert.throws(() => Object.assign(entries[0]!, { time: "" }), TypeError);
  assert.equal(create("b")[0], entries[1]);
  assert.notEqual(create('a"')[0], create("b")[0]);
  assert.deepEqual(structuredClone(entries), JSON.parse(JSON.stringify(entries)));
});
