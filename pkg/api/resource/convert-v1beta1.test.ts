import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { fromV1beta1, toV1beta1 } from "./convert-v1beta1.ts";

const pairs: readonly [beta: KubeObject, current: KubeObject][] = [
  [
    {
      apiVersion: "resource.k8s.io/v1beta1",
      kind: "ResourceClaim",
      metadata: { name: "gpu" },
      spec: { devices: { requests: [{ name: "one", deviceClassName: "gpu", count: 2 }] } },
    },
    {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceClaim",
      metadata: { name: "gpu" },
      spec: { devices: { requests: [{ name: "one", exactly: { deviceClassName: "gpu", count: 2 } }] } },
    },
  ],
  [
    {
      apiVersion: "resource.k8s.io/v1beta1",
      kind: "ResourceSlice",
      metadata: { name: "node-a" },
      spec: { driver: "gpu.example.com", devices: [{ name: "gpu-0", basic: { nodeName: "a" } }] },
    },
    {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceSlice",
      metadata: { name: "node-a" },
      spec: { driver: "gpu.example.com", devices: [{ name: "gpu-0", nodeName: "a" }] },
    },
  ],
];

for (const [beta, current] of pairs) {
  test(`${beta.kind} goes to v1 and back`, () => {
    assert.deepEqual(fromV1beta1(beta), current);
    assert.deepEqual(toV1beta1(current), beta);
  });
}
