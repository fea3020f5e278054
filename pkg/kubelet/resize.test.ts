import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import { startContainerd } from "./testing/containerd.ts";
import { busybox, isReady, startTestBed } from "./testing/node.ts";
import type { TestBed, TestNode } from "./testing/node.ts";

describe("resizes on containerd", () => {
  let bed: TestBed;
  let node: TestNode;
  before(async () => {
    bed = await startTestBed(startContainerd("10.211.10"), { name: "n1" });
    node = bed.node;
  });
  after(() => bed?.stop());

  test("resizes a running container in place", async () => {
    await node.create(
      "resize",
      busybox("exec sleep 1000", {
        resources: { requests: { cpu: "100m", memory: "64Mi" }, limits: { cpu: "200m", memory: "64Mi" } },
      }),
    );
    await node.wait("resize", isReady);
    const key = { namespace: "default", name: "resize" };
    const { id } = (await bed.daemon.runtime.listContainers()).find(
      ({ labels }) => labels["io.kubernetes.pod.name"] === "resize",
    )!;
    // All grows, one grows while the other shrinks, and the other way round: the pod never has less than its container.
    for (const [cpu, mebibytes] of [
      ["300m", 96],
      ["400m", 64],
      ["100m", 80],
    ] as const) {
      const current = await bed.client.get(pods, key);
      const memory = `${mebibytes}Mi`;
      const resources = { requests: { cpu: "50m", memory }, limits: { cpu, memory } };
      const containers = [{ ...current.spec.containers[0]!, resources }];
      await bed.client.updateSubresource(pods, key, "resize", { ...current, spec: { ...current.spec, containers } });
      const pod = await node.wait("resize", ({ status }) => {
        const limits = status?.containerStatuses?.[0]?.resources?.limits;
        const settled = status?.conditions?.every(({ type }) => !type.startsWith("PodResize")) === true;
        return settled && String(limits?.["memory"]) === memory && String(limits?.["cpu"]) === cpu;
      });
      assert.equal(pod.status?.containerStatuses?.[0]?.restartCount, 0);
      const { stdout } = await bed.daemon.runtime.execSync(
        id,
        ["sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max"],
        5,
      );
      assert.equal(Number(Buffer.from(stdout).toString()), mebibytes * 2 ** 20);
    }
    const said = await node.events("resize");
    assert.ok(!said.some((text) => text.startsWith("ResizeError")), said.join("\n"));
    await node.delete("resize");
  });

  test("puts off a resize that does not fit now, refuses one that never will, and does not shrink below what is used", async () => {
    const resources = { requests: { cpu: "10m", memory: "32Mi" }, limits: { memory: "32Mi" } };
    const hungry = "head -c 20000000 /dev/zero > /dev/shm/x; touch /tmp/full; exec sleep 1000";
    const readinessProbe = { exec: { command: ["test", "-e", "/tmp/full"] }, periodSeconds: 1 };
    await node.create("resized", busybox(hungry, { resources, readinessProbe }));
    await node.wait("resized", isReady);
    const milliCpu = parseQuantity((await node.object())?.status?.allocatable?.["cpu"] ?? 0).milliValue();
    // Together with this one there is no room for another of nearly the node's size.
    await node.create("neighbour", busybox("exec sleep 1000", { resources: { requests: { cpu: "100m" } } }));
    await node.wait("neighbour", isReady);
    const resize = async (more: { cpu?: string; memory?: string }) => {
      const pod = await bed.client.get(pods, { namespace: "default", name: "resized" });
      const { memory = resources.limits.memory } = more;
      const wanted = { requests: { ...resources.requests, ...more }, limits: { memory } };
      const container = { ...pod.spec.containers[0]!, resources: wanted };
      const key = { namespace: "default", name: "resized" };
      await bed.client.updateSubresource(pods, key, "resize", {
        ...pod,
        spec: { ...pod.spec, containers: [container] },
      });
    };
    const condition = (pod: Pod, type: string) => pod.status?.conditions?.find((found) => found.type === type);
    const pending = (reason: string) =>
      node.wait("resized", (pod) => condition(pod, "PodResizePending")?.reason === reason);
    await resize({ cpu: "1000" });
    const refused = await pending("Infeasible");
    assert.match(
      condition(refused, "PodResizePending")?.message ?? "",
      /^Node didn't have enough capacity: cpu, requested: 1000000, capacity: \d+$/,
    );
    await resize({ cpu: `${milliCpu - 50}m` });
    const deferred = await pending("Deferred");
    assert.match(
      condition(deferred, "PodResizePending")?.message ?? "",
      /^Node didn't have enough resource: cpu, requested: \d+, used: 100, capacity: \d+$/,
    );
    assert.deepEqual(deferred.status?.containerStatuses?.[0]?.allocatedResources, resources.requests);
    await node.delete("neighbour");
    await node.wait("resized", (pod) => {
      const settled = pod.status?.conditions?.every(({ type }) => !type.startsWith("PodResize")) === true;
      return settled && pod.status?.containerStatuses?.[0]?.allocatedResources?.["cpu"] !== "10m";
    });
    await resize({ memory: "8Mi" });
    const stuck = await node.wait("resized", (pod) => condition(pod, "PodResizeInProgress")?.reason === "Error");
    assert.match(condition(stuck, "PodResizeInProgress")?.message ?? "", /memory limit .* below current usage/);
    assert.equal(stuck.status?.containerStatuses?.[0]?.restartCount, 0);
    assert.ok(isReady(stuck), "nothing was killed for it");
    const { limits } = stuck.status?.containerStatuses?.[0]?.resources ?? {};
    assert.deepEqual(limits, { memory: "32Mi" }, "what it really has");
    await resize({ memory: "48Mi" });
    await node.wait(
      "resized",
      (pod) => String(pod.status?.containerStatuses?.[0]?.resources?.limits?.["memory"]) === "48Mi",
    );
    const said = (await node.events("resized")).map((text) => text.split(":")[0]);
    for (const reason of ["ResizeInfeasible", "ResizeDeferred", "ResizeStarted", "ResizeCompleted", "ResizeError"])
      assert.ok(said.includes(reason), `${reason} is not among ${said.join(", ")}`);
    await node.delete("resized", { gracePeriodSeconds: 0 });
  });
});
