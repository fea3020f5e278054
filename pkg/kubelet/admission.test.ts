import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "#pkg/api/types/core-v1.ts";
import { admitPod } from "./admission.ts";
import type { AdmissionInput } from "./admission.ts";
import { DEFAULT_CONFIG } from "./config.ts";
import { container, pod } from "./testing/observed.ts";

const node: Node = {
  metadata: { name: "n1", uid: "", resourceVersion: "1", creationTimestamp: "", labels: { disk: "ssd" } },
  spec: {},
};
const hostPort = (port: number, hostIP?: string) =>
  container("c", { ports: [{ containerPort: 80, hostPort: port, hostIP }] });
const cpu = (amount: string) => container("c", { resources: { requests: { cpu: amount } } });

function reason(input: Partial<AdmissionInput> & Pick<AdmissionInput, "pod">): string | undefined {
  return admitPod({
    others: [],
    node,
    allocatable: { cpu: "2", memory: "1Gi", pods: "3" },
    config: DEFAULT_CONFIG,
    appArmor: false,
    supplementalGroupsPolicy: false,
    allocated: (p) => p,
    ...input,
  })?.reason;
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
