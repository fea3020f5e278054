import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { FakeClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import type { Runtime } from "../cri/runtime.ts";
import { container, observed, pod, ran, sandbox } from "../testing/observed.ts";
import { ProbeManager } from "./manager.ts";

const HOUR = 3_600_000;
let clock: FakeClock;
let probed: number;
let exitCode: number;
let results: string[];
let manager: ProbeManager;
beforeEach(() => {
  clock = new FakeClock();
  probed = 0;
  exitCode = 0;
  results = [];
  const runtime = {
    execSync: async () => {
      probed++;
      return { exitCode, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
    },
  } as unknown as Runtime;
  manager = new ProbeManager({
    runtime,
    clock,
    random: new SeededRandom(1),
    log: silentLogger,
    event: () => undefined,
    onChange: () => undefined,
    observer: { probed: (_of, result) => results.push(result), forgetProbes: () => results.push("forgotten") },
  });
});

/** A pod whose container has just started, with a probe every ten seconds after five. */
function begin() {
  const livenessProbe = { exec: { command: ["ok"] }, initialDelaySeconds: 5, periodSeconds: 10, failureThreshold: 2 };
  const spec = container("c", { livenessProbe });
  const subject = pod({ containers: [spec] });
  const instance = ran(spec, "s", { startedAt: clock.now() });
  const seen = observed([sandbox("s")], [instance]);
  return { instance, update: () => manager.update(subject, seen, "10.0.0.1") };
}

test("what had started before its pod is stopped stays started, and what had not does not start", async () => {
  const startupProbe = { exec: { command: ["ok"] }, periodSeconds: 1 };
  const specs = [
    container("up", { startupProbe }),
    container("late", { startupProbe: { ...startupProbe, initialDelaySeconds: 60 } }),
  ];
  const instances = specs.map((spec) => ran(spec, "s", { startedAt: clock.now() }));
  manager.update(pod({ containers: specs }), observed([sandbox("s")], instances), "10.0.0.1");
  await clock.advance(5000);
  const started = () => specs.map((spec, index) => manager.started("u", instances[index]!, spec));
  assert.deepEqual(started(), [true, false]);
  manager.stopLivenessAndStartup("u");
  assert.deepEqual(started(), [true, false]);
  manager.forget("u");
});

test("after a restart of the kubelet a container is what it was until its probes say otherwise", async () => {
  const probe = { exec: { command: ["ok"] }, periodSeconds: 10, failureThreshold: 2 };
  const spec = container("c", { startupProbe: probe, readinessProbe: probe });
  const [running, other] = ["x", "y"].map((id) => ran(spec, "s", { id, startedAt: clock.now() - HOUR }));
  const told = { name: "c", image: "", imageID: "", restartCount: 0, containerID: "containerd://x" };
  const subject = pod({ containers: [spec] }, { containerStatuses: [{ ...told, ready: true, started: true }] });
  const is = (instance: typeof running) => [manager.started("u", instance!, spec), manager.ready("u", instance!, spec)];
  manager.update(subject, observed([sandbox("s")], [running!]), "10.0.0.1");
  assert.deepEqual(is(running), [true, true]);
  exitCode = 1;
  await clock.advance(9000);
  assert.deepEqual(is(running), [true, true], "one failure is not yet two");
  await clock.advance(20_000);
  assert.deepEqual(is(running), [true, false]);
  manager.update(subject, observed([sandbox("s")], [other!]), "10.0.0.1");
  assert.deepEqual(is(other), [false, false], "nothing was told of another instance");
  manager.forget("u");
});

for (const [way, hours] of [
  ["forward", 5],
  ["back", -5],
] as const)
  test(`a clock set ${way} by hours neither stops probes nor makes them more`, async () => {
    const { instance, update } = begin();
    clock.set(clock.now() + hours * HOUR);
    update();
    // Set forward, the container looks old: its first probe may come at once, spread over a period.
    await clock.advance(15_000);
    assert.ok(probed >= 1 && probed <= 2, `${probed} probes in 15 seconds`);
    const before = probed;
    clock.set(clock.now() - 2 * hours * HOUR);
    await clock.advance(100_000);
    assert.equal(probed - before, 10, "one in ten seconds, whatever the clock of the day shows");
    exitCode = 1;
    await clock.advance(20_000);
    assert.equal(manager.livenessFailed("u", instance.id), true);
    assert.deepEqual([...new Set(results)], ["successful", "failed"]);
    manager.forget("u");
    assert.equal(results.at(-1), "forgotten");
  });
