import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Namespace, Node, Pod } from "#pkg/api/types/core-v1.ts";
import type { IngressClass } from "#pkg/api/types/networking-v1.ts";
import type { RuntimeClass as Class } from "#pkg/api/types/node-v1.ts";
import type { PriorityClass } from "#pkg/api/types/scheduling-v1.ts";
import type { PodGroup, Workload } from "#pkg/api/types/scheduling-v1alpha2.ts";
import type { StorageClass } from "#pkg/api/types/storage-v1.ts";
import { createCertificateRequest, generateEcKey } from "#pkg/pki/index.ts";
import type { Attributes, Authorizer } from "../../contract.ts";
import { attributesFor, run } from "../testing.ts";
import { CertificateApproval, CertificateSigning, CertificateSubjectRestriction } from "./certificates.ts";
import { NamespaceLifecycle } from "./namespace-lifecycle.ts";
import { DenyServiceExternalIPs } from "./namespace-options.ts";
import { NodeDeclaredFeatureValidator } from "./node-declared-features.ts";
import { JobValidation, PodGroupProtection, PodGroupWorkloadExists } from "./pod-groups.ts";
import { PodNodeSelector } from "./pod-node-selector.ts";
import {
  AlwaysPullImages,
  DefaultTolerationSeconds,
  PodTopologyLabels,
  TaintNodesByCondition,
} from "./pod-defaults.ts";
import { PodResizeValidator } from "./pod-resize.ts";
import { Priority } from "./priority.ts";
import { RuntimeClass } from "./runtime-class.ts";
import {
  DefaultIngressClass,
  DefaultStorageClass,
  PersistentVolumeClaimResize,
  StorageObjectInUseProtection,
} from "./storage.ts";
import { sourceOf, testPod } from "./testing.ts";

describe("NamespaceLifecycle", () => {
  const namespaces = sourceOf<Namespace>(
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

describe("Priority", () => {
  const classes = sourceOf<PriorityClass>(
    { metadata: { name: "high" }, value: 1000, preemptionPolicy: "Never" },
    { metadata: { name: "normal" }, value: 10, globalDefault: true },
  );
  const plugin = new Priority(classes);
  const admit = async (spec: object): Promise<Pod["spec"]> => {
    const object = testPod(spec);
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
      /PriorityClass normal is already marked as default. Only one default can exist/,
    );
  });
});

describe("small plugins", () => {
  test("DefaultTolerationSeconds adds what is missing", async () => {
    const keys = async (tolerations?: object[]): Promise<string[]> => {
      const object = testPod(tolerations === undefined ? {} : { tolerations });
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
    const object = testPod({ containers: [{ name: "c", imagePullPolicy: "Never" }] });
    await run(new AlwaysPullImages(), attributesFor("pods", { object }));
    assert.equal(object.spec!.containers[0]!.imagePullPolicy, "Always");
  });
  test("PodTopologyLabels copies at binding", async () => {
    const plugin = new PodTopologyLabels(
      sourceOf<Node>({ metadata: { name: "n", labels: { "topology.kubernetes.io/zone": "a", other: "b" } } }),
    );
    const object = { metadata: { name: "p" }, target: { kind: "Node", name: "n" } };
    await run(plugin, attributesFor("pods", { object, subresource: "binding" }));
    assert.deepEqual(object.metadata, { name: "p", labels: { "topology.kubernetes.io/zone": "a" } });
  });
  test("PodResizeValidator refuses what the node can never give", async () => {
    const allocatable = { cpu: "2", memory: "1Gi" };
    const plugin = new PodResizeValidator(
      sourceOf<Node>(
        { metadata: { name: "n", labels: { "kubernetes.io/os": "linux" } }, status: { allocatable } },
        { metadata: { name: "w", labels: { "kubernetes.io/os": "windows" } }, status: { allocatable } },
      ),
    );
    const resize = (cpu: string, memory: string, nodeName = "n", generation = 2) => {
      const containers = [{ name: "c", resources: { requests: { cpu, memory } } }];
      const object = testPod({ nodeName, containers }, { generation });
      const oldObject = testPod({ nodeName }, { generation: 1 });
      return run(plugin, attributesFor("pods", { object, oldObject, subresource: "resize" }));
    };
    await resize("2", "1Gi");
    await resize("3", "2Gi", "n", 1);
    await resize("3", "2Gi", "");
    await assert.rejects(resize("3", "2Gi"), {
      code: 403,
      message:
        'pods "p" is forbidden: Node didn\'t have enough allocatable resources: cpu, requested: 3000, allocatable: 2000; memory, requested: 2147483648, allocatable: 1073741824',
    });
    await assert.rejects(resize("1", "1Gi", "w"), /only supported on linux nodes, node "w" is "windows"/);
    await assert.rejects(resize("1", "1Gi", "gone"), /node "gone" not found/);
  });
  test("DefaultStorageClass takes the newest default", async () => {
    const isDefault = { annotations: { "storageclass.kubernetes.io/is-default-class": "true" } };
    const classes = sourceOf<StorageClass>(
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
    const classes = sourceOf<IngressClass>({
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
    const classes = sourceOf<StorageClass>(
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
    const namespaces = sourceOf<Namespace>({
      metadata: { name: "ns", annotations: { "scheduler.alpha.kubernetes.io/node-selector": "env=test" } },
    });
    const object = testPod();
    await run(new PodNodeSelector(namespaces), attributesFor("pods", { object }));
    assert.deepEqual(object.spec!.nodeSelector, { env: "test" });
    const conflict = { message: /^pods "p" is forbidden: pod node label selector conflicts with its namespace/ };
    const refused = (plugin: PodNodeSelector, nodeSelector: Record<string, string>, namespace: string, error: object) =>
      assert.rejects(run(plugin, attributesFor("pods", { object: testPod({ nodeSelector }), namespace })), error);
    await refused(new PodNodeSelector(namespaces), { env: "prod" }, "ns", conflict);
    const configured = new PodNodeSelector(
      namespaces,
      new Map([
        ["clusterDefaultNodeSelector", "pool = shared"],
        ["other", "pool=shared,disk=ssd"],
        ["broken", "pool"],
      ]),
    );
    const elsewhere = testPod({ nodeSelector: { disk: "ssd" } });
    await run(configured, attributesFor("pods", { object: elsewhere, namespace: "other" }));
    assert.deepEqual(elsewhere.spec!.nodeSelector, { pool: "shared", disk: "ssd" });
    await refused(configured, { pool: "own" }, "other", conflict);
    await refused(configured, { disk: "hdd" }, "other", { message: /labels conflict with its namespace whitelist$/ });
    await refused(configured, {}, "broken", { message: "invalid selector: [pool]", code: 500 });
    const service = { metadata: { name: "s" }, spec: { externalIPs: ["1.2.3.4"] } };
    await assert.rejects(
      run(new DenyServiceExternalIPs(), attributesFor("services", { object: service })),
      /Use of external IPs is denied by admission control/,
    );
    await run(new DenyServiceExternalIPs(), attributesFor("services", { object: service, oldObject: service }));
  });
});

test("NodeDeclaredFeatureValidator: a resize needs what the node declares", async () => {
  const pod = (cpu: string, generation: number, more: object = {}): object => ({
    metadata: { name: "pod", namespace: "ns", generation },
    spec: { nodeName: "node", containers: [{ name: "c", resources: { requests: { cpu } } }], ...more },
    status: { qosClass: "Guaranteed" },
  });
  const update = (features: string[] | undefined, object: object) => {
    const nodes = sourceOf<Node>({ metadata: { name: "node" }, status: { declaredFeatures: features } });
    const attributes = attributesFor("pods", { oldObject: pod("100m", 1), object, subresource: "resize" });
    return run(new NodeDeclaredFeatureValidator(nodes), attributes);
  };
  await update([], pod("0.1", 2));
  await update([], pod("200m", 1));
  await update(["GuaranteedQoSPodCPUResize"], pod("200m", 2));
  await assert.rejects(update(undefined, pod("200m", 2, { resources: { requests: { cpu: "1" } } })), {
    message:
      'pods "pod" is forbidden: pod update requires features GuaranteedQoSPodCPUResize, InPlacePodLevelResourcesVerticalScaling which are not available on node "node"',
    code: 403,
  });
  await assert.rejects(update([], pod("200m", 2, { nodeName: "gone" })), /node "gone" not found/);
});

test("groups of pods: protected, made from templates that exist, gangs keep their size", async () => {
  const group = (templateRef?: object): object => ({
    metadata: { name: "group", namespace: "ns" },
    spec: { schedulingPolicy: { gang: { minCount: 2 } }, ...(templateRef && { podGroupTemplateRef: templateRef }) },
  });
  const create = (object: object) =>
    attributesFor("scheduling.k8s.io/podgroups", { object, namespace: "ns", kind: "PodGroup" });
  const { object } = await run(new PodGroupProtection(), create(group()));
  assert.deepEqual(object!.metadata.finalizers, ["scheduling.k8s.io/podgroup-protection"]);

  const workload = (name: string, more: object = {}) => ({
    metadata: { name, namespace: "ns", ...more },
    spec: { podGroupTemplates: [{ name: "workers", schedulingPolicy: {} }] },
  });
  const workloads = sourceOf<Workload>(workload("w"), workload("going", { deletionTimestamp: "2026-01-01T00:00:00Z" }));
  const from = (workloadName: string, podGroupTemplateName: string) =>
    run(new PodGroupWorkloadExists(workloads), create(group({ workload: { workloadName, podGroupTemplateName } })));
  await from("w", "workers");
  const refused = (why: string) => ({ message: `podgroups.scheduling.k8s.io "group" is forbidden: ${why}` });
  await assert.rejects(from("x", "workers"), refused('PodGroup rejected: Workload "x" not found'));
  await assert.rejects(from("going", "workers"), refused('PodGroup rejected: Workload "going" is being deleted'));
  await assert.rejects(from("w", "y"), refused('PodGroup rejected: PodGroupTemplate "y" not found in Workload "w"'));

  const owned = {
    ...group(),
    metadata: { name: "own", namespace: "ns", ownerReferences: [{ uid: "1", controller: true }] },
  };
  const groups = sourceOf<PodGroup>(group() as PodGroup, owned as unknown as PodGroup);
  const job = (parallelism: number, uid: string, podGroupName?: string) => ({
    metadata: { name: "job", namespace: "ns", uid },
    spec: { parallelism, template: { spec: podGroupName === undefined ? {} : { schedulingGroup: { podGroupName } } } },
  });
  const resize = (uid: string, name?: string) =>
    run(
      new JobValidation(groups),
      attributesFor("batch/jobs", { oldObject: job(1, uid, name), object: job(2, uid, name), namespace: "ns" }),
    );
  await resize("2");
  await resize("2", "elsewhere");
  await assert.rejects(resize("1"), /cannot change parallelism for a Job referencing gang-scheduled PodGroup "own"$/);
  await assert.rejects(resize("2", "group"), /gang-scheduled PodGroup "group"$/);
});

describe("RuntimeClass", () => {
  const classes = sourceOf<Class>({
    metadata: { name: "kata" },
    handler: "kata",
    overhead: { podFixed: { cpu: "100m" } },
    scheduling: { nodeSelector: { kata: "yes" }, tolerations: [{ key: "kata", operator: "Exists" }] },
  });
  const admit = async (spec: object): Promise<Pod["spec"]> => {
    const object = testPod(spec);
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
