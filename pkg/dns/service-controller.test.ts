import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "#pkg/api/types/core-v1.ts";
import { CLUSTER_DNS_PORT } from "./cluster-dns.ts";
import { DNS_NODE_LABEL, dnsEndpoints, dnsService } from "./service-controller.ts";

const node = (name: string, addresses: string[], more: { dns?: boolean; ready?: boolean } = {}): Node => ({
  metadata: {
    name,
    uid: name,
    resourceVersion: "1",
    creationTimestamp: "2026-01-01T00:00:00Z",
    labels: { [DNS_NODE_LABEL]: String(more.dns !== false) },
  },
  spec: {},
  status: {
    addresses: addresses.map((address) => ({ type: "InternalIP", address })),
    conditions: [{ type: "Ready", status: more.ready === false ? "False" : "True" }],
  },
});

test("the service has no selector, and leads both transports to the nodes' port", () => {
  const { metadata, spec } = dnsService("10.96.0.10");
  assert.equal(`${metadata.namespace}/${metadata.name}`, "kube-system/kube-dns");
  assert.equal(spec.selector, undefined);
  assert.deepEqual(
    spec.ports?.map(({ protocol, port, targetPort }) => [protocol, port, targetPort]),
    [
      ["UDP", 53, CLUSTER_DNS_PORT],
      ["TCP", 53, CLUSTER_DNS_PORT],
    ],
  );
});

test("endpoints: nodes that answer, each hinted at itself, in a stable order", () => {
  const all = [
    node("b", ["fd00::2", "192.0.2.2"]),
    node("a", ["192.0.2.1"], { ready: false }),
    node("no-dns", ["192.0.2.3"], { dns: false }),
    node("no-address", []),
  ];
  assert.deepEqual(
    dnsEndpoints(all, "IPv6").map(({ addresses, nodeName }) => [nodeName, ...addresses]),
    [["b", "fd00::2"]],
  );
  assert.deepEqual(dnsEndpoints(all, "IPv4"), [
    {
      addresses: ["192.0.2.1"],
      conditions: { ready: false, serving: false, terminating: false },
      nodeName: "a",
      hints: { forNodes: [{ name: "a" }] },
    },
    {
      addresses: ["192.0.2.2"],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: "b",
      hints: { forNodes: [{ name: "b" }] },
    },
  ]);
});
