import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { eventually, useCluster } from "../framework/lab.ts";
import { NGINX, pod } from "../framework/manifests.ts";

const context = useCluster("restart");

interface Running {
  containerID: string;
  restartCount: number;
  startedAt: string;
}

test("kubits-node killed with -9 and restarted restarts and leaks no container", { timeout: 180_000 }, async () => {
  const { cluster } = context;
  const [, node] = cluster.programs.nodes;
  assert.ok(node !== undefined);
  const names = ["survivor-0", "survivor-1", "survivor-2"];
  await cluster.apply(names.map((name) => pod(name, { image: NGINX, spec: { nodeName: node.name } })));
  for (const name of names) await cluster.ready(`pod/${name}`);

  const state = async (name: string): Promise<Running> => {
    const path =
      "{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state.running.startedAt}";
    const [containerID, restartCount, startedAt] = (await cluster.jsonpath(`pod/${name}`, path)).split(" ");
    return { containerID: containerID!, restartCount: Number(restartCount), startedAt: startedAt! };
  };
  const containers = async () => {
    const { stdout } = await cluster.programs.run(node, "ctr", [
      "--address",
      cluster.programs.socket(node),
      "-n",
      "k8s.io",
      "tasks",
      "ls",
      "-q",
    ]);
    return stdout.trim().split("\n").sort();
  };
  const before = await Promise.all(names.map(state));
  const tasksBefore = await containers();

  node.daemons.kill("kubits-node", "SIGKILL");
  await eventually("the program is gone", async () =>
    node.daemons.pid("kubits-node") === undefined ? true : undefined,
  );
  await cluster.kubectl(["delete", "pod", "survivor-2", "--wait=false"]);
  cluster.programs.startNode(node);
  await cluster.kubectl(["wait", "--for=delete", "pod/survivor-2", "--timeout=60s"]);
  // Time for a mistaken restart to show: several relists.
  await delay(4000);

  const after = await Promise.all(names.slice(0, 2).map(state));
  assert.deepEqual(after, before.slice(0, 2));
  const tasksAfter = await containers();
  assert.equal(
    tasksAfter.length,
    tasksBefore.length - 2,
    "the deleted pod's container and sandbox are gone, nothing else",
  );
  assert.ok(tasksAfter.every((id) => tasksBefore.includes(id)));
});

test(
  "while the master is away pods run and are probed; what happened is told when it is back",
  { timeout: 180_000 },
  async () => {
    const { cluster } = context;
    const [, node] = cluster.programs.nodes;
    assert.ok(node !== undefined);
    // Breaks once, some time after it has become ready.
    const script =
      "[ -e /data/once ] && exec sleep 1000; touch /data/once; while [ ! -e /data/break ]; do sleep 0.2; done; touch /tmp/broken; exec sleep 1000";
    const probed = pod("probed", {
      container: {
        command: ["sh", "-c", script],
        livenessProbe: { exec: { command: ["test", "!", "-e", "/tmp/broken"] }, periodSeconds: 1, failureThreshold: 1 },
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      },
      spec: { nodeName: node.name, volumes: [{ name: "data", emptyDir: {} }], terminationGracePeriodSeconds: 1 },
    });
    await cluster.apply([probed, pod("steady", { image: NGINX, spec: { nodeName: node.name } })]);
    for (const name of ["probed", "steady"]) await cluster.ready(`pod/${name}`);
    const steady = await cluster.jsonpath("pod/steady", "{.status.containerStatuses[0].containerID}");
    const uid = await cluster.jsonpath("pod/probed", "{.metadata.uid}");
    const instances = async () => {
      const filter = `labels."io.kubernetes.pod.uid"==${uid},labels."io.cri-containerd.kind"==container`;
      const ctr = ["--address", cluster.programs.socket(node), "-n", "k8s.io", "containers", "ls", "-q", filter];
      return (await cluster.programs.run(node, "ctr", ctr)).stdout.split("\n").filter((id) => id !== "");
    };
    const [first] = await instances();
    assert.ok(first !== undefined);

    await cluster.programs.master.daemons.stop("kubits-master");
    const volume = join(node.layout.kubeletDir, "pods", uid, "volumes/kubernetes.io~empty-dir/data");
    writeFileSync(join(volume, "break"), "");
    await eventually("the broken container is replaced with nobody there to tell", async () =>
      (await instances()).some((id) => id !== first) ? true : undefined,
    );
    await cluster.programs.startMaster();
    await eventually(
      "the restart is told",
      async () => {
        const count = await cluster.jsonpath("pod/probed", "{.status.containerStatuses[0].restartCount}");
        return count === "1" ? true : undefined;
      },
      60_000,
    );
    await cluster.kubectl(["wait", "--for=condition=Ready", `node/${node.name}`, "pod/probed", "--timeout=60s"]);
    const now = "{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}";
    assert.equal(await cluster.jsonpath("pod/steady", now), `${steady} 0`);
  },
);

test("a master killed with -9 while writing keeps every acknowledged object", { timeout: 180_000 }, async () => {
  const { cluster } = context;
  const { master } = cluster.programs;
  const acknowledged: string[] = [];
  let writing = true;
  const writer = async (worker: number) => {
    for (let i = 0; writing; i++) {
      const name = `durable-${worker}-${i}`;
      const { exitCode } = await cluster.try(["create", "configmap", name, "--request-timeout=5s"]);
      if (exitCode === 0) acknowledged.push(name);
      else if (!writing) return;
    }
  };
  const writers = [writer(0), writer(1), writer(2)];
  await eventually("some objects are acknowledged", async () => (acknowledged.length >= 15 ? true : undefined), 60_000);
  master.daemons.kill("kubits-master", "SIGKILL");
  writing = false;
  await Promise.all(writers);
  await cluster.programs.startMaster();
  const present = (await cluster.kubectl(["get", "configmaps", "-o", "jsonpath={.items[*].metadata.name}"])).split(" ");
  for (const name of acknowledged) assert.ok(present.includes(name), `${name} was acknowledged and is gone`);
  // A write that was under way may or may not be there, but nothing else may be.
  const unknown = present.filter((name) => name.startsWith("durable-") && !acknowledged.includes(name));
  assert.ok(unknown.length <= 3, `never acknowledged: ${unknown.join(", ")}`);
});
