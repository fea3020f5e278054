import assert from "node:assert/strict";
import { test } from "node:test";
import { deployments, namespaces, pods, replicaSets } from "#pkg/api/refs.ts";
import { SimulatedCluster } from "./cluster.ts";
import { deployment } from "./objects.ts";

test("a deployment comes up, rolls over, and goes with its namespace", async () => {
  const cluster = await SimulatedCluster.start({ seed: 1 });
  await cluster.observe(deployments, replicaSets, namespaces);
  await cluster.admin.create(namespaces, { metadata: { name: "a" }, spec: {} });
  await cluster.advance(1000);
  await cluster.admin.create(deployments, deployment("a", "web", 5));
  const status = () => cluster.list(deployments, "a")[0]?.status;
  await cluster.until("available", () => status()?.availableReplicas === 5);
  await cluster.advance(5000);
  const web = cluster.list(deployments, "a")[0]!;
  assert.equal(web.metadata.annotations?.["deployment.kubernetes.io/revision"], "1");
  assert.equal(web.status?.observedGeneration, 1);
  assert.deepEqual(
    web.status?.conditions?.map(({ type, status, reason }) => [type, status, reason]),
    [
      ["Available", "True", "MinimumReplicasAvailable"],
      ["Progressing", "True", "NewReplicaSetAvailable"],
    ],
  );
  const before = cluster.wire.writes;
  await cluster.advance(60_000);
  assert.equal(cluster.wire.writes, before, "nothing changes, nothing is written");

  await cluster.admin.patch(deployments, { namespace: "a", name: "web" }, "merge", {
    spec: { template: { metadata: { annotations: { v: "2" } } } },
  });
  await cluster.until(
    "rolled out",
    () => status()?.observedGeneration === 2 && status()?.updatedReplicas === 5 && status()?.replicas === 5,
  );
  assert.deepEqual(
    cluster
      .list(replicaSets, "a")
      .map(({ spec }) => spec.replicas)
      .sort(),
    [0, 5],
  );

  await cluster.admin.delete(namespaces, { namespace: "", name: "a" });
  await cluster.until("namespace gone", () => cluster.list(namespaces).every(({ metadata }) => metadata.name !== "a"));
  assert.equal(cluster.list(pods, "a").length, 0);
  await cluster.close();
});
