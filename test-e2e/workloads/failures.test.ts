import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";
import { BUSYBOX, pod } from "../framework/manifests.ts";

const context = useCluster("failures");

interface PodList {
  items: Array<{
    metadata: { name: string; uid: string };
    spec: { nodeName: string };
    status: { phase: string; conditions?: Array<{ type: string; status: string; reason?: string }> };
  }>;
}

const SLEEP = "trap 'exit 143' TERM; while :; do sleep 1 & wait; done";

test("a stateful set's pod that its node rejects is made again until it fits", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const ports = [{ containerPort: 21017, hostPort: 21017 }];
  await cluster.apply(pod("holder", { spec: { nodeName: cluster.lab.nodes.at(-1)!.name }, container: { ports } }));
  await cluster.ready("pod/holder");
  const { spec } = pod("kept", { spec: { nodeName: cluster.lab.nodes.at(-1)!.name }, container: { ports } }) as {
    spec: object;
  };
  await cluster.apply({
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "kept" },
    spec: {
      serviceName: "kept",
      selector: { matchLabels: { app: "kept" } },
      template: { metadata: { labels: { app: "kept" } }, spec },
    },
  });
  const uids = new Set<string>();
  await eventually("the rejected pod is replaced", async () => {
    const { items } = await cluster.get<PodList>("pods", "-l", "app=kept");
    for (const { metadata } of items) uids.add(metadata.uid);
    return uids.size >= 2 ? true : undefined;
  });
  await cluster.kubectl(["delete", "pod", "holder"]);
  await eventually("it runs where the port is free now", async () =>
    (await cluster.jsonpath("pod/kept-0", "{.status.phase}")) === "Running" ? true : undefined,
  );
});

test("evictions do not count against a Job that ignores them", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  const marker = `/data/${cluster.namespace}-$JOB_COMPLETION_INDEX`;
  const command = ["sh", "-c", `if [ -f ${marker} ]; then rm ${marker}; exit 0; fi; touch ${marker}; ${SLEEP}`];
  await cluster.apply({
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "disrupted" },
    spec: {
      completionMode: "Indexed",
      completions: 2,
      parallelism: 2,
      backoffLimit: 0,
      podFailurePolicy: {
        rules: [
          { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
          { action: "FailJob", onExitCodes: { operator: "NotIn", values: [0] } },
        ],
      },
      template: {
        spec: {
          restartPolicy: "Never",
          terminationGracePeriodSeconds: 5,
          nodeSelector: { "kubernetes.io/hostname": cluster.lab.nodes.at(-1)!.name },
          volumes: [{ name: "data", hostPath: { path: "/tmp" } }],
          containers: [{ name: "main", image: BUSYBOX, command, volumeMounts: [{ name: "data", mountPath: "/data" }] }],
        },
      },
    },
  });
  const selector = ["-l", "batch.kubernetes.io/job-name=disrupted"];
  const running = await eventually("both run", async () => {
    const { items } = await cluster.get<PodList>("pods", ...selector);
    const ready = items.filter(({ status }) =>
      status.conditions?.some((c) => c.type === "Ready" && c.status === "True"),
    );
    return ready.length === 2 ? ready : undefined;
  });
  for (const { metadata } of running) {
    // The marker is written right after the start.
    await eventually("the marker is there", () => cluster.exec(metadata.name, "sh", "-c", `ls ${marker}`));
    const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: metadata.name } };
    const path = `/api/v1/namespaces/${cluster.namespace}/pods/${metadata.name}/eviction`;
    await cluster.kubectl(["create", "--raw", path, "-f", "-"], { stdin: JSON.stringify(eviction) });
  }
  await cluster.kubectl(["wait", "--for=condition=Complete", "job/disrupted", "--timeout=90s"]);
  assert.equal(await cluster.jsonpath("job/disrupted", "{.status.completedIndexes} {.status.failed}"), "0,1 ");
});

test(
  "drain waits for a disruption budget; a daemon set is rolled back without restarting what is right",
  { timeout: 180_000 },
  async () => {
    const { cluster } = context;
    const { spec } = pod("agent") as { spec: object };
    const metadata = { labels: { app: "agent" } };
    await cluster.apply({
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata: { name: "agent" },
      spec: { selector: { matchLabels: { app: "agent" } }, template: { metadata, spec } },
    });
    await cluster.kubectl(["rollout", "status", "daemonset/agent", "--timeout=60s"]);
    const pods = async () => (await cluster.get<PodList>("pods", "-l", "app=agent")).items;
    const before = (await pods()).map(({ metadata: { uid } }) => uid);
    await cluster.kubectl(["set", "image", "daemonset/agent", "main=absent.invalid/absent:1"]);
    await eventually("one pod has the image that does not exist", async () =>
      (await pods()).some(({ metadata: { uid } }) => !before.includes(uid)) ? true : undefined,
    );
    await cluster.kubectl(["rollout", "undo", "daemonset/agent"]);
    await cluster.kubectl(["rollout", "status", "daemonset/agent", "--timeout=60s"]);
    const after = (await pods()).map(({ metadata: { uid } }) => uid);
    assert.equal(
      after.filter((uid) => before.includes(uid)).length,
      1,
      "the pod that was never updated is still there",
    );

    await cluster.kubectl(["create", "deployment", "guarded", "--image=nginx:1.14.2", "--replicas=2"]);
    await cluster.kubectl(["create", "poddisruptionbudget", "guarded", "--selector=app=guarded", "--min-available=2"]);
    await cluster.kubectl(["rollout", "status", "deployment/guarded", "--timeout=60s"]);
    const node = (await cluster.get<PodList>("pods", "-l", "app=guarded")).items[0]!.spec.nodeName;
    const drain = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force"];
    const mine = `--pod-selector=app=guarded`;
    try {
      const refused = await cluster.try([...drain, mine, "--timeout=6s"]);
      assert.match(refused.stderr, /Cannot evict pod as it would violate the pod's disruption budget/);
      await cluster.kubectl(["patch", "pdb", "guarded", "-p", '{"spec":{"minAvailable":1}}']);
      await cluster.kubectl([...drain, mine, "--timeout=60s"]);
    } finally {
      await cluster.kubectl(["uncordon", node]);
    }
    await cluster.kubectl(["delete", "deployment/guarded", "--cascade=foreground", "--timeout=60s"]);
  },
);
