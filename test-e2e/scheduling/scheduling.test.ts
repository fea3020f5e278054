import assert from "node:assert/strict";
import { test } from "node:test";
import type { Explanation } from "#pkg/scheduler/index.ts";
import { eventually, useCluster } from "../framework/lab.ts";
import { pod } from "../framework/manifests.ts";

const context = useCluster("scheduling");

const nodeOf = (name: string) => context.cluster.jsonpath(`pod/${name}`, "{.spec.nodeName}");

test("node selectors, affinity and anti-affinity choose the node", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  await cluster.kubectl(["label", "node", "node-2", "disk=fast", "--overwrite"]);
  const away = {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "selected" } } },
      ],
    },
  };
  const near = {
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "selected" } } },
      ],
    },
  };
  try {
    await cluster.apply(pod("selected", { spec: { nodeSelector: { disk: "fast" } } }));
    await cluster.ready("pod/selected");
    await cluster.apply([pod("away", { spec: { affinity: away } }), pod("near", { spec: { affinity: near } })]);
    await cluster.ready("pod/away");
    await cluster.ready("pod/near");
    assert.deepEqual(
      [await nodeOf("selected"), await nodeOf("away"), await nodeOf("near")],
      ["node-2", "node-1", "node-2"],
    );
  } finally {
    await cluster.kubectl(["label", "node", "node-2", "disk-"]);
  }
});

test("a pod that fits nowhere says why, and is scheduled when it does", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  await cluster.apply(pod("picky", { spec: { nodeSelector: { "example.com/rack": "r1" } } }));
  await eventually("the condition tells", async () => {
    const message = await cluster.jsonpath("pod/picky", '{.status.conditions[?(@.type=="PodScheduled")].message}');
    return message.startsWith("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.")
      ? true
      : undefined;
  });
  assert.match(
    await cluster.kubectl(["describe", "pod", "picky"]),
    /Warning\s+FailedScheduling\s.*default-scheduler\s+0\/2 nodes are available/,
  );
  const path = `/debug/scheduling/${cluster.namespace}/picky`;
  const explanation = JSON.parse(await cluster.kubectl(["get", "--raw", path])) as Explanation;
  assert.deepEqual(explanation.refusals.map(({ node, plugin }) => `${node} ${plugin}`).sort(), [
    "node-1 NodeAffinity",
    "node-2 NodeAffinity",
  ]);
  await cluster.kubectl(["label", "node", "node-1", "example.com/rack=r1"]);
  try {
    await cluster.ready("pod/picky");
    assert.equal(await nodeOf("picky"), "node-1");
  } finally {
    await cluster.kubectl(["label", "node", "node-1", "example.com/rack-"]);
  }
});

test("host ports and extended resources are never given twice", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const ported = (name: string) => pod(name, { container: { ports: [{ containerPort: 80, hostPort: 18_999 }] } });
  await cluster.apply([ported("port-a"), ported("port-b")]);
  await cluster.ready("pod/port-a");
  await cluster.ready("pod/port-b");
  assert.notEqual(await nodeOf("port-a"), await nodeOf("port-b"));
  await cluster.apply(ported("port-c"));
  await eventually("the third finds no free port", async () => {
    const message = await cluster.jsonpath("pod/port-c", '{.status.conditions[?(@.type=="PodScheduled")].message}');
    return message.includes("node(s) didn't have free ports for the requested pod ports") ? true : undefined;
  });
});

test("a higher priority preempts a lower one", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  const name = `e2e-${cluster.namespace}`;
  const resource = "example.com/slot";
  await cluster.kubectl([
    "patch",
    "node",
    "node-1",
    "--subresource=status",
    "--type=merge",
    "-p",
    JSON.stringify({ status: { capacity: { [resource]: "1" } } }),
  ]);
  await cluster.kubectl(["create", "priorityclass", name, "--value=1000"]);
  const slot = (podName: string, priorityClassName?: string) =>
    pod(podName, {
      container: { resources: { requests: { [resource]: "1" }, limits: { [resource]: "1" } } },
      spec: { priorityClassName },
    });
  try {
    await eventually("the kubelet makes it allocatable", async () =>
      (await cluster.jsonpath("node/node-1", "{.status.allocatable.example\\.com/slot}")) === "1" ? true : undefined,
    );
    await cluster.apply(slot("low"));
    await cluster.ready("pod/low");
    await cluster.apply(slot("high", name));
    await cluster.ready("pod/high", 60);
    assert.equal((await cluster.try(["get", "pod", "low"])).exitCode, 1);
  } finally {
    await cluster.kubectl(["delete", "pod", "high", "low", "--ignore-not-found"]);
    await cluster.kubectl(["delete", "priorityclass", name]);
    await cluster.kubectl([
      "patch",
      "node",
      "node-1",
      "--subresource=status",
      "--type=json",
      "-p",
      JSON.stringify([{ op: "remove", path: "/status/capacity/example.com~1slot" }]),
    ]);
  }
});
