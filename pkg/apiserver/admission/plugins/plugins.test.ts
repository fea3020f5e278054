import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { LimitRange, Namespace, Node, Pod, ServiceAccount as Account } from "#pkg/api/types/core-v1.ts";
import type { IngressClass } from "#pkg/api/types/networking-v1.ts";
import type { RuntimeClass as Class } from "#pkg/api/types/node-v1.ts";
import type { PriorityClass } from "#pkg/api/types/scheduling-v1.ts";
import type { StorageClass } from "#pkg/api/types/storage-v1.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import { createCertificateRequest, generateEcKey } from "#pkg/pki/index.ts";
import { FakeClock, SeededRandom } from "#pkg/util/index.ts";
import type { Attributes, Authorizer } from "../../contract.ts";
import { MemorySource } from "../../source/index.ts";
import { attributesFor, run } from "../testing.ts";
import { CertificateApproval, CertificateSigning, CertificateSubjectRestriction } from "./certificates.ts";
import { LimitRanger } from "./limits.ts";
import { NamespaceLifecycle } from "./namespace-lifecycle.ts";
import { DenyServiceExternalIPs, PodNodeSelector } from "./namespace-options.ts";
import { NodeRestriction } from "./node-restriction.ts";
import {
  AlwaysPullImages,
  DefaultTolerationSeconds,
  PodTopologyLabels,
  TaintNodesByCondition,
} from "./pod-defaults.ts";
import { Priority } from "./priority.ts";
import { RuntimeClass } from "./runtime-class.ts";
import { ServiceAccount } from "./service-account.ts";
import {
  DefaultIngressClass,
  DefaultStorageClass,
  PersistentVolumeClaimResize,
  StorageObjectInUseProtection,
} from "./storage.ts";

const source = <T extends AnyObject>(...objects: object[]): MemorySource<T> => new MemorySource<T>(objects as T[]);
const pod = (spec: object = {}, metadata: object = {}): Pod =>
  ({
    metadata: { name: "p", namespace: "ns", ...metadata },
    spec: { containers: [{ name: "c" }], ...spec },
  }) as unknown as Pod;

describe("NamespaceLifecycle", () => {
  const namespaces = source<Namespace>(
    { metadata: { name: "ns" }, status: { phase: "Active" } },
    { metadata: { name: "dying", deletionTimestamp: "x" }, status: { phase: "Terminating" } },
  );
  const live = { metadata: { name: "fresh" } } as Namespace;
  const plugin = new NamespaceLifecycle(namespaces, async (name) => (name === "fresh" ? live : undefined));
  const create = (namespace: string, more: object = {}): Promise<unknown> =>
    run(plugin, attributesFor("configmaps", { object: { metadata: { name: "x" } }, namespace, ...more }));

  test("creates only in living namespaces, also ones the cache does not know yet", async () => {
    await create("ns");
    await create("fresh");
    await assert.rejects(create("none"), { message: 'namespaces "none" not found' });
    await assert.rejects(
      create("dying"),
      (error: { message: string; status: { details: { causes: { reason: string }[] } } }) => {
        assert.equal(
          error.message,
          'configmaps "x" is forbidden: unable to create new content in namespace dying because it is being terminated',
        );
        assert.equal(error.status.details.causes[0]!.reason, "NamespaceTerminating");
        return true;
      },
    );
    await create("dying", { oldObject: { metadata: {} } });
    await create("dying", { operation: "DELETE", object: undefined });
  });
  test("keeps the system's namespaces", async () => {
    const remove = (name: string): Promise<unknown> =>
      run(plugin, attributesFor("namespaces", { operation: "DELETE", namespace: "", name }));
    await assert.rejects(remove("kube-system"), {
      message: 'namespaces "kube-system" is forbidden: this namespace may not be deleted',
    });
    await remove("mine");
  });
});

describe("ServiceAccount", () => {
  const clock = new FakeClock();
  const accounts = source<Account>(
    { metadata: { name: "default", namespace: "ns" } },
    {
      metadata: { name: "off", namespace: "ns" },
      automountServiceAccountToken: false,
      imagePullSecrets: [{ name: "pull" }],
    },
    { metadata: { name: "on", namespace: "ns" }, automountServiceAccountToken: true },
  );
  const plugin = new ServiceAccount(accounts, clock, new SeededRandom(7));
  const admit = async (object: Pod, namespace = "ns"): Promise<Pod> => {
    await run(plugin, attributesFor("pods", { object, namespace }));
    return object;
  };

  const matrix: [string, boolean | undefined, boolean][] = [
    ["default", undefined, true],
    ["default", true, true],
    ["default", false, false],
    ["on", undefined, true],
    ["on", true, true],
    ["on", false, false],
    ["off", undefined, false],
    ["off", true, true],
    ["off", false, false],
  ];
  for (const [account, wanted, mounted] of matrix) {
    test(`account ${account}, pod automount ${wanted}: ${mounted ? "mounted" : "not mounted"}`, async () => {
      const admitted = await admit(
        pod({ serviceAccountName: account, ...(wanted === undefined ? {} : { automountServiceAccountToken: wanted }) }),
      );
      assert.equal(admitted.spec!.volumes?.length ?? 0, mounted ? 1 : 0);
      assert.equal(admitted.spec!.containers[0]!.volumeMounts?.length ?? 0, mounted ? 1 : 0);
    });
  }

  test("adds name, volume and mounts as upstream does", async () => {
    const admitted = await admit(pod({ initContainers: [{ name: "i" }] }));
    const { spec } = admitted;
    assert.equal(spec!.serviceAccountName, "default");
    assert.equal(spec!.serviceAccount, "default");
    const [volume] = spec!.volumes!;
    assert.match(volume!.name, /^kube-api-access-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    const { name: _name, ...rest } = volume!;
    assert.deepEqual(rest, {
      projected: {
        sources: [
          { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
          { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
          {
            downwardAPI: {
              items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
            },
          },
        ],
        defaultMode: 420,
      },
    });
    const mount = { name: volume!.name, readOnly: true, mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" };
    assert.deepEqual(spec!.containers[0]!.volumeMounts, [mount]);
    assert.deepEqual(spec!.initContainers![0]!.volumeMounts, [mount]);
  });
  test("leaves a container alone that mounts something there", async () => {
    const volumeMounts = [{ name: "own", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" }];
    const admitted = await admit(pod({ containers: [{ name: "c", volumeMounts }] }));
    assert.equal(admitted.spec!.volumes, undefined);
  });
  test("brings image pull secrets unless the pod has its own", async () => {
    assert.deepEqual((await admit(pod({ serviceAccountName: "off" }))).spec!.imagePullSecrets, [{ name: "pull" }]);
    const own = [{ name: "mine" }];
    assert.deepEqual(
      (await admit(pod({ serviceAccountName: "off", imagePullSecrets: own }))).spec!.imagePullSecrets,
      own,
    );
  });
  test("waits for a new namespace's default account, not for others", async () => {
    const waiting = admit(pod({}, { namespace: "new" }), "new");
    await clock.advance(150);
    accounts.set({ metadata: { name: "default", namespace: "new" } } as Account);
    await clock.advance(150);
    assert.equal((await waiting).spec!.serviceAccountName, "default");
    await assert.rejects(
      admit(pod({ serviceAccountName: "nobody" })),
      /pods "p" is forbidden: error looking up service account ns\/nobody: serviceaccount "nobody" not found/,
    );
  });
  test("restricts mirror pods and enforced secrets", async () => {
    const mirror = { annotations: { "kubernetes.io/config.mirror": "x" } };
    await admit(pod({}, mirror));
    await assert.rejects(
      admit(pod({ serviceAccountName: "default" }, mirror)),
      /a mirror pod may not reference service accounts/,
    );
    await assert.rejects(
      admit(pod({ volumes: [{ name: "v", secret: { secretName: "s" } }] }, mirror)),
      /a mirror pod may not reference secrets/,
    );
    accounts.set({
      metadata: { name: "strict", namespace: "ns", annotations: { "kubernetes.io/enforce-mountable-secrets": "true" } },
      secrets: [{ name: "ok" }],
    } as unknown as Account);
    await admit(pod({ serviceAccountName: "strict", volumes: [{ name: "v", secret: { secretName: "ok" } }] }));
    await assert.rejects(
      admit(pod({ serviceAccountName: "strict", volumes: [{ name: "v", secret: { secretName: "other" } }] })),
      /volume with secret.secretName="other" is not allowed because service account strict does not reference that secret/,
    );
  });
});

describe("LimitRanger", () => {
  const range = (...limits: object[]): LimitRanger =>
    new LimitRanger(source<LimitRange>({ metadata: { name: "l", namespace: "ns" }, spec: { limits } }));
  const withResources = (resources: object): Pod => pod({ containers: [{ name: "c", resources }] });

  test("fills in defaults and says so", async () => {
    const object = pod({ initContainers: [{ name: "i" }] });
    await run(
      range({
        type: "Container",
        default: { cpu: "500m", memory: "5Gi" },
        defaultRequest: { cpu: "50m", memory: "1Gi" },
      }),
      attributesFor("pods", { object }),
    );
    assert.deepEqual(object.spec!.containers[0]!.resources, {
      requests: { cpu: "50m", memory: "1Gi" },
      limits: { cpu: "500m", memory: "5Gi" },
    });
    assert.equal(
      object.metadata.annotations!["kubernetes.io/limit-ranger"],
      "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c; cpu, memory request for init container i; cpu, memory limit for init container i",
    );
  });
  const refusals: [string, object, object, string][] = [
    [
      "below minimum",
      { type: "Container", min: { cpu: "100m" } },
      { requests: { cpu: "50m" } },
      "minimum cpu usage per Container is 100m, but request is 50m",
    ],
    [
      "no request",
      { type: "Container", min: { cpu: "100m" } },
      {},
      "minimum cpu usage per Container is 100m.  No request is specified",
    ],
    [
      "above maximum",
      { type: "Container", max: { memory: "1Gi" } },
      { limits: { memory: "2Gi" } },
      "maximum memory usage per Container is 1Gi, but limit is 2Gi",
    ],
    [
      "no limit",
      { type: "Container", max: { memory: "1Gi" } },
      {},
      "maximum memory usage per Container is 1Gi.  No limit is specified",
    ],
    [
      "ratio",
      { type: "Container", maxLimitRequestRatio: { cpu: "2" } },
      { requests: { cpu: "1" }, limits: { cpu: "3" } },
      "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
    ],
    [
      "pod sum",
      { type: "Pod", max: { cpu: "1" } },
      { requests: { cpu: "2" }, limits: { cpu: "2" } },
      "maximum cpu usage per Pod is 1, but limit is 2",
    ],
  ];
  for (const [name, item, resources, message] of refusals) {
    test(name, async () => {
      await assert.rejects(run(range(item), attributesFor("pods", { object: withResources(resources) })), {
        message: `pods "p" is forbidden: ${message}`,
      });
    });
  }
  test("several complaints come in brackets", async () => {
    const bounds = { type: "Container", min: { cpu: "1" }, max: { memory: "1Gi" } };
    await assert.rejects(
      run(
        range(bounds),
        attributesFor("pods", { object: withResources({ requests: { cpu: "1m" }, limits: { memory: "2Gi" } }) }),
      ),
      {
        message:
          'pods "p" is forbidden: [minimum cpu usage per Container is 1, but request is 1m, maximum memory usage per Container is 1Gi, but limit is 2Gi]',
      },
    );
  });
  test("claims", async () => {
    const plugin = range({ type: "PersistentVolumeClaim", min: { storage: "1Gi" }, max: { storage: "10Gi" } });
    const claim = (storage: string): object => ({
      metadata: { name: "d" },
      spec: { resources: { requests: { storage } } },
    });
    await run(plugin, attributesFor("persistentvolumeclaims", { object: claim("5Gi") }));
    await assert.rejects(
      run(plugin, attributesFor("persistentvolumeclaims", { object: claim("20Gi") })),
      /maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 20Gi/,
    );
  });
  test("updates of pods are not judged again", async () => {
    await run(
      range({ type: "Container", min: { cpu: "1" } }),
      attributesFor("pods", { object: pod(), oldObject: pod() }),
    );
  });
});

describe("Priority", () => {
  const classes = source<PriorityClass>(
    { metadata: { name: "high" }, value: 1000, preemptionPolicy: "Never" },
    { metadata: { name: "normal" }, value: 10, globalDefault: true },
  );
  const plugin = new Priority(classes);
  const admit = async (spec: object): Promise<Pod["spec"]> => {
    const object = pod(spec);
    await run(plugin, attributesFor("pods", { object }));
    return object.spec;
  };
  test("resolves names and the default", async () => {
    const high = await admit({ priorityClassName: "high" });
    assert.deepEqual([high!.priority, high!.preemptionPolicy], [1000, "Never"]);
    const normal = await admit({});
    assert.deepEqual(
      [normal!.priority, normal!.preemptionPolicy, normal!.priorityClassName],
      [10, "PreemptLowerPriority", "normal"],
    );
  });
  test("refuses unknown names, own numbers and a second default", async () => {
    await assert.rejects(admit({ priorityClassName: "x" }), {
      message: 'pods "p" is forbidden: no PriorityClass with name x was found',
    });
    await assert.rejects(
      admit({ priority: 5 }),
      /the integer value of priority \(5\) must not be provided in pod spec; priority admission controller computed 10/,
    );
    const second = attributesFor("scheduling.k8s.io/priorityclasses", {
      object: { metadata: { name: "other" }, globalDefault: true },
      namespace: "",
    });
    await assert.rejects(
      run(plugin, second),
      /PriorityClass normal is already marked as globalDefault. Only one can be marked/,
    );
  });
});

describe("small plugins", () => {
  test("DefaultTolerationSeconds adds what is missing", async () => {
    const keys = async (tolerations?: object[]): Promise<string[]> => {
      const object = pod(tolerations === undefined ? {} : { tolerations });
      await run(new DefaultTolerationSeconds(), attributesFor("pods", { object }));
      return (object.spec!.tolerations ?? []).map(({ key, tolerationSeconds }) => `${key}:${tolerationSeconds}`);
    };
    assert.deepEqual(await keys(), ["node.kubernetes.io/not-ready:300", "node.kubernetes.io/unreachable:300"]);
    assert.deepEqual(await keys([{ operator: "Exists" }]), ["undefined:undefined"]);
    assert.deepEqual(await keys([{ key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute" }]), [
      "node.kubernetes.io/not-ready:undefined",
      "node.kubernetes.io/unreachable:300",
    ]);
  });
  test("TaintNodesByCondition taints new nodes once", async () => {
    const object = { metadata: { name: "n" } } as Node;
    await run(new TaintNodesByCondition(), attributesFor("nodes", { object }));
    await run(new TaintNodesByCondition(), attributesFor("nodes", { object }));
    assert.deepEqual(object.spec!.taints, [{ key: "node.kubernetes.io/not-ready", effect: "NoSchedule" }]);
  });
  test("AlwaysPullImages", async () => {
    const object = pod({ containers: [{ name: "c", imagePullPolicy: "Never" }] });
    await run(new AlwaysPullImages(), attributesFor("pods", { object }));
    assert.equal(object.spec!.containers[0]!.imagePullPolicy, "Always");
  });
  test("PodTopologyLabels copies at binding", async () => {
    const plugin = new PodTopologyLabels(
      source<Node>({ metadata: { name: "n", labels: { "topology.kubernetes.io/zone": "a", other: "b" } } }),
    );
    const object = { metadata: { name: "p" }, target: { kind: "Node", name: "n" } };
    await run(plugin, attributesFor("pods", { object, subresource: "binding" }));
    assert.deepEqual(object.metadata, { name: "p", labels: { "topology.kubernetes.io/zone": "a" } });
  });
  test("DefaultStorageClass takes the newest default", async () => {
    const isDefault = { annotations: { "storageclass.kubernetes.io/is-default-class": "true" } };
    const classes = source<StorageClass>(
      { metadata: { name: "old", creationTimestamp: "2020-01-01T00:00:00Z", ...isDefault } },
      { metadata: { name: "new", creationTimestamp: "2024-01-01T00:00:00Z", ...isDefault } },
      { metadata: { name: "plain", creationTimestamp: "2025-01-01T00:00:00Z" } },
    );
    const admitted = async (spec: object): Promise<unknown> => {
      const object = { metadata: { name: "c" }, spec };
      await run(new DefaultStorageClass(classes), attributesFor("persistentvolumeclaims", { object }));
      return (object.spec as { storageClassName?: string }).storageClassName;
    };
    assert.equal(await admitted({}), "new");
    assert.equal(await admitted({ storageClassName: "" }), "");
  });
  test("DefaultIngressClass", async () => {
    const classes = source<IngressClass>({
      metadata: { name: "nginx", annotations: { "ingressclass.kubernetes.io/is-default-class": "true" } },
    });
    const object: { metadata: object; spec: { ingressClassName?: string } } = { metadata: { name: "i" }, spec: {} };
    await run(new DefaultIngressClass(classes), attributesFor("networking.k8s.io/ingresses", { object }));
    assert.equal(object.spec.ingressClassName, "nginx");
  });
  test("StorageObjectInUseProtection adds its finalizer", async () => {
    const object = { metadata: { name: "v", finalizers: undefined as string[] | undefined } };
    await run(new StorageObjectInUseProtection(), attributesFor("persistentvolumes", { object, namespace: "" }));
    assert.deepEqual(object.metadata.finalizers, ["kubernetes.io/pv-protection"]);
  });
  test("PersistentVolumeClaimResize", async () => {
    const classes = source<StorageClass>(
      { metadata: { name: "grows" }, allowVolumeExpansion: true },
      { metadata: { name: "fixed" } },
    );
    const claim = (storage: string, storageClassName: string, phase = "Bound"): object => ({
      metadata: { name: "c" },
      spec: { storageClassName, resources: { requests: { storage } } },
      status: { phase },
    });
    const resize = (from: object, to: object): Promise<unknown> =>
      run(
        new PersistentVolumeClaimResize(classes),
        attributesFor("persistentvolumeclaims", { object: to, oldObject: from }),
      );
    await resize(claim("1Gi", "grows"), claim("2Gi", "grows"));
    await resize(claim("1Gi", "fixed"), claim("1Gi", "fixed"));
    await assert.rejects(
      resize(claim("1Gi", "fixed"), claim("2Gi", "fixed")),
      /only dynamically provisioned pvc can be resized/,
    );
    await assert.rejects(
      resize(claim("1Gi", "grows", "Pending"), claim("2Gi", "grows")),
      /Only bound persistent volume claims can be expanded/,
    );
  });
  test("PodNodeSelector and DenyServiceExternalIPs", async () => {
    const namespaces = source<Namespace>({
      metadata: { name: "ns", annotations: { "scheduler.alpha.kubernetes.io/node-selector": "env=test" } },
    });
    const object = pod();
    await run(new PodNodeSelector(namespaces), attributesFor("pods", { object }));
    assert.deepEqual(object.spec!.nodeSelector, { env: "test" });
    await assert.rejects(
      run(new PodNodeSelector(namespaces), attributesFor("pods", { object: pod({ nodeSelector: { env: "prod" } }) })),
      /conflicts with its namespace/,
    );
    const service = { metadata: { name: "s" }, spec: { externalIPs: ["1.2.3.4"] } };
    await assert.rejects(
      run(new DenyServiceExternalIPs(), attributesFor("services", { object: service })),
      /Use of external IPs is denied by admission control/,
    );
    await run(new DenyServiceExternalIPs(), attributesFor("services", { object: service, oldObject: service }));
  });
});

describe("RuntimeClass", () => {
  const classes = source<Class>({
    metadata: { name: "kata" },
    handler: "kata",
    overhead: { podFixed: { cpu: "100m" } },
    scheduling: { nodeSelector: { kata: "yes" }, tolerations: [{ key: "kata", operator: "Exists" }] },
  });
  const admit = async (spec: object): Promise<Pod["spec"]> => {
    const object = pod(spec);
    await run(new RuntimeClass(classes), attributesFor("pods", { object }));
    return object.spec;
  };
  test("brings overhead, selector and tolerations", async () => {
    const spec = await admit({ runtimeClassName: "kata", overhead: { cpu: "0.1" } });
    assert.deepEqual(
      [spec!.overhead, spec!.nodeSelector, spec!.tolerations],
      [{ cpu: "100m" }, { kata: "yes" }, [{ key: "kata", operator: "Exists" }]],
    );
  });
  test("refuses what does not fit", async () => {
    await assert.rejects(admit({ runtimeClassName: "gvisor" }), {
      message: 'pods "p" is forbidden: pod rejected: RuntimeClass "gvisor" not found',
    });
    await assert.rejects(
      admit({ runtimeClassName: "kata", overhead: { cpu: "1" } }),
      /Pod's Overhead doesn't match RuntimeClass's defined Overhead/,
    );
    await assert.rejects(
      admit({ overhead: { cpu: "1" } }),
      /Pod Overhead set without corresponding RuntimeClass defined Overhead/,
    );
    await assert.rejects(
      admit({ runtimeClassName: "kata", nodeSelector: { kata: "no" } }),
      /conflict: runtimeClass.scheduling.nodeSelector\[kata\] = yes; pod.spec.nodeSelector\[kata\] = no/,
    );
  });
});

describe("NodeRestriction", () => {
  const user = { name: "system:node:n1", groups: ["system:nodes"] };
  const pods = source<Pod>(
    pod(
      {
        nodeName: "n1",
        serviceAccountName: "sa",
        volumes: [{ name: "t", projected: { sources: [{ serviceAccountToken: { audience: "vault" } }] } }],
      },
      { uid: "u1" },
    ),
    pod({ nodeName: "n2" }, { name: "q", uid: "u2" }),
  );
  const plugin = new NodeRestriction({ pods, nodes: source<Node>({ metadata: { name: "n1", uid: "node-uid" } }) });
  const go = (resource: string, parts: object): Promise<unknown> =>
    run(plugin, attributesFor(resource, { user, ...parts }));
  const node = (name: string, labels: object = {}, spec: object = {}): object => ({ metadata: { name, labels }, spec });
  const mirror = (spec: object = {}, owner: object = {}): Pod =>
    pod(
      { nodeName: "n1", ...spec },
      {
        annotations: { "kubernetes.io/config.mirror": "x" },
        ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "n1", uid: "node-uid", controller: true, ...owner }],
      },
    );
  const token = (name: string, uid: string, audiences: string[] = []): object => ({
    subresource: "token",
    name: "sa",
    object: { metadata: {}, spec: { audiences, boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid } } },
  });

  test("leaves others alone", async () => {
    await run(
      plugin,
      attributesFor("nodes", { object: node("n9"), namespace: "", user: { name: "admin", groups: [] } }),
    );
  });
  const allowed: [string, string, object][] = [
    [
      "its own Node",
      "nodes",
      { object: node("n1", { "kubernetes.io/hostname": "n1", "node.kubernetes.io/x": "y", custom: "z" }) },
    ],
    ["its own status", "nodes", { object: node("n1"), oldObject: node("n1"), subresource: "status" }],
    ["a mirror pod", "pods", { object: mirror() }],
    ["status of its pod", "pods", { object: pod(), oldObject: pod({ nodeName: "n1" }), subresource: "status" }],
    ["deleting its pod", "pods", { operation: "DELETE", name: "p" }],
    ["token for its pod", "serviceaccounts", token("p", "u1", ["vault"])],
    ["its lease", "coordination.k8s.io/leases", { object: { metadata: { name: "n1" } }, namespace: "kube-node-lease" }],
  ];
  for (const [name, resource, parts] of allowed) test(`allows ${name}`, async () => void (await go(resource, parts)));

  const refused: [string, string, object, RegExp][] = [
    ["another Node", "nodes", { object: node("n2") }, /node "n1" is not allowed to modify node "n2"/],
    [
      "restricted labels",
      "nodes",
      { object: node("n1", { "node-restriction.kubernetes.io/x": "y" }) },
      /is not allowed to set the following labels: node-restriction.kubernetes.io\/x/,
    ],
    [
      "labels of others",
      "nodes",
      { object: node("n1", { "foo.k8s.io/x": "y" }), oldObject: node("n1") },
      /is not allowed to modify labels: foo.k8s.io\/x/,
    ],
    [
      "taints",
      "nodes",
      { object: node("n1"), oldObject: node("n1", {}, { taints: [{ key: "a", effect: "NoSchedule" }] }) },
      /node "n1" is not allowed to modify taints/,
    ],
    [
      "ordinary pods",
      "pods",
      { object: pod({ nodeName: "n1" }) },
      /does not have "kubernetes.io\/config.mirror" annotation, node "n1" can only create mirror pods/,
    ],
    [
      "mirror pods elsewhere",
      "pods",
      { object: mirror({ nodeName: "n2" }) },
      /can only create pods with spec.nodeName set to itself/,
    ],
    ["mirror pods of another owner", "pods", { object: mirror({}, { name: "n2" }) }, /owner reference set to itself/],
    [
      "mirror pods of an older self",
      "pods",
      { object: mirror({}, { uid: "old" }) },
      /node n1 UID mismatch: expected old got node-uid/,
    ],
    [
      "mirror pods with secrets",
      "pods",
      { object: mirror({ volumes: [{ name: "s", secret: { secretName: "x" } }] }) },
      /can not create pods that reference secrets/,
    ],
    [
      "status of others' pods",
      "pods",
      { object: pod(), oldObject: pod({ nodeName: "n2" }), subresource: "status" },
      /can only update pod status for pods with spec.nodeName set to itself/,
    ],
    [
      "labels through status",
      "pods",
      { object: pod({}, { labels: { a: "b" } }), oldObject: pod({ nodeName: "n1" }), subresource: "status" },
      /cannot update labels through pod status/,
    ],
    [
      "deleting others' pods",
      "pods",
      { operation: "DELETE", name: "q" },
      /can only delete pods with spec.nodeName set to itself/,
    ],
    [
      "evicting others' pods",
      "pods",
      { subresource: "eviction", name: "q", object: { metadata: { name: "q" } } },
      /can only evict pods with spec.nodeName set to itself/,
    ],
    [
      "tokens without a pod",
      "serviceaccounts",
      { subresource: "token", object: { metadata: {}, spec: {} } },
      /node requested token not bound to a pod/,
    ],
    ["tokens for others' pods", "serviceaccounts", token("q", "u2"), /bound to a pod scheduled on a different node/],
    ["tokens for old pods", "serviceaccounts", token("p", "u0"), /does not match the UID in record/],
    [
      "tokens for other audiences",
      "serviceaccounts",
      token("p", "u1", ["bank"]),
      /audience "bank" not found in pod spec volume/,
    ],
    [
      "leases elsewhere",
      "coordination.k8s.io/leases",
      { object: { metadata: { name: "n1" } } },
      /can only access leases in the "kube-node-lease" system namespace/,
    ],
    [
      "others' leases",
      "coordination.k8s.io/leases",
      { object: { metadata: { name: "n2" } }, namespace: "kube-node-lease" },
      /same name as the requesting node/,
    ],
  ];
  for (const [name, resource, parts, message] of refused)
    test(`refuses ${name}`, () => assert.rejects(go(resource, parts), message));
});

describe("certificates", () => {
  const asked: string[] = [];
  const authorizer: Authorizer = {
    authorize: (a: Attributes) => {
      if (a.resourceRequest) asked.push(`${a.verb} ${a.resource} ${a.name}`);
      return { decision: a.resourceRequest && a.name === "example.com/*" ? "allow" : "no-opinion", reason: "" };
    },
  };
  const csr = (signerName: string, status: object = {}, request = ""): object => ({
    metadata: { name: "c" },
    spec: { signerName, request },
    status,
  });
  const update = (subresource: string, signer: string, status: object = {}): ReturnType<typeof attributesFor> =>
    attributesFor("certificates.k8s.io/certificatesigningrequests", {
      namespace: "",
      subresource,
      object: csr(signer, status),
      oldObject: csr(signer),
    });

  test("approving and signing need the signer's verbs", async () => {
    await run(new CertificateApproval(authorizer), update("approval", "example.com/a"));
    assert.deepEqual(asked, ["approve signers example.com/a", "approve signers example.com/*"]);
    await assert.rejects(
      run(new CertificateApproval(authorizer), update("approval", "other.io/a")),
      /user not permitted to approve requests with signerName "other.io\/a"/,
    );
    await assert.rejects(
      run(new CertificateSigning(authorizer), update("status", "other.io/a", { certificate: "x" })),
      /user not permitted to sign requests with signerName "other.io\/a"/,
    );
    await run(new CertificateSigning(authorizer), update("status", "other.io/a"));
  });
  test("no system:masters through the API", async () => {
    const request = async (organization: string): Promise<object> => {
      const pem = await createCertificateRequest(generateEcKey(), { commonName: "x", organizations: [organization] });
      return {
        namespace: "",
        object: csr("kubernetes.io/kube-apiserver-client", {}, Buffer.from(pem).toString("base64")),
      };
    };
    const resource = "certificates.k8s.io/certificatesigningrequests";
    await run(new CertificateSubjectRestriction(), attributesFor(resource, await request("dev")));
    await assert.rejects(
      run(new CertificateSubjectRestriction(), attributesFor(resource, await request("system:masters"))),
      /use of kubernetes.io\/kube-apiserver-client signer with system:masters group is not allowed/,
    );
  });
});
