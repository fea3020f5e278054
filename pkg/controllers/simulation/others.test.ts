import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  clusterRoles,
  configMaps,
  cronJobs,
  endpoints,
  endpointSlices,
  jobs,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  podDisruptionBudgets,
  pods,
  replicaSets,
  resourceQuotas,
  serviceAccounts,
  services,
  storageClasses,
} from "#pkg/api/refs.ts";
import { keyOf } from "#pkg/apimachinery/index.ts";
import { SimulatedCluster } from "./cluster.ts";
import { EXIT_CODE } from "./hollow-nodes.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { ReplicaSet } from "#pkg/api/types/apps-v1.ts";
import { template } from "./objects.ts";

let cluster: SimulatedCluster;
const ns = "o";
before(async () => {
  cluster = await SimulatedCluster.start({
    seed: 11,
    controllerOptions: { clusterCidrs: ["10.244.0.0/16", "fd00::/48"] },
  });
  await cluster.observe(
    configMaps,
    cronJobs,
    endpoints,
    endpointSlices,
    jobs,
    nodes,
    persistentVolumeClaims,
    persistentVolumes,
  );
  await cluster.observe(podDisruptionBudgets, replicaSets, resourceQuotas, serviceAccounts, clusterRoles);
  await cluster.admin.create(namespaces, { metadata: { name: ns }, spec: {} });
  await cluster.advance(1000);
});
after(() => cluster.close());

async function assertQuiet(durationMs = 30_000): Promise<void> {
  const paths: string[] = [];
  cluster.wire.onWrite = ({ method, path }) => paths.push(`${method} ${path}`);
  await cluster.advance(durationMs);
  cluster.wire.onWrite = undefined;
  assert.deepEqual(paths, [], "nothing changes, nothing is written");
}

test("a namespace has its account and the root certificate, repaired when edited", async () => {
  assert.ok(cluster.list(serviceAccounts, ns).some(({ metadata }) => metadata.name === "default"));
  const rootCa = () => cluster.list(configMaps, ns).find(({ metadata }) => metadata.name === "kube-root-ca.crt");
  assert.equal(rootCa()?.data?.["ca.crt"], "test root");
  await cluster.admin.patch(configMaps, { namespace: ns, name: "kube-root-ca.crt" }, "merge", {
    data: { "ca.crt": "evil", x: "y" },
  });
  await cluster.settle();
  assert.deepEqual(rootCa()?.data, { "ca.crt": "test root" });
  await cluster.admin.delete(configMaps, { namespace: ns, name: "kube-root-ca.crt" });
  await cluster.settle();
  assert.deepEqual(rootCa()?.data, { "ca.crt": "test root" });
});

test("nodes get pod networks of both families, and the annotation of a small cluster", () => {
  const networks = cluster.list(nodes).map(({ spec }) => spec.podCIDRs);
  assert.equal(new Set(networks.flat()).size, 6);
  for (const pair of networks) assert.match(pair!.join(" "), /^10\.244\.\d+\.0\/24 fd00:/);
  assert.equal(cluster.list(nodes)[0]?.metadata.annotations?.["node.alpha.kubernetes.io/ttl"], "0");
});

test("aggregated cluster roles are filled", () => {
  const admin = cluster.list(clusterRoles).find(({ metadata }) => metadata.name === "admin");
  assert.ok((admin?.rules?.length ?? 0) > 10);
});

test("a cron job starts on time, keeps its history short, and stops when suspended", async () => {
  const pod = template({ cron: "1" }, { [EXIT_CODE]: "0" });
  await cluster.admin.create(cronJobs, {
    metadata: { namespace: ns, name: "tick" },
    spec: {
      schedule: "* * * * *",
      successfulJobsHistoryLimit: 2,
      jobTemplate: { spec: { template: { ...pod, spec: { ...pod.spec!, restartPolicy: "Never" } } } },
    },
  });
  await cluster.advance(6 * 60_000);
  const mine = () => cluster.list(jobs, ns).filter(({ metadata }) => metadata.name.startsWith("tick-"));
  assert.ok(mine().length >= 2 && mine().length <= 3, `${mine().length} jobs are left`);
  const { status } = cluster.list(cronJobs, ns)[0]!;
  assert.ok(Math.abs(Date.parse(status!.lastScheduleTime!) - cluster.clock.now()) < 61_000);
  assert.ok(status?.lastSuccessfulTime !== undefined);
  await cluster.admin.patch(cronJobs, { namespace: ns, name: "tick" }, "merge", { spec: { suspend: true } });
  await cluster.advance(30_000);
  await assertQuiet(150_000);
});

test("a budget allows as many evictions as its pods can bear", async () => {
  await cluster.admin.create(replicaSets, {
    metadata: { namespace: ns, name: "rs" },
    spec: { replicas: 4, selector: { matchLabels: { rs: "1" } }, template: template({ rs: "1" }) },
  });
  await cluster.admin.create(podDisruptionBudgets, {
    metadata: { namespace: ns, name: "half" },
    spec: { maxUnavailable: "50%", selector: { matchLabels: { rs: "1" } } },
  });
  await cluster.until("budget", () => cluster.list(podDisruptionBudgets, ns)[0]?.status?.disruptionsAllowed === 2);
  const { status } = cluster.list(podDisruptionBudgets, ns)[0]!;
  assert.deepEqual(
    [status?.expectedPods, status?.desiredHealthy, status?.currentHealthy, status?.observedGeneration],
    [4, 2, 4, 1],
  );
  await assertQuiet();
});

test("a quota counts what is there, and less after a deletion", async () => {
  await cluster.admin.create(resourceQuotas, {
    metadata: { namespace: ns, name: "q" },
    spec: { hard: { pods: "50", "count/replicasets.apps": "5", configmaps: "10" } },
  });
  const used = () => cluster.list(resourceQuotas, ns)[0]?.status?.used;
  await cluster.until("counted", () => used()?.["count/replicasets.apps"] === "1");
  const { configmaps } = used()!;
  await cluster.admin.create(configMaps, { metadata: { namespace: ns, name: "c" } });
  await cluster.until("charged", () => used()?.["configmaps"] === String(Number(configmaps) + 1));
  await cluster.admin.delete(configMaps, { namespace: ns, name: "c" });
  await cluster.until("returned", () => used()?.["configmaps"] === configmaps);
  await cluster.advance(5000);
  await assertQuiet();
});

test("hand-made endpoints are mirrored and the mirror goes with them", async () => {
  await cluster.admin.create(services, {
    metadata: { namespace: ns, name: "ext" },
    spec: { ports: [{ port: 80 }], clusterIP: "None" },
  });
  await cluster.admin.create(endpoints, {
    metadata: { namespace: ns, name: "ext", labels: { mine: "yes" } },
    subsets: [{ addresses: [{ ip: "192.0.2.1" }], ports: [{ port: 80 }] }],
  });
  const slices = () =>
    cluster
      .list(endpointSlices, ns)
      .filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === "ext");
  await cluster.until("mirrored", () => slices().length === 1);
  assert.equal(slices()[0]?.metadata.labels?.["mine"], "yes");
  assert.deepEqual(slices()[0]?.endpoints?.[0]?.addresses, ["192.0.2.1"]);
  await assertQuiet();
  await cluster.admin.delete(endpoints, { namespace: ns, name: "ext" });
  await cluster.until("gone", () => slices().length === 0);
});

test("a volume whose claim went between the two halves of a binding is released", async () => {
  const key = { namespace: ns, name: "torn" };
  const volume = () => cluster.list(persistentVolumes).find(({ metadata }) => metadata.name === "torn");
  const gone: Promise<unknown>[] = [];
  cluster.wire.onWrite = ({ method, path }) => {
    if (method !== "PUT" || path !== "/api/v1/persistentvolumes/torn/status" || gone.length > 0) return;
    if (volume()?.spec?.claimRef === undefined) return; // it became available
    gone.push(
      cluster.admin.patch(persistentVolumeClaims, key, "merge", { metadata: { finalizers: null } }),
      cluster.admin.delete(persistentVolumeClaims, key),
    );
  };
  const common = { accessModes: ["ReadWriteOnce"], storageClassName: "torn" };
  await cluster.admin.create(persistentVolumes, {
    metadata: { name: "torn" },
    spec: { ...common, capacity: { storage: "1Gi" }, hostPath: { path: "/tmp/x" } },
  });
  await cluster.until("available", () => volume()?.status?.phase === "Available");
  await cluster.admin.create(persistentVolumeClaims, {
    metadata: key,
    spec: { ...common, resources: { requests: { storage: "1Gi" } } },
  });
  await cluster.until("the claim is gone", () => gone.length > 0);
  cluster.wire.onWrite = undefined;
  await Promise.all(gone);
  await cluster.until("released", () => volume()?.status?.phase === "Released");
  await cluster.admin.delete(persistentVolumes, { namespace: "", name: "torn" });
  await cluster.until("the volume is gone", () => volume() === undefined);
});

test("claims are bound to volumes, provisioned on the chosen node, and released", async () => {
  await cluster.admin.create(persistentVolumes, {
    metadata: { name: "static" },
    spec: {
      capacity: { storage: "5Gi" },
      accessModes: ["ReadWriteOnce"],
      hostPath: { path: "/tmp/x" },
      persistentVolumeReclaimPolicy: "Retain",
    },
  });
  const claim = (name: string, spec: object) => ({
    metadata: { namespace: ns, name },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...spec },
  });
  const claimOf = (name: string) =>
    cluster.list(persistentVolumeClaims, ns).find(({ metadata }) => metadata.name === name);
  const volumeOf = (name: string) => cluster.list(persistentVolumes).find(({ metadata }) => metadata.name === name);
  await cluster.until("available", () => volumeOf("static")?.status?.phase === "Available");
  await cluster.admin.create(persistentVolumeClaims, claim("static", { storageClassName: "" }));
  await cluster.until(
    "bound",
    () => claimOf("static")?.status?.phase === "Bound" && volumeOf("static")?.status?.phase === "Bound",
  );
  assert.equal(claimOf("static")?.spec?.volumeName, "static");
  await assertQuiet();
  await cluster.admin.delete(persistentVolumeClaims, { namespace: ns, name: "static" });
  await cluster.until(
    "released",
    () => claimOf("static") === undefined && volumeOf("static")?.status?.phase === "Released",
  );

  await cluster.admin.create(storageClasses, {
    metadata: { name: "local-path" },
    provisioner: "kubits.io/local-path",
    volumeBindingMode: "WaitForFirstConsumer",
    reclaimPolicy: "Delete",
    allowVolumeExpansion: true,
  });
  await cluster.admin.create(persistentVolumeClaims, claim("dynamic", { storageClassName: "local-path" }));
  await cluster.advance(5000);
  assert.equal(claimOf("dynamic")?.status?.phase, "Pending");
  await cluster.admin.patch(persistentVolumeClaims, { namespace: ns, name: "dynamic" }, "merge", {
    metadata: { annotations: { "volume.kubernetes.io/selected-node": "node-1" } },
  });
  await cluster.until("provisioned", () => claimOf("dynamic")?.status?.phase === "Bound");
  const volume = claimOf("dynamic")!.spec!.volumeName!;
  await cluster.admin.patch(persistentVolumeClaims, { namespace: ns, name: "dynamic" }, "merge", {
    spec: { resources: { requests: { storage: "3Gi" } } },
  });
  await cluster.until("grown", () => claimOf("dynamic")?.status?.capacity?.["storage"] === "3Gi");
  assert.equal(volumeOf(volume)?.spec?.capacity?.["storage"], "3Gi");
  await assertQuiet();
  await cluster.admin.delete(persistentVolumeClaims, { namespace: ns, name: "dynamic" });
  await cluster.until("released", () => volumeOf(volume)?.status?.phase === "Released");
  const helper = () => cluster.list(pods, "kube-system").find(({ metadata }) => metadata.name.endsWith(volume));
  await cluster.until("its directory is being removed", () => helper() !== undefined);
  await cluster.admin.patch(pods, keyOf(helper()!), "merge", { metadata: { annotations: { [EXIT_CODE]: "0" } } });
  await cluster.until("nothing is left of it", () => volumeOf(volume) === undefined && helper() === undefined);
  await assertQuiet();
});

test("a silent node is marked, tainted, emptied, and welcomed back", async () => {
  await cluster.admin.create(namespaces, { metadata: { name: "lost" }, spec: {} });
  await cluster.advance(1000);
  const toleration = { operator: "Exists", effect: "NoExecute", tolerationSeconds: 20 };
  await cluster.admin.create(replicaSets, {
    metadata: { namespace: "lost", name: "rs" },
    spec: {
      replicas: 6,
      selector: { matchLabels: { lost: "1" } },
      template: { metadata: { labels: { lost: "1" } }, spec: { ...template({}).spec!, tolerations: [toleration] } },
    },
  });
  await cluster.until("up", () => cluster.list(replicaSets, "lost")[0]?.status?.readyReplicas === 6);
  cluster.nodes.stop("node-0");
  const node = () => cluster.list(nodes).find(({ metadata }) => metadata.name === "node-0")!;
  await cluster.until(
    "unknown",
    () => node().status?.conditions?.find(({ type }) => type === "Ready")?.status === "Unknown",
  );
  await cluster.until(
    "tainted",
    () =>
      node().spec.taints?.some(
        ({ key, effect }) => key === "node.kubernetes.io/unreachable" && effect === "NoExecute",
      ) === true,
  );
  await cluster.until("moved", () => cluster.list(replicaSets, "lost")[0]?.status?.readyReplicas === 6);
  const stranded = cluster.list(pods, "lost").filter(({ spec }) => spec.nodeName === "node-0");
  assert.ok(
    stranded.every(
      ({ metadata, status }) =>
        metadata.deletionTimestamp !== undefined &&
        status?.conditions?.some(({ reason }) => reason === "DeletionByTaintManager"),
    ),
  );
  await cluster.nodes.restart("node-0");
  await cluster.until("back", () => node().spec.taints === undefined && cluster.list(pods, "lost").length === 6);
  await cluster.advance(5000);
  await assertQuiet();
});

test("owners take their dependents along, in the foreground last, or set them free", async () => {
  await cluster.admin.create(namespaces, { metadata: { name: "gc" }, spec: {} });
  await cluster.advance(1000);
  const replicaSet = (name: string): Draft<ReplicaSet> => ({
    metadata: { namespace: "gc", name },
    spec: { replicas: 2, selector: { matchLabels: { app: name } }, template: template({ app: name }) },
  });
  const up = (name: string) => () =>
    cluster.list(pods, "gc").filter(({ metadata }) => metadata.labels?.["app"] === name).length === 2;
  for (const name of ["background", "foreground", "orphan"]) {
    await cluster.admin.create(replicaSets, replicaSet(name));
    await cluster.until("up", up(name));
  }
  const remove = (name: string, propagationPolicy: "Background" | "Foreground" | "Orphan") =>
    cluster.admin.delete(replicaSets, { namespace: "gc", name }, { propagationPolicy });
  await remove("background", "Background");
  await cluster.until("gone", () =>
    cluster.list(pods, "gc").every(({ metadata }) => metadata.labels?.["app"] !== "background"),
  );
  await remove("foreground", "Foreground");
  await cluster.advance(1);
  assert.ok(
    cluster.list(replicaSets, "gc").some(({ metadata }) => metadata.name === "foreground"),
    "it waits for its pods",
  );
  await cluster.until("gone", () =>
    cluster.list(replicaSets, "gc").every(({ metadata }) => metadata.name !== "foreground"),
  );
  assert.ok(cluster.list(pods, "gc").every(({ metadata }) => metadata.labels?.["app"] !== "foreground"));
  await remove("orphan", "Orphan");
  await cluster.until("gone", () => cluster.list(replicaSets, "gc").length === 0);
  await cluster.advance(5000);
  assert.equal(cluster.list(pods, "gc").length, 2);
  assert.ok(cluster.list(pods, "gc").every(({ metadata }) => metadata.ownerReferences === undefined));
});
