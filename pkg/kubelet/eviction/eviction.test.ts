import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import type { Verdict } from "../pod/worker-deps.ts";
import { container, pod } from "../testing/observed.ts";
import { EvictionManager } from "./manager.ts";
import { rankForEviction } from "./rank.ts";
import type { PodUsage } from "./rank.ts";
import { parseThresholds } from "./signals.ts";
import type { Observations } from "./signals.ts";

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
const usage = (megabytes: number): PodUsage => ({ memoryBytes: megabytes * MI, diskBytes: 0, inodes: 0, processes: 0 });

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

function manager(available: () => number, thresholds = parseThresholds({ "memory.available": "100Mi" }, {}, {})) {
  const clock = new FakeClock();
  const evicted: { name: string; verdict: Verdict }[] = [];
  const victims = [named("a", undefined), named("critical", undefined, 2_000_000_000)];
  const eviction = new EvictionManager({
    clock,
    log: silentLogger,
    thresholds,
    transitionMs: 300_000,
    maxGraceSeconds: 10,
    observe: async (): Promise<Observations> =>
      new Map([["memory.available", { available: available() * MI, capacity: 1000 * MI }]]),
    pods: () => victims,
    usages: async () => new Map([["a", usage(500)]]),
    freeDisk: async () => undefined,
    overLimit: async () => new Map(),
    evict: (subject, verdict) => evicted.push({ name: subject.metadata.name, verdict }),
    onPressureChange: () => undefined,
  });
  return { clock, eviction, evicted };
}

test("a crossed hard threshold evicts one pod at once, never a critical one, and says pressure for a while", async () => {
  let available = 50;
  const { clock, eviction, evicted } = manager(() => available);
  await eviction.synchronize(AbortSignal.timeout(1000));
  assert.deepEqual(
    evicted.map(({ name, verdict }) => [name, verdict.reason, verdict.graceSeconds, verdict.condition?.reason]),
    [["a", "Evicted", 0, "TerminationByKubelet"]],
  );
  assert.match(
    evicted[0]!.verdict.message,
    /^The node was low on resource: memory\. Threshold quantity: 100Mi, available: 50Mi\. /,
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
  const { clock, eviction, evicted } = manager(
    () => 50,
    parseThresholds({}, { "memory.available": "10%" }, { "memory.available": 60 }),
  );
  await eviction.synchronize(AbortSignal.timeout(1000));
  assert.equal(evicted.length, 0);
  await clock.advance(60_000);
  await eviction.synchronize(AbortSignal.timeout(1000));
  assert.deepEqual(
    evicted.map(({ verdict }) => verdict.graceSeconds),
    [10],
  );
});
