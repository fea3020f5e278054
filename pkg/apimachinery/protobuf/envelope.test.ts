import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeEnvelope,
  decodeWatchEvent,
  encodeEnvelope,
  encodeWatchFrame,
  protobufMessageFor,
  unwrapUnknown,
  wrapUnknown,
} from "./index.ts";

test("envelope bytes", () => {
  const bytes = wrapUnknown({ apiVersion: "v1", kind: "Pod", raw: Buffer.from([1, 2]) });
  assert.equal(bytes.toString("hex"), `6b387300${"0a090a0276311203506f64"}${"12020102"}${"1a002200"}`);
  assert.deepEqual(
    { ...unwrapUnknown(bytes), raw: [...unwrapUnknown(bytes).raw] },
    { apiVersion: "v1", kind: "Pod", raw: [1, 2], contentEncoding: "", contentType: "" },
  );
  assert.throws(() => unwrapUnknown(Buffer.from("{}")), /does not appear to be a protobuf message/);
});

test("objects travel in envelopes, also inside lists", () => {
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "a" } };
  const bytes = encodeEnvelope("k8s.io.api.core.v1.Pod", pod);
  assert.deepEqual(decodeEnvelope(bytes), pod);
  const json = wrapUnknown({
    apiVersion: "v1",
    kind: "Pod",
    raw: Buffer.from(JSON.stringify(pod)),
    contentType: "application/json",
  });
  assert.deepEqual(decodeEnvelope(json), pod);
  assert.throws(
    () => decodeEnvelope(wrapUnknown({ apiVersion: "example.com/v1", kind: "Foo", raw: Buffer.alloc(0) })),
    {
      message: 'no kind "Foo" is registered for version "example.com/v1" in scheme "pkg/api/legacyscheme/scheme.go:30"',
    },
  );
});

test("watch frames", () => {
  const object = encodeEnvelope("k8s.io.api.core.v1.Pod", { apiVersion: "v1", kind: "Pod" });
  const frame = encodeWatchFrame("ADDED", object);
  assert.equal(frame.readUInt32BE(0), frame.length - 4);
  const event = decodeWatchEvent(frame.subarray(4));
  assert.equal(event.type, "ADDED");
  assert.deepEqual(Buffer.from(event.object), object);
});

test("kinds and their messages", () => {
  const table: [string, string, string, string | undefined][] = [
    ["", "v1", "Pod", "k8s.io.api.core.v1.Pod"],
    ["apps", "v1", "DeploymentList", "k8s.io.api.apps.v1.DeploymentList"],
    ["rbac.authorization.k8s.io", "v1", "Role", "k8s.io.api.rbac.v1.Role"],
    ["flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "k8s.io.api.flowcontrol.v1.FlowSchema"],
    [
      "apiextensions.k8s.io",
      "v1",
      "CustomResourceDefinition",
      "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    ],
    ["apiregistration.k8s.io", "v1", "APIService", "k8s.io.kube_aggregator.pkg.apis.apiregistration.v1.APIService"],
    ["", "v1", "Status", "k8s.io.apimachinery.pkg.apis.meta.v1.Status"],
    ["apps", "v1", "DeleteOptions", "k8s.io.apimachinery.pkg.apis.meta.v1.DeleteOptions"],
    ["meta.k8s.io", "v1", "PartialObjectMetadata", "k8s.io.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata"],
    ["", "v1", "Binding", "k8s.io.api.core.v1.Binding"],
    ["policy", "v1", "Eviction", "k8s.io.api.policy.v1.Eviction"],
    ["autoscaling", "v1", "Scale", "k8s.io.api.autoscaling.v1.Scale"],
    ["example.com", "v1", "Foo", undefined],
  ];
  for (const [group, version, kind, message] of table)
    assert.equal(protobufMessageFor({ group, version, kind }), message);
});
