import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { replicaSets, services } from "#pkg/api/refs.ts";
import { startCluster } from "../testing/cluster.ts";
import type { TestCluster } from "../testing/cluster.ts";

const ZONE = "topology.kubernetes.io/zone";
const zones: Readonly<Record<string, string>> = { n1: "a", n2: "a", n3: "a", n4: "a", n5: "b", n6: "c" };

async function zonesOf(cluster: TestCluster, names: readonly string[]): Promise<string[]> {
  const places = await Promise.all(names.map(async (name) => (await cluster.bound(name)).spec.nodeName ?? ""));
  return places.map((node) => zones[node] ?? "").sort();
}

describe("pods that state no spread constraints", () => {
  it("are spread over zones with the pods of the same service or controller", async () => {
    const cluster = await startCluster();
    try {
      for (const [name, zone] of Object.entries(zones)) await cluster.addNode(name, { labels: { [ZONE]: zone } });
      const selector = { app: "web" };
      await cluster.client.create(services, {
        metadata: { namespace: "default", name: "web" },
        spec: { selector, ports: [{ port: 80 }], clusterIP: "None" },
      });
      for (const name of ["web-1", "web-2", "web-3"]) {
        await cluster.addPod(name, {}, { labels: { app: "web", other: name } });
        await cluster.bound(name);
      }
      assert.deepEqual(await zonesOf(cluster, ["web-1", "web-2", "web-3"]), ["a", "b", "c"]);

      const template = { metadata: { labels: { app: "db" } }, spec: { containers: [{ name: "c", image: "x" }] } };
      const replicaSet = await cluster.client.create(replicaSets, {
        metadata: { namespace: "default", name: "db" },
        spec: { replicas: 3, selector: { matchLabels: { app: "db" } }, template },
      });
      const { uid } = replicaSet.metadata;
      const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "db", uid, controller: true };
      for (const name of ["db-1", "db-2", "db-3"]) {
        await cluster.addPod(name, {}, { labels: { app: "db" }, owner });
        await cluster.bound(name);
      }
      assert.deepEqual(await zonesOf(cluster, ["db-1", "db-2", "db-3"]), ["a", "b", "c"]);
    } finally {
      await cluster.close();
    }
  });
});
