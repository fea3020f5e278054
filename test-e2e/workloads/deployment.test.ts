import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";

const context = useCluster("deploy");

interface ReplicaSetList {
  items: Array<{ metadata: { name: string }; spec: { replicas: number }; status: { readyReplicas?: number } }>;
}

test("a deployment is created, scaled, updated, rolled back, exposed and deleted", { timeout: 240_000 }, async (t) => {
  const { cluster } = context;

  await t.test("create deployment --replicas=3 becomes available", async () => {
    await cluster.kubectl(["create", "deployment", "web", "--image=nginx:1.14.2", "--replicas=3"]);
    await cluster.kubectl(["rollout", "status", "deployment/web", "--timeout=90s"]);
    assert.equal(await cluster.jsonpath("deployment/web", "{.status.availableReplicas}"), "3");
    // Tools leave fields alone by the names of the components that set them.
    const managers = async (path: string) =>
      (await cluster.jsonpath(path, "{.metadata.managedFields[*].manager}")).split(" ").sort();
    assert.deepEqual(await managers("deployment/web"), ["kube-controller-manager", "kubectl-create"]);
    const [pod] = (await cluster.kubectl(["get", "pods", "-l", "app=web", "-o", "name"])).split("\n");
    assert.deepEqual(await managers(pod!), ["kube-controller-manager", "kubelet"]);
  });

  await t.test("scale up and down", async () => {
    await cluster.kubectl(["scale", "deployment/web", "--replicas=5"]);
    await cluster.kubectl(["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert.equal(await cluster.jsonpath("deployment/web", "{.status.readyReplicas}"), "5");
    await cluster.kubectl(["scale", "deployment/web", "--replicas=2"]);
    await eventually("three pods are gone", async () => {
      const names = await cluster.kubectl(["get", "pods", "-l", "app=web", "-o", "name"]);
      return names.trim().split("\n").length === 2 ? true : undefined;
    });
  });

  await t.test("set image rolls to a second revision and undo returns to the first", async () => {
    await cluster.kubectl(["set", "image", "deployment/web", "nginx=nginx:1.16.1"]);
    await cluster.kubectl(["rollout", "status", "deployment/web", "--timeout=90s"]);
    const images = () => cluster.jsonpath("pods", "{.items[*].spec.containers[*].image}");
    await eventually("only pods of the new image are left", async () =>
      (await images()) === "nginx:1.16.1 nginx:1.16.1" ? true : undefined,
    );
    const sets = await cluster.get<ReplicaSetList>("replicasets");
    assert.equal(sets.items.length, 2);
    assert.deepEqual(sets.items.map(({ spec }) => spec.replicas).sort(), [0, 2]);

    await cluster.kubectl(["rollout", "undo", "deployment/web"]);
    await cluster.kubectl(["rollout", "status", "deployment/web", "--timeout=90s"]);
    await eventually("the first image is back", async () =>
      (await images()) === "nginx:1.14.2 nginx:1.14.2" ? true : undefined,
    );
    assert.match(await cluster.kubectl(["rollout", "history", "deployment/web"]), /3\s+<none>/);
  });

  await t.test("expose makes a service with endpoints that answers", async () => {
    await cluster.kubectl(["expose", "deployment/web", "--port=80"]);
    const ip = await cluster.jsonpath("service/web", "{.spec.clusterIP}");
    for (const node of cluster.lab.nodes) {
      const body = await eventually("the service answers", () => cluster.curl(node, `http://${ip}`));
      assert.match(body, /Welcome to nginx/);
    }
    assert.equal((await cluster.jsonpath("endpoints/web", "{.subsets[0].addresses[*].ip}")).split(" ").length, 2);
  });

  await t.test("a deleted pod is replaced", async () => {
    const [victim] = (await cluster.kubectl(["get", "pods", "-l", "app=web", "-o", "name"])).trim().split("\n");
    await cluster.kubectl(["delete", victim!, "--wait=true"]);
    await eventually("two pods are ready again", async () =>
      (await cluster.jsonpath("deployment/web", "{.status.readyReplicas}")) === "2" ? true : undefined,
    );
  });

  await t.test("delete removes replica sets and pods", async () => {
    await cluster.kubectl(["delete", "deployment/web", "service/web"]);
    await eventually("nothing is left", async () => {
      const left = await cluster.kubectl(["get", "replicasets,pods", "-o", "name"]);
      return left.trim() === "" ? true : undefined;
    });
  });
});
