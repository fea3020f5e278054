/** The small loops, under a bad network: each still does its one thing, and then nothing more. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, test } from "node:test";
import {
  certificateSigningRequests,
  jobs,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  secrets,
  serviceAccounts,
  serviceCIDRs,
  validatingAdmissionPolicies,
  volumeAttributesClasses,
} from "#pkg/api/refs.ts";
import type { Draft } from "#pkg/client/index.ts";
import { createCertificateRequest, generateEcKey } from "#pkg/pki/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { SimulatedCluster } from "./cluster.ts";
import { BAD_NETWORK, NO_FAULTS } from "./faulty-transport.ts";
import { EXIT_CODE } from "./hollow-nodes.ts";
import { named, template } from "./objects.ts";

const ns = "h";
const HOUR_MS = 3600_000;
const key = (name: string) => ({ namespace: ns, name });
const claimSpec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
const base64 = (text: string) => Buffer.from(text).toString("base64");

let cluster: SimulatedCluster;
before(async () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  cluster = await SimulatedCluster.start({
    seed: 5,
    controllers: ["*", "bootstrapsigner", "tokencleaner"],
    controllerOptions: {
      serviceAccountPrivateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      terminatedPodGcThreshold: 2,
    },
  });
  await cluster.observe(persistentVolumeClaims, persistentVolumes, volumeAttributesClasses, serviceAccounts, nodes);
  await cluster.observe(secrets, serviceCIDRs, jobs, validatingAdmissionPolicies, certificateSigningRequests);
  await cluster.admin.create(namespaces, { metadata: { name: ns }, spec: {} });
  await cluster.until("the account is there", () => cluster.list(serviceAccounts, ns).length === 1);
  cluster.faults = BAD_NETWORK;
});
after(async () => {
  await cluster.close();
});

function pod(name: string, spec: object = {}, annotations?: Record<string, string>): Draft<Pod> {
  const made = template({ app: name }, annotations);
  return { metadata: { ...key(name), ...made.metadata }, spec: { ...made.spec!, ...spec } };
}
const claim = (name: string) => named(cluster.list(persistentVolumeClaims, ns), name);
const podNamed = (name: string) => named(cluster.list(pods, ns), name);

test("a claim in use stays until its last pod is gone", async () => {
  await cluster.admin.create(persistentVolumeClaims, {
    metadata: key("used"),
    spec: { ...claimSpec, storageClassName: "" },
  });
  await cluster.until("protected", () => claim("used")?.metadata.finalizers?.length === 1);
  const volumes = [{ name: "data", persistentVolumeClaim: { claimName: "used" } }];
  await cluster.admin.create(pods, pod("user", { volumes }));
  await cluster.until("running", () => podNamed("user")?.status?.phase === "Running");
  await cluster.admin.delete(persistentVolumeClaims, key("used"));
  await cluster.advance(60_000);
  assert.ok(claim("used")?.metadata.deletionTimestamp !== undefined, "it waits for the pod");
  await cluster.admin.delete(pods, key("user"));
  await cluster.until("gone", () => claim("used") === undefined);
});

test("a volume goes only when its claim has gone, a class only when nobody names it", async () => {
  const spec = {
    capacity: { storage: "1Gi" },
    accessModes: ["ReadWriteOnce"],
    persistentVolumeReclaimPolicy: "Retain",
    csi: { driver: "csi.example.com", volumeHandle: "x" },
    volumeAttributesClassName: "gold",
  };
  await cluster.admin.create(persistentVolumes, { metadata: { name: "pv" }, spec });
  await cluster.admin.create(volumeAttributesClasses, {
    metadata: { name: "gold" },
    driverName: "csi.example.com",
    parameters: { tier: "1" },
  });
  const volume = () => named(cluster.list(persistentVolumes), "pv");
  const gold = () => named(cluster.list(volumeAttributesClasses), "gold");
  await cluster.until("protected", () => gold()?.metadata.finalizers?.length === 1);
  await cluster.admin.create(persistentVolumeClaims, {
    metadata: key("bound"),
    spec: { ...claimSpec, storageClassName: "", volumeName: "pv", volumeAttributesClassName: "gold" },
  });
  await cluster.admin.delete(volumeAttributesClasses, { namespace: "", name: "gold" });
  await cluster.admin.create(persistentVolumeClaims, {
    metadata: key("other"),
    spec: { ...claimSpec, storageClassName: "", volumeName: "pv" },
  });
  await cluster.until("bound", () => volume()?.status?.phase === "Bound");
  await cluster.admin.delete(persistentVolumes, { namespace: "", name: "pv" });
  await cluster.advance(60_000);
  assert.ok(volume() !== undefined && gold() !== undefined, "both are in use");
  for (const name of ["bound", "other"]) await cluster.admin.delete(persistentVolumeClaims, key(name));
  await cluster.until("the class is gone", () => gold() === undefined);
  await cluster.until("the volume is gone", () => volume() === undefined);
});

test("a pod's ephemeral volume has a claim of the pod's own, and nobody else's is taken for it", async () => {
  const volumes = [
    { name: "scratch", ephemeral: { volumeClaimTemplate: { spec: { ...claimSpec, storageClassName: "" } } } },
  ];
  await cluster.admin.create(persistentVolumeClaims, { metadata: key("thief-scratch"), spec: claimSpec });
  await cluster.admin.create(pods, pod("eph", { volumes }));
  await cluster.admin.create(pods, pod("thief", { volumes }));
  await cluster.until("made", () => claim("eph-scratch") !== undefined);
  assert.equal(claim("eph-scratch")?.metadata.ownerReferences?.[0]?.uid, podNamed("eph")?.metadata.uid);
  assert.equal(claim("thief-scratch")?.metadata.ownerReferences, undefined);
  await cluster.admin.delete(pods, key("eph"));
  await cluster.until("gone with its pod", () => claim("eph-scratch") === undefined);
  await cluster.admin.delete(pods, key("thief"));
});

test("a token secret is filled, and goes with its account", async () => {
  const annotations = { "kubernetes.io/service-account.name": "robot" };
  await cluster.admin.create(serviceAccounts, { metadata: key("robot") });
  await cluster.admin.create(secrets, {
    metadata: { ...key("token"), annotations },
    type: "kubernetes.io/service-account-token",
  });
  const token = () => named(cluster.list(secrets, ns), "token");
  await cluster.until("filled", () => token()?.data?.["token"] !== undefined);
  assert.equal(token()?.data?.["ca.crt"], base64("test root"));
  await cluster.admin.delete(serviceAccounts, key("robot"));
  await cluster.until("gone", () => token() === undefined);
});

test("an expired bootstrap token is cleaned away, one without an end stays", async () => {
  const make = (id: string, expiration?: string) =>
    cluster.admin.create(secrets, {
      metadata: { namespace: "kube-system", name: `bootstrap-token-${id}` },
      type: "bootstrap.kubernetes.io/token",
      data: {
        "token-id": base64(id),
        "token-secret": base64("0123456789abcdef"),
        ...(expiration === undefined ? {} : { expiration: base64(expiration) }),
      },
    });
  await make("aaaaaa", new Date(cluster.clock.now() + 60_000).toISOString());
  await make("bbbbbb");
  const token = (id: string) => named(cluster.list(secrets, "kube-system"), `bootstrap-token-${id}`);
  await cluster.until("cleaned", () => token("aaaaaa") === undefined, 300_000);
  assert.ok(token("bbbbbb") !== undefined);
});

test("a finished Job goes after its time, with its pods", async () => {
  const done = template({ job: "ttl" }, { [EXIT_CODE]: "0" });
  await cluster.admin.create(jobs, {
    metadata: key("ttl"),
    spec: { ttlSecondsAfterFinished: 30, template: { ...done, spec: { ...done.spec!, restartPolicy: "Never" } } },
  });
  const job = () => named(cluster.list(jobs, ns), "ttl");
  await cluster.until("complete", () => job()?.status?.succeeded === 1);
  await cluster.advance(20_000);
  assert.ok(job() !== undefined, "not yet");
  await cluster.until("gone", () => job() === undefined);
  await cluster.until("and its pod", () =>
    cluster.list(pods, ns).every(({ metadata }) => metadata.labels?.["job"] === undefined),
  );
});

test("an admission policy is type-checked once per version", async () => {
  const policy = () => named(cluster.list(validatingAdmissionPolicies), "typed");
  await cluster.admin.create(validatingAdmissionPolicies, {
    metadata: { name: "typed" },
    spec: {
      matchConstraints: {
        resourceRules: [
          { apiGroups: ["apps"], apiVersions: ["v1"], operations: ["CREATE"], resources: ["deployments"] },
        ],
      },
      validations: [{ expression: "object.spec.replicas > 'many'" }],
    },
  });
  await cluster.until("checked", () => policy()?.status?.observedGeneration === 1);
  assert.match(policy()?.status?.typeChecking?.expressionWarnings?.[0]?.warning ?? "", /deployments|Deployment/i);
});

test("a range of service addresses is ready, and free to go while nobody has an address of it", async () => {
  const range = () => named(cluster.list(serviceCIDRs), "extra");
  await cluster.admin.create(serviceCIDRs, { metadata: { name: "extra" }, spec: { cidrs: ["10.99.0.0/24"] } });
  await cluster.until("ready", () => range()?.status?.conditions?.[0]?.status === "True");
  assert.deepEqual(range()?.metadata.finalizers, ["networking.k8s.io/service-cidr-finalizer"]);
  await cluster.admin.delete(serviceCIDRs, { namespace: "", name: "extra" });
  await cluster.until("gone", () => range() === undefined);
});

test("finished pods beyond the threshold go, and those of a node that has gone", async () => {
  for (const name of ["f1", "f2", "f3", "f4"])
    await cluster.admin.create(pods, pod(name, { restartPolicy: "Never" }, { [EXIT_CODE]: "0" }));
  await cluster.until(
    "two are left",
    () => cluster.list(pods, ns).filter(({ status }) => status?.phase === "Succeeded").length === 2,
  );
  await cluster.admin.create(pods, pod("lost", { nodeName: "node-2" }));
  await cluster.until("it runs", () => podNamed("lost")?.status?.phase === "Running");
  cluster.nodes.stop("node-2");
  await cluster.admin.delete(nodes, { namespace: "", name: "node-2" });
  await cluster.until("it is gone", () => podNamed("lost") === undefined, 600_000);
});

/** Real clusters wait for a day here, which is why only this clock sees it. */
test("a request nobody answers is cleaned away after a day", async () => {
  const pem = await createCertificateRequest(generateEcKey(), { commonName: "jane", organizations: ["devs"] });
  const spec = { signerName: "example.com/own", usages: ["client auth"], request: base64(pem) };
  await cluster.admin.create(certificateSigningRequests, { metadata: { name: "stale" }, spec });
  const request = () => named(cluster.list(certificateSigningRequests), "stale");
  await cluster.advance(600_000);
  assert.ok(request() !== undefined);
  cluster.clock.set(cluster.clock.now() + 24 * HOUR_MS);
  // The cleaner comes once an hour, and a fault may meet it.
  await cluster.until("cleaned", () => request() === undefined, 3.1 * HOUR_MS);
});

test("then nothing more is written", async () => {
  cluster.faults = NO_FAULTS;
  await cluster.advance(10 * 60_000);
  const paths: string[] = [];
  cluster.wire.onWrite = ({ method, path }) => paths.push(`${method} ${path}`);
  await cluster.advance(10 * 60_000);
  assert.deepEqual(paths, []);
});
