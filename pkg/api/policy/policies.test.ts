import assert from "node:assert/strict";
import { test } from "node:test";
import { createErrors, updated } from "../testing/strategies.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const request = base64(
  "-----BEGIN CERTIFICATE REQUEST-----\nMIHYMH8CAQAwHTENMAsGA1UEAwwEamFuZTEMMAoGA1UECgwDZGV2MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmLT/HcPDLUcMiFK1BWgyOS6R8CpyVRf40Gqm0mciQb1M1OSIpT00B6uRHdFkBmUqD3m6NqUOquWkaGny+sweqaAAMAoGCCqGSM49BAMCA0kAMEYCIQDYNYymg4koPvxKtweF/nonoAtx2MUNEQPuz9uXexKi2AIhAJ6ETEu1wId6tLS5Syjmp+sZ7V/A+2lhLe8eNZMiJbCY\n-----END CERTIFICATE REQUEST-----\n",
);
const csr = { request, signerName: "example.com/signer", usages: ["client auth"] };

const refused: readonly [kind: string, draft: Record<string, unknown>, errors: string[]][] = [
  ["policy/v1/PodDisruptionBudget", { spec: { minAvailable: "50%" } }, []],
  [
    "policy/v1/PodDisruptionBudget",
    { spec: { minAvailable: 1, maxUnavailable: "120%" } },
    [
      'spec: Invalid value: {"minAvailable":1,"maxUnavailable":"120%"}: minAvailable and maxUnavailable cannot be both set',
      'spec.maxUnavailable: Invalid value: "120%": must not be greater than 100%',
    ],
  ],
  ["scheduling.k8s.io/v1/PriorityClass", { value: 1000 }, []],
  [
    "scheduling.k8s.io/v1/PriorityClass",
    { value: 2_000_000_000 },
    ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
  ],
  [
    "coordination.k8s.io/v1/Lease",
    { spec: { leaseDurationSeconds: 0, leaseTransitions: -1 } },
    [
      "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
      "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
    ],
  ],
  ["node.k8s.io/v1/RuntimeClass", { handler: "" }, ["handler: Required value"]],
  ["certificates.k8s.io/v1/CertificateSigningRequest", { spec: csr }, []],
  [
    "certificates.k8s.io/v1/CertificateSigningRequest",
    { spec: { ...csr, usages: [], signerName: "kubernetes.io/legacy-unknown", expirationSeconds: 60 } },
    [
      "spec.usages: Required value",
      'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version',
      "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 600 seconds (10 minutes)",
    ],
  ],
  [
    "storage.k8s.io/v1/StorageClass",
    { reclaimPolicy: "Recycle" },
    [
      "provisioner: Required value",
      'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
    ],
  ],
  [
    "flowcontrol.apiserver.k8s.io/v1/PriorityLevelConfiguration",
    { spec: { type: "Limited", limited: { limitResponse: { type: "Queue", queuing: { queues: 4, handSize: 8 } } } } },
    ["spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)"],
  ],
  [
    "apiregistration.k8s.io/v1/APIService",
    { metadata: { name: "v1.example.com" }, spec: { group: "example.com", version: "v1" } },
    [
      "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
      "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
    ],
  ],
  [
    "resource.k8s.io/v1/ResourceClaim",
    { spec: { devices: { requests: [{ name: "gpu" }] } } },
    ["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"],
  ],
  [
    "discovery.k8s.io/v1/EndpointSlice",
    { addressType: "IPv6", endpoints: [{ addresses: ["10.0.0.1"] }] },
    ['endpoints[0].addresses[0]: Invalid value: "10.0.0.1": must be an IPv6 address'],
  ],
];
for (const [kind, draft, errors] of refused) {
  test(`creating a ${kind} ${errors[0] ?? ""}`, () => assert.deepEqual(createErrors(kind, draft), errors));
}

test("a priority does not change", () => {
  const { errors } = updated("scheduling.k8s.io/v1/PriorityClass", { value: 1 }, (object) => (object["value"] = 2));
  assert.deepEqual(errors, ["value: Forbidden: may not be changed in an update."]);
});

test("the server says who asks for a certificate, and approval is final", () => {
  const kind = "certificates.k8s.io/v1/CertificateSigningRequest";
  const approve = (type: string, subresource: string) =>
    updated(
      kind,
      { spec: { ...csr, username: "admin", groups: ["system:masters"] } },
      (object) => (object["status"] = { conditions: [{ type, status: "True" }] }),
      subresource,
    );
  const approved = approve("Approved", "approval");
  assert.deepEqual(approved.errors, []);
  assert.deepEqual(approved.object["spec"], { ...csr, username: "tester", groups: ["testers"] });
  assert.deepEqual(approved.object["status"], {
    conditions: [
      {
        type: "Approved",
        status: "True",
        lastUpdateTime: "2026-01-01T00:00:00Z",
        lastTransitionTime: "2026-01-01T00:00:00Z",
      },
    ],
  });
  assert.deepEqual(approve("Approved", "status").errors, [
    'status.conditions: Forbidden: updates may not add a condition of type "Approved"',
  ]);
});
