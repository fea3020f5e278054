import assert from "node:assert/strict";
import { test } from "node:test";
import { useCluster } from "../framework/lab.ts";
import { pod } from "../framework/manifests.ts";

const context = useCluster("taints");

test("a NoExecute taint evicts the pods that do not tolerate it", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  await cluster.apply([
    pod("evicted", { spec: { nodeName: "node-2" } }),
    pod("tolerant", { spec: { nodeName: "node-2", tolerations: [{ key: "e2e", operator: "Exists" }] } }),
  ]);
  await cluster.ready("pod/evicted");
  await cluster.ready("pod/tolerant");
  await cluster.kubectl(["taint", "node", "node-2", `e2e=${cluster.namespace}:NoExecute`]);
  try {
    await cluster.kubectl(["wait", "--for=delete", "pod/evicted", "--timeout=60s"]);
    assert.equal(await cluster.jsonpath("pod/tolerant", "{.status.phase}"), "Running");
  } finally {
    await cluster.kubectl(["taint", "node", "node-2", "e2e-"]);
  }
});

test("drain empties a node and uncordon opens it again", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  await cluster.kubectl(["create", "deployment", "moving", "--image=nginx:1.14.2", "--replicas=2"]);
  await cluster.kubectl(["rollout", "status", "deployment/moving", "--timeout=60s"]);
  const drain = ["drain", "node-2", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s"];
  await cluster.kubectl(drain);
  try {
    await cluster.kubectl(["rollout", "status", "deployment/moving", "--timeout=60s"]);
    const nodes = await cluster.kubectl([
      "get",
      "pods",
      "-l",
      "app=moving",
      "-o",
      "jsonpath={.items[*].spec.nodeName}",
    ]);
    assert.equal(nodes, "node-1 node-1");
  } finally {
    await cluster.kubectl(["uncordon", "node-2"]);
  }
});
