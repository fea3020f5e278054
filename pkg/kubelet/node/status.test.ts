import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "#pkg/api/types/core-v1.ts";
import { DEFAULT_CONFIG } from "../config.ts";
import type { MachineFacts } from "./machine.ts";
import { memoryForPods, nodeStatus } from "./status.ts";
import type { NodeStatusInput } from "./status.ts";

const GI = 2 ** 30;
const machine: MachineFacts = {
  cpuCount: 4,
  memoryBytes: 8 * GI,
  swapBytes: 0,
  hugepages: new Map([[2 ** 21, 0]]),
  machineID: "m",
  systemUUID: "s",
  bootID: "b",
  appArmor: false,
  selinux: false,
  kernelVersion: "6.1",
  osImage: "Debian",
  architecture: "amd64",
  pidMax: 1000,
};
function statusOf(more: Partial<NodeStatusInput> = {}) {
  return nodeStatus({
    node: undefined,
    now: Date.parse("2026-01-01T00:00:00Z"),
    machine,
    config: DEFAULT_CONFIG,
    addresses: ["192.0.2.1"],
    hostname: "n1",
    runtime: { name: "containerd", version: "1.6" },
    handlers: [],
    supplementalGroupsPolicy: false,
    images: [],
    problems: [],
    pressure: { memory: false, disk: false, pid: false },
    diskCapacityBytes: 100 * GI,
    volumesInUse: [],
    port: 10250,
    ...more,
  });
}

test("allocatable is capacity without what is reserved and kept from eviction", () => {
  const config = { ...DEFAULT_CONFIG, systemReserved: { cpu: "500m", memory: "1Gi" } };
  const { capacity, allocatable } = statusOf({ config });
  assert.equal(memoryForPods(machine, config), 7 * GI, "the bound of pods, which eviction is to keep them from");
  assert.deepEqual([capacity?.["cpu"], allocatable?.["cpu"]], ["4", "3500m"]);
  assert.deepEqual([capacity?.["memory"], allocatable?.["memory"]], ["8388608Ki", `${8388608 - 1048576 - 102400}Ki`]);
  assert.equal(allocatable?.["ephemeral-storage"], String(90 * GI));
});

test("extended resources that others wrote are kept and mirrored", () => {
  const node: Node = {
    metadata: { name: "n1", uid: "", resourceVersion: "1", creationTimestamp: "" },
    spec: {},
    status: { capacity: { "example.com/gpu": "2", cpu: "1" } },
  };
  const { capacity, allocatable } = statusOf({ node });
  assert.deepEqual(
    [capacity?.["example.com/gpu"], allocatable?.["example.com/gpu"], capacity?.["cpu"]],
    ["2", "2", "4"],
  );
});

test("problems make the node not ready; the time of the change stays with the change", () => {
  const first = statusOf({ problems: ["the runtime is down", "no network"] });
  const ready = first.conditions?.find(({ type }) => type === "Ready");
  assert.deepEqual(
    [ready?.status, ready?.reason, ready?.message],
    ["False", "KubeletNotReady", "the runtime is down, no network"],
  );
  const node: Node = {
    metadata: { name: "n1", uid: "", resourceVersion: "1", creationTimestamp: "" },
    spec: {},
    status: first,
  };
  const later = statusOf({
    node,
    now: Date.parse("2026-01-01T00:01:00Z"),
    pressure: { memory: true, disk: false, pid: false },
  });
  const time = (type: string) => later.conditions?.find((condition) => condition.type === type)?.lastTransitionTime;
  assert.equal(time("DiskPressure"), "2026-01-01T00:00:00Z");
  assert.equal(time("MemoryPressure"), "2026-01-01T00:01:00Z");
  assert.equal(time("Ready"), "2026-01-01T00:01:00Z");
});
