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
      'spec.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect pair',
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
});
