import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";
import { BUSYBOX } from "../framework/manifests.ts";

const context = useCluster("workloads");

const sleeper = {
  name: "main",
  image: BUSYBOX,
  command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"],
};
const template = (app: string, container: object = sleeper, spec: object = {}) => ({
  metadata: { labels: { app } },
  spec: { terminationGracePeriodSeconds: 1, containers: [container], ...spec },
});

test("a stateful set starts in order, keeps names, and rolls back", { timeout: 180_000 }, async () => {
  const { cluster } = context;
  await cluster.apply([
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "db" },
      spec: { clusterIP: "None", selector: { app: "db" }, ports: [{ port: 80 }] },
    },
    {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "db" },
      spec: { serviceName: "db", replicas: 3, selector: { matchLabels: { app: "db" } }, template: template("db") },
    },
  ]);
  await cluster.kubectl(["rollout", "status", "statefulset/db", "--timeout=60s"]);
  assert.equal(
    await cluster.kubectl(["get", "pods", "-l", "app=db", "-o", "jsonpath={.items[*].metadata.name}"]),
    "db-0 db-1 db-2",
  );
  const created = await cluster.kubectl([
    "get",
    "pods",
    "-l",
    "app=db",
    "-o",
    "jsonpath={.items[*].metadata.creationTimestamp}",
  ]);
  assert.deepEqual(created.split(" "), created.split(" ").sort());
  const uid = await cluster.jsonpath("pod/db-1", "{.metadata.uid}");
  await cluster.kubectl(["delete", "pod", "db-1"]);
  await eventually("db-1 is back under its name", async () => {
    const now = await cluster.jsonpath("pod/db-1", "{.metadata.uid}").catch(() => "");
    return now !== "" && now !== uid ? true : undefined;
  });
  await cluster.kubectl(["set", "env", "statefulset/db", "GENERATION=2"]);
  await cluster.kubectl(["rollout", "status", "statefulset/db", "--timeout=90s"]);
  assert.equal(await cluster.exec("db-0", "sh", "-c", "echo $GENERATION"), "2\n");
  await cluster.kubectl(["rollout", "undo", "statefulset/db"]);
  await cluster.kubectl(["rollout", "status", "statefulset/db", "--timeout=90s"]);
  assert.equal(await cluster.exec("db-0", "sh", "-c", "echo $GENERATION"), "\n");
  await cluster.kubectl(["scale", "statefulset/db", "--replicas=1"]);
  await eventually("the highest ordinals go", async () =>
    (await cluster.kubectl(["get", "pods", "-l", "app=db", "-o", "name"])).trim() === "pod/db-0" ? true : undefined,
  );
});

test("a daemon set covers every node and rolls", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  await cluster.apply({
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "agent" },
    spec: { selector: { matchLabels: { app: "agent" } }, template: template("agent") },
  });
  await cluster.kubectl(["rollout", "status", "daemonset/agent", "--timeout=60s"]);
  const nodes = await cluster.kubectl(["get", "pods", "-l", "app=agent", "-o", "jsonpath={.items[*].spec.nodeName}"]);
  const all = cluster.lab.nodes.map(({ name }) => name);
  assert.deepEqual(nodes.split(" ").sort(), all.toSorted());
  await cluster.kubectl(["set", "env", "daemonset/agent", "V=2"]);
  await cluster.kubectl(["rollout", "status", "daemonset/agent", "--timeout=90s"]);
  assert.equal(await cluster.jsonpath("daemonset/agent", "{.status.updatedNumberScheduled}"), String(all.length));
});

test("an indexed job completes once per index; a failing one gives up", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const job = (name: string, command: string, spec: object) => ({
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name },
    spec: {
      ...spec,
      template: template(name, { ...sleeper, command: ["sh", "-c", command] }, { restartPolicy: "Never" }),
    },
  });
  await cluster.apply([
    job("indexed", "echo index $JOB_COMPLETION_INDEX", { completions: 3, parallelism: 3, completionMode: "Indexed" }),
    job("failing", "exit 42", {
      backoffLimit: 6,
      podFailurePolicy: { rules: [{ action: "FailJob", onExitCodes: { operator: "In", values: [42] } }] },
    }),
  ]);
  await cluster.kubectl(["wait", "--for=condition=Complete", "job/indexed", "--timeout=60s"]);
  assert.equal(await cluster.jsonpath("job/indexed", "{.status.completedIndexes}"), "0-2");
  const logs = await cluster.kubectl(["logs", "-l", "batch.kubernetes.io/job-name=indexed"]);
  assert.deepEqual(logs.trim().split("\n").sort(), ["index 0", "index 1", "index 2"]);
  await cluster.kubectl(["wait", "--for=condition=Failed", "job/failing", "--timeout=60s"]);
  assert.equal(
    await cluster.jsonpath("job/failing", '{.status.conditions[?(@.type=="Failed")].reason}'),
    "PodFailurePolicy",
  );
});

test("a cron job makes jobs by its schedule and by hand", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  await cluster.kubectl(["create", "cronjob", "tick", "--image=busybox:1.35", "--schedule=*/1 * * * *", "--", "date"]);
  await cluster.kubectl(["create", "job", "by-hand", "--from=cronjob/tick"]);
  await cluster.kubectl(["wait", "--for=condition=Complete", "job/by-hand", "--timeout=60s"]);
  await eventually(
    "the schedule fires",
    async () => ((await cluster.jsonpath("cronjob/tick", "{.status.lastScheduleTime}")) === "" ? undefined : true),
    75_000,
  );
});

test("a disruption budget holds evictions back; deletion cascades as asked", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  await cluster.kubectl(["create", "deployment", "guarded", "--image=nginx:1.14.2", "--replicas=2"]);
  await cluster.kubectl(["create", "poddisruptionbudget", "guarded", "--selector=app=guarded", "--min-available=2"]);
  await cluster.kubectl(["rollout", "status", "deployment/guarded", "--timeout=60s"]);
  await eventually("the budget is computed", async () =>
    (await cluster.jsonpath("pdb/guarded", "{.status.currentHealthy}")) === "2" ? true : undefined,
  );
  const [pod] = (
    await cluster.kubectl(["get", "pods", "-l", "app=guarded", "-o", "jsonpath={.items[*].metadata.name}"])
  ).split(" ");
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: pod, namespace: cluster.namespace } };
  const path = `/api/v1/namespaces/${cluster.namespace}/pods/${pod}/eviction`;
  const refused = await cluster.try(["create", "--raw", path, "-f", "-"], { stdin: JSON.stringify(eviction) });
  assert.match(refused.stderr, /Cannot evict pod as it would violate the pod's disruption budget/);
  await cluster.kubectl(["delete", "pdb", "guarded"]);
  await cluster.kubectl(["create", "--raw", path, "-f", "-"], { stdin: JSON.stringify(eviction) });
  await cluster.kubectl(["wait", "--for=delete", `pod/${pod}`, "--timeout=60s"]);

  await cluster.kubectl(["delete", "deployment", "guarded", "--cascade=orphan"]);
  const left = await cluster.kubectl(["get", "replicasets", "-l", "app=guarded", "-o", "name"]);
  assert.match(left, /replicaset.apps\/guarded-/);
  await cluster.kubectl(["delete", left.trim(), "--cascade=foreground", "--timeout=60s"]);
  assert.equal((await cluster.kubectl(["get", "pods", "-l", "app=guarded", "-o", "name"])).trim(), "");
});
