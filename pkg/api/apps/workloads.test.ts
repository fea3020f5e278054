import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { created, createErrors, definitionOf, updated } from "../testing/strategies.ts";

const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image: "nginx" }] } };
const selector = { matchLabels: { app: "web" } };
const spec = { selector, template };
const mount = (name: string) => ({ name, mountPath: `/${name}` });
const specOf = (object: KubeObject) => object["spec"] as Record<string, unknown>;

const invalidWorkloads: readonly [kind: string, spec: object, errors: string[]][] = [
  ["apps/v1/Deployment", spec, []],
  ["apps/v1/ReplicaSet", spec, []],
  ["apps/v1/DaemonSet", spec, []],
  ["apps/v1/StatefulSet", { ...spec, serviceName: "web" }, []],
  ["ReplicationController", { template }, []],
  [
    "apps/v1/Deployment",
    { template },
    [
      "spec.selector: Required value",
      'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ],
  ],
  [
    "apps/v1/ReplicaSet",
    { selector: { matchExpressions: [{ key: "a", operator: "In" }] }, template: {} },
    [
      "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
      'spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"In"}]}: invalid label selector',
    ],
  ],
  [
    "apps/v1/Deployment",
    { ...spec, strategy: { type: "Sudden", rollingUpdate: { maxSurge: 1 } } },
    [
      'spec.strategy: Unsupported value: {"Type":"Sudden","RollingUpdate":{"MaxUnavailable":0,"MaxSurge":1}}: supported values: "Recreate", "RollingUpdate"',
    ],
  ],
  [
    "apps/v1/StatefulSet",
    {
      ...spec,
      template: { ...template, spec: { containers: [{ name: "c", volumeMounts: [mount("data"), mount("no")] }] } },
      volumeClaimTemplates: [{ metadata: { name: "data" }, spec: { resources: { requests: { storage: "1Gi" } } } }],
    },
    [
      "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
      "spec.template.spec.containers[0].image: Required value",
      'spec.template.spec.containers[0].volumeMounts[1].name: Not found: "no"',
    ],
  ],
  [
    "ReplicationController",
    { selector: { "-no label": "x" }, template },
    ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
  ],
  [
    "apps/v1/Deployment",
    { selector: { matchLabels: { app: "other" } }, template },
    ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
  ],
  [
    "apps/v1/Deployment",
    { ...spec, selector: {} },
    ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
  ],
  [
    "apps/v1/Deployment",
    { ...spec, replicas: -1, strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: "0%" } } },
    [
      "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
      'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0',
    ],
  ],
  [
    "apps/v1/Deployment",
    { ...spec, strategy: { type: "Recreate", rollingUpdate: {} } },
    ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
  ],
  [
    "apps/v1/Deployment",
    { ...spec, template: { ...template, spec: { ...template.spec, restartPolicy: "Never" } } },
    ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
  ],
  [
    "apps/v1/DaemonSet",
    { ...spec, updateStrategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } } },
    ["spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"],
  ],
  [
    "apps/v1/StatefulSet",
    { ...spec, podManagementPolicy: "Whenever" },
    ["spec.podManagementPolicy: Invalid value: \"Whenever\": must be 'OrderedReady' or 'Parallel'"],
  ],
];
for (const [kind, draft, errors] of invalidWorkloads) {
  test(`creating a ${kind} ${errors.length === 0 ? "" : `with ${JSON.stringify(errors[0])}`}`, () => {
    assert.deepEqual(createErrors(kind, { spec: draft }), errors);
  });
}

for (const kind of ["apps/v1/Deployment", "apps/v1/ReplicaSet", "apps/v1/DaemonSet"]) {
  test(`the selector of a ${kind} is settled`, () => {
    const { errors } = updated(kind, { spec }, (object) => {
      specOf(object)["selector"] = { matchLabels: { app: "web", tier: "front" } };
      specOf(object)["template"] = { ...template, metadata: { labels: { app: "web", tier: "front" } } };
    });
    assert.deepEqual(errors, [
      'spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"front"}}: field is immutable',
    ]);
  });
}

test("a stateful set's containers mount its claims", () => {
  const claim = {
    metadata: { name: "data" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  };
  const containers = [{ name: "c", image: "x", volumeMounts: [{ name: "data", mountPath: "/data" }] }];
  const draft = { ...spec, template: { ...template, spec: { containers } }, volumeClaimTemplates: [claim] };
  assert.deepEqual(createErrors("apps/v1/StatefulSet", { spec: draft }), []);
});

test("a stateful set changes in few fields", () => {
  const scaled = updated("apps/v1/StatefulSet", { spec }, (object) => (specOf(object)["replicas"] = 5));
  assert.deepEqual(scaled.errors, []);
  const renamed = updated("apps/v1/StatefulSet", { spec }, (object) => (specOf(object)["serviceName"] = "other"));
  assert.deepEqual(renamed.errors, [
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
  ]);
});

test("a status with more ready than present replicas is refused", () => {
  const { errors } = updated(
    "apps/v1/ReplicaSet",
    { spec },
    (object) => (object["status"] = { replicas: 1, readyReplicas: 2 }),
    "status",
  );
  assert.deepEqual(errors, ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"]);
});

test("a replication controller takes selector and labels from its template", () => {
  const controller = created("ReplicationController", { spec: { template } });
  assert.deepEqual(specOf(controller)["selector"], { app: "web" });
  assert.deepEqual(controller.metadata.labels, { app: "web" });
});

test("templates take the defaults of pods, except those of pods alone", () => {
  const deployment = created("apps/v1/Deployment", { spec });
  const podSpec = (specOf(deployment)["template"] as typeof template).spec as Record<string, unknown>;
  assert.equal(podSpec["dnsPolicy"], "ClusterFirst");
  assert.equal(podSpec["enableServiceLinks"], undefined);
  assert.deepEqual(podSpec["containers"], [
    {
      name: "c",
      image: "nginx",
      imagePullPolicy: "Always",
      resources: {},
      terminationMessagePath: "/dev/termination-log",
      terminationMessagePolicy: "File",
    },
  ]);
});

test("rows of a deployment", () => {
  const deployment = created("apps/v1/Deployment", { spec: { ...spec, replicas: 3 } });
  deployment["status"] = { readyReplicas: 2, updatedReplicas: 3, availableReplicas: 2 };
  deployment.metadata.creationTimestamp = "2026-01-01T00:00:00Z";
  const now = Date.parse("2026-01-01T00:05:00Z");
  assert.deepEqual(definitionOf("apps/v1/Deployment").printRow(deployment, now), [
    "web",
    "2/3",
    3,
    2,
    "5m",
    "c",
    "nginx",
    "app=web",
  ]);
});

test("a StatefulSet made before its pods were looked at may change", () => {
  const bad = { ...template, spec: { containers: [{ name: "c" }] } };
  const change = (object: KubeObject) => Object.assign(specOf(object), { replicas: 3 });
  assert.deepEqual(updated("apps/v1/StatefulSet", { spec: { selector, template: bad } }, change).errors, []);
});

test("a StatefulSet that only names its strategy keeps it bare", () => {
  const strategyOf = (updateStrategy: object | undefined) =>
    specOf(created("apps/v1/StatefulSet", { spec: { ...spec, updateStrategy } }))["updateStrategy"];
  assert.deepEqual(strategyOf({ type: "RollingUpdate" }), { type: "RollingUpdate" });
  assert.deepEqual(strategyOf(undefined), { type: "RollingUpdate", rollingUpdate: { partition: 0 } });
});

test("numbers of collisions never fall", () => {
  const collided = (count: number | undefined) => (object: KubeObject) => {
    object["status"] = count === undefined ? {} : { collisionCount: count };
  };
  const definition = definitionOf("apps/v1/DaemonSet");
  const status = definition.subresources.find(({ name }) => name === "status")!.implementation;
  const old = created("apps/v1/DaemonSet", { spec });
  collided(2)(old);
  const next = created("apps/v1/DaemonSet", { spec });
  collided(1)(next);
  const errors = "strategy" in status ? status.strategy?.validateUpdate?.(next, old) : undefined;
  assert.deepEqual(
    errors?.map(({ field, message }) => `${field}: ${message}`),
    ["status.collisionCount: Invalid value: 1: cannot be decremented"],
  );
});
