import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { TestDockerd } from "../testing/dockerd.ts";
import { startDockerd } from "../testing/dockerd.ts";
import { busybox, hasEnded, isReady, startTestBed } from "../testing/node.ts";
import type { TestBed } from "../testing/node.ts";

describe("a Docker daemon whose containers end with it", () => {
  let bed: TestBed<TestDockerd>;
  before(async () => {
    bed = await startTestBed(startDockerd("10.212.11", { liveRestore: false }), { name: "d3" });
  });
  after(() => bed?.stop());

  test("is restarted: pods run again, each in one new sandbox, and those that do not restart have failed", async () => {
    const { node, daemon } = bed;
    const script = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    await node.create("again", busybox(script));
    await node.create("once", busybox(script), { restartPolicy: "Never" });
    const before = await node.wait("again", isReady);
    await node.wait("once", isReady);
    await daemon.restart();

    const restarted = await node.wait(
      "again",
      (pod) => isReady(pod) && (pod.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0,
    );
    const [status] = restarted.status?.containerStatuses ?? [];
    assert.equal(status?.restartCount, 1);
    assert.equal(status?.lastState?.terminated?.containerID, before.status?.containerStatuses?.[0]?.containerID);
    assert.equal(restarted.metadata.uid, before.metadata.uid);
    const sandboxes = await daemon.runtime.listSandboxes({ podUid: restarted.metadata.uid });
    assert.equal(sandboxes.filter(({ state }) => state === "Ready").length, 1);
    assert.ok((await node.events("again")).some((event) => event.startsWith("SandboxChanged: ")));

    const ended = await node.wait("once", hasEnded);
    assert.equal(ended.status?.containerStatuses?.[0]?.restartCount, 0);
    for (const name of ["again", "once"]) await node.delete(name);
    await node.eventually("nothing is left in Docker", async () => {
      const left = await Promise.all([daemon.runtime.listSandboxes(), daemon.runtime.listContainers()]);
      return left.flat().length === 0;
    });
  });
});
