import assert from "node:assert/strict";
import { test } from "node:test";
import { created, createErrors, updated } from "../testing/strategies.ts";
import { isSubnet } from "./validation.ts";

const group = "networking.k8s.io/v1";
const backend = { service: { name: "web", port: { number: 80 } } };
const ingress = (path: object) => ({ spec: { rules: [{ host: "a.example.com", http: { paths: [path] } }] } });

const refused: readonly [kind: string, draft: Record<string, unknown>, errors: string[]][] = [
  ["Ingress", ingress({ path: "/", pathType: "Prefix", backend }), []],
  ["Ingress", { spec: {} }, ["spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"]],
  [
    "Ingress",
    ingress({ path: "x", pathType: "Exact", backend }),
    ['spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path'],
  ],
  [
    "Ingress",
    ingress({ path: "/", backend }),
    ["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
  ],
  [
    "Ingress",
    { spec: { rules: [{ host: "10.0.0.1" }] } },
    ['spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address'],
  ],
  [
    "NetworkPolicy",
    { spec: { ingress: [{ from: [{}] }] } },
    ["spec.ingress[0].from[0]: Required value: must specify a peer"],
  ],
  [
    "NetworkPolicy",
    { spec: { egress: [{ to: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/16"] } }] }] } },
    ['spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`'],
  ],
  [
    "NetworkPolicy",
    { spec: { podSelector: {}, ingress: [{ ports: [{ protocol: "", port: 80 }] }] } },
    ['spec.ingress[0].ports[0].protocol: Unsupported value: "": supported values: "TCP", "UDP", "SCTP"'],
  ],
  ["ServiceCIDR", { spec: { cidrs: [] } }, ["spec.cidrs: Required value: at least one CIDR required"]],
  [
    "Ingress",
    ingress({ path: "/", pathType: "", backend: { resource: { apiGroup: "", kind: "a/b" } } }),
    [
      'spec.rules[0].http.paths[0].pathType: Unsupported value: "": supported values: "Exact", "ImplementationSpecific", "Prefix"',
      `spec.rules[0].http.paths[0].backend.resource.apiGroup: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
      "spec.rules[0].http.paths[0].backend.resource.kind: Invalid value: \"a/b\": may not contain '/'",
      "spec.rules[0].http.paths[0].backend.resource.name: Required value: name is required",
    ],
  ],
  [
    "NetworkPolicy",
    { spec: { policyTypes: ["", "Egress"], egress: [{ ports: [{ protocol: "ICMP" }] }] } },
    [
      'spec.egress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
      'spec.policyTypes[0]: Unsupported value: "": supported values: "Ingress", "Egress"',
    ],
  ],
  [
    "IngressClass",
    { spec: { controller: `acme.io/${"x".repeat(250)}`, parameters: { kind: "A" } } },
    [
      "spec.controller: Too long: may not be more than 250 bytes",
      "spec.parameters.name: Required value: name is required",
    ],
  ],
  [
    "IngressClass",
    { spec: { controller: "nothing" } },
    ['spec.controller: Invalid value: "nothing": must be a domain-prefixed path (such as "acme.io/foo")'],
  ],
];
for (const [kind, draft, errors] of refused) {
  test(`creating ${kind} ${errors[0]?.slice(0, 60) ?? ""}`, () => {
    assert.deepEqual(createErrors(`${group}/${kind}`, draft), errors);
  });
}

test("a policy says which traffic it is about", () => {
  const types = (spec: object) =>
    (created(`${group}/NetworkPolicy`, { spec })["spec"] as { policyTypes: string[] }).policyTypes;
  assert.deepEqual(types({}), ["Ingress"]);
  assert.deepEqual(types({ egress: [{}] }), ["Ingress", "Egress"]);
  assert.deepEqual(types({ policyTypes: ["Egress"] }), ["Egress"]);
});

test("a service CIDR may gain its second family", () => {
  const change = (cidrs: string[]) =>
    updated(`${group}/ServiceCIDR`, { spec: { cidrs: ["10.0.0.0/16"] } }, (object) => (object["spec"] = { cidrs }))
      .errors;
  assert.deepEqual(change(["10.0.0.0/16", "fd00::/112"]), []);
  assert.equal(change(["10.1.0.0/16"]).length, 1);
});

test("subnets", () => {
  assert.equal(isSubnet("10.1.0.0/16", "10.0.0.0/8"), true);
  assert.equal(isSubnet("10.0.0.0/8", "10.0.0.0/8"), false);
  assert.equal(isSubnet("fd00:0:0:1::/64", "fd00::/48"), true);
  assert.equal(isSubnet("::ffff:10.0.0.0/112", "fd00::/48"), false);
});
