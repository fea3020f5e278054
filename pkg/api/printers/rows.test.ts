import assert from "node:assert/strict";
import { test } from "node:test";
import { definitionOf } from "../testing/strategies.ts";

const NOW = Date.parse("2026-01-01T01:00:00Z");
const created = "2026-01-01T00:55:00Z";
const meta = (name: string, more: object = {}) => ({ name, creationTimestamp: created, ...more });

const rows: readonly [kind: string, object: Record<string, unknown>, row: unknown[]][] = [
  [
    "Node",
    {
      metadata: meta("a", {
        labels: { "node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/etcd": "" },
      }),
      spec: { unschedulable: true },
      status: {
        conditions: [{ type: "Ready", status: "True" }],
        addresses: [{ type: "InternalIP", address: "10.0.0.5" }],
        nodeInfo: {
          kubeletVersion: "v1.36.0",
          osImage: "Debian",
          kernelVersion: "6.1",
          containerRuntimeVersion: "containerd://1.6",
        },
      },
    },
    [
      "a",
      "Ready,SchedulingDisabled",
      "control-plane,etcd",
      "5m",
      "v1.36.0",
      "10.0.0.5",
      "<none>",
      "Debian",
      "6.1",
      "containerd://1.6",
    ],
  ],
  [
    "Node",
    { metadata: meta("b") },
    ["b", "Unknown", "<none>", "5m", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"],
  ],
  [
    "Service",
    {
      metadata: meta("web"),
      spec: {
        type: "NodePort",
        clusterIP: "10.96.0.9",
        ports: [
          { port: 80, nodePort: 30390, protocol: "TCP" },
          { port: 53, protocol: "UDP" },
        ],
        selector: { tier: "front", app: "web" },
      },
    },
    ["web", "NodePort", "10.96.0.9", "<none>", "80:30390/TCP,53/UDP", "5m", "app=web,tier=front"],
  ],
  [
    "Service",
    {
      metadata: meta("lb"),
      spec: { type: "LoadBalancer", clusterIP: "10.96.0.9", ports: [{ port: 80, protocol: "TCP" }] },
    },
    ["lb", "LoadBalancer", "10.96.0.9", "<pending>", "80/TCP", "5m", "<none>"],
  ],
  [
    "Service",
    { metadata: meta("alias"), spec: { type: "ExternalName", externalName: "example.com" } },
    ["alias", "ExternalName", "<none>", "example.com", "<none>", "5m", "<none>"],
  ],
  [
    "Endpoints",
    {
      metadata: meta("web"),
      subsets: [{ addresses: ["1", "2", "3", "4"].map((n) => ({ ip: `10.0.0.${n}` })), ports: [{ port: 80 }] }],
    },
    ["web", "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more...", "5m"],
  ],
  [
    "Event",
    {
      metadata: meta("web.1"),
      involvedObject: { kind: "Pod", name: "web", fieldPath: "spec.containers{c}" },
      type: "Warning",
      reason: "BackOff",
      message: "Back-off restarting\n",
      source: { component: "kubelet", host: "a" },
      firstTimestamp: "2026-01-01T00:00:00Z",
      lastTimestamp: "2026-01-01T00:59:00Z",
      count: 3,
    },
    [
      "60s",
      "Warning",
      "BackOff",
      "pod/web",
      "spec.containers{c}",
      "kubelet, a",
      "Back-off restarting",
      "60m",
      3,
      "web.1",
    ],
  ],
  [
    "PersistentVolume",
    {
      metadata: meta("pv"),
      spec: {
        capacity: { storage: "1Gi" },
        accessModes: ["ReadWriteMany", "ReadWriteOnce"],
        persistentVolumeReclaimPolicy: "Retain",
        claimRef: { namespace: "default", name: "data" },
        storageClassName: "fast",
        volumeMode: "Filesystem",
      },
      status: { phase: "Bound" },
    },
    ["pv", "1Gi", "RWO,RWX", "Retain", "Bound", "default/data", "fast", "<unset>", "", "5m", "Filesystem"],
  ],
  [
    "ResourceQuota",
    { metadata: meta("q"), status: { hard: { pods: "3", "limits.cpu": "2" }, used: { pods: "1" } } },
    ["q", "pods: 1/3", "limits.cpu: 0/2", "5m"],
  ],
  ["Secret", { metadata: meta("s"), type: "Opaque", data: { a: "", b: "" } }, ["s", "Opaque", 2, "5m"]],
  [
    "batch/v1/Job",
    {
      metadata: meta("pi"),
      spec: { completions: 3, parallelism: 1, template: { spec: { containers: [{ name: "c", image: "x" }] } } },
      status: { succeeded: 1, startTime: "2026-01-01T00:58:00Z" },
    },
    ["pi", "Running", "1/3", "2m", "5m", "c", "x", "<none>"],
  ],
  [
    "batch/v1/CronJob",
    { metadata: meta("tick"), spec: { schedule: "@daily", suspend: false, jobTemplate: {} }, status: { active: [{}] } },
    ["tick", "@daily", "<none>", "False", 1, "<none>", "5m", "", "", "<none>"],
  ],
  [
    "networking.k8s.io/v1/Ingress",
    {
      metadata: meta("web"),
      spec: { rules: ["a", "b", "c", "d"].map((host) => ({ host: `${host}.example.com` })), tls: [{}] },
      status: { loadBalancer: { ingress: [{ ip: "1.2.3.4" }, { hostname: "lb" }] } },
    },
    ["web", "<none>", "a.example.com,b.example.com,c.example.com + 1 more...", "1.2.3.4,lb", "80, 443", "5m"],
  ],
  [
    "networking.k8s.io/v1/NetworkPolicy",
    {
      metadata: meta("p"),
      spec: {
        podSelector: { matchLabels: { a: "b" }, matchExpressions: [{ key: "c", operator: "In", values: ["y", "x"] }] },
      },
    },
    ["p", "a=b,c in (x,y)", "5m"],
  ],
  [
    "autoscaling/v2/HorizontalPodAutoscaler",
    {
      metadata: meta("h"),
      spec: {
        scaleTargetRef: { kind: "Deployment", name: "web" },
        minReplicas: 1,
        maxReplicas: 4,
        metrics: [
          { type: "Resource", resource: { name: "cpu", target: { averageUtilization: 80 } } },
          { type: "Pods", pods: { target: { averageValue: "10" } } },
        ],
      },
      status: {
        currentReplicas: 2,
        currentMetrics: [{ type: "Resource", resource: { current: { averageUtilization: 30 } } }],
      },
    },
    ["h", "Deployment/web", "cpu: 30%/80%, <unknown>/10", "1", 4, 2, "5m"],
  ],
  [
    "Event",
    {
      metadata: meta("e"),
      involvedObject: { kind: "Pod", name: "p" },
      lastTimestamp: null,
      eventTime: created,
      reportingComponent: "c",
      reportingInstance: "c-n",
      series: { count: 4, lastObservedTime: "2026-01-01T00:59:00.000000Z" },
      source: {},
    },
    ["60s", "", "", "pod/p", "", "c, c-n", "", "5m", 4, "e"],
  ],
  [
    "flowcontrol.apiserver.k8s.io/v1/FlowSchema",
    { metadata: meta("f"), spec: { matchingPrecedence: 100, priorityLevelConfiguration: { name: "l" } } },
    ["f", "l", 100, "<none>", "5m", "?"],
  ],
  [
    "policy/v1/PodDisruptionBudget",
    { metadata: meta("b"), spec: { minAvailable: "50%" }, status: { disruptionsAllowed: 1 } },
    ["b", "50%", "N/A", 1, "5m"],
  ],
  [
    "storage.k8s.io/v1/StorageClass",
    {
      metadata: meta("fast", { annotations: { "storageclass.kubernetes.io/is-default-class": "true" } }),
      provisioner: "x/y",
    },
    ["fast (default)", "x/y", "Delete", "Immediate", false, "5m"],
  ],
  [
    "rbac.authorization.k8s.io/v1/RoleBinding",
    {
      metadata: meta("r"),
      roleRef: { kind: "Role", name: "reader" },
      subjects: [
        { kind: "User", name: "a" },
        { kind: "ServiceAccount", namespace: "n", name: "s" },
      ],
    },
    ["r", "Role/reader", "5m", "a", "", "n/s"],
  ],
  [
    "discovery.k8s.io/v1/EndpointSlice",
    { metadata: meta("web-1"), addressType: "IPv4", ports: [{ port: 80 }], endpoints: [{ addresses: ["10.0.0.1"] }] },
    ["web-1", "IPv4", "80", "10.0.0.1", "5m"],
  ],
  [
    "certificates.k8s.io/v1/CertificateSigningRequest",
    {
      metadata: meta("csr"),
      spec: { signerName: "example.com/s", username: "u", expirationSeconds: 3600 },
      status: { certificate: "YQ==", conditions: [{ type: "Approved" }] },
    },
    ["csr", "5m", "example.com/s", "u", "60m", "Approved,Issued"],
  ],
  [
    "apps/v1/ControllerRevision",
    {
      metadata: meta("ds-1", {
        ownerReferences: [{ apiVersion: "apps/v1", kind: "DaemonSet", name: "ds", uid: "u", controller: true }],
      }),
      revision: 1,
    },
    ["ds-1", "daemonset.apps/ds", 1, "5m"],
  ],
];
for (const [kind, object, row] of rows) {
  test(`the row of a ${kind}: ${row.slice(0, 4).join(" ")}`, () => {
    assert.deepEqual(definitionOf(kind).printRow(object as never, NOW), row);
  });
}

test("rows of pods tell whether they have ended", () => {
  const { rowConditions } = definitionOf("Pod");
  const reasons = (phase: string) =>
    rowConditions!({ metadata: meta("p"), status: { phase } } as never).map(({ type, reason }) => [type, reason]);
  assert.deepEqual(reasons("Running"), []);
  assert.deepEqual(reasons("Succeeded"), [["Completed", "Succeeded"]]);
  assert.deepEqual(reasons("Failed"), [["Completed", "Failed"]]);
});

test("columns are described by the fields they show", () => {
  const column = (kind: string, name: string) =>
    definitionOf(kind).columns.find((one) => one.name === name)!.description;
  assert.match(column("Pod", "Name"), /^Name must be unique within a namespace\./);
  assert.equal(column("Pod", "Status"), "The aggregate status of the containers in this pod.");
  assert.match(column("batch/v1/CronJob", "Timezone"), /^The time zone name for the given schedule/);
  assert.equal(column("events.k8s.io/v1/Event", "Reason"), column("Event", "Reason"));
});
