import assert from "node:assert/strict";
import { test } from "node:test";
import { createWarnings, updated } from "../testing/strategies.ts";

const containers = [{ name: "c", image: "i" }];
const template = (spec: object, annotations?: object) => ({
  metadata: { labels: { a: "b" }, annotations },
  spec: { containers, ...spec },
});
const selector = { matchLabels: { a: "b" } };
const NULL_SELECTOR = "a null labelSelector results in matching no pod";
const HOST_NAMES =
  "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]";
const balanced = (port: object) => ({ containers: [{ ...containers[0], ports: [{ containerPort: 80 }, port] }] });

/** What is warned of when an object is made. */
const MADE: readonly (readonly [string, object, readonly string[]])[] = [
  [
    "Pod",
    { metadata: { name: "a.b" }, spec: { containers } },
    [HOST_NAMES.replace("Pod names and hostnames", "the Pod's hostname")],
  ],
  [
    "Pod",
    {
      spec: {
        containers,
        affinity: {
          nodeAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              {
                weight: 1,
                preference: {
                  matchExpressions: [{ key: "node-role.kubernetes.io/master", operator: "In", values: ["-"] }],
                },
              },
            ],
          },
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "kubernetes.io/hostname" }],
          },
        },
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: "failure-domain.beta.kubernetes.io/zone",
            whenUnsatisfiable: "DoNotSchedule",
            labelSelector: {},
          },
        ],
        imagePullSecrets: [{ name: "s" }, { name: "s" }],
        dnsConfig: { nameservers: ["FD00::1"] },
        volumes: [
          {
            name: "v",
            configMap: {
              name: "m",
              items: [
                { key: "a", path: "p" },
                { key: "b", path: "p/q" },
              ],
            },
          },
          { name: "w", storageos: { volumeName: "x" } },
        ],
      },
    },
    [
      'spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key: node-role.kubernetes.io/master is use "node-role.kubernetes.io/control-plane" instead',
      "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].values[0]: - is invalid, a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
      'spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
      "spec.volumes[1].storageOS: deprecated in v1.22, non-functional in v1.25+",
      'volume "v" (ConfigMap "m"): overlapping paths: "p/q" with "p"',
      'spec.imagePullSecrets[1].name: duplicate name "s"',
      `spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: ${NULL_SELECTOR}`,
      'spec.dnsConfig.nameservers[0]: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")',
    ],
  ],
  [
    "Pod",
    { spec: balanced({ containerPort: 80, hostIP: "10.0.0.1" }) },
    [
      "spec.containers[0].ports[1]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}",
      "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
    ],
  ],
  [
    "Pod",
    { spec: balanced({ containerPort: 80 }) },
    ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
  ],
  [
    "Pod",
    {
      spec: {
        containers: [
          {
            ...containers[0],
            env: ["1", "$(A)2", "$(A)", "3"].map((value) => ({ name: "A", value })),
          },
        ],
      },
    },
    [2, 3].map(
      (index) =>
        `spec.containers[0].env[${index}]: hides previous definition of "A", which may be dropped when using apply`,
    ),
  ],
  ["apps/v1/Deployment", { metadata: { name: "a.b" }, spec: { selector, template: template({}) } }, [HOST_NAMES]],
  [
    "apps/v1/StatefulSet",
    {
      spec: {
        selector,
        serviceName: "s",
        template: template({}),
        revisionHistoryLimit: -1,
        volumeClaimTemplates: [{ metadata: { name: "d" }, spec: { resources: { requests: { storage: "1500m" } } } }],
      },
    },
    [
      'spec.volumeClaimTemplates[0].resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer',
      "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended",
    ],
  ],
  [
    "Service",
    {
      spec: {
        ports: [{ port: 80 }],
        externalIPs: ["10.0.0.1"],
        externalName: "x",
        trafficDistribution: "PreferClose",
      },
    },
    [
      "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
      'spec.externalName is ignored when spec.type is not "ExternalName"',
      'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
    ],
  ],
  [
    "PersistentVolume",
    { spec: { persistentVolumeReclaimPolicy: "Recycle", rbd: { monitors: [], image: "" } } },
    [
      "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
      "spec.rbd: deprecated in v1.28, non-functional in v1.31+",
    ],
  ],
  [
    "storage.k8s.io/v1/StorageClass",
    { allowedTopologies: [{ matchLabelExpressions: [{ key: "beta.kubernetes.io/os", values: ["x"] }] }] },
    ['allowedTopologies[0].matchLabelExpressions[0]: deprecated since v1.14; use "kubernetes.io/os" instead'],
  ],
  [
    "networking.k8s.io/v1/NetworkPolicy",
    { spec: { podSelector: {}, egress: [{ to: [{ ipBlock: { cidr: "FD00::/8" } }] }] } },
    [
      'spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "FD00::/8" should be in RFC 5952 canonical format ("fd00::/8")',
    ],
  ],
  [
    "discovery.k8s.io/v1/EndpointSlice",
    { addressType: "FQDN", endpoints: [{ addresses: ["a.example"] }] },
    ["spec.addressType: FQDN endpoints are deprecated"],
  ],
];

for (const [kind, draft, warnings] of MADE) {
  test(`making a ${kind} warns of ${warnings.join("; ").slice(0, 100)}`, () =>
    assert.deepEqual(createWarnings(kind, draft as Record<string, unknown>), warnings));
}

test("an update repeats no warning of a template that stays, nor of a pod or a name", () => {
  const spec = { selector, template: template({ hostAliases: [{ ip: "10.0.0.1" }, { ip: "10.0.0.1" }] }) };
  const deployment = { metadata: { name: "a.b", generation: 1 }, spec };
  const relabel = (object: { metadata: object }) => Object.assign(object.metadata, { labels: { x: "y" } });
  assert.deepEqual(updated("apps/v1/Deployment", deployment, relabel).warnings, []);
  const grow = (object: { metadata: object }) => Object.assign(object.metadata, { generation: 2 });
  assert.deepEqual(updated("apps/v1/Deployment", deployment, grow).warnings, [
    'spec.template.spec.hostAliases[1].ip: duplicate ip "10.0.0.1"',
  ]);
  assert.deepEqual(updated("Pod", { metadata: { name: "a.b" }, spec: spec.template.spec }, relabel).warnings, []);
});
