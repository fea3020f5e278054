import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { container, exited, observed, pod, ran, sandbox } from "../testing/observed.ts";
import { planPod } from "./plan.ts";
import type { PlanInput, Step } from "./plan.ts";

const NO_PROBES: PlanInput["probes"] = { livenessFailed: () => false, startupFailed: () => false, started: () => true };
const a = container("a");
const b = container("b");
const init = container("init");
const sidecar = container("sidecar", { restartPolicy: "Always" });
const s = sandbox("s");

function brief(step: Step): string {
  switch (step.type) {
    case "StartContainer":
      return `start ${step.name}#${step.restartCount}`;
    case "KillContainer":
      return `kill ${step.container.metadata.name} ${step.reason}`;
    case "CreateSandbox":
      return `sandbox ${step.attempt}`;
    case "KillSandbox":
      return `drop ${step.sandboxId}`;
  }
}
function plan(input: Pick<PlanInput, "pod" | "observed"> & Partial<PlanInput>): string[] {
  return planPod({ now: 5000, probes: NO_PROBES, backoff: () => undefined, ...input }).steps.map(brief);
}

const cases: [name: string, input: Pick<PlanInput, "pod" | "observed"> & Partial<PlanInput>, expected: string[]][] = [
  ["a new pod gets a sandbox first", { pod: pod({ containers: [a] }), observed: observed([]) }, ["sandbox 0"]],
  [
    "then all its containers",
    { pod: pod({ containers: [a, b] }), observed: observed([s]) },
    ["start a#0", "start b#0"],
  ],
  [
    "nothing while all run",
    { pod: pod({ containers: [a, b] }), observed: observed([s], [ran(a, "s"), ran(b, "s")]) },
    [],
  ],
  [
    "a dead sandbox is replaced with the next attempt",
    { pod: pod({ containers: [a] }), observed: observed([sandbox("s", { state: "NotReady" })], [exited(a, "s", 137)]) },
    ["drop s", "sandbox 1"],
  ],
  [
    "what still runs in a dead sandbox is stopped before",
    { pod: pod({ containers: [a] }), observed: observed([sandbox("s", { state: "NotReady" })], [ran(a, "s")]) },
    ["drop s", "sandbox 1"],
  ],
  [
    "of two sandboxes the older goes",
    { pod: pod({ containers: [a] }), observed: observed([sandbox("t"), s]) },
    ["drop s"],
  ],
  [
    "init containers run one by one",
    { pod: pod({ containers: [a], initContainers: [init, container("second")] }), observed: observed([s]) },
    ["start init#0"],
  ],
  [
    "a running init container is waited for",
    { pod: pod({ containers: [a], initContainers: [init] }), observed: observed([s], [ran(init, "s")]) },
    [],
  ],
  [
    "after its success the next may run",
    { pod: pod({ containers: [a], initContainers: [init] }), observed: observed([s], [exited(init, "s", 0)]) },
    ["start a#0"],
  ],
  [
    "a failed init container runs again",
    { pod: pod({ containers: [a], initContainers: [init] }), observed: observed([s], [exited(init, "s", 1)]) },
    ["start init#1"],
  ],
  [
    "but not under Never",
    {
      pod: pod({ restartPolicy: "Never", containers: [a], initContainers: [init] }),
      observed: observed([s], [exited(init, "s", 1)]),
    },
    [],
  ],
  [
    "init containers of an earlier sandbox count for nothing",
    {
      pod: pod({ containers: [a], initContainers: [init] }),
      observed: observed([sandbox("t"), sandbox("s", { state: "NotReady" })], [exited(init, "s", 0)]),
    },
    ["start init#1"],
  ],
  [
    "a forgotten init container does not run again once the pod is initialized",
    { pod: pod({ containers: [a], initContainers: [init] }), observed: observed([s], [ran(a, "s")]) },
    [],
  ],
  [
    "a sidecar starts and lets the next wait until it has started",
    { pod: pod({ containers: [a], initContainers: [sidecar] }), observed: observed([s]) },
    ["start sidecar#0"],
  ],
  [
    "with the sidecar up the rest goes on",
    { pod: pod({ containers: [a], initContainers: [sidecar] }), observed: observed([s], [ran(sidecar, "s")]) },
    ["start a#0"],
  ],
  [
    "a sidecar not yet started by its probe holds the rest",
    {
      pod: pod({ containers: [a], initContainers: [sidecar] }),
      observed: observed([s], [ran(sidecar, "s")]),
      probes: { ...NO_PROBES, started: () => false },
    },
    [],
  ],
  [
    "a sidecar is restarted whatever the pod's policy",
    {
      pod: pod({ restartPolicy: "Never", containers: [a], initContainers: [sidecar] }),
      observed: observed([s], [exited(sidecar, "s", 0), ran(a, "s")]),
    },
    ["start sidecar#1"],
  ],
  [
    "Always restarts after success",
    { pod: pod({ containers: [a] }), observed: observed([s], [exited(a, "s", 0)]) },
    ["start a#1"],
  ],
  [
    "OnFailure does not",
    { pod: pod({ restartPolicy: "OnFailure", containers: [a] }), observed: observed([s], [exited(a, "s", 0)]) },
    [],
  ],
  [
    "OnFailure restarts after failure",
    { pod: pod({ restartPolicy: "OnFailure", containers: [a] }), observed: observed([s], [exited(a, "s", 2)]) },
    ["start a#1"],
  ],
  [
    "Never never does",
    { pod: pod({ restartPolicy: "Never", containers: [a] }), observed: observed([s], [exited(a, "s", 2)]) },
    [],
  ],
  [
    "a container's own rule overrides the pod's policy",
    {
      pod: pod({
        restartPolicy: "Never",
        containers: [
          container("a", {
            restartPolicy: "Never",
            restartPolicyRules: [{ action: "Restart", exitCodes: { operator: "In", values: [42] } }],
          }),
        ],
      }),
      observed: observed([s], [exited(a, "s", 42)]),
    },
    ["start a#1"],
  ],
  [
    "a failed liveness probe has the container replaced",
    {
      pod: pod({ containers: [a] }),
      observed: observed([s], [ran(a, "s")]),
      probes: { ...NO_PROBES, livenessFailed: () => true },
    },
    ["kill a LivenessFailed", "start a#1"],
  ],
  [
    "so has a failed startup probe, whatever the container ends with",
    {
      pod: pod({ restartPolicy: "OnFailure", containers: [a] }),
      observed: observed([s], [ran(a, "s")]),
      probes: { ...NO_PROBES, startupFailed: () => true },
    },
    ["kill a StartupFailed", "start a#1"],
  ],
  [
    "another image replaces the container, whatever the policy",
    {
      pod: pod({ restartPolicy: "Never", containers: [container("a", { image: "nginx" })] }),
      observed: observed([s], [ran(a, "s")]),
    },
    ["kill a SpecChanged", "start a#1"],
  ],
  [
    "so does a resize that needs it",
    {
      pod: pod({ restartPolicy: "OnFailure", containers: [a] }),
      observed: observed([s], [ran(a, "s")]),
      restartForResize: new Set(["a"]),
    },
    ["kill a RestartForResize", "start a#1"],
  ],
  [
    "a container created and never started is replaced without counting",
    { pod: pod({ containers: [a] }), observed: observed([s], [ran(a, "s", { state: "Created", restartCount: 2 })]) },
    ["start a#2"],
  ],
  [
    "the API remembers restarts that the runtime forgot",
    {
      pod: pod(
        { containers: [a] },
        {
          containerStatuses: [
            { name: "a", image: "", imageID: "", containerID: "containerd://x", ready: false, restartCount: 4 },
          ],
        },
      ),
      observed: observed([s]),
    },
    ["start a#5"],
  ],
  [
    "the loss of a running container is counted where it is told",
    {
      pod: pod(
        { containers: [a] },
        { containerStatuses: [{ name: "a", image: "", imageID: "", ready: false, restartCount: 5 }] },
      ),
      observed: observed([s]),
    },
    ["start a#5"],
  ],
  [
    "an ephemeral container starts once",
    {
      pod: pod({ containers: [a], ephemeralContainers: [container("debug")] }),
      observed: observed([s], [ran(a, "s")]),
    },
    ["start debug#0"],
  ],
  [
    "and is never restarted",
    {
      pod: pod({ containers: [a], ephemeralContainers: [container("debug")] }),
      observed: observed([s], [ran(a, "s"), exited(container("debug"), "s", 1)]),
    },
    [],
  ],
];
for (const [name, input, expected] of cases) test(name, () => assert.deepEqual(plan(input), expected));

test("a crashed container waits for its backoff and says until when", () => {
  const result = planPod({
    pod: pod({ containers: [a] }),
    observed: observed([s], [exited(a, "s", 1)]),
    now: 5000,
    probes: NO_PROBES,
    backoff: (_container, finishedAt) => ({ delayMs: 10_000, untilMs: finishedAt + 10_000 }),
  });
  assert.deepEqual(result, { steps: [], backingOff: [{ name: "a", delayMs: 10_000 }], recheckAt: 12_000 });
});

test("of a failed probe is told what follows: a restart, a wait after the last crash, no restart, the pod's end", () => {
  const tell = (spec: object, containers: ReturnType<typeof ran>[], delayMs?: number) => {
    const { steps, backingOff } = planPod({
      pod: pod({ containers: [a], ...spec }),
      observed: observed([s], containers),
      now: 5000,
      probes: { ...NO_PROBES, livenessFailed: (id) => id === running.id },
      backoff: (_container, finishedAt) =>
        delayMs === undefined ? undefined : { delayMs, untilMs: finishedAt + delayMs },
    });
    return [...steps.map((step) => ("message" in step ? step.message : brief(step))), ...backingOff];
  };
  const running = ran(a, "s", { restartCount: 1 });
  const text = "Container a failed liveness probe";
  assert.deepEqual(tell({}, [running], 10_000), [`${text}, will be restarted`, "start a#2"]);
  const crashedBefore = [running, exited(a, "s", 1)];
  assert.deepEqual(tell({}, crashedBefore), [`${text}, will be restarted`, "start a#2"]);
  assert.deepEqual(tell({}, crashedBefore, 10_000), [`${text}, will be restarted`, { name: "a", delayMs: 10_000 }]);
  const never = { restartPolicy: "Never" };
  assert.deepEqual(tell(never, [running]), ["Stopping container a"]);
  assert.deepEqual(tell({ ...never, containers: [a, b] }, [running, ran(b, "s")]), [text]);
});

const asking = container("asking", {
  restartPolicy: "Never",
  restartPolicyRules: [{ action: "RestartAllContainers", exitCodes: { operator: "In", values: [88] } }],
});

test("an exit code that asks for it restarts all containers, in order and once", () => {
  const p = pod({ restartPolicy: "Never", initContainers: [init, sidecar], containers: [a, asking] });
  const old = [exited(init, "s", 0), ran(sidecar, "s"), ran(a, "s")];
  const end = exited(asking, "s", 88, { id: "end" });
  const after = { annotations: { "kubits.io/restarted-after": "end", "io.kubernetes.container.restartCount": "1" } };
  const killed = old.map((c) => (c.state === "Running" ? { ...c, state: "Exited" as const, exitCode: 137 } : c));
  const next = (...containers: ReturnType<typeof ran>[]) => plan({ pod: p, observed: observed([s], containers) });
  assert.deepEqual(next(end, ...old), ["kill sidecar RestartAll", "kill a RestartAll"]);
  assert.deepEqual(next(end, ...killed), ["start init#1"]);
  const first = ran(init, "s", { id: "i1", ...after });
  assert.deepEqual(next(first, end, ...killed), []);
  const done = { ...first, state: "Exited" as const, exitCode: 0 };
  assert.deepEqual(next(done, end, ...killed), ["start sidecar#1"]);
  const all = [sidecar, a, asking].map((spec) => ran(spec, "s", { id: `${spec.name}-1`, ...after }));
  assert.deepEqual(next(all[0]!, done, end, ...killed), ["start a#1", "start asking#1"]);
  assert.deepEqual(next(...all, done, end, ...killed), []);
  // Its second end with that code asks again, another does not.
  const again = (exitCode: number) => all.map((c) => (c.id === "asking-1" ? { ...c, ...ended(exitCode) } : c));
  assert.deepEqual(next(...again(88), done, end), ["kill sidecar RestartAll", "kill a RestartAll"]);
  assert.deepEqual(next(...again(1), done, end), []);
  // A pod that is being deleted restarts nothing.
  const metadata = { deletionTimestamp: "2026-01-01T00:00:00Z" };
  const leaving = pod({ containers: [a, asking] }, {}, metadata);
  assert.deepEqual(plan({ pod: leaving, observed: observed([s], [end, ran(a, "s")]) }), []);
});
const ended = (exitCode: number) => ({ state: "Exited" as const, exitCode });

test("carrying out a plan always leads to a state with nothing left to do", () => {
  const policy = fc.constantFrom("Always", "OnFailure", "Never");
  const kinds = fc.array(fc.boolean(), { maxLength: 4 });
  fc.assert(
    fc.property(policy, kinds, fc.integer({ min: 1, max: 3 }), (restartPolicy, inits, count) => {
      const p = pod({
        restartPolicy,
        initContainers: inits.map((isSidecar, i) => container(`i${i}`, isSidecar ? { restartPolicy: "Always" } : {})),
        containers: Array.from({ length: count }, (_, i) => container(`c${i}`)),
      });
      let state = observed([]);
      for (let round = 0; round < 20; round++) {
        const { steps } = planPod({ pod: p, observed: state, now: 0, probes: NO_PROBES, backoff: () => undefined });
        if (steps.length === 0) {
          assert.equal(state.containers.length, inits.length + count);
          return;
        }
        for (const step of steps) {
          if (step.type === "CreateSandbox") state = observed([s]);
          else if (step.type === "StartContainer") {
            const spec = [...(p.spec.initContainers ?? []), ...p.spec.containers].find(
              ({ name }) => name === step.name,
            )!;
            const ends = step.kind === "init" && spec.restartPolicy !== "Always";
            state = observed(state.sandboxes, [ends ? exited(spec, "s", 0) : ran(spec, "s"), ...state.containers]);
          } else assert.fail(`nothing may be killed, but ${brief(step)}`);
        }
      }
      assert.fail("the plan never ends");
    }),
  );
});
