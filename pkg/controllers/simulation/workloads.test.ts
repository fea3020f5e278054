import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  controllerRevisions,
  daemonSets,
  endpoints,
  endpointSlices,
  events,
  jobs,
  namespaces,
  persistentVolumeClaims,
  pods,
  services,
  statefulSets,
} from "#pkg/api/refs.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Job, JobSpec } from "#pkg/api/types/batch-v1.ts";
import { SimulatedCluster } from "./cluster.ts";
import { NO_FAULTS } from "./faulty-transport.ts";
import { EXIT_CODE } from "./hollow-nodes.ts";
import { template } from "./objects.ts";

let cluster: SimulatedCluster;
before(async () => {
  cluster = await SimulatedCluster.start({ seed: 7 });
  await cluster.observe(
    daemonSets,
    endpoints,
    endpointSlices,
    jobs,
    statefulSets,
    services,
    controllerRevisions,
    persistentVolumeClaims,
  );
  await cluster.admin.create(namespaces, { metadata: { name: "w" }, spec: {} });
  await cluster.advance(1000);
});
after(() => cluster.close());

async function assertQuiet(): Promise<void> {
  const before = cluster.wire.writes;
  await cluster.advance(30_000);
  assert.equal(cluster.wire.writes, before, "nothing changes, nothing is written");
}

function job(name: string, exitCode: string, spec: Partial<JobSpec>): Draft<Job> {
  const pod = template({ job: name }, { [EXIT_CODE]: exitCode });
  return {
    metadata: { namespace: "w", name },
    spec: { ...spec, template: { ...pod, spec: { ...pod.spec!, restartPolicy: "Never" } } },
  };
}
const finished = (name: string, type: string) => () =>
  cluster
    .list(jobs, "w")
    .find(({ metadata }) => metadata.name === name)
    ?.status?.conditions?.some((condition) => condition.type === type && condition.status === "True") === true;

test("a job runs to completion and its pods lose their finalizers", async () => {
  await cluster.admin.create(jobs, job("ok", "0", { completions: 5, parallelism: 2 }));
  await cluster.until("complete", finished("ok", "Complete"));
  const { status } = cluster.list(jobs, "w")[0]!;
  assert.equal(status?.succeeded, 5);
  assert.equal(status?.failed, undefined);
  assert.deepEqual(status?.uncountedTerminatedPods, {});
  assert.deepEqual(
    status?.conditions?.map(({ type, reason }) => [type, reason]),
    [
      ["SuccessCriteriaMet", "CompletionsReached"],
      ["Complete", "CompletionsReached"],
    ],
  );
  assert.ok(cluster.list(pods, "w").every(({ metadata }) => metadata.finalizers === undefined));
  await assertQuiet();
});

test("a failing job ends at its backoff limit", async () => {
  await cluster.admin.create(jobs, job("bad", "1", { backoffLimit: 2 }));
  await cluster.until("failed", finished("bad", "Failed"), 300_000);
  const status = cluster.list(jobs, "w").find(({ metadata }) => metadata.name === "bad")!.status!;
  assert.equal(status.failed, 3);
  assert.deepEqual(
    status.conditions?.map(({ type, reason }) => [type, reason]),
    [
      ["FailureTarget", "BackoffLimitExceeded"],
      ["Failed", "BackoffLimitExceeded"],
    ],
  );
  await assertQuiet();
});

test("an indexed job completes every index once", async () => {
  await cluster.admin.create(jobs, job("indexed", "0", { completions: 7, parallelism: 3, completionMode: "Indexed" }));
  await cluster.until("complete", finished("indexed", "Complete"));
  const status = cluster.list(jobs, "w").find(({ metadata }) => metadata.name === "indexed")!.status!;
  assert.equal(status.completedIndexes, "0-6");
  assert.equal(status.succeeded, 7);
  await assertQuiet();
});

test("indexes fail one by one under backoffLimitPerIndex", async () => {
  const spec = { completions: 2, parallelism: 2, completionMode: "Indexed", backoffLimitPerIndex: 1 };
  await cluster.admin.create(jobs, job("perindex", "1", spec));
  await cluster.until("failed", finished("perindex", "Failed"), 300_000);
  const status = cluster.list(jobs, "w").find(({ metadata }) => metadata.name === "perindex")!.status!;
  assert.equal(status.failedIndexes, "0,1");
  assert.equal(status.failed, 4);
  assert.equal(status.conditions?.at(-1)?.reason, "FailedIndexes");
  await assertQuiet();
});

test("a daemon set runs on every node, recreates failed pods, and rolls", async () => {
  await cluster.admin.create(daemonSets, {
    metadata: { namespace: "w", name: "ds" },
    spec: { selector: { matchLabels: { ds: "1" } }, template: template({ ds: "1" }) },
  });
  const status = () => cluster.list(daemonSets, "w")[0]?.status;
  await cluster.until("all nodes", () => status()?.numberAvailable === 3);
  const mine = () => cluster.list(pods, "w").filter(({ metadata }) => metadata.labels?.["ds"] === "1");
  assert.deepEqual(
    mine()
      .map(({ spec }) => spec.nodeName)
      .sort(),
    ["node-0", "node-1", "node-2"],
  );
  await assertQuiet();
  const victim = mine()[0]!;
  await cluster.admin.patch(
    pods,
    { namespace: "w", name: victim.metadata.name },
    "merge",
    { status: { phase: "Failed" } },
    { subresource: "status" },
  );
  await cluster.until(
    "replaced",
    () => status()?.numberAvailable === 3 && mine().every(({ metadata }) => metadata.uid !== victim.metadata.uid),
  );
  await cluster.admin.patch(daemonSets, { namespace: "w", name: "ds" }, "merge", {
    spec: { template: { metadata: { annotations: { v: "2" } } } },
  });
  await cluster.until(
    "rolled",
    () =>
      status()?.observedGeneration === 2 && status()?.updatedNumberScheduled === 3 && status()?.numberAvailable === 3,
  );
  assert.equal(cluster.list(controllerRevisions, "w").length, 2);
  await assertQuiet();
  const uids = mine().map(({ metadata }) => metadata.uid);
  await cluster.admin.deleteCollection(controllerRevisions, "w");
  await cluster.until("recorded again", () => cluster.list(controllerRevisions, "w").length === 1);
  await assertQuiet();
  assert.deepEqual(
    mine().map(({ metadata }) => metadata.uid),
    uids,
    "no pod was restarted for that",
  );
});

test("a stateful set comes up in order, with claims, rolls back to front, and scales down", async () => {
  await cluster.admin.create(statefulSets, {
    metadata: { namespace: "w", name: "db" },
    spec: {
      serviceName: "db",
      replicas: 3,
      selector: { matchLabels: { db: "1" } },
      template: template({ db: "1" }),
      volumeClaimTemplates: [
        {
          metadata: { name: "data" },
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
        },
      ],
    },
  } as never);
  const status = () => cluster.list(statefulSets, "w")[0]?.status;
  const mine = () =>
    cluster
      .list(pods, "w")
      .filter(({ metadata }) => metadata.labels?.["db"] === "1")
      .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  await cluster.until("up", () => status()?.readyReplicas === 3);
  assert.deepEqual(
    mine().map(({ metadata }) => metadata.name),
    ["db-0", "db-1", "db-2"],
  );
  const readySince = ({ status }: Pod) =>
    status?.conditions?.find(({ type }) => type === "Ready")?.lastTransitionTime ?? "";
  assert.ok(readySince(mine()[0]!) <= mine()[1]!.metadata.creationTimestamp);
  assert.ok(readySince(mine()[1]!) <= mine()[2]!.metadata.creationTimestamp);
  assert.deepEqual(
    cluster
      .list(persistentVolumeClaims, "w")
      .map(({ metadata }) => metadata.name)
      .sort(),
    ["data-db-0", "data-db-1", "data-db-2"],
  );
  assert.equal(mine()[0]!.metadata.generateName, "db-");
  assert.equal(status()?.collisionCount, 0);
  await assertQuiet();
  const edited = { metadata: { labels: { "statefulset.kubernetes.io/pod-name": "other" } } };
  await cluster.admin.patch(pods, { namespace: "w", name: "db-0" }, "merge", edited);
  await cluster.until("repaired", () => mine()[0]!.metadata.labels?.["statefulset.kubernetes.io/pod-name"] === "db-0");
  await cluster.advance(1000);
  const { items } = await cluster.admin.list(events, { namespace: "w" });
  const update = items.find(({ reason }) => reason === "SuccessfulUpdate");
  assert.equal(update?.message, "update Pod db-0 in StatefulSet db successful");
  assert.equal(update.source?.component, "statefulset-controller");
  await cluster.admin.patch(statefulSets, { namespace: "w", name: "db" }, "merge", {
    spec: { template: { metadata: { annotations: { v: "2" } } } },
  });
  await cluster.until(
    "rolled",
    () =>
      status()?.observedGeneration === 2 &&
      status()?.updatedReplicas === 3 &&
      status()?.readyReplicas === 3 &&
      status()?.currentRevision === status()?.updateRevision,
  );
  assert.ok(readySince(mine()[2]!) <= mine()[1]!.metadata.creationTimestamp);
  assert.ok(readySince(mine()[1]!) <= mine()[0]!.metadata.creationTimestamp);
  await cluster.admin.patch(statefulSets, { namespace: "w", name: "db" }, "merge", { spec: { replicas: 1 } });
  await cluster.until("down", () => status()?.replicas === 1 && mine().length === 1);
  assert.equal(mine()[0]?.metadata.name, "db-0");
  await assertQuiet();
});

test("a service gets endpoints and slices, and an empty slice when nobody is there", async () => {
  await cluster.admin.create(services, {
    metadata: { namespace: "w", name: "db" },
    spec: { clusterIP: "None", selector: { db: "1" }, ports: [{ port: 80 }] },
  });
  await cluster.until("endpoints", () => cluster.list(endpoints, "w")[0]?.subsets?.[0]?.addresses?.length === 1);
  const slices = () => cluster.list(endpointSlices, "w");
  assert.equal(slices().length, 1);
  assert.equal(slices()[0]!.endpoints?.[0]?.conditions?.ready, true);
  assert.equal(slices()[0]!.metadata.labels?.["service.kubernetes.io/headless"], "");
  await cluster.admin.patch(services, { namespace: "w", name: "db" }, "merge", { spec: { selector: { db: "none" } } });
  await cluster.until("empty", () => slices().length === 1 && (slices()[0]?.endpoints ?? []).length === 0);
  await assertQuiet();
});

test("the pods of a job that is deleted without them are held no longer", async () => {
  const spec = { ...template({ job: "left" }).spec!, restartPolicy: "Never" };
  const endless = { ...template({ job: "left" }), spec };
  const metadata = { namespace: "w", name: "left", finalizers: ["example.com/hold"] };
  await cluster.admin.create(jobs, { metadata, spec: { template: endless } });
  const left = () => cluster.list(pods, "w").filter(({ metadata }) => metadata.labels?.["job"] === "left");
  await cluster.until("made", () => left().length === 1);
  await cluster.admin.delete(jobs, metadata, { propagationPolicy: "Orphan" });
  // The Job is still there, but it will not take them back.
  await cluster.until("released", () =>
    left().every(({ metadata }) => metadata.finalizers === undefined && metadata.ownerReferences === undefined),
  );
  assert.equal(left().length, 1);
});

test("endpoints are never written over a version that was theirs before", async () => {
  cluster.faults = { ...NO_FAULTS, delayWatch: 0.5 };
  await cluster.admin.patch(services, { namespace: "w", name: "db" }, "merge", { spec: { selector: { db: "1" } } });
  await cluster.admin.patch(statefulSets, { namespace: "w", name: "db" }, "merge", {
    spec: { replicas: 6 },
  });
  const ready = () => cluster.list(endpoints, "w")[0]?.subsets?.[0]?.addresses?.length;
  await cluster.until("all are endpoints", () => ready() === 6);
  cluster.faults = NO_FAULTS;
  await cluster.advance(10_000);
  const said = (await cluster.admin.list(events, { namespace: "w" })).items.map(({ reason }) => reason);
  assert.deepEqual(
    said.filter((reason) => reason?.startsWith("FailedToUpdate")),
    [],
  );
});
