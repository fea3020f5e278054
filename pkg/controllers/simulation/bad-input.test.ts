/** What users do wrong, or too much of: it is said where they look, it is bounded, and nothing else suffers. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isStatusError } from "#pkg/apimachinery/index.ts";
import {
  cronJobs,
  daemonSets,
  deployments,
  events,
  jobs,
  namespaces,
  podDisruptionBudgets,
  pods,
  replicaSets,
  statefulSets,
} from "#pkg/api/refs.ts";
import type { AnyObject, OwnerReference } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { inParallel } from "../common/slow-start.ts";
import { SimulatedCluster } from "./cluster.ts";
import { EXIT_CODE } from "./hollow-nodes.ts";
import { deployment, template } from "./objects.ts";

const NAMESPACE = "bad";
let cluster: SimulatedCluster;
before(async () => {
  cluster = await SimulatedCluster.start({ seed: 11 });
  await cluster.observe(deployments, replicaSets, statefulSets, daemonSets, jobs, cronJobs, podDisruptionBudgets);
  await cluster.observe(namespaces, events);
  await cluster.admin.create(namespaces, { metadata: { name: NAMESPACE }, spec: {} });
  await cluster.advance(1000);
});
after(() => cluster.close());

async function assertQuiet(): Promise<void> {
  const before = cluster.wire.writes;
  await cluster.advance(60_000);
  assert.equal(cluster.wire.writes, before, "nothing changes, nothing is written");
}

async function refused<T extends AnyObject>(
  resource: ResourceRef<T>,
  object: Draft<T>,
  pattern: RegExp,
): Promise<void> {
  await assert.rejects(
    cluster.admin.create(resource, object),
    (error) => isStatusError(error) && error.code === 422 && pattern.test(error.message),
  );
}

function ownerless(
  name: string,
  labels: Record<string, string>,
  ownerReferences?: OwnerReference[],
  spec: object = {},
): Draft<Pod> {
  const references = ownerReferences === undefined ? {} : { ownerReferences };
  return { metadata: { namespace: NAMESPACE, name, labels, ...references }, spec: { ...template({}).spec!, ...spec } };
}
const labelled = (app: string) =>
  cluster.list(pods, NAMESPACE).filter(({ metadata }) => metadata.labels?.["app"] === app);

test("selectors that match everything, or not their own template, are refused by name", async () => {
  const all = { replicas: 1, selector: {}, template: template({ app: "a" }) };
  const metadata = { namespace: NAMESPACE, name: "a" };
  await refused(
    deployments,
    { metadata, spec: all },
    /spec\.selector: Invalid value: .* empty selector is invalid for deployment/,
  );
  await refused(replicaSets, { metadata, spec: all }, /empty selector is invalid for (deployment|replicaset)/);
  await refused(
    statefulSets,
    { metadata, spec: { ...all, serviceName: "a" } },
    /empty selector is invalid for statefulset/,
  );
  await refused(daemonSets, { metadata, spec: all }, /empty selector is invalid for daemonset/);
  const contradiction = [
    { key: "app", operator: "In", values: ["a"] },
    { key: "app", operator: "NotIn", values: ["a"] },
  ];
  const nothing = { ...all, selector: { matchExpressions: contradiction } };
  await refused(deployments, { metadata, spec: nothing }, /`selector` does not match template `labels`/);
});

test("owners of one selector do not take each other's pods", async () => {
  const spec = { replicas: 2, selector: { matchLabels: { app: "shared" } }, template: template({ app: "shared" }) };
  for (const name of ["one", "two"])
    await cluster.admin.create(replicaSets, { metadata: { namespace: NAMESPACE, name }, spec });
  const ready = () => cluster.list(replicaSets, NAMESPACE).filter(({ status }) => status?.readyReplicas === 2).length;
  await cluster.until("both have theirs", () => ready() === 2 && labelled("shared").length === 4);
  await assertQuiet();
});

test("a budget that selects everything covers owned pods and stray ones", async () => {
  await cluster.admin.create(podDisruptionBudgets, {
    metadata: { namespace: NAMESPACE, name: "all" },
    spec: { selector: {}, minAvailable: 3 },
  });
  const status = () => cluster.list(podDisruptionBudgets, NAMESPACE)[0]?.status;
  await cluster.until("counted", () => status()?.currentHealthy === 4);
  assert.equal(status()?.disruptionsAllowed, 1);
  await cluster.admin.create(pods, ownerless("stray", { app: "stray" }));
  await cluster.admin.patch(podDisruptionBudgets, { namespace: NAMESPACE, name: "all" }, "merge", {
    spec: { minAvailable: null, maxUnavailable: 1 },
  });
  await cluster.until("counted again", () => status()?.observedGeneration === 2);
  const owned = cluster.list(pods, NAMESPACE).filter(({ metadata }) => metadata.ownerReferences !== undefined);
  assert.equal(status()?.expectedPods, owned.length);
  await cluster.advance(1000);
  const { items } = await cluster.admin.list(events, { namespace: NAMESPACE });
  const warning = items.find(({ reason }) => reason === "UnmanagedPods");
  assert.match(warning?.message ?? "", /^Pods selected by this PodDisruptionBudget \(selector: &LabelSelector\{/);
  assert.equal(warning?.source?.component, "controllermanager");
  await cluster.admin.delete(pods, { namespace: NAMESPACE, name: "stray" }, { gracePeriodSeconds: 0 });
  await cluster.admin.delete(podDisruptionBudgets, { namespace: NAMESPACE, name: "all" });
});

test("a selector that matches nobody guards nothing, and says so", async () => {
  await cluster.admin.create(podDisruptionBudgets, {
    metadata: { namespace: NAMESPACE, name: "nobody" },
    spec: { selector: { matchLabels: { app: "nobody" } }, minAvailable: 1 },
  });
  const status = () => cluster.list(podDisruptionBudgets, NAMESPACE)[0]?.status;
  await cluster.until("counted", () => status()?.observedGeneration === 1);
  assert.deepEqual([status()?.expectedPods, status()?.disruptionsAllowed], [0, 0]);
  assert.equal(status()?.conditions?.find(({ type }) => type === "DisruptionAllowed")?.status, "False");
  await assertQuiet();
  await cluster.admin.delete(podDisruptionBudgets, { namespace: NAMESPACE, name: "nobody" });
});

test("percentages over 100 are refused where they make no sense, and work where they do", async () => {
  const rolling = (rollingUpdate: object) => ({ strategy: { type: "RollingUpdate", rollingUpdate } });
  const tooMuch = /must not be greater than 100%/;
  await refused(deployments, deployment(NAMESPACE, "p", 2, rolling({ maxUnavailable: "150%" })), tooMuch);
  const selector = { matchLabels: { app: "p" } };
  await refused(
    podDisruptionBudgets,
    { metadata: { namespace: NAMESPACE, name: "p" }, spec: { selector, minAvailable: "101%" } },
    tooMuch,
  );
  await cluster.admin.create(
    deployments,
    deployment(NAMESPACE, "p", 2, rolling({ maxSurge: "250%", maxUnavailable: 0 })),
  );
  const status = () => cluster.list(deployments, NAMESPACE)[0]?.status;
  await cluster.until("up", () => status()?.availableReplicas === 2);
  await cluster.admin.patch(deployments, { namespace: NAMESPACE, name: "p" }, "merge", {
    spec: { template: { metadata: { annotations: { v: "2" } } } },
  });
  await cluster.until("rolled", () => status()?.updatedReplicas === 2 && status()?.replicas === 2);
  await cluster.admin.delete(deployments, { namespace: NAMESPACE, name: "p" }, { propagationPolicy: "Foreground" });
  await cluster.until("gone", () => labelled("p").length === 0);
});

test("owners that lie: dependents of what does not exist go, wrong claims count for nobody", async () => {
  const [owner] = cluster.list(replicaSets, NAMESPACE);
  const { name, uid } = owner!.metadata;
  const truth = { apiVersion: "apps/v1", kind: "ReplicaSet", name, uid };
  const stray = (suffix: string, reference: Partial<OwnerReference>) =>
    cluster.admin.create(pods, ownerless(`liar-${suffix}`, { app: "liar" }, [{ ...truth, ...reference }]));
  await stray("uid", { uid: "00000000-0000-0000-0000-000000000000" });
  await stray("kind", { kind: "Deployment" });
  await stray("name", { name: "somebody-else" });
  await stray("unserved", { apiVersion: "example.com/v1", kind: "Unserved" });
  // A kind that nobody serves may come back: what it owned is left alone.
  const left = () =>
    labelled("liar")
      .map(({ metadata }) => metadata.name)
      .join();
  await cluster.until("the absent owners' pods are gone", () => left() === "liar-unserved", 60_000);
  assert.equal(labelled("shared").length, 4);
  await cluster.admin.delete(pods, { namespace: NAMESPACE, name: "liar-unserved" });
});

test("a schedule that never comes, and a Job with 2^31-1 completions, cost nothing but what runs", async () => {
  const run = template({ app: "many" }, { [EXIT_CODE]: "0" });
  const podTemplate = { ...run, spec: { ...run.spec!, restartPolicy: "Never" } };
  const spec = { schedule: "0 0 31 2 *", jobTemplate: { spec: { template: podTemplate } } };
  await cluster.admin.create(cronJobs, { metadata: { namespace: NAMESPACE, name: "never" }, spec });
  await refused(
    cronJobs,
    { metadata: { namespace: NAMESPACE, name: "nowhere" }, spec: { ...spec, timeZone: "Moon/Tycho" } },
    /spec\.timeZone: Invalid value: "Moon\/Tycho": unknown time zone Moon\/Tycho/,
  );
  await assertQuiet();
  assert.equal(cluster.list(jobs, NAMESPACE).length, 0);
  const most = 2 ** 31 - 1;
  for (const completionMode of ["NonIndexed", "Indexed"])
    await cluster.admin.create(jobs, {
      metadata: { namespace: NAMESPACE, name: completionMode.toLowerCase() },
      spec: { completions: most, parallelism: 2, completionMode, template: podTemplate },
    });
  const succeeded = () => cluster.list(jobs, NAMESPACE).map(({ status }) => status?.succeeded ?? 0);
  await cluster.until("both go on", () => succeeded().every((count) => count >= 3));
  assert.ok(cluster.list(jobs, NAMESPACE).every(({ status }) => (status?.active ?? 0) <= 2));
  for (const { metadata } of cluster.list(jobs, NAMESPACE))
    await cluster.admin.delete(
      jobs,
      { namespace: NAMESPACE, name: metadata.name },
      { propagationPolicy: "Background" },
    );
  await cluster.until("gone", () => labelled("many").length === 0);
});

test(
  "10,000 ownerless pods do not hold others up, and are taken on by a selector that fits",
  { timeout: 300_000 },
  async () => {
    cluster.nodes.stopMs = 1;
    const names = Array.from({ length: 10_000 }, (_, index) => index);
    const failure = await inParallel(names, async (index) => {
      const taken = index < 1000;
      const gated = { schedulingGates: [{ name: "example.com/never" }] };
      await cluster.admin.create(
        pods,
        ownerless(`orphan-${index}`, { app: taken ? "taken" : "orphan" }, undefined, gated),
      );
    });
    assert.equal(failure, undefined);
    await cluster.admin.create(deployments, deployment(NAMESPACE, "quick", 5));
    await cluster.until("up", () => cluster.list(deployments, NAMESPACE)[0]?.status?.availableReplicas === 5, 20_000);
    await cluster.admin.create(replicaSets, {
      metadata: { namespace: NAMESPACE, name: "taker" },
      spec: { replicas: 2, selector: { matchLabels: { app: "taken" } }, template: template({ app: "taken" }) },
    });
    await cluster.until("998 too many", () => labelled("taken").length === 2);
    assert.equal(labelled("orphan").length, 9000);
  },
);

test("a namespace with all that goes", { timeout: 300_000 }, async () => {
  await cluster.admin.delete(namespaces, { namespace: "", name: NAMESPACE });
  await cluster.until(
    "gone",
    () => cluster.list(namespaces).every(({ metadata }) => metadata.name !== NAMESPACE),
    600_000,
  );
  assert.equal(cluster.list(pods, NAMESPACE).length, 0);
});
