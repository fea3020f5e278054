import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nodes as nodesRef, pods as podsRef } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { ConnectionError, createSeriesRecorder, createInformerFactory, waitFor } from "#pkg/client/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { RealClock, SeededRandom, silentLogger, sleep } from "#pkg/util/index.ts";
import { parseSchedulerConfiguration } from "./config.ts";
import { createScheduler } from "./create.ts";
import { startCluster } from "./testing/cluster.ts";
import type { TestCluster } from "./testing/cluster.ts";

const clock = new RealClock();
const wait = { clock, intervalMs: 20, timeoutMs: 120_000 };
const DEVICE = "example.com/device";

/** A further scheduler of the same name on the same API server. */
function rival({ client }: TestCluster, seed: number): () => Promise<void> {
  const informers = createInformerFactory({ client, clock, log: silentLogger });
  const recorder = createSeriesRecorder({ client, host: "master", clock, log: silentLogger });
  const random = new SeededRandom(seed);
  const scheduler = createScheduler({ client, informers, clock, random, log: silentLogger, recorder });
  const stop = new AbortController();
  informers.start(stop.signal);
  const running = scheduler.run(stop.signal);
  return () => {
    stop.abort();
    return running;
  };
}

/** Every change of the pods, in order, from now on. */
async function follow(client: Client, signal: AbortSignal): Promise<Pod[]> {
  const seen: Pod[] = [];
  const { metadata } = await client.list(podsRef, { limit: 1 });
  const { resourceVersion } = metadata;
  void (async () => {
    for await (const { type, object } of client.watch(podsRef, { resourceVersion, signal }))
      if (type !== "BOOKMARK") seen.push(object);
  })().catch(() => undefined); // ends with the signal
  return seen;
}

const devices = (count: number) => ({
  containers: [
    {
      name: "main",
      image: "nginx",
      resources: { requests: { [DEVICE]: `${count}` }, limits: { [DEVICE]: `${count}` } },
    },
  ],
});
const setDevices = (client: Client, name: string, count: number) => {
  const status = { capacity: { [DEVICE]: `${count}` }, allocatable: { [DEVICE]: `${count}` } };
  return client.patch(nodesRef, { namespace: "", name }, "merge", { status }, { subresource: "status" });
};
const boundTo = (all: readonly Pod[], node: string) => all.filter(({ spec }) => spec.nodeName === node);

describe("races", () => {
  it("of two schedulers bind no pod twice, and leave nothing assumed that is not so", async () => {
    const cluster = await startCluster();
    const { client } = cluster;
    const stopRival = rival(cluster, 7);
    const stop = new AbortController();
    try {
      const changes = await follow(client, stop.signal);
      for (let i = 0; i < 4; i++) await cluster.addNode(`n${i}`, { allocatable: { cpu: "64", pods: "100" } });
      const names = Array.from({ length: 120 }, (_, i) => `p${i}`);
      await Promise.all(names.map((name) => cluster.addPod(name, {}, { cpu: "100m" })));
      for (const name of names) await cluster.bound(name);
      const nodesOf = new Map<string, Set<string>>();
      for (const { metadata, spec } of changes) {
        if (spec.nodeName === undefined) continue;
        nodesOf.set(metadata.uid, (nodesOf.get(metadata.uid) ?? new Set()).add(spec.nodeName));
      }
      assert.ok(
        [...nodesOf.values()].every(({ size }) => size === 1),
        "a bound pod stays where it is",
      );
      await stopRival();
      // Whoever lost a binding has given its place back: the rest of the cluster can be filled to the brim.
      const all = (await client.list(podsRef)).items;
      for (let i = 0; i < 4; i++) {
        const room = 64_000 - boundTo(all, `n${i}`).length * 100;
        await cluster.addPod(`fill${i}`, { nodeSelector: { "kubernetes.io/hostname": `n${i}` } }, { cpu: `${room}m` });
        assert.equal((await cluster.bound(`fill${i}`)).spec.nodeName, `n${i}`);
      }
    } finally {
      stop.abort();
      await stopRival();
      await cluster.close();
    }
  });

  it("of pods with an extended resource that comes and goes exceed no node", async () => {
    const cluster = await startCluster();
    const { client } = cluster;
    try {
      await cluster.addNode("n0");
      await cluster.addPod("early", devices(2));
      assert.match(await cluster.refusal("early"), /1 Insufficient example\.com\/device/);
      await setDevices(client, "n0", 5);
      assert.equal((await cluster.bound("early")).spec.nodeName, "n0");
      const names = Array.from({ length: 6 }, (_, i) => `d${i}`);
      await Promise.all(names.map((name) => cluster.addPod(name, devices(2))));
      const count = async () => boundTo((await client.list(podsRef)).items, "n0").length;
      await waitFor(async () => ((await count()) === 2 ? true : undefined), wait);
      await setDevices(client, "n0", 4); // no place for a third, and none is taken from the two
      await cluster.addPod("late", devices(1));
      assert.match(await cluster.refusal("late"), /1 Insufficient example\.com\/device/);
      assert.equal(await count(), 2);
      await setDevices(client, "n0", 5);
      assert.equal((await cluster.bound("late")).spec.nodeName, "n0");
      assert.equal(await count(), 3);
    } finally {
      await cluster.close();
    }
  });

  it("of a binding whose answer is lost and the next pod do not give the place twice", async () => {
    let lost = 0;
    const cluster = await startCluster({
      wrap: (transport) => ({
        ...transport,
        stream: (request) => transport.stream(request),
        close: () => transport.close(),
        async request(request) {
          const answer = await transport.request(request);
          if (!request.path.endsWith("/first/binding") || lost++ > 0) return answer;
          throw new ConnectionError("the answer was lost");
        },
      }),
    });
    try {
      await cluster.addNode("n0", { allocatable: { cpu: "1" } });
      await Promise.all(["first", "second"].map((name) => cluster.addPod(name, {}, { cpu: "600m" })));
      assert.match(await Promise.any([cluster.refusal("first"), cluster.refusal("second")]), /1 Insufficient cpu/);
      const bound = boundTo((await cluster.client.list(podsRef)).items, "n0");
      assert.equal(bound.length, 1);
      await cluster.client.delete(podsRef, { namespace: "default", name: bound[0]!.metadata.name });
      await cluster.bound(bound[0]!.metadata.name === "first" ? "second" : "first");
      assert.equal(lost, 1, "the binding that was written is not written again");
    } finally {
      await cluster.close();
    }
  });

  it("of a scheduler that stops and the next one do not give a place twice", async () => {
    const idle = parseSchedulerConfiguration({
      apiVersion: "kubescheduler.config.k8s.io/v1",
      kind: "KubeSchedulerConfiguration",
      profiles: [{ schedulerName: "nobody" }],
    });
    const onItsWay = Promise.withResolvers<void>();
    const cluster = await startCluster({
      config: idle,
      // A network that takes its time with the first binding, and delivers it even when nobody waits for the answer.
      wrap: (transport) => ({
        ...transport,
        stream: (request) => transport.stream(request),
        close: () => transport.close(),
        request: ({ signal, ...request }) => {
          if (!request.path.endsWith("/first/binding")) return transport.request({ signal, ...request });
          onItsWay.resolve();
          const answer = sleep(clock, 500).then(() => transport.request(request));
          const gone = new Promise<never>((_resolve, reject) => {
            signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
          });
          return Promise.race([answer, gone]);
        },
      }),
    });
    let stop = rival(cluster, 1);
    try {
      await cluster.addNode("n0", { allocatable: { cpu: "1" } });
      await cluster.addPod("first", {}, { cpu: "600m" });
      await onItsWay.promise;
      await stop();
      // The next one would place this pod first.
      await cluster.addPod("urgent", { priority: 10, preemptionPolicy: "Never" }, { cpu: "600m" });
      stop = rival(cluster, 2);
      assert.match(await cluster.refusal("urgent"), /1 Insufficient cpu/);
      assert.equal((await cluster.bound("first")).spec.nodeName, "n0");
    } finally {
      await stop();
      await cluster.close();
    }
  });

  it("of a node that shrinks while pods pour in exceed it only by what was bound before", async () => {
    const cluster = await startCluster();
    const { client } = cluster;
    const stop = new AbortController();
    try {
      await cluster.addNode("n0");
      await setDevices(client, "n0", 40);
      const changes = await follow(client, stop.signal);
      const pouring = Promise.all(Array.from({ length: 60 }, (_, i) => cluster.addPod(`q${i}`, devices(1))));
      await waitFor(() => (boundTo(changes, "n0").length >= 5 ? true : undefined), wait);
      await setDevices(client, "n0", 10);
      await pouring;
      const boundUids = async () =>
        new Set(boundTo((await client.list(podsRef)).items, "n0").map((pod) => pod.metadata.uid));
      const before = await boundUids();
      await cluster.addPod("last", devices(1));
      // The queue is in order: when the last one has been refused, the others have had their turn.
      await cluster.refusal("last");
      const after = await boundUids();
      assert.ok(after.size <= 40 && after.size >= 5);
      if (before.size >= 10) assert.deepEqual(after, before);
      // When there is room again all go on.
      await setDevices(client, "n0", 61);
      await cluster.bound("last");
      await waitFor(async () => ((await boundUids()).size === 61 ? true : undefined), wait);
    } finally {
      stop.abort();
      await cluster.close();
    }
  });
});
