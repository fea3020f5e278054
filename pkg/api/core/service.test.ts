import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { created, createErrors, updated } from "../testing/strategies.ts";
import type { Service, ServiceSpec } from "../types/core-v1.ts";

const ports = [{ port: 80 }];
const specOf = (object: KubeObject) => object["spec"] as ServiceSpec;

test("defaults depend on the type", () => {
  const defaults = (spec: object) => specOf(created("Service", { spec: { ports, ...spec } }));
  const plain = defaults({});
  assert.deepEqual(plain, {
    ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
    sessionAffinity: "None",
    type: "ClusterIP",
    internalTrafficPolicy: "Cluster",
  });
  assert.equal(defaults({ type: "NodePort" }).externalTrafficPolicy, "Cluster");
  assert.equal(defaults({ type: "LoadBalancer" }).allocateLoadBalancerNodePorts, true);
  assert.equal(defaults({ type: "ExternalName", externalName: "a.b" }).internalTrafficPolicy, undefined);
  assert.deepEqual(defaults({ sessionAffinity: "ClientIP" }).sessionAffinityConfig, {
    clientIP: { timeoutSeconds: 10800 },
  });
});

const invalidServices: readonly [what: string, spec: object, errors: string[]][] = [
  ["a plain service", { ports }, []],
  ["a headless one without ports", { clusterIP: "None" }, []],
  ["no ports", {}, ["spec.ports: Required value"]],
  [
    "unnamed ports",
    { ports: [{ port: 80 }, { port: 81 }] },
    ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
  ],
  [
    "a port twice",
    {
      ports: [
        { name: "a", port: 80 },
        { name: "b", port: 80 },
      ],
    },
    [
      'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}',
    ],
  ],
  [
    "a node port without its type",
    { ports: [{ port: 80, nodePort: 30080 }] },
    ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
  ],
  ["an alias of nothing", { type: "ExternalName" }, ["spec.externalName: Required value"]],
  [
    "an unknown type",
    { ports, type: "Magic" },
    [
      'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
    ],
  ],
  [
    "an address that is none",
    { ports, clusterIP: "1.2.3" },
    ['spec.clusterIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
  ],
  [
    "a traffic policy nobody can use",
    { ports, externalTrafficPolicy: "Local" },
    ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
  ],
];
for (const [what, spec, errors] of invalidServices) {
  test(`creating ${what}`, () => assert.deepEqual(createErrors("Service", { spec }), errors));
}

test("allocated values are kept when a client leaves them out", () => {
  const draft = { spec: { type: "NodePort", clusterIP: "10.0.0.1", ports: [{ port: 80, nodePort: 30080 }] } };
  const { object, errors } = updated("Service", draft, (service) => {
    service["spec"] = { type: "NodePort", ports: [{ port: 80 }] };
  });
  assert.deepEqual(errors, []);
  assert.deepEqual([specOf(object).clusterIP, specOf(object).clusterIPs], ["10.0.0.1", ["10.0.0.1"]]);
  assert.equal(specOf(object).ports![0]!.nodePort, 30080);
});

test("a change of type drops what the new one cannot have", () => {
  const draft = { spec: { type: "LoadBalancer", clusterIP: "10.0.0.1", ports: [{ port: 80, nodePort: 30080 }] } };
  const { object, errors } = updated("Service", draft, (service) => {
    specOf(service).type = "ClusterIP";
    service["status"] = { loadBalancer: { ingress: [{ ip: "1.2.3.4" }] } };
  });
  assert.deepEqual(errors, []);
  assert.equal(specOf(object).ports![0]!.nodePort, undefined);
  assert.equal(specOf(object).allocateLoadBalancerNodePorts, undefined);
  assert.equal(specOf(object).externalTrafficPolicy, undefined);
  assert.deepEqual((object as unknown as Service).status, { loadBalancer: {} });

  const alias = updated("Service", draft, (service) => {
    service["spec"] = { ...specOf(service), type: "ExternalName", externalName: "a.b" };
  });
  assert.deepEqual(alias.errors, []);
  assert.equal(specOf(alias.object).clusterIP, undefined);
});

test("a cluster address does not change", () => {
  const draft = { spec: { clusterIP: "10.0.0.1", ports } };
  const { errors } = updated("Service", draft, (service) => (specOf(service).clusterIP = "10.0.0.2"));
  assert.deepEqual(errors, ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set']);
});
