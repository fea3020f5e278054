import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod, PodSpec } from "#pkg/api/types/core-v1.ts";
import { FakeClock, SeededRandom } from "#pkg/util/index.ts";
import { PodInfo } from "../cache/pod-info.ts";
import { unresolvable } from "../framework/status.ts";
import type { ClusterEvent, EventRegistration } from "../framework/types.ts";
import { prioritySort } from "../plugins/priority-sort.ts";
import { podDraft } from "../testing/cluster.ts";
import { stored } from "../testing/offline.ts";
import { Heap } from "./heap.ts";
import { isAwaited, SchedulingQueue } from "./scheduling-queue.ts";
import type { Failure } from "./scheduling-queue.ts";

const REGISTRATIONS = new Map<string, readonly EventRegistration[]>([
  ["Fit", [{ resource: "Node", actions: ["Add"], hint: (_pod, { object }) => object?.metadata.name !== "useless" }]],
  [
    "Broken",
    [
      {
        resource: "Node",
        actions: ["Add"],
        hint: () => {
          throw new Error("bug");
        },
      },
    ],
  ],
]);
const nodeAdded = (name: string): ClusterEvent => ({
  resource: "Node",
  actions: ["Add"],
  object: { metadata: { name } },
});
const refusedBy = (...plugins: string[]): Failure => ({
  unschedulablePlugins: new Set(plugins),
  error: false,
});
const pod = (name: string, spec: Partial<PodSpec> = {}) => new PodInfo(stored<Pod>(podDraft(name, spec)));

function setUp() {
  const clock = new FakeClock();
  const queue = new SchedulingQueue({
    clock,
    compare: prioritySort().compare!,
    preEnqueue: ({ pod: { spec } }) =>
      (spec.schedulingGates ?? []).length > 0 ? { ...unresolvable("gated"), plugin: "Gates" } : undefined,
    registrationsOf: () => REGISTRATIONS,
    awaits: (plugin, event) =>
      REGISTRATIONS.get(plugin)?.some((registration) => isAwaited(registration, event)) ?? true,
  });
  return { clock, queue };
}

describe("SchedulingQueue", () => {
  it("gives the highest priority first, then the longest waiting", async () => {
    const { queue, clock } = setUp();
    for (const [name, priority] of [
      ["a", 0],
      ["b", 5],
      ["c", 0],
      ["d", 5],
    ] as const) {
      queue.add(pod(name, { priority }));
      await clock.advance(1);
    }
    const order = [1, 2, 3, 4].map(() => queue.pop()?.info.pod.metadata.name);
    assert.deepEqual(order, ["b", "d", "a", "c"]);
    assert.equal(queue.pop(), undefined);
  });

  it("wakes an unschedulable pod only for an event that can help it", async () => {
    const { queue, clock } = setUp();
    queue.add(pod("a"));
    queue.requeue(queue.pop()!, refusedBy("Fit"));
    assert.deepEqual(queue.lengths, { active: 0, backoff: 0, unschedulable: 1, gated: 0 });
    queue.moveOnEvent(nodeAdded("useless"));
    queue.moveOnEvent({ resource: "AssignedPod", actions: ["Delete"] });
    assert.equal(queue.lengths.unschedulable, 1);
    queue.moveOnEvent(nodeAdded("good"));
    assert.equal(queue.lengths.backoff, 1);
    await clock.advance(1_000);
    assert.equal(queue.lengths.active, 1);
  });

  it("uses idle time for pods that still back off, but not for those that failed by an error", () => {
    const { queue } = setUp();
    queue.add(pod("a"));
    queue.add(pod("b"));
    queue.requeue(queue.pop()!, refusedBy("Fit"));
    queue.requeue(queue.pop()!, { ...refusedBy(), error: true });
    queue.moveOnEvent(nodeAdded("good"));
    assert.equal(queue.lengths.backoff, 2);
    assert.equal(queue.pop()?.info.pod.metadata.name, "a");
    assert.equal(queue.pop(), undefined);
  });

  it("backs off 1, 2, 4, 8 and then 10 seconds", async () => {
    const { queue, clock } = setUp();
    queue.add(pod("a"));
    const waits: number[] = [];
    for (let i = 0; i < 6; i++) {
      queue.requeue(queue.pop()!, { ...refusedBy(), error: true });
      const start = clock.now();
      while (queue.lengths.active === 0) await clock.advance(clock.nextTimer()! - clock.now());
      waits.push(clock.now() - start);
    }
    assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
  });

  it("does not miss an event that happens while the pod is being tried", () => {
    const { queue } = setUp();
    queue.add(pod("a"));
    queue.moveOnEvent(nodeAdded("before"));
    const waiting = queue.pop()!;
    queue.moveOnEvent(nodeAdded("useless"));
    queue.moveOnEvent(nodeAdded("during"));
    queue.requeue(waiting, refusedBy("Fit"));
    assert.equal(queue.lengths.backoff, 1);
    const again = queue.pop()!;
    queue.requeue(again, refusedBy("Fit"));
    assert.equal(queue.lengths.unschedulable, 1, "events of an earlier try do not count");
  });

  it("tries a pod again after five minutes, whatever happens", async () => {
    const { queue, clock } = setUp();
    const stop = new AbortController();
    queue.startFlushing(stop.signal);
    queue.add(pod("a"));
    queue.requeue(queue.pop()!, refusedBy("Fit"));
    await clock.advance(4 * 60_000);
    assert.equal(queue.lengths.unschedulable, 1);
    await clock.advance(2 * 60_000);
    assert.equal(queue.lengths.active, 1);
    stop.abort();
  });

  it("treats a hint that throws as a yes", () => {
    const { queue } = setUp();
    queue.add(pod("a"));
    queue.requeue(queue.pop()!, refusedBy("Broken"));
    queue.moveOnEvent(nodeAdded("n"));
    assert.equal(queue.lengths.backoff, 1);
  });

  it("keeps gated pods apart until their gates are gone", () => {
    const { queue } = setUp();
    queue.add(pod("a", { schedulingGates: [{ name: "g" }] }));
    assert.deepEqual(queue.lengths, { active: 0, backoff: 0, unschedulable: 0, gated: 1 });
    queue.moveOnEvent(nodeAdded("n"));
    queue.flushUnschedulable();
    assert.equal(queue.lengths.gated, 1);
    const free = pod("a");
    queue.update(free);
    queue.moveOne(free.uid, {
      resource: "UnscheduledPod",
      actions: ["UpdatePodSchedulingGatesEliminated"],
    });
    assert.equal(queue.pop()?.info, free);
  });

  it("forgets a deleted pod wherever it is, also in flight", async () => {
    const { queue, clock } = setUp();
    queue.add(pod("a"));
    queue.add(pod("b"));
    const a = queue.pop()!;
    queue.delete(a.info.uid);
    queue.requeue(a, refusedBy("Fit"));
    const b = queue.pop()!;
    queue.requeue(b, { ...refusedBy(), error: true });
    queue.delete(b.info.uid);
    await clock.advance(20_000);
    assert.deepEqual(queue.lengths, { active: 0, backoff: 0, unschedulable: 0, gated: 0 });
    assert.equal(clock.nextTimer(), undefined);
  });
});

describe("Heap", () => {
  it("gives its items in order whatever is added, replaced and removed", () => {
    const random = new SeededRandom(3);
    const heap = new Heap<{ id: string; rank: number }>(
      ({ id }) => id,
      (a, b) => a.rank - b.rank,
    );
    const model = new Map<string, number>();
    for (let i = 0; i < 3000; i++) {
      const id = `i${random.int(50)}`;
      if (random.float() < 0.3) {
        assert.equal(heap.delete(id) !== undefined, model.delete(id));
      } else if (random.float() < 0.2) {
        const first = heap.pop();
        assert.equal(first?.rank, model.size === 0 ? undefined : Math.min(...model.values()));
        if (first !== undefined) model.delete(first.id);
      } else {
        const rank = random.int(1000);
        heap.add({ id, rank });
        model.set(id, rank);
      }
      assert.equal(heap.size, model.size);
    }
  });
});
