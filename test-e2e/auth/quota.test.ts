import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Api } from "../framework/api.ts";
import { eventually, useCluster } from "../framework/lab.ts";

const context = useCluster("quota");
const limit = { timeout: 90_000 };
let api: Api;
after(() => api?.close());

const at = (path: string, root = "/api/v1") => `${root}/namespaces/${context.cluster.namespace}/${path}`;
interface Quota {
  readonly spec: { readonly hard: Record<string, string> };
  readonly status: { readonly hard: Record<string, string>; readonly used: Record<string, string> };
}
const read = async (name: string) => (await api.ask(at(`resourcequotas/${name}`))).json as unknown as Quota;
async function quota(name: string, spec: object): Promise<void> {
  const answer = await api.ask(at("resourcequotas"), { body: { metadata: { name }, spec } });
  assert.equal(answer.status, 201, answer.text);
}
/** Waits until the quota's use is as wanted, in the resources named. */
async function uses(name: string, wanted: Record<string, string>): Promise<void> {
  let last: unknown;
  await eventually(`${name} uses ${JSON.stringify(wanted)}`, async () => {
    const { status } = await read(name);
    last = status;
    return Object.entries(wanted).every(([resource, amount]) => status.used?.[resource] === amount) ? true : undefined;
  }).catch((error: unknown) => {
    throw new Error(`the quota's status stayed ${JSON.stringify(last)}`, { cause: error });
  });
}
const pod = (name: string, resources: object, spec: object = {}) => ({
  metadata: { name },
  // Nobody schedules it: the quota counts what is asked for.
  spec: { schedulerName: "none", containers: [{ name: "main", image: "pause", resources }], ...spec },
});
const template = (labels: object) => ({
  metadata: { labels },
  spec: { containers: [{ name: "main", image: "pause" }] },
});
const labels = { app: "quota" };

test("objects are counted while they are there", limit, async () => {
  api = await new Api(context.cluster).ready();
  const hard = {
    configmaps: "10",
    secrets: "10",
    services: "5",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    replicationcontrollers: "1",
    "count/replicasets.apps": "1",
    resourcequotas: "1",
    persistentvolumeclaims: "1",
    "requests.storage": "10Gi",
    "gold.storageclass.storage.k8s.io/requests.storage": "10Gi",
  };
  await quota("counts", { hard });
  await uses("counts", { resourcequotas: "1", services: "0", secrets: "0" });
  const { status } = await read("counts");
  assert.deepEqual(status.hard, hard);
  const before = Number(status.used["configmaps"]); // kube-root-ca.crt
  const objects: [path: string, body: object, counted: Record<string, string>, free: Record<string, string>][] = [
    [
      at("configmaps"),
      { metadata: { name: "one" } },
      { configmaps: String(before + 1) },
      { configmaps: String(before) },
    ],
    [at("secrets"), { metadata: { name: "one" } }, { secrets: "1" }, { secrets: "0" }],
    [
      at("services"),
      { metadata: { name: "one" }, spec: { type: "NodePort", ports: [{ port: 80 }] } },
      { services: "1", "services.nodeports": "1" },
      { services: "0", "services.nodeports": "0" },
    ],
    [
      at("services"),
      {
        metadata: { name: "lb" },
        spec: { type: "LoadBalancer", allocateLoadBalancerNodePorts: false, ports: [{ port: 80 }] },
      },
      { services: "1", "services.nodeports": "0", "services.loadbalancers": "1" },
      { services: "0", "services.loadbalancers": "0" },
    ],
    [
      at("replicationcontrollers"),
      { metadata: { name: "one" }, spec: { replicas: 0, selector: labels, template: template(labels) } },
      { replicationcontrollers: "1" },
      { replicationcontrollers: "0" },
    ],
    [
      at("replicasets", "/apis/apps/v1"),
      {
        metadata: { name: "one" },
        spec: { replicas: 0, selector: { matchLabels: labels }, template: template(labels) },
      },
      { "count/replicasets.apps": "1" },
      { "count/replicasets.apps": "0" },
    ],
    [
      at("persistentvolumeclaims"),
      {
        metadata: { name: "one" },
        spec: { storageClassName: "gold", accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
      },
      {
        persistentvolumeclaims: "1",
        "requests.storage": "1Gi",
        "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
      },
      {
        persistentvolumeclaims: "0",
        "requests.storage": "0",
        "gold.storageclass.storage.k8s.io/requests.storage": "0",
      },
    ],
  ];
  for (const [path, body, counted, free] of objects) {
    const made = await api.ask(path, { body });
    assert.equal(made.status, 201, made.text);
    await uses("counts", counted);
    assert.equal((await api.ask(`${path}/${made.json.metadata.name}`, { method: "DELETE" })).status, 200);
    await uses("counts", free);
  }
  await api.ask(at("resourcequotas/counts"), { method: "DELETE" });
});

test("a pod's requests are charged, what exceeds them is refused", limit, async () => {
  const dongle = "requests.example.com/dongle";
  await quota("pods", {
    hard: { pods: "5", cpu: "1", memory: "500Mi", "requests.ephemeral-storage": "50Gi", [dongle]: "3" },
  });
  await uses("pods", { pods: "0", cpu: "0" });
  const requests = { cpu: "500m", memory: "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2" };
  const charged = { pods: "1", cpu: "500m", memory: "252Mi", "requests.ephemeral-storage": "30Gi", [dongle]: "2" };
  const resources = { requests, limits: { "example.com/dongle": "2" } };
  const made = await api.ask(at("pods"), { body: pod("fits", resources) });
  assert.equal(made.status, 201, made.text);
  await uses("pods", charged);
  const refusal = async (name: string, changed: object, limits?: object) => {
    const body = pod(name, { requests: { ...requests, ...changed }, limits: { "example.com/dongle": "2", ...limits } });
    const { status, json } = await api.ask(at("pods"), { body });
    assert.equal(status, 403);
    return json.message!;
  };
  assert.match(
    await refusal("big", { cpu: "600m", memory: "100Mi" }, { "example.com/dongle": "2" }),
    /^pods "big" is forbidden: exceeded quota: pods, requested: cpu=600m,requests\.ephemeral-storage=30Gi,requests\.example\.com\/dongle=2, used: cpu=500m,requests\.ephemeral-storage=30Gi,requests\.example\.com\/dongle=2, limited: cpu=1,requests\.ephemeral-storage=50Gi,requests\.example\.com\/dongle=3$/,
  );
  const silent = await api.ask(at("pods"), { body: pod("silent", {}) });
  assert.match(
    silent.json.message!,
    /^pods "silent" is forbidden: failed quota: pods: must specify cpu for: main; memory for: main/,
  );
  const grown = await api.ask(at("pods/fits"), {
    method: "PATCH",
    body: JSON.stringify({ spec: { containers: [{ name: "main", resources: { requests: { cpu: "600m" } } }] } }),
    headers: { "content-type": "application/strategic-merge-patch+json" },
  });
  assert.equal(grown.status, 422, grown.text);
  assert.match(grown.json.message!, /pod updates may not change fields other than/);
  await uses("pods", charged);
  const removed = await api.ask(at("pods/fits?gracePeriodSeconds=0"), { method: "DELETE" });
  assert.equal(removed.status, 200);
  await uses("pods", { pods: "0", cpu: "0", memory: "0", "requests.ephemeral-storage": "0", [dongle]: "0" });
  await api.ask(at("resourcequotas/pods"), { method: "DELETE" });
});

test("scopes choose whose pods are counted", limit, async () => {
  const computing = {
    pods: "5",
    "requests.cpu": "1",
    "requests.memory": "500Mi",
    "limits.cpu": "2",
    "limits.memory": "1Gi",
  };
  const scoped = (name: string, hard: object, scope: string) => quota(name, { hard, scopes: [scope] });
  await scoped("best-effort", { pods: "5" }, "BestEffort");
  await scoped("not-best-effort", { pods: "5" }, "NotBestEffort");
  await scoped("terminating", computing, "Terminating");
  await scoped("not-terminating", computing, "NotTerminating");
  for (const name of ["best-effort", "not-best-effort", "terminating", "not-terminating"])
    await uses(name, { pods: "0" });
  const resources = { requests: { cpu: "500m", memory: "200Mi" }, limits: { cpu: "1", memory: "400Mi" } };
  const charged = { "requests.cpu": "500m", "requests.memory": "200Mi", "limits.cpu": "1", "limits.memory": "400Mi" };
  const idle = { "requests.cpu": "0", "requests.memory": "0", "limits.cpu": "0", "limits.memory": "0" };
  const cases: [object, string[], string[]][] = [
    [pod("long", resources), ["not-best-effort", "not-terminating"], ["best-effort", "terminating"]],
    [
      pod("short", resources, { activeDeadlineSeconds: 3600 }),
      ["not-best-effort", "terminating"],
      ["best-effort", "not-terminating"],
    ],
  ];
  for (const [body, counting, others] of cases) {
    const made = await api.ask(at("pods"), { body });
    assert.equal(made.status, 201, made.text);
    for (const name of counting) await uses(name, { pods: "1", ...(name.endsWith("terminating") ? charged : {}) });
    for (const name of others) await uses(name, { pods: "0", ...(name.endsWith("terminating") ? idle : {}) });
    await api.ask(at(`pods/${made.json.metadata.name}?gracePeriodSeconds=0`), { method: "DELETE" });
    for (const name of counting) await uses(name, { pods: "0", ...(name.endsWith("terminating") ? idle : {}) });
  }
  for (const name of ["terminating", "not-terminating"])
    await api.ask(at(`resourcequotas/${name}`), { method: "DELETE" });
  await eventually("pods may be silent about resources", async () => {
    const { status } = await api.ask(at("pods"), { body: pod("silent", {}) });
    return status === 201 ? true : undefined;
  });
  await uses("best-effort", { pods: "1" });
  await uses("not-best-effort", { pods: "0" });
  await api.ask(at("pods/silent?gracePeriodSeconds=0"), { method: "DELETE" });
  await uses("best-effort", { pods: "0" });
  for (const name of ["best-effort", "not-best-effort"])
    await api.ask(at(`resourcequotas/${name}`), { method: "DELETE" });
});

test("spec and status of a quota change apart from each other", limit, async () => {
  await quota("lifecycle", { hard: { cpu: "500m", memory: "500Mi" } });
  await uses("lifecycle", { cpu: "0", memory: "0" });
  const path = at("resourcequotas/lifecycle");
  const watching = api.watch(at("resourcequotas?watch=true&fieldSelector=metadata.name%3Dlifecycle"));
  await watching.next("ADDED", "lifecycle");
  const status = await api.ask(`${path}/status`, {
    method: "PATCH",
    body: { status: { hard: { cpu: "750m", memory: "750Mi" } } },
  });
  assert.deepEqual((status.json as unknown as Quota).status.hard, { cpu: "750m", memory: "750Mi" });
  assert.deepEqual((status.json as unknown as Quota).spec.hard, { cpu: "500m", memory: "500Mi" });
  const hardOf = (object: unknown) => (object as Quota).status.hard;
  await watching.next("MODIFIED", "lifecycle", (object) => hardOf(object)["cpu"] === "750m");
  // The controller restores what the spec says.
  await watching.next("MODIFIED", "lifecycle", (object) => hardOf(object)["cpu"] === "500m");
  await api.ask(path, { method: "PATCH", body: { spec: { hard: { cpu: "1", memory: "1Gi" } } } });
  await watching.next("MODIFIED", "lifecycle", (object) => hardOf(object)["memory"] === "1Gi");
  watching.close();
  const read1 = await read("lifecycle");
  assert.deepEqual(
    [read1.spec.hard, read1.status.hard],
    [
      { cpu: "1", memory: "1Gi" },
      { cpu: "1", memory: "1Gi" },
    ],
  );
  assert.equal((await api.ask(path, { method: "DELETE" })).status, 200);
});

test("64 creators at once get exactly what the quota has", limit, async () => {
  await quota("crowd", { hard: { "count/secrets": "20" } });
  await uses("crowd", { "count/secrets": "0" });
  const creators = Array.from({ length: 64 }, (_, index) =>
    api.ask(at("secrets"), { body: { metadata: { name: `crowd-${index}` } } }),
  );
  const statuses = (await Promise.all(creators)).map(({ status }) => status);
  assert.equal(statuses.filter((status) => status === 201).length, 20);
  assert.equal(statuses.filter((status) => status === 403).length, 44);
  await uses("crowd", { "count/secrets": "20" });
});

test("a LimitRange that changes is obeyed from then on", limit, async () => {
  const amounts = (cpu: string, memory: string) => ({ cpu, memory, "ephemeral-storage": "200Gi" });
  const limits = [
    {
      type: "Container",
      min: { cpu: "50m", memory: "100Mi" },
      max: amounts("500m", "500Mi"),
      defaultRequest: amounts("100m", "200Mi"),
      default: amounts("500m", "500Mi"),
    },
  ];
  await api.ask(at("resourcequotas/crowd"), { method: "DELETE" });
  const made = await api.ask(at("limitranges"), { body: { metadata: { name: "limits" }, spec: { limits } } });
  assert.equal(made.status, 201, made.text);
  const create = (name: string, resources: object) => api.ask(at("pods?dryRun=All"), { body: pod(name, resources) });
  const resourcesOf = async (resources: object) =>
    ((await create("p", resources)).json.spec as { containers: [{ resources: unknown }] }).containers[0].resources;
  await eventually("the range counts", async () => (JSON.stringify(await resourcesOf({})) === "{}" ? undefined : true));
  assert.deepEqual(await resourcesOf({}), { limits: amounts("500m", "500Mi"), requests: amounts("100m", "200Mi") });
  assert.deepEqual(await resourcesOf({ requests: { cpu: "300m" }, limits: { cpu: "300m", memory: "150Mi" } }), {
    requests: amounts("300m", "150Mi"), // a limit is the request, too, where none is given
    limits: amounts("300m", "150Mi"),
  });
  const refusal = async (resources: object) => (await create("p", resources)).json.message;
  assert.match(
    (await refusal({ requests: { cpu: "10m" }, limits: { memory: "1Gi" } }))!,
    /^pods "p" is forbidden: \[minimum cpu usage per Container is 50m, but request is 10m, maximum memory usage per Container is 500Mi, but limit is 1Gi\]$/,
  );
  const lower = [{ ...limits[0], min: { cpu: "49m", memory: "99Mi" } }];
  const updated = await api.ask(at("limitranges/limits"), { method: "PATCH", body: { spec: { limits: lower } } });
  assert.equal(updated.status, 200, updated.text);
  const modest = { requests: { cpu: "49m", memory: "99Mi" } };
  await eventually("less is allowed now", async () => ((await create("p", modest)).status === 201 ? true : undefined));
  assert.equal((await api.ask(at("limitranges/limits"), { method: "DELETE" })).status, 200);
  await eventually("no range is left", async () => (JSON.stringify(await resourcesOf({})) === "{}" ? true : undefined));
});
