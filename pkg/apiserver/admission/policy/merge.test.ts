import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { schemaOf } from "#pkg/api/index.ts";
import { mergeApplied } from "./merge.ts";

describe("mergeApplied", () => {
  const schema = schemaOf("io.k8s.api.apps.v1.Deployment");
  test("keyed lists know defaults of their keys, atomic lists are refused", () => {
    const service = schemaOf("io.k8s.api.core.v1.Service");
    const merged = mergeApplied(
      service,
      { spec: { ports: [{ port: 80, name: "a" }] } },
      { spec: { ports: [{ port: 80, protocol: "TCP", name: "b" }] } },
    );
    assert.deepEqual(merged, { spec: { ports: [{ port: 80, name: "b", protocol: "TCP" }] } });
    const command = { spec: { template: { spec: { containers: [{ name: "c", command: ["x"] }] } } } };
    assert.throws(
      () => mergeApplied(schema, command, command),
      /may not mutate atomic arrays, maps or structs: .spec.template.spec.containers\[0\].command/,
    );
  });
});
