import assert from "node:assert/strict";
import { test } from "node:test";
import { cannotBeHandled, checkFields } from "./check-fields.ts";
import { doubtfulMembers } from "./compile-fine.ts";
import { fillerOf } from "./fill.ts";
import { prune } from "./prune.ts";
import { schemaOf } from "./schema-of.ts";

const podSchema = schemaOf("io.k8s.api.core.v1.Pod");
const crdSchema = schemaOf("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition");

test("unknown fields are named by their path", () => {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "x", labels: { any: "thing" }, nickname: "y" },
    spec: { containers: [{ name: "a" }, { name: "b", imag: "c", resources: { limits: { "example.com/gpu": "1" } } }] },
    extra: 1,
  };
  const before = structuredClone(pod);
  assert.deepEqual(checkFields(podSchema, pod).unknown, ["metadata.nickname", "spec.containers[1].imag", "extra"]);
  assert.deepEqual(pod, before);
});

const wrong: readonly [what: string, pod: object, error: string][] = [
  [
    "a text for a list",
    { spec: { containers: "x" } },
    "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
  ],
  [
    "a number for a text",
    { spec: { containers: [{ env: [{ value: 1 }] }] } },
    "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
  ],
  [
    "a fraction for an integer",
    { spec: { activeDeadlineSeconds: 1.5 } },
    "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.activeDeadlineSeconds of type int64",
  ],
  [
    "an integer that is too large",
    { spec: { priority: 2 ** 31 } },
    "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32",
  ],
  [
    "a list for a map",
    { metadata: { labels: [] } },
    "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
  ],
  [
    "a number for a label",
    { metadata: { labels: { a: 1 } } },
    "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
  ],
  [
    "a number for a named text",
    { spec: { restartPolicy: 1, containers: [{ resources: { limits: "much" } }] } },
    "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
  ],
  [
    "a text that is no quantity",
    { spec: { overhead: { cpu: "lots" } } },
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  ],
  [
    "a text that is no time",
    { metadata: { creationTimestamp: "today" } },
    'parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006"',
  ],
];
const parsing = (text: string): string => `parsing time "${text}"`;
const alsoWrong: typeof wrong = [
  [
    "a date without a time",
    { metadata: { creationTimestamp: "2026-01-01" } },
    `${parsing("2026-01-01")} as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"`,
  ],
  [
    "a month there is not",
    { metadata: { creationTimestamp: "2026-13-01T00:00:00Z" } },
    `${parsing("2026-13-01T00:00:00Z")}: month out of range`,
  ],
  [
    "a day there is not",
    { metadata: { creationTimestamp: "2026-02-30T00:00:00Z" } },
    `${parsing("2026-02-30T00:00:00Z")}: day out of range`,
  ],
  [
    "an hour there is not",
    { metadata: { creationTimestamp: "2026-01-01T24:00:00Z" } },
    `${parsing("2026-01-01T24:00:00Z")}: hour out of range`,
  ],
  [
    "a field of an embedded struct",
    { spec: { volumes: [{ name: "v", configMap: { name: 1 } }] } },
    "json: cannot unmarshal number into Go struct field ConfigMapVolumeSource.spec.volumes.VolumeSource.configMap.LocalObjectReference.name of type string",
  ],
  [
    "an element of a list whose elements have a type of their own",
    { spec: { containers: [{ securityContext: { capabilities: { add: [1] } } }] } },
    "json: cannot unmarshal number into Go struct field Capabilities.spec.containers.securityContext.capabilities.add of type v1.Capability",
  ],
  [
    "a quantity ends the decoding, and",
    { metadata: { name: 1 }, spec: { overhead: { cpu: [] } } },
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  ],
];
for (const [what, pod, error] of [...wrong, ...alsoWrong]) {
  test(`${what} is refused in Go's words`, () => assert.equal(checkFields(podSchema, pod).errors[0], error));
}

test("the message around a decoding error", () => {
  assert.equal(cannotBeHandled("Pod", "v1", "why"), 'Pod in version "v1" cannot be handled as a Pod: why');
});

test("schemas of schemas recurse", () => {
  const definition = {
    spec: {
      versions: [
        { schema: { openAPIV3Schema: { properties: { a: { properties: { b: { typo: 1, type: "string" } } } } } } },
      ],
    },
  };
  assert.deepEqual(checkFields(crdSchema, definition).unknown, [
    "spec.versions[0].schema.openAPIV3Schema.properties.a.properties.b.typo",
  ]);
});

test("a hostile body does not make a long answer", () => {
  const object = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`f${i}`, 1]));
  assert.equal(checkFields(podSchema, object).unknown.length, 128);
});

test("pruning leaves what is stored", () => {
  const pod = {
    metadata: { creationTimestamp: "2026-01-01T01:00:00.5+01:00", labels: null, nickname: "y" },
    spec: { containers: [null, { name: "a", resources: { limits: { cpu: "0.1", memory: 1024 } } }], overhead: null },
  };
  const nothing = { metadata: { labels: { a: null } }, spec: { overhead: { cpu: null } } };
  assert.deepEqual(prune(podSchema, nothing), { metadata: { labels: { a: "" } }, spec: { overhead: { cpu: "0" } } });
  assert.deepEqual(prune(podSchema, pod), {
    metadata: { creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { containers: [{}, { name: "a", resources: { limits: { cpu: "100m", memory: "1024" } } }] },
  });
});

test("empty values that upstream leaves out are left out", () => {
  const pod = {
    metadata: { name: "x", labels: {}, finalizers: [] },
    spec: {
      nodeName: "",
      hostNetwork: false,
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      tolerations: [],
      securityContext: {},
      containers: [{ name: "", env: [{ name: "A", value: "" }], securityContext: { runAsUser: 0 }, volumeMounts: [] }],
      volumes: [{ name: "v", emptyDir: { medium: "" } }],
    },
    status: { observedGeneration: 0, conditions: [] },
  };
  assert.deepEqual(prune(podSchema, pod), {
    metadata: { name: "x" },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      securityContext: {},
      containers: [{ name: "", env: [{ name: "A" }], securityContext: { runAsUser: 0 } }],
      volumes: [{ name: "v", emptyDir: {} }],
    },
    status: {},
  });
});

test("where upstream writes null, null and nothing in it are null", () => {
  const slice = schemaOf("io.k8s.api.discovery.v1.EndpointSlice");
  assert.deepEqual(prune(slice, { ports: [], endpoints: null }), { ports: null, endpoints: null });
  assert.equal(doubtfulMembers(slice, { ports: null, endpoints: null }), undefined);
  assert.deepEqual(doubtfulMembers(slice, { ports: [], addressType: "IPv4" }), { ports: [] });
});

test("what upstream always writes is filled in", () => {
  const filled = (definition: string, object: Record<string, unknown>) => {
    fillerOf(definition)(object);
    return object;
  };
  assert.deepEqual(filled("io.k8s.api.core.v1.Service", { spec: { ports: [{ port: 80 }] } }), {
    metadata: {},
    spec: { ports: [{ port: 80, targetPort: 0 }] },
    status: { loadBalancer: {} },
  });
  assert.deepEqual(filled("io.k8s.api.core.v1.PodStatus", { conditions: [{ type: "Ready" }] }), {
    conditions: [{ type: "Ready", status: "", lastProbeTime: null, lastTransitionTime: null }],
  });
  assert.deepEqual(filled("io.k8s.api.rbac.v1.Role", {}), { metadata: {}, rules: null });
  assert.deepEqual(filled("io.k8s.api.core.v1.ResourceFieldSelector", {}), { resource: "", divisor: "0" });
});

test("list markers come with the field", () => {
  const containers = podSchema.properties!.get("spec")!.properties!.get("containers")!;
  assert.deepEqual(
    [
      containers.type,
      containers.listType,
      containers.listMapKeys,
      containers.patchMergeKey,
      containers.items!.definition,
    ],
    ["array", "map", ["name"], "name", "io.k8s.api.core.v1.Container"],
  );
  assert.equal(schemaOf("io.k8s.api.core.v1.Pod"), podSchema);
  assert.throws(() => schemaOf("io.k8s.api.core.v1.Nothing"));
});
