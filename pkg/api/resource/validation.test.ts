import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { updated } from "../testing/strategies.ts";

const KIND = "resource.k8s.io/v1/ResourceClaim";
const spec = { devices: { requests: [{ name: "gpu", exactly: { deviceClassName: "gpu" } }] } };
const result = { request: "gpu", driver: "gpu.example.com", pool: "a", device: "gpu-0" };
const statusErrors = (status: object): string[] =>
  updated(KIND, { spec }, (claim: KubeObject) => (claim["status"] = status), "status").errors;

test("a claim is allocated, then reserved, and its devices report", () => {
  const allocation = { devices: { results: [result] } };
  const { request: _request, ...device } = result;
  const reservedFor = [{ resource: "pods", name: "web", uid: "u1" }];
  assert.deepEqual(statusErrors({ allocation, reservedFor, devices: [device] }), []);
  assert.deepEqual(statusErrors({ reservedFor }), [
    "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
  ]);
  assert.deepEqual(statusErrors({ allocation, devices: [{ ...device, device: "gpu-1" }] }), [
    'status.devices[0]: Invalid value: "gpu.example.com/a/gpu-1": must be an allocated device in the claim',
  ]);
  assert.deepEqual(statusErrors({ allocation: { devices: { results: [{ ...result, request: "other" }] } } }), [
    'status.allocation.devices.results[0].request: Not found: "other"',
  ]);
});

test("what a claim asks for is settled", () => {
  const { errors } = updated(KIND, { spec }, (claim) => (claim["spec"] = { devices: {} }));
  assert.equal(errors.length, 1);
  assert.match(errors[0]!, /^spec: Invalid value: .*: field is immutable$/);
});
