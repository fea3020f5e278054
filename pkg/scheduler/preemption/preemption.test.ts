import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { podDisruptionBudgets, pods } from "#pkg/api/refs.ts";
import { waitFor } from "#pkg/client/index.ts";
import { RealClock } from "#pkg/util/index.ts";
import { startCluster } from "../testing/cluster.ts";
import type { TestCluster } from "../testing/cluster.ts";

const wait = { clock: new RealClock(), intervalMs: 5, timeoutMs: 120_000 };
const key = (name: string) => ({ namespace: "default", name });

describe("preemption", () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startCluster();
    await cluster.addNode("n1", { allocatable: { cpu: "2" } });
    await cluster.addNode("n2", { allocatable: { cpu: "2" } });
  });
  after(() => cluster.close());

  it("removes the least important pods, marks them first, and gives their place to the pod", async () => {
    for (const [name, priority] of [
      ["low", 1],
      ["middle", 5],
      ["high-1", 50],
      ["high-2", 50],
    ] as const) {
      await cluster.addPod(name, { priority }, { cpu: "1" });
      await cluster.bound(name);
    }
    // A finalizer keeps the victim visible, as long as it takes to look at it.
    const places = new Map(
      (await cluster.client.list(pods)).items.map((pod) => [pod.metadata.name, pod.spec.nodeName]),
    );
    await cluster.client.patch(pods, key("low"), "merge", { metadata: { finalizers: ["example.com/keep"] } });
    await cluster.addPod("urgent", { priority: 100 }, { cpu: "1" });
    const victim = await waitFor(async () => {
      const pod = await cluster.pod("low");
      return pod.metadata.deletionTimestamp === undefined ? undefined : pod;
    }, wait);
    const condition = victim.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
    assert.equal(condition?.reason, "PreemptionByScheduler");
    assert.equal(condition?.message, "default-scheduler: preempting to accommodate a higher priority pod");
    const nominated = await waitFor(async () => (await cluster.pod("urgent")).status?.nominatedNodeName, wait);
    assert.equal(nominated, places.get("low"));
    await cluster.client.patch(pods, key("low"), "merge", { metadata: { finalizers: null } });
    assert.equal((await cluster.bound("urgent")).spec.nodeName, nominated);
    for (const name of ["middle", "high-1", "high-2"]) await cluster.pod(name);
  });

  it("does not preempt for a pod whose policy is Never, and says so", async () => {
    await cluster.addPod("patient", { priority: 1000, preemptionPolicy: "Never" }, { cpu: "1" });
    assert.equal(
      await cluster.refusal("patient"),
      "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.",
    );
  });

  it("says when there is nobody to remove, or removing would not help", async () => {
    await cluster.addPod("humble", { priority: 0 }, { cpu: "1" });
    assert.equal(
      await cluster.refusal("humble"),
      "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.",
    );
    await cluster.addPod("giant", { priority: 2000 }, { cpu: "64" });
    assert.equal(
      await cluster.refusal("giant"),
      "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
    );
  });
});

describe("preemption with a disruption budget", () => {
  it("prefers the node where no budget is broken", async () => {
    const cluster = await startCluster();
    await cluster.addNode("n1", { allocatable: { cpu: "1" } });
    await cluster.addNode("n2", { allocatable: { cpu: "1" } });
    await cluster.client.create(podDisruptionBudgets, {
      metadata: { namespace: "default", name: "keep" },
      spec: { minAvailable: 1, selector: { matchLabels: { app: "kept" } } },
    });
    await cluster.addPod("kept", { priority: 1 }, { cpu: "1", labels: { app: "kept" } });
    await cluster.bound("kept");
    await cluster.addPod("free", { priority: 9 }, { cpu: "1" });
    const free = await cluster.bound("free");
    await cluster.addPod("urgent", { priority: 100 }, { cpu: "1" });
    assert.equal(
      (await cluster.bound("urgent")).spec.nodeName,
      free.spec.nodeName,
      "though its victim has the higher priority",
    );
    assert.equal((await cluster.pod("kept")).metadata.deletionTimestamp, undefined);
    await cluster.close();
  });
});
