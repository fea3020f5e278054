import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container, Service } from "#pkg/api/types/core-v1.ts";
import { container, pod } from "../testing/observed.ts";
import { resourceValue } from "./downward.ts";
import { buildEnvironment, serviceVariables } from "./env.ts";
import type { EnvInput } from "./env.ts";
import { expand } from "./expansion.ts";

const meta = (name: string, namespace: string) => ({
  name,
  namespace,
  uid: "",
  resourceVersion: "1",
  creationTimestamp: "",
});
const service = (name: string, namespace: string, clusterIP: string): Service => ({
  metadata: meta(name, namespace),
  spec: {
    clusterIP,
    ports: [
      { name: "http", port: 80 },
      { name: "dns", port: 53, protocol: "UDP" },
    ],
  },
});

const expansions: [text: string, expected: string][] = [
  ["$(A)", "1"],
  ["$(A)$(B)", "12"],
  ["$$(A)", "$(A)"],
  ["$$$(A)", "$1"],
  ["$(NONE)", "$(NONE)"],
  ["$(A", "$(A"],
  ["$A $", "$A $"],
  ["a$(A)b", "a1b"],
  ["$()", "$()"],
  ["$($(A))", "$($(A))"],
];
for (const [text, expected] of expansions) {
  test(`expansion: ${text}`, () =>
    assert.equal(
      expand(text, (name) => ({ A: "1", B: "2" })[name]),
      expected,
    ));
}

test("service variables: of the pod's namespace, and always kubernetes of default", () => {
  const services = [
    service("my-db", "ns", "10.0.0.1"),
    service("other", "elsewhere", "10.0.0.2"),
    service("headless", "ns", "None"),
    service("kubernetes", "default", "10.0.0.9"),
  ];
  const env = serviceVariables(pod({ containers: [] }), services);
  assert.deepEqual(Object.fromEntries([...env].filter(([name]) => name.startsWith("MY_DB"))), {
    MY_DB_SERVICE_HOST: "10.0.0.1",
    MY_DB_SERVICE_PORT: "80",
    MY_DB_SERVICE_PORT_HTTP: "80",
    MY_DB_SERVICE_PORT_DNS: "53",
    MY_DB_PORT: "tcp://10.0.0.1:80",
    MY_DB_PORT_80_TCP: "tcp://10.0.0.1:80",
    MY_DB_PORT_80_TCP_PROTO: "tcp",
    MY_DB_PORT_80_TCP_PORT: "80",
    MY_DB_PORT_80_TCP_ADDR: "10.0.0.1",
    MY_DB_PORT_53_UDP: "udp://10.0.0.1:53",
    MY_DB_PORT_53_UDP_PROTO: "udp",
    MY_DB_PORT_53_UDP_PORT: "53",
    MY_DB_PORT_53_UDP_ADDR: "10.0.0.1",
  });
  assert.equal(env.get("KUBERNETES_SERVICE_HOST"), "10.0.0.9");
  assert.equal(env.has("OTHER_SERVICE_HOST"), false);
  assert.deepEqual(
    [...serviceVariables(pod({ enableServiceLinks: false, containers: [] }), services).keys()].filter((name) =>
      name.startsWith("MY_DB"),
    ),
    [],
  );
});

function input(spec: Partial<Container>): EnvInput {
  const subject = pod(
    { nodeName: "n1", serviceAccountName: "sa", containers: [container("c", spec)] },
    {},
    { labels: { app: "x" }, annotations: { b: '2"', a: "1" } },
  );
  return {
    container: subject.spec.containers[0]!,
    context: {
      pod: subject,
      podIPs: ["10.1.1.1", "fd00::1"],
      hostIPs: ["192.0.2.1"],
      nodeAllocatable: { cpu: "4", memory: "1Gi" },
    },
    services: [],
    readVolumeFile: async (name, path) => (name === "files" && path === "env" ? "A='x'" : undefined),
    objects: {
      configMap: async (_namespace, name) =>
        name === "cm" ? { metadata: meta(name, "ns"), data: { k: "v", "dotted.key": "d" } } : undefined,
      secret: async (_namespace, name) =>
        name === "s" ? { metadata: meta(name, "ns"), data: { p: "cHc=" } } : undefined,
    },
  };
}
const build = async (spec: Partial<Container>) => Object.fromEntries(await buildEnvironment(input(spec)));
const field = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } });

test("environment: sources in order, later ones win and may refer to earlier ones", async () => {
  const env = await build({
    envFrom: [
      { configMapRef: { name: "cm" }, prefix: "P_" },
      { secretRef: { name: "s" } },
      { configMapRef: { name: "none", optional: true } },
    ],
    env: [
      { name: "A", value: "$(P_k)-$(p)" },
      { name: "p", value: "own" },
      { name: "POD", ...field("metadata.name") },
      { name: "LABEL", ...field("metadata.labels['app']") },
      { name: "IPS", ...field("status.podIPs") },
      { name: "HOST", ...field("status.hostIP") },
      { name: "SA", ...field("spec.serviceAccountName") },
      { name: "OPTIONAL", valueFrom: { configMapKeyRef: { name: "cm", key: "none", optional: true } } },
    ],
  });
  assert.deepEqual(env, {
    P_k: "v",
    "P_dotted.key": "d",
    p: "own",
    A: "v-pw",
    POD: "p",
    LABEL: "x",
    IPS: "10.1.1.1,fd00::1",
    HOST: "192.0.2.1",
    SA: "sa",
  });
});

const failures: [spec: Partial<Container>, message: RegExp][] = [
  [{ envFrom: [{ configMapRef: { name: "none" } }] }, /^configmap "none" not found$/],
  [{ envFrom: [{ secretRef: { name: "none" } }] }, /^secret "none" not found$/],
  [
    { env: [{ name: "X", valueFrom: { configMapKeyRef: { name: "cm", key: "z" } } }] },
    /^couldn't find key z in ConfigMap ns\/cm$/,
  ],
  [
    { env: [{ name: "X", valueFrom: { secretKeyRef: { name: "s", key: "z" } } }] },
    /^couldn't find key z in Secret ns\/s$/,
  ],
];
for (const [spec, message] of failures)
  test(`environment: ${message.source}`, () => assert.rejects(build(spec), { message }));

const resources: [resource: string, divisor: string | undefined, expected: string][] = [
  ["limits.cpu", undefined, "2"],
  ["limits.cpu", "1m", "1250"],
  ["requests.cpu", undefined, "1"],
  ["limits.memory", "1Mi", "33"],
  ["limits.memory", undefined, "34078720"],
  ["requests.memory", "1Mi", "33"],
  ["limits.ephemeral-storage", undefined, "0"],
];
for (const [resource, divisor, expected] of resources) {
  test(`resourceFieldRef: ${resource} / ${divisor ?? "1"}`, () => {
    const { context } = input({
      resources: { limits: { cpu: "1250m", memory: "34078720" }, requests: { cpu: "250m" } },
    });
    assert.equal(resourceValue({ resource, divisor }, "c", context), expected);
  });
}
test("resourceFieldRef: the node's allocatable stands in for a missing limit", () => {
  assert.equal(resourceValue({ resource: "limits.cpu" }, "c", input({}).context), "4");
});
