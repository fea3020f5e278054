import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { container, exited, observed, pod, ran, sandbox } from "../testing/observed.ts";
import type { ObservedPod } from "./observed.ts";
import { podStatus, rejectedStatus } from "./status.ts";
import type { StatusInput } from "./status.ts";

const a = container("a");
const init = container("init");
const s = sandbox("s");
const NOW = Date.parse("2026-02-01T00:00:00Z");

function statusOf(p: Pod, o: ObservedPod, more: Partial<StatusInput> = {}) {
  return podStatus(
    {
      pod: p,
      observed: o,
      now: NOW,
      hostIPs: ["192.0.2.1"],
      failures: new Map(),
      probes: { started: () => true, ready: () => true },
      terminationMessage: ({ message }) => message,
      terminal: false,
      ...more,
    },
    "containerd",
  );
}
const conditions = (status: ReturnType<typeof statusOf>) =>
  Object.fromEntries(
    (status.conditions ?? []).map(({ type, status: value, reason }) => [
      type,
      reason === undefined ? value : `${value} ${reason}`,
    ]),
  );

const phases: [name: string, pod: Pod, observed: ObservedPod, terminal: boolean, phase: string][] = [
  ["nothing yet", pod({ containers: [a] }), observed([]), false, "Pending"],
  ["init running", pod({ containers: [a], initContainers: [init] }), observed([s], [ran(init, "s")]), false, "Pending"],
  ["running", pod({ containers: [a] }), observed([s], [ran(a, "s")]), false, "Running"],
  ["ended and to restart", pod({ containers: [a] }), observed([s], [exited(a, "s", 1)]), false, "Running"],
  [
    "all succeeded",
    pod({ restartPolicy: "OnFailure", containers: [a] }),
    observed([s], [exited(a, "s", 0)]),
    false,
    "Succeeded",
  ],
  [
    "failed for good",
    pod({ restartPolicy: "Never", containers: [a] }),
    observed([s], [exited(a, "s", 1)]),
    false,
    "Failed",
  ],
  [
    "init failed for good",
    pod({ restartPolicy: "Never", containers: [a], initContainers: [init] }),
    observed([s], [exited(init, "s", 1)]),
    false,
    "Failed",
  ],
  ["stopped with success", pod({ containers: [a] }), observed([], [exited(a, "s", 0)]), true, "Succeeded"],
  ["stopped with failure", pod({ containers: [a] }), observed([], [exited(a, "s", 137)]), true, "Failed"],
  ["final phases stay", pod({ containers: [a] }, { phase: "Succeeded" }), observed([]), false, "Succeeded"],
];
for (const [name, p, o, terminal, phase] of phases)
  test(`phase: ${name}`, () => assert.equal(statusOf(p, o, { terminal }).phase, phase));

test("a running pod is ready in every condition, and says which generation it speaks of", () => {
  const status = statusOf(pod({ containers: [a] }), observed([s], [ran(a, "s")]));
  assert.deepEqual(conditions(status), {
    PodReadyToStartContainers: "True",
    Initialized: "True",
    Ready: "True",
    ContainersReady: "True",
    PodScheduled: "True",
  });
  assert.ok(status.conditions?.every(({ observedGeneration }) => observedGeneration === 1));
  assert.deepEqual([status.podIP, status.hostIP, status.qosClass], ["10.0.0.1", "192.0.2.1", "BestEffort"]);
});

test("unready containers and unmet readiness gates are named", () => {
  const unready = statusOf(pod({ containers: [a] }), observed([s], [ran(a, "s")]), {
    probes: { started: () => true, ready: () => false },
  });
  assert.equal(
    unready.conditions?.find(({ type }) => type === "Ready")?.message,
    "containers with unready status: [a]",
  );
  const gated = statusOf(
    pod({ containers: [a], readinessGates: [{ conditionType: "x/y" }] }),
    observed([s], [ran(a, "s")]),
  );
  assert.equal(conditions(gated)["Ready"], "False ReadinessGatesNotReady");
  assert.equal(conditions(gated)["ContainersReady"], "True");
});

test("transition times move only with the status", () => {
  const old = statusOf(pod({ containers: [a] }), observed([s], [ran(a, "s")]));
  const later = podStatus(
    {
      pod: pod({ containers: [a] }, old),
      observed: observed([s], [ran(a, "s")]),
      now: NOW + 60_000,
      hostIPs: [],
      failures: new Map(),
      probes: { started: () => true, ready: () => false },
      terminationMessage: () => "",
      terminal: false,
    },
    "containerd",
  );
  const time = (type: string) => later.conditions?.find((condition) => condition.type === type)?.lastTransitionTime;
  assert.equal(time("Initialized"), "2026-02-01T00:00:00Z");
  assert.equal(time("Ready"), "2026-02-01T00:01:00Z");
});

test("waiting containers say why", () => {
  const waiting = (p: Pod, o: ObservedPod, more?: Partial<StatusInput>) =>
    statusOf(p, o, more).containerStatuses?.[0]?.state?.waiting?.reason;
  assert.equal(waiting(pod({ containers: [a] }), observed([])), "ContainerCreating");
  assert.equal(
    waiting(pod({ containers: [a], initContainers: [init] }), observed([s], [ran(init, "s")])),
    "PodInitializing",
  );
  const failures = new Map([["a", { reason: "ErrImagePull", message: "no such image" }]]);
  assert.equal(waiting(pod({ containers: [a] }), observed([s]), { failures }), "ErrImagePull");
});

test("a termination message outlives the file it was read from, but not its container", () => {
  const ended = observed([s], [{ ...exited(a, "s", 0), message: "DONE" }]);
  const first = statusOf(pod({ containers: [a] }), ended);
  const later = (o: ObservedPod) =>
    statusOf({ ...pod({ containers: [a] }), status: first }, o, { terminationMessage: () => "from the log" })
      .containerStatuses?.[0];
  assert.equal(later(ended)?.state?.terminated?.message, "DONE");
  const next = observed([s], [{ ...exited(a, "s", 0), id: "another" }]);
  assert.equal(later(next)?.state?.terminated?.message, "from the log");
});

test("all termination messages of a pod together are bounded", () => {
  const names = ["a", "b", "c"].map((name) => container(name));
  const ended = names.map((spec) => exited(spec, "s", 1, { message: "é".repeat(4000) }));
  const status = statusOf(pod({ restartPolicy: "Never", containers: names }), observed([s], ended));
  for (const { state } of status.containerStatuses ?? [])
    assert.equal(Buffer.byteLength(state?.terminated?.message ?? ""), 4096);
});

test("of a rejected pod only the verdict is told, and what was told of a forgotten one stands", () => {
  const rejected = pod({ containers: [a] });
  const told = rejectedStatus(rejected, { reason: "NodePorts", message: "no free ports" }, NOW);
  assert.deepEqual(told, {
    phase: "Failed",
    reason: "NodePorts",
    message: "Pod was rejected: no free ports",
    startTime: "2026-02-01T00:00:00Z",
    qosClass: "BestEffort",
    observedGeneration: 1,
  });
  assert.deepEqual(statusOf({ ...rejected, status: told }, observed([])), told);
});

test("a crashed container that waits shows its end as lastState", () => {
  const failures = new Map([["a", { reason: "CrashLoopBackOff", message: "back-off" }]]);
  const status = statusOf(
    pod({ containers: [a] }),
    observed([s], [exited(a, "s", 3, { restartCount: 2, message: "oops" })]),
    { failures },
  ).containerStatuses![0]!;
  assert.deepEqual(
    [
      status.state?.waiting?.reason,
      status.lastState?.terminated?.exitCode,
      status.lastState?.terminated?.message,
      status.restartCount,
    ],
    ["CrashLoopBackOff", 3, "oops", 2],
  );
});

test("a container that vanished while it ran is not reported as running", () => {
  const before = statusOf(pod({ containers: [a] }), observed([s], [ran(a, "s")]));
  const status = statusOf(pod({ containers: [a] }, before), observed([]), { terminal: true }).containerStatuses![0]!;
  assert.deepEqual(
    [status.state?.terminated?.reason, status.state?.terminated?.exitCode],
    ["ContainerStatusUnknown", 137],
  );
  const vanished = (metadata: Partial<Pod["metadata"]>) => {
    const { restartCount, state, lastState } = statusOf(pod({ containers: [a] }, before, metadata), observed([]))
      .containerStatuses![0]!;
    return [restartCount, state?.waiting?.reason, lastState?.terminated?.message];
  };
  const lost = "The container could not be located when the pod was deleted.  The container used to be Running";
  assert.deepEqual(vanished({}), [1, "ContainerCreating", lost], "what follows counts as a restart");
  assert.deepEqual(vanished({ deletionTimestamp: "2026-01-01T00:00:00Z" }), [0, "ContainerCreating", lost]);
  const unknown = statusOf(pod({ containers: [a] }, before), observed([s], [ran(a, "s", { state: "Unknown" })]));
  assert.equal(unknown.containerStatuses![0]!.state?.terminated?.message, lost);
});

test("what the runtime has forgotten of a container's past is not told any more", () => {
  const p = pod({ containers: [a], initContainers: [init] });
  const twice = [exited(init, "s", 0, { restartCount: 1 }), exited(init, "s", 1)];
  const before = statusOf(p, observed([s], twice));
  assert.equal(before.initContainerStatuses![0]!.lastState?.terminated?.exitCode, 1);
  const after = statusOf({ ...p, status: before }, observed([s], twice.slice(0, 1)));
  assert.deepEqual(after.initContainerStatuses![0]!.lastState, {});
});

test("a pod stays initialized whatever becomes of its sidecars", () => {
  const p = pod({ containers: [a], initContainers: [container("sidecar", { restartPolicy: "Always" })] });
  const [sidecar] = p.spec.initContainers!;
  const failures = new Map([["sidecar", { reason: "CrashLoopBackOff", message: "back-off" }]]);
  const crashed = exited(sidecar!, "s", 1);
  const status = (containers: ObservedPod["containers"]) =>
    conditions(statusOf(p, observed([s], containers), { failures }))["Initialized"];
  assert.equal(status([crashed]), "False ContainersNotInitialized");
  assert.equal(status([crashed, ran(a, "s")]), "True");
});

test("the kubelet's own verdict decides phase and reason", () => {
  const status = statusOf(pod({ containers: [a] }), observed([s], [ran(a, "s")]), {
    verdict: { reason: "Evicted", message: "low on memory" },
  });
  assert.deepEqual([status.phase, status.reason, status.message], ["Failed", "Evicted", "low on memory"]);
});

test("pods on the host's network have the node's addresses", () => {
  const status = statusOf(
    pod({ hostNetwork: true, containers: [a] }),
    observed([sandbox("s", { ips: [] })], [ran(a, "s")]),
  );
  assert.equal(status.podIP, "192.0.2.1");
  assert.equal(
    statusOf(pod({ hostNetwork: true, containers: [a] }), observed([])).podIP,
    "192.0.2.1",
    "from the start",
  );
});

test("a pod all of whose containers restart is not over, and says what happens", () => {
  const asking = container("watcher", {
    restartPolicy: "Always",
    restartPolicyRules: [{ action: "RestartAllContainers", exitCodes: { operator: "NotIn", values: [0] } }],
  });
  const p = pod({ restartPolicy: "Never", initContainers: [asking], containers: [a] });
  const end = exited(asking, "s", 1, { id: "end" });
  const restarting = statusOf(p, observed([s], [end, exited(a, "s", 0)]));
  assert.deepEqual(
    [restarting.phase, conditions(restarting)["AllContainersRestarting"]],
    ["Running", "True RestartAllContainersStarted"],
  );
  const after = { annotations: { "kubits.io/restarted-after": "end" } };
  const again = statusOf(p, observed([s], [ran(asking, "s", { id: "1", ...after }), end, exited(a, "s", 0)]));
  assert.deepEqual([again.phase, conditions(again)["AllContainersRestarting"]], ["Running", "False"]);
  const over = statusOf(p, observed([s], [exited(a, "s", 0, { id: "2", ...after }), exited(asking, "s", 0)]));
  assert.deepEqual([over.phase, conditions(over)["AllContainersRestarting"]], ["Succeeded", "False PodCompleted"]);
  const plain = statusOf(pod({ containers: [a] }), observed([s], [ran(a, "s")]));
  assert.equal(conditions(plain)["AllContainersRestarting"], undefined);
});
