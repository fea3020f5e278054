import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { events, nodes, pods } from "#pkg/api/refs.ts";
import { RealClock } from "#pkg/util/index.ts";
import { waitFor } from "#pkg/client/index.ts";
import { startCluster } from "./testing/cluster.ts";
import type { TestCluster } from "./testing/cluster.ts";

const wait = { clock: new RealClock(), intervalMs: 5, timeoutMs: 120_000 };

describe("scheduler over the real API server", () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startCluster();
    await cluster.addNode("small", { allocatable: { cpu: "1" } });
    await cluster.addNode("tainted", { taints: [{ key: "dedicated", value: "db", effect: "NoSchedule" }] });
    await cluster.addNode("cordoned", { unschedulable: true });
  });
  after(() => cluster.close());

  it("binds a pod, says so in its condition and in an event", async () => {
    await cluster.addPod("nginx", {}, { cpu: "100m" });
    const pod = await cluster.bound("nginx");
    assert.equal(pod.spec.nodeName, "small");
    assert.equal(pod.status?.conditions?.find(({ type }) => type === "PodScheduled")?.status, "True");
    const event = await waitFor(async () => {
      const { items } = await cluster.client.list(events, { namespace: "default" });
      return items.find(({ reason }) => reason === "Scheduled");
    }, wait);
    assert.equal(event.message, "Successfully assigned default/nginx to small");
    assert.equal(event.involvedObject.kind, "Pod");
    assert.deepEqual(
      [event.action, event.reportingComponent, event.reportingInstance, event.firstTimestamp ?? null],
      ["Binding", "default-scheduler", "default-scheduler-master", null],
    );
    assert.match(event.eventTime ?? "", /\.\d{6}Z$/);
  });

  it("says why no node will do, in upstream's words, and explains each node", async () => {
    await cluster.addPod("big", {}, { cpu: "3" });
    const message = await cluster.refusal("big");
    assert.ok(
      message.startsWith(
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.",
      ),
      message,
    );
    const explanation = cluster.scheduler.explain("default/big");
    assert.equal(explanation?.queue, "unschedulable");
    const byNode = Object.fromEntries((explanation?.refusals ?? []).map(({ node, plugin }) => [node, plugin]));
    assert.deepEqual(byNode, { small: "NodeResourcesFit", tainted: "TaintToleration", cordoned: "NodeUnschedulable" });
  });

  it("wakes the pod when a node becomes good enough", async () => {
    await cluster.client.patch(nodes, { namespace: "", name: "cordoned" }, "merge", { spec: { unschedulable: null } });
    assert.equal((await cluster.bound("big")).spec.nodeName, "cordoned");
  });

  it("keeps a gated pod out until the gates are gone", async () => {
    await cluster.addPod("gated", { schedulingGates: [{ name: "example.com/wait" }] });
    await cluster.addPod("after-gated");
    await cluster.bound("after-gated");
    assert.equal((await cluster.pod("gated")).spec.nodeName, undefined);
    const { at, queue, message } = cluster.scheduler.explain("default/gated")!;
    assert.deepEqual(
      { at, queue, message },
      { at: undefined, queue: "gated", message: "waiting for scheduling gates: [example.com/wait]" },
    );
    await cluster.client.patch(pods, { namespace: "default", name: "gated" }, "merge", {
      spec: { schedulingGates: null },
    });
    await cluster.bound("gated");
  });

  it("leaves pods of other schedulers alone", async () => {
    await cluster.addPod("foreign", { schedulerName: "somebody-else" });
    await cluster.addPod("ours");
    await cluster.bound("ours");
    assert.equal((await cluster.pod("foreign")).spec.nodeName, undefined);
  });
});
