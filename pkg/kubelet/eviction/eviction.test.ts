import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import type { Verdict } from "../pod/worker-deps.ts";
import { container, pod } from "../testing/observed.ts";
import { brokenLimit } from "./limits.ts";
import { EvictionManager } from "./manager.ts";
import { rankForEviction } from "./rank.ts";
import type { PodUsage } from "./rank.ts";
import { parseThresholds } from "./signals.ts";
import type { Observation, Observations, SignalName, ThresholdConfig } from "./signals.ts";

const MI = 2 ** 20;
const named = (name: string, request: string | undefined, priority = 0): Pod =>
  pod(
    {
      priority,
      containers: [container("c", request === undefined ? {} : { resources: { requests: { memory: request } } })],
    },
    {},
    { name, uid: name },
  );
const usage = (megabytes: number): PodUsage => {
  const memoryBytes = megabytes * MI;
  return {
    memoryBytes,
    diskBytes: memoryBytes,
    inodes: 0,
    processes: 0,
    containers: [{ name: "c", memoryBytes, diskBytes: 0 }],
  };
};
const counted = (inodes: number, processes: number): PodUsage => ({ ...usage(0), inodes, processes });
const thresholdsOf = (config: Partial<ThresholdConfig>) =>
  parseThresholds({ hard: {}, soft: {}, softGraceSeconds: {}, minimumReclaim: {}, ...config });

test("local storage: a pod's containers together come before each of them, in the words of their limits", async () => {
  const limited = (name: string, limit?: string) =>
    container(name, limit === undefined ? {} : { resources: { limits: { "ephemeral-storage": limit } } });
  const broken = (containers: ReturnType<typeof limited>[], used: Readonly<Record<string, number>>) =>
    brokenLimit(pod({ containers }), "/nonexistent", (name) => (used[name] ?? 0) * MI);
  const two = [limited("a", "1Mi"), limited("b", "1Mi")];
  assert.equal(await broken(two, { a: 1, b: 1 }), undefined);
  assert.deepEqual(await broken(two, { a: 1.5, b: 1 }), {
    signal: "ephemeralpodfs.limit",
    message: "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
  });
  assert.deepEqual(await broken(two, { a: 1.5 }), {
    signal: "ephemeralcontainerfs.limit",
    message: 'Container a exceeded its local ephemeral storage limit "1Mi". ',
  });
  assert.equal((await broken([limited("a", "1Mi"), limited("free")], { free: 2 }))?.signal, "ephemeralpodfs.limit");
  assert.equal(await broken([limited("free")], { free: 2000 }), undefined);
});

test("ranking: above the request first, then low priority, then the largest excess", () => {
  const pods = [
    named("modest", "100Mi"),
    named("important", "1Mi", 100),
    named("greedy", "1Mi"),
    named("greedier", undefined),
  ];
  const usages = new Map([
    ["modest", usage(50)],
    ["important", usage(500)],
    ["greedy", usage(60)],
    ["greedier", usage(80)],
  ]);
  assert.deepEqual(
    rankForEviction(pods, usages, "memory").map(({ metadata }) => metadata.name),
    ["greedier", "greedy", "important", "modest"],
  );
});

test("ranking: nobody requests inodes or processes, so priority decides, then usage", () => {
  const pods = [named("idle", undefined), named("important", undefined, 100), named("busy", undefined)];
  const usages = new Map([
    ["idle", counted(0, 0)],
    ["important", counted(900, 900)],
    ["busy", counted(10, 10)],
  ]);
  for (const resource of ["inodes", "pids"] as const)
    assert.deepEqual(
      rankForEviction(pods, usages, resource).map(({ metadata }) => metadata.name),
      ["busy", "idle", "important"],
    );
});

test("thresholds that cannot be followed are refused by name; zero switches one off", () => {
  assert.throws(() => thresholdsOf({ hard: { "memory.avail": "1Mi" } }), /unknown eviction signal memory\.avail/);
  assert.throws(() => thresholdsOf({ hard: { "nodefs.available": "101%" } }), /nodefs\.available must be <= 100%/);
  assert.throws(
    () => thresholdsOf({ soft: { "memory.available": "1Mi" } }),
    /grace period must be specified for the soft eviction threshold memory\.available/,
  );
  assert.deepEqual(thresholdsOf({ hard: { "nodefs.available": "0%", "imagefs.available": "0" } }), []);
});

test("pods together may not use the memory that the node keeps, whatever the machine has", async () => {
  const { eviction, evicted } = manager(
    () => 900,
    thresholdsOf({ hard: { "memory.available": "100Mi" } }),
    () => 50,
  );
  await eviction.synchronize(AbortSignal.timeout(1000));
  assert.deepEqual(
    evicted.map(({ name }) => name),
    ["a"],
  );
});

function manager(
  available: () => number,
  thresholds = thresholdsOf({ hard: { "memory.available": "100Mi" } }),
  ofPods = available,
) {
  const clock = new FakeClock();
  const evicted: { name: string; verdict: Verdict }[] = [];
  const left = { gone: true };
  const attempts: string[] = [];
  const stopped: string[] = [];
  const looks = { rounds: 0, atMemory: 0 };
  const memory = (): Map<SignalName, Observation> =>
    new Map([
      ["memory.available", { available: available() * MI, capacity: 1000 * MI }],
      ["allocatableMemory.available", { available: ofPods() * MI, capacity: 1000 * MI }],
    ]);
  const staticPod = named("static", undefined);
  const asStatic = { ...staticPod.metadata, annotations: { "kubernetes.io/config.source": "file" } };
  const victims = [
    named("a", undefined),
    named("critical", undefined, 2_000_000_000),
    { ...staticPod, metadata: asStatic },
  ];
  const eviction = new EvictionManager({
    clock,
    log: silentLogger,
    thresholds,
    transitionMs: 300_000,
    maxGraceSeconds: 10,
    observe: async (): Promise<Observations> => {
      looks.rounds++;
      return new Map([...memory(), ["imagefs.available", { available: available() * MI, capacity: 1000 * MI }]]);
    },
    observeMemory: async () => {
      looks.atMemory++;
      return memory();
    },
    pods: () => victims,
    usages: async () =>
      new Map([
        ["a", usage(500)],
        ["critical", usage(800)],
        ["static", usage(900)],
      ]),
    onAttempt: (resource) => attempts.push(resource),
    freeDisk: async () => undefined,
    overLimit: async () => new Map(),
    evict: (subject, verdict) => evicted.push({ name: subject.metadata.name, verdict }),
    stopGrowth: async (subject) => {
      stopped.push(subject.metadata.name);
    },
    cleanedUp: () => left.gone,
    onPressureChange: () => undefined,
  });
  return { clock, eviction, evicted, left, attempts, stopped, looks };
}

test("a crossed hard threshold evicts one pod at once, never a critical one, and says pressure for a while", async () => {
  let available = 50;
  const { clock, eviction, evicted, stopped } = manager(() => available);
  await eviction.synchronize(AbortSignal.timeout(1000));
  assert.deepEqual(stopped, ["a"], "it takes no more while it ends");
  assert.deepEqual(
    evicted.map(({ name, verdict }) => [name, verdict.reason, verdict.graceSeconds, verdict.condition?.reason]),
    [["a", "Evicted", 1, "TerminationByKubelet"]],
  );
  assert.equal(
    evicted[0]!.verdict.message,
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. " +
      "Container c was using 500Mi, request is 0, has larger consumption of memory. ",
  );
  assert.equal(eviction.pressure().memory, true);
  available = 500;
  await eviction.synchronize(AbortSignal.timeout(1000));
  assert.equal(eviction.pressure().memory, true, "pressure outlives its cause by the transition period");
  await clock.advance(300_000);
  await eviction.synchronize(AbortSignal.timeout(1000));
  assert.equal(eviction.pressure().memory, false);
  assert.equal(evicted.length, 1);
});

test("a soft threshold must stay crossed for its grace period", async () => {
  const { clock, eviction, evicted, stopped } = manager(
    () => 50,
    thresholdsOf({ soft: { "memory.available": "10%" }, softGraceSeconds: { "memory.available": 60 } }),
  );
  await eviction.synchronize(AbortSignal.timeout(1000));
  assert.equal(evicted.length, 0);
  assert.equal(eviction.pressure().memory, true, "the condition does not wait for the grace period");
  await clock.advance(60_000);
  await eviction.synchronize(AbortSignal.timeout(1000));
  assert.deepEqual(
    evicted.map(({ verdict }) => verdict.graceSeconds),
    [10],
  );
  assert.deepEqual(stopped, [], "what it has to do in its grace period may take memory");
});

test("an eviction goes on until the minimum has been reclaimed", async () => {
  let available = 50;
  const { eviction, evicted } = manager(
    () => available,
    thresholdsOf({ hard: { "memory.available": "100Mi" }, minimumReclaim: { "memory.available": "200Mi" } }),
  );
  for (const [now, count] of [
    [50, 1],
    [250, 2],
    [300, 2],
    [250, 2],
  ] as const) {
    available = now;
    await eviction.synchronize(AbortSignal.timeout(1000));
    assert.equal(evicted.length, count, `${now} Mi available`);
  }
});

test("the next pod has to go only when the one before it is gone, or has taken too long", async () => {
  const { clock, eviction, evicted, left } = manager(() => 50);
  left.gone = false;
  const stop = new AbortController();
  const running = eviction.run(stop.signal);
  await clock.advance(29_000);
  assert.equal(evicted.length, 1);
  await clock.advance(2000);
  assert.equal(evicted.length, 2);
  left.gone = true;
  await clock.advance(2000);
  assert.ok(evicted.length > 2);
  stop.abort();
  await clock.advance(10_000);
  await running;
});

test("memory that goes fast does not go between two rounds", async () => {
  let gone = 0;
  const { clock, eviction, evicted, looks } = manager(() => 1000 - gone);
  const stop = new AbortController();
  const running = eviction.run(stop.signal);
  await clock.advance(2000);
  assert.deepEqual([evicted.length, looks.rounds, looks.atMemory], [0, 1, 2], "at rest it is looked at each second");
  // 300 Mi per second, of which 900 may go.
  for (let ms = 0; evicted.length === 0 && ms < 5000; ms += 100) {
    gone += 30;
    await clock.advance(100);
  }
  assert.ok(gone > 900 && gone < 990, `evicted with ${1000 - gone} Mi left`);
  assert.equal(evicted[0]?.name, "a");
  gone = 0;
  await clock.advance(2000);
  const { rounds } = looks;
  await clock.advance(8000);
  assert.deepEqual([evicted.length, looks.rounds], [1, rounds], "with enough of it the rounds have their time again");
  stop.abort();
  await clock.advance(10_000);
  await running;
});

test("what an evicted pod had on disk counts as free for a while, until it is or too long has passed", async () => {
  let available = 50;
  const { clock, eviction, evicted, attempts } = manager(
    () => available,
    thresholdsOf({ hard: { "imagefs.available": "100Mi" } }),
  );
  const look = async (count: number) => {
    await eviction.synchronize(AbortSignal.timeout(1000));
    assert.equal(evicted.length, count);
  };
  await look(1);
  await clock.advance(30_000);
  await look(1);
  await clock.advance(30_000);
  await look(2);
  available = 500;
  await look(2);
  available = 50;
  await look(3);
  assert.deepEqual(new Set(attempts), new Set(["ephemeral-storage"]));
  assert.equal(attempts.length, 4, "nothing is attempted while there is enough");
});
