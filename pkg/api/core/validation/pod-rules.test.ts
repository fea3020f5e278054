import assert from "node:assert/strict";
import { test } from "node:test";
import { created, createErrors } from "../../testing/strategies.ts";

const pods = "Pod";
const container = { name: "c", image: "busybox:1" };

/** What upstream's API server answers to a pod with these fields; paths and words are its own, odd ones included. */
const rows: readonly [what: string, spec: object, errors: readonly string[], annotations?: Record<string, string>][] = [
  [
    "a mount of nothing",
    { containers: [{ ...container, volumeMounts: [{}] }] },
    [
      "spec.containers[0].volumeMounts[0].name: Required value",
      'spec.containers[0].volumeMounts[0].name: Not found: ""',
      "spec.containers[0].volumeMounts[0].mountPath: Required value",
    ],
  ],
  [
    "a mount of a volume that is itself wrong",
    {
      volumes: [{ name: "v", nfs: { server: "s", path: "p" } }],
      containers: [{ ...container, volumeMounts: [{ name: "v", mountPath: "/v", mountPropagation: "Up" }] }],
    },
    [
      'spec.volumes[0].nfs.path: Invalid value: "p": must be an absolute path',
      'spec.containers[0].volumeMounts[0].name: Not found: "v"',
      'spec.containers[0].volumeMounts.mountPropagation: Unsupported value: "Up": supported values: "Bidirectional", "HostToContainer", "None"',
    ],
  ],
  [
    "volumes of several types and bad sources",
    {
      volumes: [
        { name: "a", cephfs: { monitors: ["m"] }, rbd: { image: "i" } },
        { name: "b", gcePersistentDisk: { partition: 256 } },
        { name: "c", csi: { driver: "A_b", nodePublishSecretRef: { name: "" } } },
        { name: "d", projected: { sources: [{ serviceAccountToken: { path: "../x", expirationSeconds: 1 } }] } },
        { name: "e", azureDisk: { diskName: "n", diskURI: "u", kind: "Managed" } },
      ],
    },
    [
      "spec.volumes[0].rbd.monitors: Required value",
      "spec.volumes[0].cephFS: Forbidden: may not specify more than 1 volume type",
      "spec.volumes[1].persistentDisk.pdName: Required value",
      "spec.volumes[1].persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive",
      "spec.volumes[2].csi.driver: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
      "spec.volumes[2].csi.nodePublishSecretRef.name: Required value",
      "spec.volumes[3].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
      "spec.volumes[3].projected.path: Invalid value: \"../x\": must not contain '..'",
      'spec.volumes[4].azureDisk.diskURI: Unsupported value: "u": supported values: "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"',
      "spec.volumes[3].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set",
    ],
  ],
  [
    "environments from nowhere and odd divisors",
    {
      containers: [
        {
          ...container,
          envFrom: [{}],
          env: [{ name: "A", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "2" } } }],
        },
      ],
    },
    [
      'spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 are supported with the cpu resource',
      'spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
    ],
  ],
  [
    "resources of no known kind",
    { containers: [{ ...container, resources: { requests: { disk: "1", "example.com/x": "1500m" } } }] },
    [
      'spec.containers[0].resources.requests[disk]: Invalid value: "disk": must be a standard resource type or fully qualified',
      'spec.containers[0].resources.requests[disk]: Invalid value: "disk": must be a standard resource for containers',
      'spec.containers[0].resources.requests[example.com/x]: Invalid value: "1500m": must be an integer',
      "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
    ],
  ],
  [
    "tolerations, spread constraints and preferences",
    {
      tolerations: [{ key: "k", operator: "Exists", value: "v" }],
      topologySpreadConstraints: [
        { maxSkew: 1, topologyKey: "z", whenUnsatisfiable: "DoNotSchedule", labelSelector: {} },
        { maxSkew: 0, topologyKey: "z", whenUnsatisfiable: "DoNotSchedule", minDomains: 0, labelSelector: {} },
      ],
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 1, preference: { matchExpressions: [{ key: "k", operator: "In", values: ["no label!"] }] } },
          ],
        },
      },
    },
    [
      'spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{z, DoNotSchedule}"',
      "spec.topologySpreadConstraints[1].maxSkew: Invalid value: 0: must be greater than zero",
      "spec.topologySpreadConstraints[1].minDomains: Invalid value: 0: must be greater than zero",
      "spec.tolerations[0].operator: Invalid value: \"v\": value must be empty when `operator` is 'Exists'",
    ],
  ],
  [
    "profiles and Windows options on Linux",
    {
      os: { name: "linux" },
      securityContext: { seccompProfile: {}, windowsOptions: { runAsUserName: "a\\b\\c", hostProcess: true } },
    },
    [
      "spec.securityContext.seccompProfile.type: Required value: type is required when seccompProfile is set",
      'spec.securityContext.windowsOptions.runAsUserName: Invalid value: "a\\\\b\\\\c": runAsUserName cannot contain more than one backslash',
      "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
      "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
    ],
  ],
  [
    "annotations that say what fields say",
    { securityContext: { seccompProfile: { type: "Unconfined" } } },
    [
      'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+1": must be a 32bit integer',
      'metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: "x": container not found',
      "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match",
    ],
    {
      "controller.kubernetes.io/pod-deletion-cost": "+1",
      "container.apparmor.security.beta.kubernetes.io/x": "unconfined",
      "seccomp.security.alpha.kubernetes.io/pod": "runtime/default",
    },
  ],
  [
    "ports that differ from the node's, and padded images, last",
    {
      hostNetwork: true,
      containers: [{ ...container, image: " x", ports: [{ containerPort: 80, hostPort: 81 }] }],
      serviceAccountName: "A",
    },
    [
      "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
      "spec.serviceAccountName: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
      'spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace',
    ],
  ],
];

for (const [what, spec, errors, annotations] of rows) {
  test(`a pod with ${what}`, () => {
    const draft = { metadata: { name: "p", annotations }, spec: { containers: [container], ...spec } };
    assert.deepEqual(createErrors(pods, draft), errors);
  });
}

test("images that are no names are not pulled anew each time", () => {
  const policies = (images: string[]) => {
    const containers = images.map((image, index) => ({ name: `c${index}`, image }));
    const pod = created(pods, { metadata: { name: "p" }, spec: { containers } });
    return (pod["spec"] as { containers: { imagePullPolicy: string }[] }).containers.map((c) => c.imagePullPolicy);
  };
  const digest = `@sha256:${"a".repeat(64)}`;
  assert.deepEqual(policies(["busybox", "r.example:5000/a/b", "a:latest"]), ["Always", "Always", "Always"]);
  assert.deepEqual(
    policies(["a:1", `a${digest}`, "Upper Case", "a//b", "-x", "a".repeat(64)]),
    Array.from({ length: 6 }, () => "IfNotPresent"),
  );
});
