import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { created, createErrors, definitionOf, updated } from "../testing/strategies.ts";
import type { PodSpec } from "../types/core-v1.ts";
import { podGracePeriodSeconds } from "./pod.ts";

const container = { name: "c", image: "nginx:1.29" };
const pod = (spec: object) => ({ spec: { containers: [container], ...spec } });
const withContainer = (fields: object) => ({ spec: { containers: [{ ...container, ...fields }] } });

const invalidPods: readonly [what: string, draft: Record<string, unknown>, errors: string[]][] = [
  ["a plain pod", pod({}), []],
  ["no containers", { spec: { containers: [] } }, ["spec.containers: Required value"]],
  [
    "an unnamed container without an image",
    { spec: { containers: [{}] } },
    ["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"],
  ],
  [
    "two containers of one name",
    { spec: { containers: [container, container] } },
    ['spec.containers[1].name: Duplicate value: "c"'],
  ],
  [
    "an unknown restart policy",
    pod({ restartPolicy: "Sometimes" }),
    ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
  ],
  [
    "a request above its limit",
    withContainer({ resources: { requests: { cpu: "2" }, limits: { cpu: "1" } } }),
    ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
  ],
  [
    "a mount of no volume",
    withContainer({ volumeMounts: [{ name: "data", mountPath: "/data" }] }),
    ['spec.containers[0].volumeMounts[0].name: Not found: "data"'],
  ],
  [
    "a volume of two types",
    pod({ volumes: [{ name: "v", emptyDir: {}, hostPath: { path: "/x" } }] }),
    ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
  ],
  [
    "an absolute path in a volume",
    pod({ volumes: [{ name: "v", configMap: { name: "m", items: [{ key: "k", path: "/etc/x" }] } }] }),
    ['spec.volumes[0].configMap.items[0].path: Invalid value: "/etc/x": must be a relative path'],
  ],
  [
    "an absolute subPath",
    {
      spec: {
        volumes: [{ name: "v" }],
        containers: [{ ...container, volumeMounts: [{ name: "v", mountPath: "/x", subPath: "/y" }] }],
      },
    },
    ['spec.containers[0].volumeMounts.subPath: Invalid value: "/y": must be a relative path'],
  ],
  [
    "a variable from nowhere",
    withContainer({ env: [{ name: "X", valueFrom: {} }] }),
    [
      'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
    ],
  ],
  [
    "a field that cannot be a variable",
    withContainer({ env: [{ name: "X", valueFrom: { fieldRef: { fieldPath: "status.phase" } } }] }),
    [
      'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
    ],
  ],
  [
    "two handlers in one probe",
    withContainer({ livenessProbe: { exec: { command: ["true"] }, tcpSocket: { port: 80 } } }),
    ["spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
  ],
  [
    "a liveness probe that wants two successes",
    withContainer({ livenessProbe: { successThreshold: 2, exec: { command: ["true"] } } }),
    ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
  ],
  [
    "a probe on an init container",
    pod({ initContainers: [{ ...container, name: "i", startupProbe: { exec: { command: ["true"] } } }] }),
    ["spec.initContainers[0].startupProbe: Forbidden: may not be set for init containers without restartPolicy=Always"],
  ],
  [
    "the same host port twice",
    pod({
      containers: [
        { ...container, ports: [{ containerPort: 80, hostPort: 80 }] },
        { ...container, name: "d", ports: [{ containerPort: 81, hostPort: 80 }] },
      ],
    }),
    ['spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//80"'],
  ],
  [
    "privileged without escalation",
    withContainer({ securityContext: { privileged: true, allowPrivilegeEscalation: false } }),
    [
      'spec.containers[0].securityContext: Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
    ],
  ],
  [
    "sysctls that are none",
    pod({
      securityContext: {
        sysctls: [
          { name: "foo-", value: "bar" },
          { name: "kernel.shmmax", value: "1" },
        ],
      },
    }),
    [
      'spec.securityContext.sysctls[0].name: Invalid value: "foo-": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$',
    ],
  ],
  [
    "a toleration that matches nothing in particular",
    pod({ tolerations: [{ operator: "Equal", value: "x" }] }),
    [
      'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
    ],
  ],
  [
    "an empty node selector term list",
    pod({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } } }),
    [
      "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
    ],
  ],
  [
    "gates on a pod that is placed",
    pod({ schedulingGates: [{ name: "example.com/wait" }], nodeName: "a" }),
    ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
  ],
  [
    "ephemeral containers from the start",
    pod({ ephemeralContainers: [{ ...container, name: "debug" }] }),
    ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
  ],
  [
    "less for the pod than its containers ask for",
    pod({
      resources: { requests: { cpu: "1" }, limits: { cpu: "2" } },
      containers: [{ ...container, resources: { requests: { cpu: "1500m" }, limits: { cpu: "3" } } }],
    }),
    [
      'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 1500m',
      'spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2',
    ],
  ],
  [
    "dnsPolicy None without a server",
    pod({ dnsPolicy: "None" }),
    ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
  ],
];

for (const [what, draft, errors] of invalidPods) {
  test(`creating ${what}`, () => assert.deepEqual(createErrors("Pod", draft), errors));
}

const FORBIDDEN =
  "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const specOf = (object: KubeObject) => object["spec"] as PodSpec;

const updates: readonly [what: string, change: (spec: PodSpec) => void, errors: string[]][] = [
  ["nothing", () => undefined, []],
  ["the image", (spec) => (spec.containers[0]!.image = "nginx:1.30"), []],
  ["a further toleration", (spec) => (spec.tolerations = [{ key: "a", operator: "Exists" }]), []],
  ["the deadline", (spec) => (spec.activeDeadlineSeconds = 30), []],
  ["the node", (spec) => (spec.nodeName = "a"), [`${FORBIDDEN}\n-spec.nodeName: (absent)\n+spec.nodeName: "a"`]],
  [
    "nothing but an object that says nothing",
    (spec) => (spec.affinity = {}),
    [`${FORBIDDEN}\n-spec.affinity: (absent)\n+spec.affinity: {}`],
  ],
  [
    "the number of containers",
    (spec) => spec.containers.push({ name: "d", image: "x" }),
    ["spec.containers: Forbidden: pod updates may not add or remove containers"],
  ],
  [
    "the gates",
    (spec) => (spec.schedulingGates = [{ name: "a.b/c" }]),
    ["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a.b/c'"],
  ],
];

for (const [what, change, errors] of updates) {
  test(`updating ${what}`, () => {
    assert.deepEqual(updated("Pod", pod({}), (object) => change(specOf(object))).errors, errors);
  });
}

test("what annotations say of a pod is fixed where it has to be, also while the spec stays", () => {
  const mirrorPod = { metadata: { annotations: { "kubernetes.io/config.mirror": "a" } }, ...pod({ nodeName: "n" }) };
  const errorsOf = (change: (annotations: Record<string, string>) => void, subresource?: string) =>
    updated("Pod", mirrorPod, ({ metadata }) => change(metadata.annotations!), subresource).errors;
  const mirror = "metadata.annotations[kubernetes.io/config.mirror]: Forbidden:";
  assert.deepEqual(
    errorsOf((annotations) => (annotations["free"] = "text")),
    [],
  );
  for (const subresource of [undefined, "status"])
    assert.deepEqual(
      errorsOf((annotations) => (annotations["kubernetes.io/config.mirror"] = "b"), subresource),
      [`${mirror} may not remove or update mirror pod annotation`],
    );
  assert.deepEqual(
    errorsOf((annotations) => (annotations["controller.kubernetes.io/pod-deletion-cost"] = "x")),
    ['metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "x": must be a 32bit integer'],
  );
});

test("generation counts changes of the spec", () => {
  assert.equal(created("Pod", pod({})).metadata.generation, 1);
  const relabelled = updated("Pod", pod({}), ({ metadata }) => (metadata.labels = { a: "b" }));
  assert.equal(relabelled.object.metadata.generation, 1);
  const changed = updated("Pod", pod({}), (object) => (specOf(object).activeDeadlineSeconds = 5));
  assert.equal(changed.object.metadata.generation, 2);
});

test("a new pod is pending and has its quality-of-service class", () => {
  const limits = { cpu: "1", memory: "1Gi" };
  const classes = [{}, { requests: { cpu: "1" } }, { limits }].map((resources) => {
    const { status } = created("Pod", withContainer({ resources }));
    return status as { phase: string; qosClass: string };
  });
  assert.deepEqual(
    classes.map(({ phase, qosClass }) => `${phase} ${qosClass}`),
    ["Pending BestEffort", "Pending Burstable", "Pending Guaranteed"],
  );
});

test("a resize changes resources only, and not the class", () => {
  const draft = withContainer({ resources: { requests: { cpu: "1" } } });
  const grown = updated(
    "Pod",
    draft,
    (object) => {
      specOf(object).containers[0]!.resources = { requests: { cpu: "2" } };
      specOf(object).nodeName = "elsewhere";
    },
    "resize",
  );
  assert.deepEqual(grown.errors, []);
  assert.deepEqual(specOf(grown.object).containers[0]!.resources, { requests: { cpu: "2" } });
  assert.equal(specOf(grown.object).nodeName, undefined);
  assert.equal(grown.object.metadata.generation, 2);

  const limits = { cpu: "1", memory: "1Gi" };
  const promoted = updated(
    "Pod",
    draft,
    (object) => (specOf(object).containers[0]!.resources = { requests: limits, limits }),
    "resize",
  );
  assert.deepEqual(promoted.errors, [
    'spec: Invalid value: "Guaranteed": Pod QOS Class may not change as a result of resizing',
  ]);
});

test("a resize leaves containers where they are and takes nothing away", () => {
  const both = {
    spec: { containers: ["a", "b"].map((name) => ({ name, image: "x", resources: { requests: { cpu: "1" } } })) },
  };
  const swapped = updated("Pod", both, (object) => specOf(object).containers.reverse(), "resize");
  assert.deepEqual(swapped.errors, [
    "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
    "spec.containers[1].name: Forbidden: containers may not be renamed or reordered on resize",
  ]);
  const emptied = updated("Pod", both, (object) => (specOf(object).containers[0]!.resources = {}), "resize");
  assert.deepEqual(emptied.errors, [
    "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
  ]);
});

test("ephemeral containers are added and never changed", () => {
  const added = updated(
    "Pod",
    pod({}),
    (object) => (specOf(object).ephemeralContainers = [{ name: "debug", image: "busybox" }]),
    "ephemeralcontainers",
  );
  assert.deepEqual(added.errors, []);
  assert.equal(added.object.metadata.generation, 2);
  const clashing = updated(
    "Pod",
    pod({}),
    (object) => (specOf(object).ephemeralContainers = [{ name: "c", image: "busybox" }]),
    "ephemeralcontainers",
  );
  assert.deepEqual(clashing.errors, ['spec.ephemeralContainers[0].name: Duplicate value: "c"']);
});

test("a finished container stays finished", () => {
  const draft = pod({ restartPolicy: "Never" });
  const definition = definitionOf("Pod");
  const old = created("Pod", draft);
  old["status"] = { containerStatuses: [{ name: "c", state: { terminated: { exitCode: 0 } } }] };
  const again = structuredClone(old);
  again["status"] = { containerStatuses: [{ name: "c", state: { running: {} } }] };
  const status = definition.subresources.find(({ name }) => name === "status")!.implementation;
  assert.ok("strategy" in status);
  assert.deepEqual(
    status.strategy!.validateUpdate!(again, old).map(({ field, message }) => `${field}: ${message}`),
    ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"],
  );
});

test("only running pods get time to end", () => {
  const metadata = { name: "web", uid: "u1", resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z" };
  const running = {
    metadata,
    spec: { containers: [], nodeName: "a", terminationGracePeriodSeconds: 30 },
  };
  assert.equal(podGracePeriodSeconds(running, undefined), 30);
  assert.equal(podGracePeriodSeconds(running, 5), 5);
  assert.equal(podGracePeriodSeconds(running, -1), 1);
  assert.equal(podGracePeriodSeconds(running, 0), 0);
  assert.equal(podGracePeriodSeconds({ ...running, status: { phase: "Failed" } }, 5), 0);
  assert.equal(podGracePeriodSeconds({ metadata, spec: { containers: [] } }, 5), 0);
});
