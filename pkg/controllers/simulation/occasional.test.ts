/** Loops that only some clusters keep busy, under a bad network: drivers' volumes, growing claims, bootstrap and old tokens. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  configMaps,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  secrets,
  serviceAccounts,
  storageClasses,
  volumeAttachments,
} from "#pkg/api/refs.ts";
import { attachmentName } from "../attachdetach/plan.ts";
import { LOCAL_PATH_PROVISIONER } from "../localpath/provisioner.ts";
import { PROVISIONED_BY } from "../persistentvolume/matching.ts";
import { SimulatedCluster } from "./cluster.ts";
import { BAD_NETWORK, NO_FAULTS } from "./faulty-transport.ts";
import { named, template } from "./objects.ts";

const ns = "o";
const DAY_MS = 24 * 3600_000;
const KEEP_DAYS = 3;
const key = (name: string) => ({ namespace: ns, name });
const base64 = (text: string) => Buffer.from(text).toString("base64");

let cluster: SimulatedCluster;
before(async () => {
  cluster = await SimulatedCluster.start({
    seed: 6,
    controllers: ["*", "bootstrapsigner", "tokencleaner"],
    controllerOptions: { legacyServiceAccountTokenCleanUpPeriodMs: KEEP_DAYS * DAY_MS },
  });
  await cluster.observe(configMaps, persistentVolumeClaims, persistentVolumes, secrets, serviceAccounts);
  await cluster.observe(volumeAttachments, namespaces);
  await cluster.admin.create(namespaces, { metadata: { name: ns }, spec: {} });
  await cluster.until("the account is there", () => cluster.list(serviceAccounts, ns).length > 0);
  cluster.faults = BAD_NETWORK;
});
after(() => cluster.close());

const claim = (name: string) => named(cluster.list(persistentVolumeClaims, ns), name);
const podNamed = (name: string) => named(cluster.list(pods, ns), name);

/** A volume and the claim that is bound to it. */
async function bind(name: string, volume: object, annotations: Record<string, string> = {}): Promise<void> {
  const accessModes = ["ReadWriteOnce"];
  await cluster.admin.create(persistentVolumes, {
    metadata: { name, annotations },
    spec: { accessModes, capacity: { storage: "1Gi" }, storageClassName: "elastic", ...volume },
  });
  const resources = { requests: { storage: "1Gi" } };
  await cluster.admin.create(persistentVolumeClaims, {
    metadata: key(name),
    spec: { accessModes, resources, storageClassName: "elastic", volumeName: name },
  });
  await cluster.until("bound", () => claim(name)?.status?.phase === "Bound");
}

test("a driver's volume is attached to the nodes of its pods, once each, and detached after the last", async () => {
  const driver = "csi.example.com";
  await bind("driven", { csi: { driver, volumeHandle: "handle" }, persistentVolumeReclaimPolicy: "Retain" });
  const use = (name: string, nodeName: string) =>
    cluster.admin.create(pods, {
      metadata: key(name),
      spec: {
        ...template({}).spec!,
        nodeName,
        volumes: [{ name: "data", persistentVolumeClaim: { claimName: "driven" } }],
      },
    });
  const attached = () =>
    cluster
      .list(volumeAttachments)
      .map(({ metadata, spec }) => {
        assert.equal(metadata.name, attachmentName(driver, "handle", spec.nodeName));
        assert.deepEqual([spec.attacher, spec.source.persistentVolumeName], [driver, "driven"]);
        return spec.nodeName;
      })
      .toSorted()
      .join();
  await use("one", "node-0");
  await use("two", "node-0");
  await use("far", "node-1");
  await cluster.until("attached", () => attached() === "node-0,node-1");
  const volumesAttached = () =>
    named(cluster.list(nodes), "node-1")?.status?.volumesAttached?.map(({ name }) => name) ?? [];
  const done = { status: { attached: true } };
  const far = { namespace: "", name: attachmentName(driver, "handle", "node-1") };
  await cluster.admin.patch(volumeAttachments, far, "merge", done, { subresource: "status" });
  await cluster.until("listed", () => volumesAttached().join() === `kubernetes.io/csi/${driver}^handle`);
  await cluster.admin.delete(pods, key("one"));
  await cluster.admin.delete(pods, key("far"));
  await cluster.until("detached from one", () => attached() === "node-0");
  await cluster.until("listed no more", () => volumesAttached().length === 0);
  await cluster.until("its pod is gone", () => podNamed("one") === undefined);
  await cluster.advance(60_000);
  assert.equal(attached(), "node-0", "the other pod still has it");
  await cluster.admin.delete(pods, key("two"));
  await cluster.until("detached", () => attached() === "");
});

test("a claim that asks for more has it where volumes can just grow, and waits for its driver elsewhere", async () => {
  await cluster.admin.create(storageClasses, {
    metadata: { name: "elastic" },
    provisioner: "example.com/none",
    allowVolumeExpansion: true,
  });
  await bind("ours", { hostPath: { path: "/tmp/ours" } }, { [PROVISIONED_BY]: LOCAL_PATH_PROVISIONER });
  const requests = { storage: "2Gi" };
  for (const name of ["ours", "driven"])
    await cluster.admin.patch(persistentVolumeClaims, key(name), "merge", { spec: { resources: { requests } } });
  await cluster.until("grown", () => claim("ours")?.status?.capacity?.["storage"] === "2Gi");
  assert.equal(named(cluster.list(persistentVolumes), "ours")?.spec.capacity?.["storage"], "2Gi");
  await cluster.advance(10_000);
  assert.equal(claim("driven")?.status?.capacity?.["storage"], "1Gi");
});

test("what somebody says about a bound volume stays until its phase changes", async () => {
  const message = "seen by its administrator";
  const ours = { namespace: "", name: "ours" };
  await cluster.admin.patch(persistentVolumes, ours, "merge", { status: { message } }, { subresource: "status" });
  await cluster.advance(10_000);
  assert.equal(named(cluster.list(persistentVolumes), "ours")?.status?.message, message);
  await cluster.admin.delete(persistentVolumeClaims, key("ours"));
  const status = () => named(cluster.list(persistentVolumes), "ours")?.status;
  await cluster.until("released", () => status() === undefined || status()?.phase === "Released");
  assert.equal(status()?.message, undefined);
});

test("cluster-info carries a signature for every bootstrap token that is valid", async () => {
  const make = (id: string, expiration: string) =>
    cluster.admin.create(secrets, {
      metadata: { namespace: "kube-system", name: `bootstrap-token-${id}` },
      type: "bootstrap.kubernetes.io/token",
      data: {
        "token-id": base64(id),
        "token-secret": base64("0123456789abcdef"),
        "usage-bootstrap-signing": base64("true"),
        ...(expiration === "" ? {} : { expiration: base64(expiration) }),
      },
    });
  const info = { namespace: "kube-public", name: "cluster-info" };
  const signers = () =>
    Object.keys(named(cluster.list(configMaps, info.namespace), info.name)?.data ?? {})
      .filter((name) => name.startsWith("jws-kubeconfig-"))
      .toSorted()
      .map((name) => name.slice(-6))
      .join();
  await make("aaaaaa", "");
  await make("bbbbbb", new Date(cluster.clock.now() + 60_000).toISOString());
  await cluster.admin.create(configMaps, { metadata: info, data: { kubeconfig: "content" } });
  await cluster.until("signed by both", () => signers() === "aaaaaa,bbbbbb");
  const signature = () => named(cluster.list(configMaps, info.namespace), info.name)?.data?.["jws-kubeconfig-aaaaaa"];
  const before = signature();
  await cluster.admin.patch(configMaps, info, "merge", { data: { kubeconfig: "moved" } });
  await cluster.until("signed anew", () => signature() !== before && signature() !== undefined);
  await cluster.until("only what lasts", () => signers() === "aaaaaa", 300_000);
});

/** Real clusters wait for years here, which is why only this clock sees it. A new leader looks at once, then daily. */
test("an old token that nobody uses is made invalid, then removed; one made by hand stays", async () => {
  const made = (name: string, account: string) =>
    cluster.admin.create(secrets, {
      metadata: { ...key(name), annotations: { "kubernetes.io/service-account.name": account } },
      type: "kubernetes.io/service-account-token",
    });
  // The server notes since when it has noted uses.
  await cluster.admin.create(configMaps, {
    metadata: { namespace: "kube-system", name: "kube-apiserver-legacy-service-account-token-tracking" },
    data: { since: new Date(cluster.clock.now()).toISOString().slice(0, 10) },
  });
  await cluster.admin.create(serviceAccounts, { metadata: key("robot"), secrets: [{ name: "old" }] });
  await made("old", "robot");
  await made("by-hand", "robot");
  const secret = (name: string) => named(cluster.list(secrets, ns), name);
  const invalidSince = () => secret("old")?.metadata.labels?.["kubernetes.io/legacy-token-invalid-since"];
  await cluster.advance(60_000);
  assert.equal(invalidSince(), undefined);
  const pass = async (days: number) => {
    await cluster.crashControllers();
    cluster.clock.set(cluster.clock.now() + days * DAY_MS);
    cluster.startControllers();
    await cluster.advance(60_000);
  };
  for (let days = 0; days < KEEP_DAYS + 3 && invalidSince() === undefined; days++) await pass(1);
  assert.match(invalidSince() ?? "", /^\d{4}-\d\d-\d\d$/);
  await pass(1);
  assert.ok(secret("old") !== undefined, "its maker may still object");
  for (let days = 0; days < KEEP_DAYS + 3 && secret("old") !== undefined; days++) await pass(1);
  assert.equal(secret("old"), undefined);
  assert.ok(secret("by-hand") !== undefined);
});

test("then nothing more is written", async () => {
  cluster.faults = NO_FAULTS;
  await cluster.advance(10 * 60_000);
  const paths: string[] = [];
  cluster.wire.onWrite = ({ method, path }) => paths.push(`${method} ${path}`);
  await cluster.advance(10 * 60_000);
  assert.deepEqual(paths, []);
});
