import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { RuntimeError } from "./cri/runtime.ts";
import type { ContainerEvent, Runtime } from "./cri/runtime.ts";
import { PodLifecycleEvents } from "./pleg.ts";
import { container, exited, ran, sandbox } from "./testing/observed.ts";

const UID = "u";
const SPEC = container("c");
const RUNNING = ran(SPEC, "s", { labels: { "io.kubernetes.pod.uid": UID } });
const ENDED = { ...exited(SPEC, "s", 0), id: RUNNING.id, labels: RUNNING.labels };

/** A runtime with one pod, whose answers lag behind its events. */
function setUp({ events = true } = {}) {
  const clock = new FakeClock();
  const told: ContainerEvent[] = [];
  let tell: () => void = () => undefined;
  const shown = { container: RUNNING };
  const calls = { lists: 0, looks: 0 };
  const runtime = {
    async listSandboxes() {
      calls.lists++;
      return [sandbox("s")];
    },
    listContainers: async () => [shown.container],
    sandboxStatus: async () => sandbox("s"),
    async containerStatus() {
      calls.looks++;
      return shown.container;
    },
    async *events() {
      if (!events) throw new RuntimeError("Unimplemented", "no such method");
      for (;;) {
        yield* told.splice(0);
        await new Promise<void>((resolve) => {
          tell = resolve;
        });
      }
    },
  } as unknown as Runtime;
  const changes: string[] = [];
  const pleg = new PodLifecycleEvents({
    runtime,
    clock,
    log: silentLogger,
    nodeAddresses: () => [],
    onChange: (uid) => changes.push(uid),
    onRelist: () => undefined,
    outOfMemory: { settled: async (status) => status },
  });
  const event = (of: ContainerEvent) => {
    told.push(of);
    tell();
  };
  return { clock, pleg, shown, calls, changes, event };
}

test("an end that the runtime tells of before its answers show it is looked for until they do", async () => {
  const { clock, pleg, shown, calls, changes, event } = setUp();
  const stop = new AbortController();
  const running = pleg.run(stop.signal);
  await clock.advance(10_000);
  const { lists, looks: earlier } = calls;
  event({ type: "Stopped", containerId: RUNNING.id, podUid: undefined });
  await clock.advance(500);
  assert.equal(pleg.get(UID).containers[0]?.state, "Running");
  const again = calls.looks - earlier;
  assert.ok(again > 3 && again < 12, `${again} looks`);
  const before = changes.length;
  shown.container = ENDED;
  await clock.advance(1000);
  assert.equal(pleg.get(UID).containers[0]?.state, "Exited");
  assert.equal(changes.length, before + 1);
  const { looks } = calls;
  await clock.advance(5000);
  assert.deepEqual(calls, { lists, looks });
  stop.abort();
  await clock.advance(1000);
  await running;
});

test("the end of what nobody has seen yet is not missed", async () => {
  const { clock, pleg, shown, event } = setUp();
  const stop = new AbortController();
  const running = pleg.run(stop.signal);
  await clock.advance(5000);
  const id = "made-just-now";
  event({ type: "Stopped", containerId: id, podUid: undefined });
  await clock.advance(1);
  shown.container = { ...RUNNING, id };
  await pleg.add(UID, { sandboxIds: [], containers: [{ id, sandboxId: "s" }] });
  shown.container = { ...ENDED, id };
  await clock.advance(1000);
  assert.equal(pleg.get(UID).containers.find((seen) => seen.id === id)?.state, "Exited");
  stop.abort();
  await clock.advance(1000);
  await running;
});

test("with an event stream lists are rare, without one there is one every second", async () => {
  for (const [events, most] of [
    [true, 6],
    [false, 61],
  ] as const) {
    const { clock, pleg, calls } = setUp({ events });
    const stop = new AbortController();
    const running = pleg.run(stop.signal);
    await clock.advance(60_000);
    assert.ok(calls.lists <= most && calls.lists >= most - 2, `${calls.lists} lists`);
    stop.abort();
    await clock.advance(1000);
    await running;
  }
});
