import assert from "node:assert/strict";
import { test } from "node:test";
import { created, createErrors, updated } from "../testing/strategies.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const refused: readonly [kind: string, draft: Record<string, unknown>, errors: string[]][] = [
  ["ConfigMap", { data: { "a.b": "c" }, binaryData: { d: "YQ==" } }, []],
  [
    "ConfigMap",
    { data: { "a/b": "c" } },
    [
      "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ],
  ],
  [
    "ConfigMap",
    { data: { a: "b" }, binaryData: { a: "YQ==" } },
    ['data[a]: Invalid value: "a": duplicate of key present in binaryData'],
  ],
  ["ConfigMap", { data: { a: "x".repeat(1024 * 1024 + 1) } }, ["Too long: may not be more than 1048576 bytes"]],
  ["Secret", { stringData: { a: "b" } }, []],
  ["Secret", { type: "kubernetes.io/tls", data: { "tls.crt": "" } }, ["data[tls.key]: Required value"]],
  [
    "Secret",
    { type: "kubernetes.io/service-account-token" },
    ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
  ],
  [
    "Secret",
    { type: "kubernetes.io/ssh-auth", data: { "ssh-privatekey": "" } },
    ["data[ssh-privatekey]: Required value"],
  ],
  [
    "Secret",
    { type: "kubernetes.io/dockercfg", data: { ".dockercfg": base64("{bad") } },
    [
      "data[.dockercfg]: Invalid value: \"<secret contents redacted>\": invalid character 'b' looking for beginning of object key string",
    ],
  ],
  [
    "Secret",
    { type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": base64("[]") } },
    [
      'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": json: cannot unmarshal array into Go value of type map[string]interface {}',
    ],
  ],
  [
    "Secret",
    { data: { a: base64("x".repeat(1024 * 1024 + 1)) } },
    ["data: Too long: may not be more than 1048576 bytes"],
  ],
  [
    "LimitRange",
    { spec: { limits: [{ type: "Pod", min: { cpu: "2" }, max: { cpu: "1" } }] } },
    ['spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'],
  ],
  ["ResourceQuota", { spec: { hard: { pods: "10", "count/jobs.batch": "1", "requests.example.com/gpu": "2" } } }, []],
  [
    "ResourceQuota",
    { spec: { hard: { pods: "1.5" }, scopes: ["BestEffort", "NotBestEffort"] } },
    [
      'spec.hard[pods]: Invalid value: "1500m": must be an integer',
      'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
    ],
  ],
  [
    "ResourceQuota",
    {
      spec: {
        hard: { services: "1", pods: "1", foo: "1", "limits.hugepages-2Mi": "1" },
        scopes: ["BestEffort"],
        scopeSelector: { matchExpressions: [{ scopeName: "Terminating", operator: "In", values: ["x"] }] },
      },
    },
    [
      'spec.hard[foo]: Invalid value: "foo": must be a standard resource type or fully qualified',
      'spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota',
      'spec.hard[limits.hugepages-2Mi]: Invalid value: "limits.hugepages-2Mi": must be a standard resource type or fully qualified',
      'spec.hard[limits.hugepages-2Mi]: Invalid value: "limits.hugepages-2Mi": must be a standard resource for quota',
      'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
      'spec.scopeSelector.matchExpressions: Invalid value: {"matchExpressions":[{"scopeName":"Terminating","operator":"In","values":["x"]}]}: unsupported scope applied to resource',
      `spec.scopeSelector.matchExpressions.operator: Invalid value: "In": must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity`,
    ],
  ],
  [
    "LimitRange",
    {
      spec: {
        limits: [
          { type: "Container", max: { cpu: "2" }, min: { cpu: "1" }, maxLimitRequestRatio: { cpu: "3" } },
          { type: "Pod", default: { cpu: "1" }, max: { pods: "1" } },
          { type: "Image" },
          { type: "PersistentVolumeClaim" },
        ],
      },
    },
    [
      'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000',
      'spec.limits[1].max[pods]: Invalid value: "pods": must be a standard resource for containers',
      "spec.limits[1].default: Forbidden: may not be specified when `type` is 'Pod'",
      'spec.limits[2].type: Invalid value: "Image": must be a standard limit type or fully qualified',
      "spec.limits[3].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
    ],
  ],
  ["Namespace", {}, []],
  [
    "Node",
    {
      spec: {
        taints: [
          { key: "a", effect: "NoSchedule" },
          { key: "a", effect: "NoSchedule" },
        ],
      },
    },
    [
      'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair',
    ],
  ],
  [
    "PersistentVolumeClaim",
    { spec: {} },
    ["spec.accessModes: Required value: at least 1 access mode is required", "spec.resources[storage]: Required value"],
  ],
  [
    "PersistentVolume",
    { spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" } } },
    ["spec: Required value: must specify a volume type"],
  ],
  [
    "Endpoints",
    { subsets: [{ addresses: [{ ip: "127.0.0.1" }], ports: [{ port: 80 }] }] },
    ['subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'],
  ],
];
for (const [kind, draft, errors] of refused) {
  test(`creating a ${kind} ${errors[0]?.slice(0, 60) ?? ""}`, () => {
    assert.deepEqual(createErrors(kind, draft), errors);
  });
}

const SOURCES: readonly [source: object, errors: string[]][] = [
  [
    { hostPath: { path: "/a/../b", type: "Nothing" } },
    ["hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
  ],
  [{ gcePersistentDisk: {} }, ["persistentDisk.pdName: Required value"]],
  [
    { glusterfs: { endpoints: "e", path: "p", endpointsNamespace: "" } },
    [
      'glusterfs.endpointsNamespace: Invalid value: "": if the endpointnamespace is set, it must be a valid namespace name',
    ],
  ],
  [{ flocker: {} }, ["flocker: Required value: one of datasetName and datasetUUID is required"]],
  [{ cephfs: {} }, ["cephfs.monitors: Required value"]],
  [
    { iscsi: { targetPortal: "1.2.3.4", iqn: "iqn.bad", lun: 256, chapAuthSession: true } },
    [
      'iscsi.iqn: Invalid value: "iqn.bad": must be valid format',
      "iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
      "iscsi.secretRef: Required value",
    ],
  ],
  [{ cinder: { volumeID: "v", secretRef: { name: "s" } } }, ["cinder.secretRef.namespace: Required value"]],
  [
    { azureFile: { secretName: "s", shareName: "h", secretNamespace: "" } },
    ["azureFile.secretNamespace: Required value"],
  ],
  [{ local: { path: "/a" } }, ["nodeAffinity: Required value: Local volume requires node affinity"]],
  [{ storageos: {} }, ["storageos.volumeName: Required value"]],
  [
    { csi: { driver: "d", volumeHandle: "h", nodePublishSecretRef: { name: "s" } } },
    ["csi.nodePublishSecretRef.namespace: Required value"],
  ],
  [
    { nfs: { server: "s" }, rbd: {} },
    [
      "nfs.path: Required value",
      'nfs.path: Invalid value: "": must be an absolute path',
      "rbd: Forbidden: may not specify more than 1 volume type",
    ],
  ],
];
for (const [source, errors] of SOURCES) {
  test(`a persistent volume from ${Object.keys(source).join()} is looked at`, () => {
    const spec = { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, ...source };
    assert.deepEqual(
      createErrors("PersistentVolume", { spec }).slice(0, errors.length),
      errors.map((error) => `spec.${error}`),
    );
  });
}

test("the source of a persistent volume stays, but for the secret that growing it takes", () => {
  const csi = { driver: "d", volumeHandle: "h" };
  const spec = { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" } };
  const change = (to: object) =>
    updated("PersistentVolume", { spec: { ...spec, csi } }, (volume) => {
      volume["spec"] = { ...(volume["spec"] as object), csi: { ...csi, ...to } };
    }).errors;
  assert.deepEqual(change({ controllerExpandSecretRef: { name: "s", namespace: "n" } }), []);
  assert.match(change({ volumeHandle: "i" })[0]!, /^spec.persistentvolumesource: Forbidden: /);
});

test("immutable data does not change", () => {
  const draft = { immutable: true, data: { a: "YQ==" } };
  const sealed = "Forbidden: field is immutable when `immutable` is set";
  for (const kind of ["ConfigMap", "Secret"]) {
    const { errors } = updated(kind, draft, (object) => {
      object["data"] = { a: "Yg==" };
      delete object["immutable"];
    });
    assert.deepEqual(errors, [`immutable: ${sealed}`, `data: ${sealed}`]);
  }
});

test("stringData ends up in data", () => {
  const secret = created("Secret", { data: { a: "YQ==", b: "YQ==" }, stringData: { b: "c" } });
  assert.deepEqual(secret["data"], { a: "YQ==", b: base64("c") });
  assert.equal(secret["stringData"], undefined);
  assert.equal(secret["type"], "Opaque");
});

test("of the secrets of an account only the names are kept", () => {
  const secrets = [{ kind: "Secret", name: "a", namespace: "x" }, { kind: "Secret" }];
  assert.deepEqual(created("ServiceAccount", { secrets })["secrets"], [{ name: "a" }, {}]);
  const { object } = updated("ServiceAccount", {}, (account) => (account["secrets"] = secrets));
  assert.deepEqual(object["secrets"], [{ name: "a" }, {}]);
});

test("a namespace carries its name and the finalizer of its content", () => {
  const namespace = created("Namespace", { metadata: { name: "team" } });
  assert.deepEqual(namespace.metadata.labels, { "kubernetes.io/metadata.name": "team" });
  assert.deepEqual([namespace["spec"], namespace["status"]], [{ finalizers: ["kubernetes"] }, { phase: "Active" }]);
  const emptied = updated("Namespace", {}, (object) => (object["spec"] = {}));
  assert.deepEqual(emptied.object["spec"], { finalizers: ["kubernetes"] });
  const finalized = updated("Namespace", {}, (object) => (object["spec"] = { finalizers: [] }), "finalize");
  assert.deepEqual(finalized.object["spec"], { finalizers: [] });
});

test("a claim's old field for its source knows claims and snapshots alone", () => {
  const claim = (fields: object) =>
    created("PersistentVolumeClaim", {
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...fields },
    })["spec"] as { dataSource?: object; dataSourceRef?: object };
  const other = { apiGroup: "example.com", kind: "Image", name: "i" };
  const snapshot = { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "s" };
  assert.deepEqual(
    [claim({ dataSource: other }).dataSource, claim({ dataSource: other }).dataSourceRef],
    [undefined, undefined],
  );
  assert.deepEqual(claim({ dataSource: snapshot }).dataSourceRef, snapshot);
  assert.deepEqual(claim({ dataSourceRef: other }).dataSource, other);
});

test("a bound claim may grow and do nothing else", () => {
  const claim = (storage: string) => ({ accessModes: ["ReadWriteOnce"], resources: { requests: { storage } } });
  const change = (spec: object, phase: string) =>
    updated("PersistentVolumeClaim", { spec: claim("1Gi") }, (object) => {
      object["spec"] = spec;
      object["status"] = { phase };
    }).errors;
  const refusal =
    /^spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName/;
  assert.match(change({ ...claim("2Gi"), volumeMode: "Filesystem" }, "Pending")[0]!, refusal);
  const classless = { ...claim("1Gi"), storageClassName: "" };
  const { errors } = updated("PersistentVolumeClaim", { spec: classless }, (object) => (object["spec"] = claim("1Gi")));
  assert.match(errors[0]!, refusal);
});
