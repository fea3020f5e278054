import assert from "node:assert/strict";
import { test } from "node:test";
import { humanDuration } from "../printers/cells.ts";
import type { Pod } from "../types/core-v1.ts";
import { printPod } from "./print-pod.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const ago = (seconds: number): string => new Date(NOW - seconds * 1000).toISOString();

type Status = NonNullable<Pod["status"]>;
function podWith(status: Status, metadata: Partial<Pod["metadata"]> = {}, spec: Partial<Pod["spec"]> = {}): Pod {
  return {
    metadata: { name: "web", uid: "u1", resourceVersion: "1", creationTimestamp: ago(300), ...metadata },
    spec: { containers: [{ name: "c" }], ...spec },
    status,
  };
}
const state = (state: object, more: object = {}) => ({
  name: "c",
  image: "",
  imageID: "",
  ready: false,
  restartCount: 0,
  state,
  ...more,
});

const rows: readonly [what: string, pod: Pod, ready: string, status: string, restarts: string][] = [
  ["pending", podWith({ phase: "Pending" }), "0/1", "Pending", "0"],
  [
    "running",
    podWith({ phase: "Running", containerStatuses: [state({ running: {} }, { ready: true })] }),
    "1/1",
    "Running",
    "0",
  ],
  [
    "crashing",
    podWith({
      phase: "Running",
      containerStatuses: [
        state(
          { waiting: { reason: "CrashLoopBackOff" } },
          { restartCount: 2, lastState: { terminated: { exitCode: 1, finishedAt: ago(180) } } },
        ),
      ],
    }),
    "0/1",
    "CrashLoopBackOff",
    "2 (3m ago)",
  ],
  [
    "completed",
    podWith({ phase: "Succeeded", containerStatuses: [state({ terminated: { exitCode: 0, reason: "Completed" } })] }),
    "0/1",
    "Completed",
    "0",
  ],
  [
    "killed without a reason",
    podWith({ phase: "Failed", containerStatuses: [state({ terminated: { exitCode: 137, signal: 9 } })] }),
    "0/1",
    "Signal:9",
    "0",
  ],
  [
    "initialising",
    podWith(
      { phase: "Pending", initContainerStatuses: [state({ terminated: { exitCode: 0 } }), state({ running: {} })] },
      {},
      { initContainers: [{ name: "a" }, { name: "b" }] },
    ),
    "0/1",
    "Init:1/2",
    "0",
  ],
  [
    "failing to initialise",
    podWith(
      { phase: "Pending", initContainerStatuses: [state({ waiting: { reason: "ImagePullBackOff" } })] },
      {},
      { initContainers: [{ name: "a" }] },
    ),
    "0/1",
    "Init:ImagePullBackOff",
    "0",
  ],
  ["terminating", podWith({ phase: "Running" }, { deletionTimestamp: ago(1) }), "0/1", "Terminating", "0"],
  [
    "lost with its node",
    podWith({ phase: "Running", reason: "NodeLost" }, { deletionTimestamp: ago(1) }),
    "0/1",
    "Unknown",
    "0",
  ],
  [
    "gated",
    podWith({ phase: "Pending", conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }] }),
    "0/1",
    "SchedulingGated",
    "0",
  ],
  ["evicted", podWith({ phase: "Failed", reason: "Evicted" }), "0/1", "Evicted", "0"],
];

for (const [what, pod, ready, status, restarts] of rows) {
  test(`the row of a pod that is ${what}`, () => {
    const wide = ["<none>", "<none>", "<none>", "<none>"];
    assert.deepEqual(printPod(pod, NOW), ["web", ready, status, restarts, "5m", ...wide]);
  });
}

const durations: readonly [seconds: number, text: string][] = [
  [-5, "<invalid>"],
  [-1, "0s"],
  [0, "0s"],
  [119, "119s"],
  [120, "2m"],
  [599, "9m59s"],
  [600, "10m"],
  [3 * 3600 - 1, "179m"],
  [3 * 3600, "3h"],
  [8 * 3600 - 60, "7h59m"],
  [47 * 3600, "47h"],
  [48 * 3600, "2d"],
  [49 * 3600, "2d1h"],
  [8 * 86_400, "8d"],
  [2 * 365 * 86_400, "2y"],
  [9 * 365 * 86_400 + 86_400, "9y"],
];
for (const [seconds, text] of durations) {
  test(`${seconds} seconds are ${text}`, () => assert.equal(humanDuration(seconds * 1000), text));
}
