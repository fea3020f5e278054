import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { Event } from "#pkg/api/types/events-v1.ts";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { createClient } from "../client.ts";
import type { EventReport } from "../contract.ts";
import { FakeApi } from "../testing/fake-api.ts";
import { directTransport } from "../transport/direct.ts";
import { createSeriesRecorder } from "./series-recorder.ts";

const pod = (name: string): KubeObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { namespace: "default", name, uid: `uid-${name}`, resourceVersion: "7" },
});
const unfit = (name: string, note: string): EventReport => ({
  regarding: pod(name),
  type: "Warning",
  reason: "FailedScheduling",
  action: "Scheduling",
  note,
  controller: "default-scheduler",
});
function setUp() {
  const api = new FakeApi();
  const clock = new FakeClock();
  const client = createClient(directTransport(api), { userAgent: "test" });
  const recorder = createSeriesRecorder({ client, host: "n1", clock, log: silentLogger });
  const events = () => [...api.objects.values()] as unknown as Event[];
  const report = async (event: EventReport) => {
    recorder.report(event);
    for (let i = 0; i < 5; i++) await clock.advance(0);
  };
  return { api, clock, events, report };
}

describe("series recorder", () => {
  it("says what was done, by whom, about what and for what", async () => {
    const { events, report } = setUp();
    await report({
      regarding: pod("victim"),
      related: pod("preemptor"),
      type: "Normal",
      reason: "Preempted",
      action: "Preempting",
      note: "Preempted by pod uid-preemptor on node n1",
      controller: "default-scheduler",
    });
    const [event] = events();
    const { metadata, ...rest } = event!;
    assert.match(metadata.name ?? "", /^victim\.[0-9a-f]+$/);
    const reference = { kind: "Pod", namespace: "default", apiVersion: "v1", resourceVersion: "7" };
    assert.deepEqual(rest, {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      eventTime: "2026-01-01T00:00:00.000000Z",
      reportingController: "default-scheduler",
      reportingInstance: "default-scheduler-n1",
      action: "Preempting",
      reason: "Preempted",
      regarding: { ...reference, name: "victim", uid: "uid-victim" },
      related: { ...reference, name: "preemptor", uid: "uid-preemptor" },
      note: "Preempted by pod uid-preemptor on node n1",
      type: "Normal",
    });
  });

  it("makes a series of what happens again, whatever the note, and another event of what happens much later", async () => {
    const { events, report, clock } = setUp();
    for (const nodes of [1, 2, 3]) {
      await report(unfit("web", `0/${nodes} nodes are available`));
      await clock.advance(60_000);
    }
    await report(unfit("db", "0/3 nodes are available"));
    assert.deepEqual(
      events().map(({ note, series }) => [note, series]),
      [
        ["0/1 nodes are available", { count: 3, lastObservedTime: "2026-01-01T00:02:00.000000Z" }],
        ["0/3 nodes are available", undefined],
      ],
    );
    await clock.advance(360_000);
    await report(unfit("web", "0/4 nodes are available"));
    assert.equal(events().length, 3);
  });

  it("writes a series anew that has expired on the server", async () => {
    const { events, report, api } = setUp();
    await report(unfit("web", "0/1 nodes are available"));
    api.objects.clear();
    await report(unfit("web", "0/1 nodes are available"));
    assert.deepEqual(
      events().map(({ metadata, series }) => [metadata.name?.split(".")[0], series?.count]),
      [["web", 2]],
    );
  });
});
