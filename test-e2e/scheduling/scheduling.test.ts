import assert from "node:assert/strict";
import { test } from "node:test";
import type { Explanation } from "#pkg/scheduler/index.ts";
import { eventually, useCluster } from "../framework/lab.ts";
import { pod } from "../framework/manifests.ts";

const context = useCluster("scheduling");

const nodeOf = (name: string) => context.cluster.jsonpath(`pod/${name}`, "{.spec.nodeName}");

const waitsBecause = (name: string, reason: string) =>
  eventually(`${name} waits: ${reason}`, async () => {
    const message = await context.cluster.jsonpath(
      `pod/${name}`,
      '{.status.conditions[?(@.type=="PodScheduled")].message}',
    );
    return message.includes(reason) ? true : undefined;
  });

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
  await waitsBecause("picky", "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.");
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

test(
  "taints keep pods away that do not tolerate them, and a node is never overfilled",
  { timeout: 120_000 },
  async () => {
    const { cluster } = context;
    const nodeSelector = { "kubernetes.io/hostname": "node-2" };
    const taint = `e2e-taint=${cluster.namespace}`;
    await cluster.kubectl(["taint", "node", "node-2", `${taint}:NoSchedule`]);
    try {
      const tolerations = [{ key: "e2e-taint", operator: "Equal", value: cluster.namespace, effect: "NoSchedule" }];
      await cluster.apply([
        pod("repelled", { spec: { nodeSelector } }),
        pod("tolerant", { spec: { nodeSelector, tolerations } }),
        pod("enormous", { container: { resources: { requests: { cpu: "10000" } } } }),
      ]);
      await cluster.ready("pod/tolerant");
      await waitsBecause("repelled", `1 node(s) had untolerated taint(s)`);
      await waitsBecause("enormous", "1 Insufficient cpu");
    } finally {
      await cluster.kubectl(["taint", "node", "node-2", "e2e-taint-"]);
    }
    await cluster.ready("pod/repelled");
  },
);

test("spread constraints put pods on the nodes in turn", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const labels = { spread: cluster.namespace };
  const constraint = {
    maxSkew: 1,
    topologyKey: "kubernetes.io/hostname",
    whenUnsatisfiable: "DoNotSchedule",
    labelSelector: { matchLabels: labels },
  };
  const names = ["spread-1", "spread-2", "spread-3", "spread-4"];
  await cluster.apply(names.map((name) => pod(name, { labels, spec: { topologySpreadConstraints: [constraint] } })));
  for (const name of names) await cluster.ready(`pod/${name}`);
  const chosen = await Promise.all(names.map(nodeOf));
  assert.deepEqual(chosen.toSorted(), ["node-1", "node-1", "node-2", "node-2"]);
});

test("host ports and extended resources are never given twice", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const ported = (name: string) => pod(name, { container: { ports: [{ containerPort: 80, hostPort: 18_999 }] } });
  await cluster.apply([ported("port-a"), ported("port-b")]);
  await cluster.ready("pod/port-a");
  await cluster.ready("pod/port-b");
  assert.notEqual(await nodeOf("port-a"), await nodeOf("port-b"));
  await cluster.apply(ported("port-c"));
  await waitsBecause("port-c", "node(s) didn't have free ports for the requested pod ports");
  // The port of all addresses conflicts with that of one; another protocol does not.
  const onNode = (name: string, port: object) =>
    pod(name, {
      container: { ports: [{ containerPort: 80, hostPort: 18_999, ...port }] },
      spec: { nodeSelector: { "kubernetes.io/hostname": "node-1" } },
    });
  await cluster.apply([onNode("port-d", { hostIP: "127.0.0.1" }), onNode("port-e", { protocol: "UDP" })]);
  await cluster.ready("pod/port-e");
  await waitsBecause("port-d", "node(s) didn't have free ports for the requested pod ports");
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
  const slot = (podName: string, priorityClassName?: string, finalizers?: string[]) =>
    pod(podName, {
      finalizers,
      container: { resources: { requests: { [resource]: "1" }, limits: { [resource]: "1" } } },
      // What dies without grace leaves the API before it leaves the node; who comes instead must be let in all the same.
      spec: { priorityClassName, terminationGracePeriodSeconds: podName === "high" ? 0 : 1 },
    });
  try {
    await eventually("the kubelet makes it allocatable", async () =>
      (await cluster.jsonpath("node/node-1", "{.status.allocatable.example\\.com/slot}")) === "1" ? true : undefined,
    );
    // A finalizer keeps the victim long enough to be looked at.
    await cluster.apply(slot("low", undefined, ["example.com/look"]));
    await cluster.ready("pod/low");
    await cluster.apply(slot("high", name));
    await eventually("the victim is marked and deleted", async () => {
      const condition = '{.status.conditions[?(@.type=="DisruptionTarget")].reason}';
      const text = await cluster.jsonpath("pod/low", `${condition} {.metadata.deletionTimestamp}`);
      return /^PreemptionByScheduler \S+/.test(text) ? true : undefined;
    });
    await cluster.kubectl(["patch", "pod", "low", "--type=merge", "-p", '{"metadata":{"finalizers":null}}']);
    await cluster.ready("pod/high", 60);
    assert.equal((await cluster.try(["get", "pod", "low"])).exitCode, 1);
    // A critical pod displaces even that one.
    await cluster.apply(slot("critical", "system-cluster-critical"));
    await cluster.ready("pod/critical", 60);
    assert.equal((await cluster.try(["get", "pod", "high"])).exitCode, 1);
  } finally {
    await cluster.kubectl(["delete", "pod", "critical", "high", "low", "--ignore-not-found"]);
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
