import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeProtobuf, encodeProtobuf } from "#pkg/apimachinery/protobuf/index.ts";
import { builtinResources } from "../index.ts";
import { checkFields } from "./check-fields.ts";
import { doubtfulMembers } from "./compile-fine.ts";
import { prune } from "./prune.ts";
import { schemaOf } from "./schema-of.ts";

const podSchema = schemaOf("io.k8s.api.core.v1.Pod");
type Json = Record<string, unknown>;

const NAMES = (
  "name labels containers resources requests cpu env value ports containerPort creationTimestamp managedFields fieldsV1 " +
  "spec status conditions lastProbeTime emptyDir volumes sizeLimit httpGet port livenessProbe tolerations unknown"
).split(" ");

/** Nothing to report and nothing to prune of what is not doubtful. */
function assertSound(schema: Parameters<typeof prune>[0], object: Json): void {
  const doubtful = doubtfulMembers(schema, object) ?? {};
  const fine = Object.fromEntries(Object.entries(object).filter(([name]) => !(name in doubtful)));
  const check = checkFields(schema, fine);
  assert.deepEqual([check.errors, check.unknown], [[], []]);
  assert.deepEqual(prune(schema, structuredClone(fine)), fine);
}

const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom<unknown>(
      null,
      "",
      0,
      -1,
      1.5,
      2 ** 40,
      true,
      false,
      "1Gi",
      "1024Ki",
      "1.50",
      "x",
      "2026-01-01T00:00:00Z",
    ),
    fc.array(tie("value"), { maxLength: 3 }),
    tie("object"),
  ),
  object: fc.dictionary(fc.constantFrom(...NAMES), tie("value")),
})).object;

test("what is not doubtful is fine, whatever the object", () => {
  const property = fc.property(json, json, json, (metadata, spec, status) =>
    assertSound(
      podSchema,
      JSON.parse(JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata, spec, status })) as Json,
    ),
  );
  fc.assert(property, { numRuns: 2000 });
});

test("an ordinary object of any kind is sound", () => {
  for (const { schema, protobufMessage } of builtinResources()) {
    if (protobufMessage === undefined) continue;
    const bytes = encodeProtobuf(protobufMessage, {
      metadata: { name: "a", labels: { a: "b" } },
      spec: {},
      status: {},
    });
    assertSound(schema, decodeProtobuf(protobufMessage, bytes) as Json);
  }
});

test("ordinary members are not doubtful; nulls, zeros, odd amounts and unknown fields make theirs so", () => {
  const container = {
    name: "a",
    image: "b",
    resources: { limits: { cpu: "100m", memory: "1Gi" } },
    env: [{ name: "A" }],
  };
  const pod = (more: Json) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "x" },
    spec: { containers: [container], ...more },
  });
  assert.equal(doubtfulMembers(podSchema, pod({ volumes: [{ name: "v", emptyDir: {} }] })), undefined);
  for (const more of [
    { nodeName: null },
    { nodeName: "" },
    { overhead: { cpu: "1000m" } },
    { nickname: "y" },
    { containers: [null] },
    { containers: "x" },
    { activeDeadlineSeconds: 1.5 },
  ]) {
    const object = pod(more);
    assert.deepEqual(doubtfulMembers(podSchema, object), { spec: object.spec }, JSON.stringify(more));
  }
});

test("an object of very many doubtful members is not taken apart", () => {
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`x${index}`, 1]));
  assert.equal(doubtfulMembers(podSchema, many), many);
});
