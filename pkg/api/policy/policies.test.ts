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
  [
    "node.k8s.io/v1/RuntimeClass",
    { handler: "h", overhead: { podFixed: { cpu: "1m", memory: "-1", gpus: "1" } } },
    [
      'overhead.limits[memory]: Invalid value: "-1": must be greater than or equal to 0',
      'overhead.limits[gpus]: Invalid value: "gpus": must be a standard resource type or fully qualified',
      'overhead.limits[gpus]: Invalid value: "gpus": must be a standard resource for containers',
    ],
  ],
  [
    "storage.k8s.io/v1/VolumeAttachment",
    { spec: { attacher: "a b", nodeName: "n", source: { persistentVolumeName: "" } } },
    [
      "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
      "spec.attacher: Invalid value: \"a b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
      "spec.source.persistentVolumeName: Invalid value: \"\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ],
  ],
  ["certificates.k8s.io/v1/CertificateSigningRequest", { spec: csr }, []],
  [
    "certificates.k8s.io/v1/CertificateSigningRequest",
    { spec: { ...csr, usages: [], signerName: "kubernetes.io/legacy-unknown", expirationSeconds: 60 } },
    [
      "spec.usages: Required value: usages must be provided",
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
    "certificates.k8s.io/v1/CertificateSigningRequest",
    { spec: { ...csr, signerName: "a_b.com/foo" } },
    [
      "spec.signerName: Invalid value: \"a_b.com\": validating label \"a_b\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    ],
  ],
  [
    "storage.k8s.io/v1/StorageClass",
    {
      provisioner: "p",
      allowedTopologies: [
        { matchLabelExpressions: [{ key: "zone", values: ["a", "b", "a"] }] },
        { matchLabelExpressions: [{ key: "zone", values: ["b", "a"] }] },
        { matchLabelExpressions: [{ key: "zone" }, { key: "zone", values: ["a"] }] },
      ],
    },
    [
      'allowedTopologies[0].matchLabelExpressions[0].values[2]: Duplicate value: "a"',
      'allowedTopologies[1].matchLabelExpressions: Duplicate value: ""',
      "allowedTopologies[2].matchLabelExpressions[0].values: Required value",
      'allowedTopologies[2].matchLabelExpressions[1].key: Duplicate value: "zone"',
    ],
  ],
  [
    "storage.k8s.io/v1/VolumeAttachment",
    {
      spec: {
        attacher: "Big_Name",
        nodeName: "n",
        source: {
          inlineVolumeSpec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], nodeAffinity: {} },
        },
      },
    },
    [
      "spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
      "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
      "spec.source.inlineVolumeSpec.nodeAffinity: Forbidden: may not be specified in the context of inline volumes",
      "spec.source.inlineVolumeSpec: Required value: must specify a volume type",
      `spec.attacher: Invalid value: "Big_Name": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
    ],
  ],
  [
    "storage.k8s.io/v1/CSINode",
    { spec: { drivers: [{ name: "d", nodeID: "n", topologyKeys: ["a", "a"] }] } },
    ['spec.drivers[0]: Duplicate value: "a"'],
  ],
  [
    "flowcontrol.apiserver.k8s.io/v1/PriorityLevelConfiguration",
    { spec: { type: "Exempt" } },
    ["spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"],
  ],
  [
    "flowcontrol.apiserver.k8s.io/v1/FlowSchema",
    {
      spec: {
        matchingPrecedence: 10,
        priorityLevelConfiguration: { name: "level" },
        rules: [
          {
            subjects: [{ kind: "User", user: { name: "u" } }],
            resourceRules: [{ verbs: ["eat"], apiGroups: ["*", "a"], namespaces: ["A"] }],
            nonResourceRules: [{ verbs: ["*", "get"], nonResourceURLs: ["/a*", "/b//c", "/d/*"] }],
          },
        ],
      },
    },
    [
      'spec.rules[0].resourceRules[0].verbs: Unsupported value: ["eat"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"',
      'spec.rules[0].resourceRules[0].apiGroups: Invalid value: ["*","a"]: if \'*\' is present, must not specify other api groups',
      "spec.rules[0].resourceRules[0].resources: Required value: resource rules must supply at least one resource",
      "spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: \"A\": each member of this list must be '*' or a DNS-1123 label; a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
      'spec.rules[0].nonResourceRules[0].verbs: Invalid value: ["*","get"]: if \'*\' is present, must not specify other verbs',
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "/a*": wildcard can only do suffix matching',
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/b//c": must not contain double slash',
    ],
  ],
  [
    "apiregistration.k8s.io/v1/APIService",
    {
      metadata: { name: "v1.example.com" },
      spec: {
        group: "example.com",
        version: "v1",
        groupPriorityMinimum: 1,
        versionPriority: 1,
        caBundle: "YQ==",
        insecureSkipTLSVerify: true,
        service: { name: "s", namespace: "n", port: 0 },
      },
    },
    [
      "spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
      "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
    ],
  ],
  [
    "rbac.authorization.k8s.io/v1/ClusterRole",
    { aggregationRule: { clusterRoleSelectors: [{ matchExpressions: [{ key: "a", operator: "In" }] }] } },
    [
      "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
      "aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector.",
    ],
  ],
  [
    "resource.k8s.io/v1/ResourceClaim",
    { spec: { devices: { requests: [{ name: "gpu" }] } } },
    ["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"],
  ],
  [
    "discovery.k8s.io/v1/EndpointSlice",
    { addressType: "", endpoints: [{ addresses: ["nothing"] }] },
    ["addressType: Required value"],
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

test("conditions of flow schemas have types of their own", () => {
  const kind = "flowcontrol.apiserver.k8s.io/v1/FlowSchema";
  const conditions = [{ type: "Dangling" }, { type: "Dangling" }, {}];
  const { errors } = updated(kind, { spec: {} }, (object) => (object["status"] = { conditions }), "status");
  assert.deepEqual(errors, [
    'status.conditions[1].type: Duplicate value: "Dangling"',
    "status.conditions[2].type: Required value: must not be empty",
  ]);
});

test("a signing request is approved by approval alone, and may fail there too", () => {
  const kind = "certificates.k8s.io/v1/CertificateSigningRequest";
  const change = (door: string, ...types: string[]) =>
    updated(
      kind,
      { spec: csr },
      (object) => (object["status"] = { conditions: types.map((type) => ({ type, status: "True", reason: "x" })) }),
      door,
    ).errors;
  assert.deepEqual(change("approval", "Approved", "Failed"), []);
  assert.deepEqual(change("approval", "Approved", "Denied"), [
    'status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive',
  ]);
  assert.deepEqual(change("status", "Failed", "Approved"), [
    'status.conditions: Forbidden: updates may not add a condition of type "Approved"',
  ]);
});
