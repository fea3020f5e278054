import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { serviceUnavailable } from "#pkg/apimachinery/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { Event } from "#pkg/api/types/core-v1.ts";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { createClient } from "../client.ts";
import { ConnectionError } from "../contract.ts";
import { FakeApi } from "../testing/fake-api.ts";
import type { Transport } from "../transport/transport.ts";
import { directTransport } from "../transport/direct.ts";
import { createEventRecorder } from "./recorder.ts";

const pod = (name: string): KubeObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { namespace: "default", name, uid: `uid-${name}`, resourceVersion: "7" },
});
function setUp(
  wrap: (transport: Transport) => Transport = (transport) => transport,
  busy?: (reason: string) => boolean,
  routine?: ReadonlySet<string>,
) {
  const api = new FakeApi();
  const clock = new FakeClock();
  const client = createClient(wrap(directTransport(api)), { userAgent: "test" });
  const recorder = createEventRecorder({
    client,
    component: "kubelet",
    host: "n1",
    clock,
    log: silentLogger,
    busy,
    routine,
  });
  const events = () => [...api.objects.values()] as unknown as Event[];
  const settle = async () => {
    for (let i = 0; i < 5; i++) await clock.advance(0);
  };
  return { api, clock, recorder, events, settle };
}

describe("event recorder", () => {
  it("writes what kubectl describe shows", async () => {
    const { recorder, events, settle } = setUp();
    recorder.event(pod("web"), "Normal", "Started", "Started container", "spec.containers{nginx}");
    await settle();
    const [event] = events();
    assert.match(event?.metadata.name ?? "", /^web\.[0-9a-f]+$/);
    assert.deepEqual(event?.involvedObject, {
      kind: "Pod",
      namespace: "default",
      name: "web",
      uid: "uid-web",
      apiVersion: "v1",
      resourceVersion: "7",
      fieldPath: "spec.containers{nginx}",
    });
    assert.deepEqual(event?.source, { component: "kubelet", host: "n1" });
    assert.equal(event?.reportingComponent, "kubelet");
    assert.equal(event?.count, 1);
    assert.equal(event?.firstTimestamp, "2026-01-01T00:00:00Z");
  });

  it("lets a busy component's work go first, for two seconds", async () => {
    let busy = true;
    const { recorder, events, settle, clock } = setUp(undefined, () => busy);
    recorder.event(pod("web"), "Normal", "Scheduled", "assigned");
    await clock.advance(1_000);
    assert.equal(events().length, 0);
    busy = false;
    await clock.advance(100);
    await settle();
    assert.equal(events().length, 1);
    busy = true;
    recorder.event(pod("db"), "Normal", "Scheduled", "assigned");
    await clock.advance(2_000);
    await settle();
    assert.equal(events().length, 2);
  });

  it("does not let an event wait for those that may", async () => {
    const { recorder, events, settle, clock } = setUp(
      undefined,
      (reason) => reason === "Started",
      new Set(["Started"]),
    );
    recorder.event(pod("web"), "Normal", "Started", "Started");
    recorder.event(pod("web"), "Warning", "Unhealthy", "failed");
    await settle();
    assert.deepEqual(
      events().map(({ reason }) => reason),
      ["Unhealthy"],
    );
    await clock.advance(2_000);
    await settle();
    assert.equal(events().length, 2, "nor for ever for a component that is always busy");
  });

  it("writes routine events of a tenth of a second together, ten at most, and holds no more than a thousand back", async () => {
    let together = 0;
    let most = 0;
    const { recorder, events, clock, settle } = setUp(
      (transport) => ({
        request: async (request) => {
          most = Math.max(most, ++together);
          const answer = await transport.request(request);
          together--;
          return answer;
        },
        stream: (request) => transport.stream(request),
        close: () => transport.close(),
      }),
      () => true,
      new Set(["Started"]),
    );
    for (let i = 0; i < 1_000; i++) recorder.event(pod(`web-${i}`), "Normal", "Started", "Started container");
    await clock.advance(1_500);
    assert.equal(events().length, 0);
    for (let i = 0; i < 12; i++) recorder.event(pod(`db-${i}`), "Normal", "Started", "Started container");
    await clock.advance(100);
    await settle();
    const told = events().map(({ involvedObject }) => involvedObject.name);
    assert.deepEqual([told.length, told[0], most], [20, "web-0", 10]);
  });

  it("counts equal events up instead of writing them again", async () => {
    const { recorder, events, settle, clock } = setUp();
    for (let i = 0; i < 4; i++) {
      recorder.event(pod("web"), "Warning", "BackOff", "Back-off restarting");
      await settle();
      await clock.advance(1_000);
    }
    assert.equal(events().length, 1);
    assert.equal(events()[0]?.count, 4);
    assert.equal(events()[0]?.firstTimestamp, "2026-01-01T00:00:00Z");
    assert.equal(events()[0]?.lastTimestamp, "2026-01-01T00:00:03Z");
  });

  it("combines many similar events into one", async () => {
    const { recorder, events, settle } = setUp();
    for (let i = 0; i < 14; i++) {
      recorder.event(pod("web"), "Warning", "Unhealthy", `probe failed: ${i}`);
      await settle();
    }
    assert.equal(events().length, 11);
    const combined = events().find(({ message }) => message?.startsWith("(combined from similar events)"));
    assert.equal(combined?.message, "(combined from similar events): probe failed: 13");
    assert.equal(combined?.count, 4);
  });

  it("stops spam after 25 events per object, and lets one more through after five minutes", async () => {
    const { recorder, events, settle, clock } = setUp();
    const total = () => events().reduce((sum, { count = 0 }) => sum + count, 0);
    for (let i = 0; i < 40; i++) recorder.event(pod("web"), "Warning", "BackOff", "again");
    recorder.event(pod("other"), "Warning", "BackOff", "again");
    await settle();
    assert.equal(total(), 26);
    await clock.advance(300_001);
    for (let i = 0; i < 3; i++) recorder.event(pod("web"), "Warning", "BackOff", "again");
    await settle();
    assert.equal(total(), 27);
  });

  it("tries again when the server is away, and gives up what the server refuses", async () => {
    let away = true;
    const { recorder, events, settle, clock, api } = setUp((transport) => ({
      ...transport,
      request: (request) => (away ? Promise.reject(new ConnectionError("refused")) : transport.request(request)),
      stream: (request) => transport.stream(request),
      close: () => transport.close(),
    }));
    recorder.event(pod("web"), "Normal", "Started", "Started");
    await settle();
    away = false;
    await clock.advance(10_001);
    await settle();
    assert.equal(events().length, 1);
    api.intercept = () => serviceUnavailable("no");
    recorder.event(pod("db"), "Normal", "Started", "Started");
    await settle();
    assert.equal(clock.nextTimer(), undefined, "nothing is waited for");
  });

  it("writes an event anew that has expired on the server, and cuts long messages", async () => {
    const { recorder, events, settle, api } = setUp();
    recorder.event(pod("web"), "Normal", "Pulled", "é".repeat(2000));
    await settle();
    assert.equal(Buffer.byteLength(events()[0]?.message ?? ""), 1024);
    api.objects.clear();
    recorder.event(pod("web"), "Normal", "Pulled", "é".repeat(2000));
    await settle();
    assert.equal(events().length, 1);
  });
});
