import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, test } from "node:test";
import { eventually as within, useCluster } from "../framework/lab.ts";
import { BUSYBOX } from "../framework/manifests.ts";

after(() =>
  context.cluster.try([
    "delete",
    `servicecidr/${own("range")}`,
    `validatingadmissionpolicy/${own("policy")}`,
    `clusterrole/${own("role")}`,
    `deviceclass/${own("class")}`,
    `storageclass/${own("growing")}`,
    `resourceslice/${own("slice")}`,
    `persistentvolume/${own("volume")}`,
    `volumeattributesclass/${own("gold")}`,
    "--ignore-not-found",
    "--wait=false",
  ]),
);
const context = useCluster("housekeeping");
/** Objects without a namespace; this file's namespace makes their names its own. */
const own = (name: string) => `${context.cluster.namespace}-${name}`;
const eventually = <T>(what: string, probe: () => Promise<T | undefined>) => within(what, probe, 90_000);

const sleeper = { name: "main", image: BUSYBOX, command: ["sleep", "3600"] };
const claimSpec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "16Mi" } } };
const is = async (path: string, resource: string, wanted: RegExp) =>
  wanted.test(await context.cluster.jsonpath(resource, path)) ? true : undefined;

test("the loops that fill in and mark what was created", { timeout: 300_000 }, async () => {
  const { cluster } = context;
  const robot = { "kubernetes.io/service-account.name": "default" };
  await cluster.apply([
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "token", annotations: robot },
      type: "kubernetes.io/service-account-token",
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: own("role"), labels: { "rbac.authorization.k8s.io/aggregate-to-view": "true" } },
      rules: [{ apiGroups: [own("group")], resources: ["things"], verbs: ["get"] }],
    },
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: own("range") },
      spec: { cidrs: ["10.213.7.0/24"] },
    },
    {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingAdmissionPolicy",
      metadata: { name: own("policy") },
      spec: {
        matchConstraints: {
          resourceRules: [
            { apiGroups: ["apps"], apiVersions: ["v1"], operations: ["CREATE"], resources: ["deployments"] },
          ],
        },
        validations: [{ expression: "object.spec.replicas > 'many'" }],
      },
    },
    { apiVersion: "v1", kind: "Service", metadata: { name: "outside" }, spec: { ports: [{ port: 80 }] } },
    {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { name: "outside" },
      subsets: [{ addresses: [{ ip: "192.0.2.7" }], ports: [{ port: 80 }] }],
    },
  ]);
  await eventually("the token", () => is("{.data.token}", "secret/token", /./));
  await eventually("the role", () => is("{.rules}", "clusterrole/view", new RegExp(own("group"))));
  await cluster.kubectl(["wait", "--for=condition=Ready", `servicecidr/${own("range")}`, "--timeout=60s"]);
  await cluster.kubectl(["delete", `servicecidr/${own("range")}`, "--timeout=60s"]);
  await eventually("the type check", () =>
    is("{.status.typeChecking.expressionWarnings}", `validatingadmissionpolicy/${own("policy")}`, /replicas/),
  );
  const slices = [
    "get",
    "endpointslices",
    "-l",
    "kubernetes.io/service-name=outside",
    "-o",
    "jsonpath={..addresses[*]}",
  ];
  await eventually("the mirror", async () => ((await cluster.kubectl(slices)) === "192.0.2.7" ? true : undefined));
  const node = "node/node-1";
  assert.equal(await cluster.jsonpath(node, "{.metadata.annotations['node\\.alpha\\.kubernetes\\.io/ttl']}"), "0");
  assert.match(await cluster.jsonpath(node, "{.spec.podCIDR}"), /\/24$/);
});

test("the loops that keep what is used and remove what is not", { timeout: 400_000 }, async () => {
  const { cluster } = context;
  const pod = (name: string, spec: object) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { terminationGracePeriodSeconds: 0, containers: [sleeper], ...spec },
  });
  const mounts = [{ name: "data", mountPath: "/data" }];
  const once = { containers: [{ name: "main", image: BUSYBOX, command: ["true"] }], restartPolicy: "Never" };
  await cluster.apply([
    pod("ghost", { nodeName: own("no-such-node") }),
    {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: { name: own("growing") },
      provisioner: "kubits.io/local-path",
      volumeBindingMode: "WaitForFirstConsumer",
      allowVolumeExpansion: true,
    },
    {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "claim" },
      spec: { ...claimSpec, storageClassName: own("growing") },
    },
    pod("user", {
      containers: [{ ...sleeper, volumeMounts: mounts }],
      volumes: [
        { name: "data", persistentVolumeClaim: { claimName: "claim" } },
        { name: "scratch", ephemeral: { volumeClaimTemplate: { spec: claimSpec } } },
      ],
    }),
    {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "short" },
      spec: { ttlSecondsAfterFinished: 1, template: { spec: once } },
    },
    { apiVersion: "resource.k8s.io/v1", kind: "DeviceClass", metadata: { name: own("class") }, spec: {} },
    {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceClaimTemplate",
      metadata: { name: "device" },
      spec: { spec: { devices: { requests: [{ name: "one", exactly: { deviceClassName: own("class") } }] } } },
    },
    pod("hopeful", { resourceClaims: [{ name: "gpu", resourceClaimTemplateName: "device" }] }),
    {
      apiVersion: "v1",
      kind: "ReplicationController",
      metadata: { name: "rc" },
      spec: { replicas: 1, template: { metadata: { labels: { app: "rc" } }, spec: { containers: [sleeper] } } },
    },
  ]);
  await cluster.ready("pod/user");
  await cluster.kubectl(["scale", "rc/rc", "--replicas=2"]);
  await cluster.kubectl(["wait", "rc/rc", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=60s"]);
  await cluster.kubectl(["autoscale", "rc/rc", "--min=1", "--max=3", "--cpu-percent=50"]);
  await eventually("the autoscaler has nothing to go by", () =>
    is("{.status.conditions}", "hpa/rc", /FailedGetResourceMetric/),
  );
  await cluster.kubectl(["delete", "hpa/rc", "rc/rc", "--cascade=foreground", "--timeout=60s"]);

  const bigger = { spec: { resources: { requests: { storage: "32Mi" } } } };
  await cluster.kubectl(["patch", "pvc/claim", "-p", JSON.stringify(bigger)]);
  await eventually("the claim has grown", () => is("{.status.capacity.storage}", "pvc/claim", /^32Mi$/));
  assert.equal(await cluster.jsonpath("pvc/user-scratch", "{.metadata.ownerReferences[0].name}"), "user");
  await cluster.kubectl(["delete", "pvc/claim", "--wait=false"]);
  assert.equal(await cluster.jsonpath("pvc/claim", "{.metadata.finalizers[0]}"), "kubernetes.io/pvc-protection");
  await cluster.kubectl(["delete", "pod/user", "--timeout=60s"]);
  await cluster.kubectl(["wait", "--for=delete", "pvc/claim", "pvc/user-scratch", "--timeout=60s"]);

  const claims = ["get", "resourceclaims", "-o", "jsonpath={.items[*].metadata.ownerReferences[0].name}"];
  await eventually("a claim of the pod's own", async () =>
    (await cluster.kubectl(claims)) === "hopeful" ? true : undefined,
  );
  await cluster.kubectl(["delete", "pod/hopeful", "--timeout=60s"]);
  await eventually("it goes with its pod", async () => ((await cluster.kubectl(claims)) === "" ? true : undefined));
  await cluster.kubectl(["wait", "--for=delete", "job/short", "--timeout=60s"]);
  await cluster.kubectl(["wait", "--for=delete", "pod/ghost", "--timeout=150s"], { timeoutMs: 160_000 });
});

test("the loops that attach, guard and evict", { timeout: 400_000 }, async () => {
  const { cluster } = context;
  const driver = `${own("driver")}.example.com`;
  const onNode = { nodeName: "node-1", terminationGracePeriodSeconds: 0, containers: [sleeper] };
  const gold = own("gold");
  const volume = { ...claimSpec, storageClassName: "", volumeAttributesClassName: gold };
  const pool = { name: own("pool"), generation: 1, resourceSliceCount: 1 };
  await cluster.apply([
    {
      apiVersion: "storage.k8s.io/v1",
      kind: "VolumeAttributesClass",
      metadata: { name: gold },
      driverName: driver,
      parameters: { tier: "1" },
    },
    {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: own("volume") },
      spec: {
        capacity: { storage: "16Mi" },
        accessModes: ["ReadWriteOnce"],
        persistentVolumeReclaimPolicy: "Retain",
        volumeAttributesClassName: gold,
        csi: { driver, volumeHandle: "handle" },
      },
    },
    {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "driven" },
      spec: { ...volume, volumeName: own("volume") },
    },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "driven" },
      spec: { ...onNode, volumes: [{ name: "data", persistentVolumeClaim: { claimName: "driven" } }] },
    },
    {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceSlice",
      metadata: { name: own("slice") },
      spec: { driver, pool, allNodes: true, devices: [{ name: "gpu" }] },
    },
    {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceClaim",
      metadata: { name: "device" },
      spec: { devices: { requests: [{ name: "one", exactly: { deviceClassName: own("class") } }] } },
    },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "computing" },
      spec: { ...onNode, resourceClaims: [{ name: "gpu", resourceClaimName: "device" }] },
    },
  ]);

  const results = [{ request: "one", driver, pool: own("pool"), device: "gpu" }];
  const allocated = JSON.stringify({ status: { allocation: { devices: { results } } } });
  await cluster.kubectl(["patch", "resourceclaim/device", "--subresource=status", "--type=merge", "-p", allocated]);
  await eventually("its pod has it", () => is("{.status.reservedFor[*].name}", "resourceclaim/device", /^computing$/));

  // No attacher runs here; asking for the attachment is what the loop does.
  const attached = `jsonpath={.items[?(@.spec.attacher=="${driver}")].spec['nodeName','source.persistentVolumeName']}`;
  const attachment = () => cluster.kubectl(["get", "volumeattachments", "-o", attached]);
  await eventually("an attachment", async () =>
    (await attachment()) === `node-1 ${own("volume")}` ? true : undefined,
  );
  const guarded = [`pv/${own("volume")}`, `volumeattributesclass/${gold}`] as const;
  const finalizers = [/kubernetes\.io\/pv-protection/, /kubernetes\.io\/vac-protection/];
  for (const [index, object] of guarded.entries())
    await eventually("it is guarded", () => is("{.metadata.finalizers}", object, finalizers[index]!));
  await cluster.kubectl(["delete", ...guarded, "--wait=false"]);
  for (const object of guarded) assert.notEqual(await cluster.jsonpath(object, "{.metadata.deletionTimestamp}"), "");

  const taints = [{ key: "example.com/sick", effect: "NoExecute" }];
  const tainted = JSON.stringify({ spec: { devices: [{ name: "gpu", taints }] } });
  await cluster.kubectl(["patch", `resourceslice/${own("slice")}`, "--type=merge", "-p", tainted]);
  await cluster.kubectl(["wait", "--for=delete", "pod/computing", "--timeout=90s"]);

  await cluster.kubectl(["delete", "pod/driven", "--timeout=90s"]);
  await eventually("nothing attached", async () => ((await attachment()) === "" ? true : undefined));
  await cluster.kubectl(["delete", "pvc/driven", "--timeout=60s"]);
  await cluster.kubectl(["wait", "--for=delete", ...guarded, "--timeout=60s"]);
});

test("bootstrap tokens sign where the cluster is, until they end", { timeout: 200_000 }, async () => {
  const { cluster } = context;
  const letters = cluster.namespace.slice(-5);
  const secret = "0123456789abcdef";
  const inSystem = (args: readonly string[], stdin = "") => cluster.kubectl(["-n", "kube-system", ...args], { stdin });
  const create = (id: string, data: object) => {
    const manifest = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: `bootstrap-token-${id}` },
      type: "bootstrap.kubernetes.io/token",
      stringData: { "token-id": id, "token-secret": secret, "usage-bootstrap-signing": "true", ...data },
    };
    return inSystem(["create", "-f", "-"], JSON.stringify(manifest));
  };
  const signer = `a${letters}`;
  const ended = `b${letters}`;
  await create(signer, {});
  await create(ended, { expiration: "2020-01-01T00:00:00Z" });
  const read = async () => {
    const { data } = await cluster.get<{ data: Record<string, string> }>("-n", "kube-public", "configmap/cluster-info");
    return data;
  };
  const signed = await eventually("a signature", async () => {
    const data = await read();
    return data[`jws-kubeconfig-${signer}`] === undefined ? undefined : data;
  });
  const [header, , signature] = signed[`jws-kubeconfig-${signer}`]!.split(".");
  const content = Buffer.from(signed["kubeconfig"]!).toString("base64url");
  assert.equal(signature, createHmac("sha256", secret).update(`${header}.${content}`).digest("base64url"));
  assert.equal(signed[`jws-kubeconfig-${ended}`], undefined);

  await inSystem(["wait", "--for=delete", `secret/bootstrap-token-${ended}`, "--timeout=60s"]);
  await inSystem(["delete", `secret/bootstrap-token-${signer}`]);
  await eventually("its signature goes too", async () =>
    (await read())[`jws-kubeconfig-${signer}`] === undefined ? true : undefined,
  );
});
