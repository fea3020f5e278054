import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { namespaces, nodes as nodesRef, pods as podsRef } from "#pkg/api/refs.ts";
import { waitFor } from "#pkg/client/index.ts";
import { isInvalid, isNotFound } from "#pkg/apimachinery/index.ts";
import { RealClock, SeededRandom } from "#pkg/util/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { startCluster } from "./testing/cluster.ts";
import type { TestCluster } from "./testing/cluster.ts";
import { Draw, NAMESPACES } from "./testing/random-cluster.ts";
import { refusedBy } from "./testing/reference.ts";
import type { World } from "./testing/reference-basics.ts";
import { NO_STORAGE } from "./testing/random-volumes.ts";

const clock = new RealClock();

/** Random life through the API, then silence: whatever still waits must have no place to go. */
async function live(seed: number, steps: number): Promise<{ bound: number; pending: number }> {
  const cluster = await startCluster({
    before: async (client) => {
      for (const [name, labels] of Object.entries(NAMESPACES))
        await client.create(namespaces, { metadata: { name, labels }, spec: {} });
    },
  });
  try {
    await disturb(cluster, new Draw(new SeededRandom(seed)), steps);
    return await settled(cluster);
  } catch (cause) {
    throw new Error(`seed ${seed}`, { cause });
  } finally {
    await cluster.close();
  }
}

async function disturb({ client }: TestCluster, draw: Draw, steps: number): Promise<void> {
  // Some of what is drawn no API server would take, and some is gone when its turn comes.
  const ignoreRefusals = (error: unknown) => {
    if (!isNotFound(error) && !isInvalid(error)) throw error;
  };
  const addNode = async (name: string) => {
    const { metadata, spec, status } = draw.node(name);
    await client.create(nodesRef, { metadata: { name, labels: metadata.labels }, spec });
    await client.patch(nodesRef, { namespace: "", name }, "merge", { status }, { subresource: "status" });
  };
  const nodeNames = ["n0", "n1", "n2", "n3", "n4"];
  for (const name of nodeNames) await addNode(name);
  for (let step = 0; step < steps; step++) {
    const action = draw.int(12);
    const all = (await client.list(podsRef)).items;
    const node = { namespace: "", name: draw.one(nodeNames) };
    if (action === 0)
      await client.patch(nodesRef, node, "merge", { spec: { unschedulable: draw.chance(0.3) ? true : null } });
    else if (action === 1)
      await client.patch(nodesRef, node, "merge", {
        spec: { taints: draw.chance(0.5) ? null : (draw.node("x").spec.taints ?? null) },
      });
    else if (action === 2)
      await client.patch(nodesRef, node, "merge", {
        metadata: { labels: { app: draw.one(["x", "y", "z"]), rack: draw.one(["rack-0", "rack-1"]) } },
      });
    else if (action === 3)
      await client.patch(
        nodesRef,
        node,
        "merge",
        { status: { allocatable: draw.node("x").status!.allocatable } },
        { subresource: "status" },
      );
    else if (action <= 6 && all.length > 0) {
      const { metadata } = draw.one(all);
      await client
        .delete(podsRef, { namespace: metadata.namespace ?? "", name: metadata.name }, { gracePeriodSeconds: 0 })
        .catch(ignoreRefusals);
    } else {
      const { metadata, spec } = draw.pod(`p${step}`);
      const containers = spec.containers.map((container) => ({ ...container, image: "x" }));
      const own = { namespace: metadata.namespace, name: metadata.name, labels: metadata.labels };
      const initContainers = spec.initContainers?.map((container, i) => ({ ...container, name: `i${i}` }));
      const plain = { volumes: undefined, priority: undefined }; // nobody here makes claims, and nobody is displaced
      const complete = { ...spec, ...plain, containers, initContainers, terminationGracePeriodSeconds: 0 };
      await client.create(podsRef, { metadata: own, spec: complete }).catch(ignoreRefusals);
    }
  }
}

function settled({ client }: TestCluster): Promise<{ bound: number; pending: number }> {
  const isSettled = async () => {
    const all = (await client.list(podsRef)).items;
    const bound = all.filter(({ spec }) => spec.nodeName !== undefined);
    const pending = all.filter(({ spec }) => spec.nodeName === undefined);
    const world: World = {
      nodes: (await client.list(nodesRef)).items,
      pods: bound,
      namespaces: NAMESPACES,
      storage: NO_STORAGE,
      budgets: [],
    };
    const isPlaceable = (pod: Pod) => world.nodes.some((node) => refusedBy(world, pod, node) === undefined);
    return pending.some(isPlaceable) ? undefined : { bound: bound.length, pending: pending.length };
  };
  return waitFor(isSettled, { clock, intervalMs: 100, timeoutMs: 120_000 });
}

describe("a scheduler that goes by events", () => {
  it("leaves no pod waiting that could be placed", async () => {
    let bound = 0;
    let pending = 0;
    for (const seed of [11, 12, 13, 14]) {
      const outcome = await live(seed, 150);
      bound += outcome.bound;
      pending += outcome.pending;
    }
    assert.ok(bound > 20 && pending > 10, `${bound} bound, ${pending} pending: worth the test`);
  });
});
