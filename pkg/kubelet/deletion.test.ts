import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { pods } from "#pkg/api/refs.ts";
import type { Container, ContainerStatus, Pod, PodSpec } from "#pkg/api/types/core-v1.ts";
import { startContainerd } from "./testing/containerd.ts";
import { busybox, hasEnded, isReady, startTestBed, waitingReason } from "./testing/node.ts";
import type { TestBed } from "./testing/node.ts";

function stateOf({ state = {} }: ContainerStatus): string {
  const { running, terminated, waiting } = state;
  if (terminated !== undefined) return `${terminated.reason} ${terminated.exitCode}`;
  return running === undefined ? `waits: ${waiting?.reason}` : "runs";
}

/** What a watcher makes of one event of a pod's end. */
function seen(type: string, { metadata, status }: Pod): string {
  const { deletionGracePeriodSeconds, generation } = metadata;
  const { phase, observedGeneration, conditions = [], containerStatuses = [] } = status ?? {};
  const ready = ["Ready", "ContainersReady"].map((name) => {
    const found = conditions.find((one) => one.type === name);
    return [found?.status, found?.reason].filter((part) => part !== undefined).join(" ");
  });
  const states = containerStatuses.map(stateOf);
  const generations = `${observedGeneration} of ${generation}`;
  return [`${type} in ${deletionGracePeriodSeconds}s`, phase, generations, ...new Set(ready), ...states].join(", ");
}

describe("what a watcher sees of a pod's deletion", { concurrency: 1 }, () => {
  let bed: TestBed;
  before(async () => {
    bed = await startTestBed(startContainerd("10.218.4"), { name: "d1" });
  });
  after(() => bed?.stop());

  /**
   * Runs a pod until it is as it should be, deletes it, and tells the events from there on to its last, without what the
   * kubelet tells while the pod is ending: how much of that becomes a write of its own depends on time.
   */
  async function deletion(
    container: Container,
    spec: Partial<PodSpec>,
    until: (pod: Pod) => boolean,
    options: { gracePeriodSeconds?: number } = {},
  ): Promise<string[]> {
    const { client, node } = bed;
    await node.create("goes", container, spec);
    const { metadata, status } = await node.wait("goes", until);
    const { resourceVersion } = metadata;
    const told: string[] = [];
    const watching = (async () => {
      for await (const event of client.watch(pods, { resourceVersion, fieldSelector: "metadata.name=goes" })) {
        if (event.type === "BOOKMARK") continue;
        const { type, object } = event;
        const { deletionTimestamp, deletionGracePeriodSeconds } = object.metadata;
        if (deletionTimestamp === undefined) continue;
        const ending = told.length > 0 && deletionGracePeriodSeconds !== 0 && object.status?.phase === status?.phase;
        if (!ending) told.push(seen(type, object));
        if (type === "DELETED") return;
      }
    })();
    await client.delete(pods, { namespace: "default", name: "goes" }, options);
    await watching;
    return told;
  }
  const TRAP = "trap 'exit 0' TERM; touch /ready; while true; do sleep 0.1; done";
  const readinessProbe = { exec: { command: ["test", "-e", "/ready"] }, periodSeconds: 1 };

  test("a running one: marked, ended, about to go, gone", async () => {
    const polite = busybox(TRAP, { readinessProbe });
    assert.deepEqual(await deletion(polite, { terminationGracePeriodSeconds: 100 }, isReady), [
      "MODIFIED in 100s, Running, 1 of 2, True, runs",
      "MODIFIED in 100s, Succeeded, 2 of 2, False PodCompleted, Completed 0",
      "MODIFIED in 0s, Succeeded, 2 of 2, False PodCompleted, Completed 0",
      "DELETED in 0s, Succeeded, 2 of 2, False PodCompleted, Completed 0",
    ]);
    const deaf = busybox("exec sleep 1000");
    assert.deepEqual(await deletion(deaf, { terminationGracePeriodSeconds: 1 }, isReady), [
      "MODIFIED in 1s, Running, 1 of 2, True, runs",
      "MODIFIED in 1s, Failed, 2 of 2, False PodFailed, Error 137",
      "MODIFIED in 0s, Failed, 2 of 2, False PodFailed, Error 137",
      "DELETED in 0s, Failed, 2 of 2, False PodFailed, Error 137",
    ]);
  });

  test("one with a hook, which ends with what the hook left time for", async () => {
    const lifecycle = { preStop: { exec: { command: ["sh", "-c", "sleep 1; touch /stop"] } } };
    const container = busybox("until [ -e /stop ]; do sleep 0.1; done; exit 3", { lifecycle });
    assert.deepEqual(await deletion(container, { terminationGracePeriodSeconds: 100 }, isReady), [
      "MODIFIED in 100s, Running, 1 of 2, True, runs",
      "MODIFIED in 100s, Failed, 2 of 2, False PodFailed, Error 3",
      "MODIFIED in 0s, Failed, 2 of 2, False PodFailed, Error 3",
      "DELETED in 0s, Failed, 2 of 2, False PodFailed, Error 3",
    ]);
  });

  test("one that has ended, and one that has to go at once", async () => {
    assert.deepEqual(await deletion(busybox("exit 0"), { restartPolicy: "Never" }, hasEnded), [
      "MODIFIED in 0s, Succeeded, 1 of 2, False PodCompleted, Completed 0",
      "DELETED in 0s, Succeeded, 1 of 2, False PodCompleted, Completed 0",
    ]);
    const now = { gracePeriodSeconds: 0 };
    assert.deepEqual(await deletion(busybox("exec sleep 1000"), {}, isReady, now), [
      "MODIFIED in 0s, Running, 1 of 2, True, runs",
      "DELETED in 0s, Running, 1 of 2, True, runs",
    ]);
  });

  test("one that never started: its container counts as failed, that of an init container which had no turn does not", async () => {
    const missing = { image: "busybox:none", imagePullPolicy: "Never" } as const;
    const waits = (pod: Pod) => waitingReason(pod) === "ErrImageNeverPull";
    const lost = "2 of 2, False PodFailed, ContainerStatusUnknown 137";
    assert.deepEqual(await deletion(busybox("exit 0", missing), { terminationGracePeriodSeconds: 1 }, waits), [
      "MODIFIED in 1s, Pending, 1 of 2, False ContainersNotReady, waits: ErrImageNeverPull",
      `MODIFIED in 1s, Failed, ${lost}`,
      `MODIFIED in 0s, Failed, ${lost}`,
      `DELETED in 0s, Failed, ${lost}`,
    ]);
    const initContainers = [busybox("exit 0", { ...missing, name: "first" })];
    const stuck = ({ status }: Pod) =>
      status?.initContainerStatuses?.[0]?.state?.waiting?.reason === "ErrImageNeverPull";
    const events = await deletion(busybox("exit 0"), { initContainers, terminationGracePeriodSeconds: 1 }, stuck);
    assert.equal(events.at(-1), "DELETED in 0s, Failed, 2 of 2, False PodFailed, waits: PodInitializing");
  });
});
