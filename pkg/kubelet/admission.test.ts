import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, PodSpec } from "#pkg/api/types/core-v1.ts";
import { admitPod } from "./admission.ts";
import type { Admission, AdmissionInput } from "./admission.ts";
import { DEFAULT_CONFIG } from "./config.ts";
import { container, pod } from "./testing/observed.ts";

const node: Node = {
  metadata: { name: "n1", uid: "", resourceVersion: "1", creationTimestamp: "", labels: { disk: "ssd" } },
  spec: {},
};
const hostPort = (port: number, hostIP?: string) =>
  container("c", { ports: [{ containerPort: 80, hostPort: port, hostIP }] });
const cpu = (amount: string) => container("c", { resources: { requests: { cpu: amount } } });

function judge(input: Partial<AdmissionInput> & Pick<AdmissionInput, "pod">): Admission {
  return admitPod({
    others: [],
    node,
    allocatable: { cpu: "2", memory: "1Gi", pods: "3" },
    config: DEFAULT_CONFIG,
    appArmor: false,
    supplementalGroupsPolicy: false,
    allocated: (p) => p,
    ...input,
  });
}
function reason(input: Parameters<typeof judge>[0]): string | undefined {
  const admission = judge(input);
  return admission !== undefined && "refused" in admission ? admission.refused.reason : undefined;
}
const none = { memory: false, disk: false, pid: false };

const cases: [name: string, input: Parameters<typeof reason>[0], expected: string | undefined][] = [
  ["an ordinary pod", { pod: pod({ containers: [cpu("1")] }) }, undefined],
  [
    "a host port that is taken",
    { pod: pod({ containers: [hostPort(80)] }), others: [pod({ containers: [hostPort(80, "127.0.0.1")] })] },
    "NodePorts",
  ],
  [
    "the same host port on another address",
    {
      pod: pod({ containers: [hostPort(80, "127.0.0.2")] }),
      others: [pod({ containers: [hostPort(80, "127.0.0.1")] })],
    },
    undefined,
  ],
  [
    "an AppArmor profile that the kernel does not know",
    {
      pod: pod({ containers: [container("c", { securityContext: { appArmorProfile: { type: "RuntimeDefault" } } })] }),
    },
    "AppArmor",
  ],
  [
    "an AppArmor profile that the kernel knows",
    { pod: pod({ containers: [], securityContext: { appArmorProfile: { type: "RuntimeDefault" } } }), appArmor: true },
    undefined,
  ],
  [
    "groups that only a runtime which can keep them apart may give",
    { pod: pod({ containers: [], securityContext: { supplementalGroupsPolicy: "Strict" } }) },
    "SupplementalGroupsPolicyNotSupported",
  ],
  [
    "the same where the runtime can",
    {
      pod: pod({ containers: [], securityContext: { supplementalGroupsPolicy: "Strict" } }),
      supplementalGroupsPolicy: true,
    },
    undefined,
  ],
  [
    "groups that are merged",
    { pod: pod({ containers: [], securityContext: { supplementalGroupsPolicy: "Merge" } }) },
    undefined,
  ],
  [
    "no AppArmor profile, said aloud",
    { pod: pod({ containers: [], securityContext: { appArmorProfile: { type: "Unconfined" } } }) },
    undefined,
  ],
  ["too much CPU", { pod: pod({ containers: [cpu("1500m")] }), others: [pod({ containers: [cpu("1")] })] }, "OutOfcpu"],
  [
    "too many pods",
    {
      pod: pod({ containers: [] }),
      others: [pod({ containers: [] }), pod({ containers: [] }), pod({ containers: [] })],
    },
    "OutOfpods",
  ],
  [
    "more of an extended resource than the node has",
    {
      pod: pod({ containers: [container("c", { resources: { requests: { "example.com/gpu": "2" } } })] }),
      allocatable: { cpu: "2", memory: "1Gi", pods: "3", "example.com/gpu": "1" },
    },
    "OutOfexample.com/gpu",
  ],
  [
    "an extended resource the node knows nothing of",
    { pod: pod({ containers: [container("c", { resources: { requests: { "example.com/gpu": "1" } } })] }) },
    undefined,
  ],
  [
    "a node selector that does not match",
    { pod: pod({ nodeSelector: { disk: "hdd" }, containers: [] }) },
    "NodeAffinity",
  ],
  ["a node selector that matches", { pod: pod({ nodeSelector: { disk: "ssd" }, containers: [] }) }, undefined],
  [
    "an unsafe sysctl",
    { pod: pod({ securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] }, containers: [] }) },
    "SysctlForbidden",
  ],
  [
    "a safe sysctl",
    { pod: pod({ securityContext: { sysctls: [{ name: "kernel.shm_rmid_forced", value: "1" }] }, containers: [] }) },
    undefined,
  ],
  [
    "an allowed unsafe sysctl",
    {
      pod: pod({ securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] }, containers: [] }),
      config: { ...DEFAULT_CONFIG, allowedUnsafeSysctls: ["kernel.msg*"] },
    },
    undefined,
  ],
  [
    "BestEffort under memory pressure",
    { pod: pod({ containers: [container("c")] }), pressure: { ...none, memory: true } },
    "Evicted",
  ],
  [
    "Burstable under memory pressure",
    { pod: pod({ containers: [cpu("1m")] }), pressure: { ...none, memory: true } },
    undefined,
  ],
  [
    "anything under disk pressure",
    { pod: pod({ containers: [cpu("1m")] }), pressure: { ...none, disk: true } },
    "Evicted",
  ],
  [
    "a critical pod under disk pressure",
    { pod: pod({ priority: 2_000_000_000, containers: [] }), pressure: { ...none, disk: true } },
    undefined,
  ],
];
for (const [name, input, expected] of cases) test(name, () => assert.equal(reason(input), expected));

const gone = (input: Partial<AdmissionInput> & Pick<AdmissionInput, "pod">) => {
  const admission = judge(input);
  return admission !== undefined && "preempt" in admission
    ? admission.preempt.map(({ metadata }) => metadata.name)
    : admission;
};
const named = (name: string, requests: Record<string, string>, more: Partial<PodSpec> = {}) =>
  pod({ containers: [container("c", { resources: { requests } })], ...more }, {}, { name, uid: name });
const critical = (requests: Record<string, string>) => named("critical", requests, { priority: 2_000_001_000 });

test("a critical pod has others make room: as few as will do, those that were promised least first", () => {
  const small = named("small", { cpu: "500m" });
  const large = named("large", { cpu: "1" });
  const modest = named("modest", {});
  const strict = pod(
    {
      containers: [
        container("c", { resources: { requests: { cpu: "500m" }, limits: { cpu: "500m", memory: "1Mi" } } }),
      ],
    },
    { qosClass: "Guaranteed" },
    { name: "strict", uid: "strict" },
  );
  const others = [small, large, strict];
  const roomy = { cpu: "2", memory: "1Gi", pods: "9" };
  assert.deepEqual(gone({ pod: critical({ cpu: "400m" }), others, allocatable: roomy }), ["small"]);
  assert.deepEqual(gone({ pod: critical({ cpu: "900m" }), others, allocatable: roomy }), ["large"]);
  assert.deepEqual(gone({ pod: critical({ cpu: "1800m" }), others, allocatable: roomy }), ["large", "small", "strict"]);
  assert.deepEqual(gone({ pod: critical({}), others: [large, strict, modest] }), ["modest"]);
});

test("a critical pod is refused where all that may go would not be enough", () => {
  const others = [critical({ cpu: "1500m" }), named("small", { cpu: "100m" })];
  assert.equal(reason({ pod: critical({ cpu: "1" }), others }), "UnexpectedAdmissionError");
});

test("a critical pod goes for a more critical one", () => {
  const others = [critical({ cpu: "1500m" })];
  const node = named("node", { cpu: "1" }, { priority: 2_000_001_001 });
  assert.deepEqual(gone({ pod: node, others }), ["critical"]);
});
