/** What clients do to controlled objects from outside, and what they rely on to find afterwards. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { controllerOf, isConflict } from "#pkg/apimachinery/index.ts";
import type { AnyObject, ObjectKey } from "#pkg/apimachinery/index.ts";
import {
  controllerRevisions,
  cronJobs,
  daemonSets,
  deployments,
  jobs,
  namespaces,
  pods,
  replicaSets,
  replicationControllers,
  resourceQuotas,
  services,
  statefulSets,
} from "#pkg/api/refs.ts";
import type { DaemonSet, ReplicaSet } from "#pkg/api/types/apps-v1.ts";
import type { ReplicationController } from "#pkg/api/types/core-v1.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { Draft } from "#pkg/client/index.ts";
import { SimulatedCluster } from "./cluster.ts";
import { deployment, template } from "./objects.ts";

const NAMESPACE = "clients";
let cluster: SimulatedCluster;
before(async () => {
  cluster = await SimulatedCluster.start({ seed: 13 });
  await cluster.observe(deployments, replicaSets, statefulSets, daemonSets, jobs, cronJobs, replicationControllers);
  await cluster.observe(controllerRevisions, services, resourceQuotas);
  await cluster.admin.create(namespaces, { metadata: { name: NAMESPACE }, spec: {} });
  await cluster.advance(1000);
});
after(() => cluster.close());

const keyOf = (name: string): ObjectKey => ({ namespace: NAMESPACE, name });
const condition = (type: string) => ({ type, status: "True", reason: "E2E", message: "Set by a client" });

interface Conditioned extends AnyObject {
  status?: { conditions?: { type: string }[]; readyReplicas?: number };
}

function workload<T extends AnyObject = AnyObject>(name: string, spec: object = {}): Draft<T> {
  return {
    metadata: { namespace: NAMESPACE, name },
    spec: { selector: { matchLabels: { app: name } }, template: template({ app: name }), ...spec },
  } as unknown as Draft<T>;
}

/** Reads, changes and writes again until nobody came between. */
async function updateStatus<T extends AnyObject>(resource: ResourceRef<T>, name: string, change: (object: T) => T) {
  for (let attempt = 0; ; attempt++)
    try {
      return await cluster.admin.updateStatus(resource, change(await cluster.admin.get(resource, keyOf(name))));
    } catch (error) {
      if (!isConflict(error) || attempt > 20) throw error;
    }
}

for (const [resource, draft] of [
  [deployments, workload("d", { replicas: 1 })],
  [replicaSets, workload("rs", { replicas: 1 })],
  [statefulSets, workload("ss", { replicas: 1, serviceName: "ss" })],
  [daemonSets, workload("ds")],
  [replicationControllers, workload("rc", { replicas: 1, selector: { app: "rc" } })],
] as unknown as [ResourceRef<Conditioned>, Draft<Conditioned>][])
  test(`a client's conditions of a ${resource.kind} outlive the controller's own writes`, async () => {
    const name = draft.metadata.name!;
    await cluster.admin.create(resource, draft);
    await cluster.advance(5000);
    await updateStatus(resource, name, (object) => ({
      ...object,
      status: { ...object.status, conditions: [...(object.status?.conditions ?? []), condition("StatusUpdate")] },
    }));
    const types = async () =>
      (await cluster.admin.get(resource, keyOf(name))).status?.conditions?.map(({ type }) => type);
    await cluster.advance(5000);
    assert.ok((await types())?.includes("StatusUpdate"));
    const patch = { status: { conditions: [condition("StatusPatched")] } };
    await cluster.admin.patch(resource, keyOf(name), "merge", patch, { subresource: "status" });
    if (resource.kind === "DaemonSet")
      await cluster.admin.patch(resource, keyOf(name), "merge", {
        spec: { template: { metadata: { annotations: { v: "2" } } } },
      });
    else await cluster.admin.patch(resource, keyOf(name), "merge", { spec: { replicas: 2 } }, { subresource: "scale" });
    await cluster.advance(20_000);
    assert.ok((await types())?.includes("StatusPatched"), JSON.stringify(await types()));
    await cluster.admin.delete(resource, keyOf(name), { propagationPolicy: "Foreground" });
    await cluster.until("gone", () => cluster.list(pods, NAMESPACE).length === 0);
  });

test("a Job keeps a client's conditions and annotations, and a CronJob its status", async () => {
  const run = template({ app: "job" });
  const podTemplate = { ...run, spec: { ...run.spec!, restartPolicy: "Never" } };
  await cluster.admin.create(jobs, {
    metadata: { namespace: NAMESPACE, name: "job" },
    spec: { parallelism: 1, completions: 2, template: podTemplate },
  });
  await cluster.advance(5000);
  const patch = {
    metadata: { annotations: { patched: "true" } },
    status: { conditions: [{ type: "Custom", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" }] },
  };
  const patched = await cluster.admin.patch(jobs, keyOf("job"), "merge", patch, { subresource: "status" });
  assert.equal(patched.metadata.annotations?.["patched"], "true");
  await cluster.admin.patch(jobs, keyOf("job"), "merge", { spec: { parallelism: 2 } });
  await cluster.until("two run", () => cluster.list(jobs, NAMESPACE)[0]?.status?.active === 2);
  assert.deepEqual(
    cluster.list(jobs, NAMESPACE)[0]?.status?.conditions?.map(({ type }) => type),
    ["Custom"],
  );
  await cluster.admin.delete(jobs, keyOf("job"), { propagationPolicy: "Background" });

  await cluster.admin.create(cronJobs, {
    metadata: { namespace: NAMESPACE, name: "cron" },
    spec: { schedule: "0 0 1 1 *", jobTemplate: { spec: { template: podTemplate } } },
  });
  await cluster.advance(1000);
  const lastScheduleTime = "2026-01-01T00:00:00Z";
  const status = { status: { lastScheduleTime } };
  await cluster.admin.patch(cronJobs, keyOf("cron"), "merge", status, { subresource: "status" });
  await cluster.advance(1000);
  assert.equal(cluster.list(cronJobs, NAMESPACE)[0]?.status?.lastScheduleTime, lastScheduleTime);
  await cluster.admin.delete(cronJobs, keyOf("cron"));
});

test("revisions of a DaemonSet can be made, labelled and removed by hand; numbers go on", async () => {
  await cluster.admin.create(daemonSets, workload<DaemonSet>("ds"));
  const revisions = () => cluster.list(controllerRevisions, NAMESPACE);
  await cluster.until("recorded", () => revisions().length === 1);
  const [first] = revisions();
  const { labels, ownerReferences } = first!.metadata;
  const second = { namespace: NAMESPACE, name: "ds-by-hand", labels: { ...labels, hand: "made" }, ownerReferences };
  await cluster.admin.create(controllerRevisions, { metadata: second as never, data: first!.data, revision: 2 });
  await cluster.advance(2000);
  assert.equal(revisions().length, 2, "an equal revision is not taken away");
  const before = cluster.list(pods, NAMESPACE).map(({ metadata }) => metadata.uid);
  await cluster.admin.delete(controllerRevisions, keyOf(first!.metadata.name));
  await cluster.advance(2000);
  assert.deepEqual(
    revisions().map(({ metadata }) => metadata.name),
    ["ds-by-hand"],
  );
  assert.deepEqual(
    cluster.list(pods, NAMESPACE).map(({ metadata }) => metadata.uid),
    before,
    "no pod was restarted for that",
  );
  const annotations = { spec: { template: { metadata: { annotations: { v: "2" } } } } };
  await cluster.admin.patch(daemonSets, keyOf("ds"), "merge", annotations);
  await cluster.until("two", () => revisions().length === 2);
  await cluster.admin.deleteCollection(controllerRevisions, NAMESPACE, { labelSelector: "hand=made" });
  await cluster.advance(20_000);
  assert.deepEqual(
    revisions().map(({ revision }) => revision),
    [3],
  );
  await cluster.admin.delete(daemonSets, keyOf("ds"), { propagationPolicy: "Foreground" });
  await cluster.until("gone", () => cluster.list(pods, NAMESPACE).length === 0);
});

test("a stuck roll-out is scaled in proportion, and a further change rolls over it", async () => {
  const strategy = { type: "RollingUpdate", rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } };
  await cluster.admin.create(deployments, deployment(NAMESPACE, "prop", 10, { strategy }));
  const status = () => cluster.list(deployments, NAMESPACE)[0]?.status;
  await cluster.until("up", () => status()?.availableReplicas === 10);
  // No node will ever take these.
  const stuck = { spec: { template: { spec: { schedulingGates: [{ name: "example.com/never" }] } } } };
  await cluster.admin.patch(deployments, keyOf("prop"), "merge", stuck);
  const sizes = () =>
    cluster
      .list(replicaSets, NAMESPACE)
      .map(({ spec }) => spec.replicas ?? 0)
      .sort((a, b) => a - b)
      .join();
  await cluster.until("stuck", () => sizes() === "5,8");
  await cluster.admin.patch(deployments, keyOf("prop"), "merge", { spec: { replicas: 30 } });
  await cluster.until("in proportion", () => sizes() === "13,20");
  await cluster.admin.patch(deployments, keyOf("prop"), "merge", {
    spec: { replicas: 4, template: { metadata: { annotations: { v: "3" } }, spec: { schedulingGates: null } } },
  });
  await cluster.until("rolled over", () => status()?.updatedReplicas === 4 && status()?.replicas === 4);
  assert.equal(sizes(), "0,0,4");
  await cluster.admin.delete(deployments, keyOf("prop"), { propagationPolicy: "Foreground" });
  await cluster.until("gone", () => cluster.list(pods, NAMESPACE).length === 0);
});

test("pods are taken on and let go as their labels say, a Job's without its finalizer", async () => {
  const app = { app: "adopt" };
  await cluster.admin.create(pods, { metadata: { ...keyOf("lonely"), labels: app }, spec: template(app).spec! });
  await cluster.admin.create(replicaSets, workload<ReplicaSet>("adopt", { replicas: 1 }));
  const named = (name: string) => cluster.list(pods, NAMESPACE).find(({ metadata }) => metadata.name === name)!;
  await cluster.until("taken on", () => controllerOf(named("lonely"))?.name === "adopt");
  await cluster.admin.patch(pods, keyOf("lonely"), "merge", { metadata: { labels: { app: "free" } } });
  await cluster.until("let go", () => named("lonely").metadata.ownerReferences === undefined);
  await cluster.until("replaced", () => cluster.list(pods, NAMESPACE).length === 2);
  await cluster.admin.delete(replicaSets, keyOf("adopt"));
  await cluster.admin.delete(pods, keyOf("lonely"));
  await cluster.until("gone", () => cluster.list(pods, NAMESPACE).length === 0);

  const run = template({});
  await cluster.admin.create(jobs, {
    metadata: keyOf("job"),
    spec: { template: { ...run, spec: { ...run.spec!, restartPolicy: "Never" } } },
  });
  await cluster.until("runs", () => cluster.list(pods, NAMESPACE).length === 1);
  const { name } = cluster.list(pods, NAMESPACE)[0]!.metadata;
  await cluster.admin.patch(pods, keyOf(name), "merge", { metadata: { ownerReferences: null } });
  await cluster.until("taken back", () => controllerOf(named(name))?.kind === "Job");
  await cluster.admin.patch(pods, keyOf(name), "merge", { metadata: { labels: null } });
  await cluster.until("let go", () => named(name).metadata.ownerReferences === undefined);
  assert.equal(named(name).metadata.finalizers, undefined);
  await cluster.admin.delete(jobs, keyOf("job"), { propagationPolicy: "Background" });
  await cluster.admin.delete(pods, keyOf(name));
  await cluster.until("gone", () => cluster.list(pods, NAMESPACE).length === 0);
});

test("what a quota refuses shows as a failure, until there is room; usage follows what is there", async () => {
  await cluster.admin.create(resourceQuotas, {
    metadata: keyOf("quota"),
    spec: { hard: { pods: "2", services: "3" } },
  });
  const used = () => cluster.list(resourceQuotas, NAMESPACE)[0]?.status?.used;
  await cluster.until("counted", () => used()?.["pods"] === "0" && used()?.["services"] === "0");
  const draft = workload<ReplicationController>("full", { replicas: 3, selector: { app: "full" } });
  await cluster.admin.create(replicationControllers, draft);
  const failure = () =>
    cluster
      .list(replicationControllers, NAMESPACE)[0]
      ?.status?.conditions?.find(({ type }) => type === "ReplicaFailure");
  await cluster.until("refused", () => failure()?.reason === "FailedCreate");
  assert.match(failure()!.message ?? "", /exceeded quota: quota, requested: pods=1, used: pods=2, limited: pods=2/);
  await cluster.admin.patch(replicationControllers, keyOf("full"), "merge", { spec: { replicas: 2 } });
  await cluster.until("no more", () => failure() === undefined);
  await cluster.admin.create(services, { metadata: keyOf("web"), spec: { ports: [{ port: 80 }], clusterIP: "None" } });
  await cluster.until("a service more", () => used()?.["services"] === "1");
  await cluster.admin.delete(services, keyOf("web"));
  await cluster.admin.delete(replicationControllers, keyOf("full"), { propagationPolicy: "Background" });
  await cluster.until("all given back", () => used()?.["services"] === "0" && used()?.["pods"] === "0", 20_000);
});
