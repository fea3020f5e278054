import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { NodeRestriction } from "./node-restriction.ts";
import { attributesFor, run } from "../testing.ts";
import { sourceOf, testPod } from "./testing.ts";

describe("NodeRestriction", () => {
  const user = { name: "system:node:n1", groups: ["system:nodes"] };
  const pods = sourceOf<Pod>(
    testPod(
      {
        nodeName: "n1",
        serviceAccountName: "sa",
        volumes: [{ name: "t", projected: { sources: [{ serviceAccountToken: { audience: "vault" } }] } }],
      },
      { uid: "u1" },
    ),
    testPod({ nodeName: "n2" }, { name: "q", uid: "u2" }),
  );
  const plugin = new NodeRestriction({ pods, nodes: sourceOf<Node>({ metadata: { name: "n1", uid: "node-uid" } }) });
  const go = (resource: string, parts: object): Promise<unknown> =>
    run(plugin, attributesFor(resource, { user, ...parts }));
  const node = (name: string, labels: object = {}, spec: object = {}): object => ({ metadata: { name, labels }, spec });
  const mirror = (spec: object = {}, owner: object = {}): Pod =>
    testPod(
      { nodeName: "n1", ...spec },
      {
        annotations: { "kubernetes.io/config.mirror": "x" },
        ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "n1", uid: "node-uid", controller: true, ...owner }],
      },
    );
  const token = (name: string, uid: string, audiences: string[] = []): object => ({
    subresource: "token",
    name: "sa",
    object: { metadata: {}, spec: { audiences, boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid } } },
  });

  test("leaves others alone", async () => {
    await run(
      plugin,
      attributesFor("nodes", { object: node("n9"), namespace: "", user: { name: "admin", groups: [] } }),
    );
  });
  const allowed: [string, string, object][] = [
    [
      "its own Node",
      "nodes",
      { object: node("n1", { "kubernetes.io/hostname": "n1", "node.kubernetes.io/x": "y", custom: "z" }) },
    ],
    ["its own status", "nodes", { object: node("n1"), oldObject: node("n1"), subresource: "status" }],
    ["a mirror pod", "pods", { object: mirror() }],
    ["status of its pod", "pods", { object: testPod(), oldObject: testPod({ nodeName: "n1" }), subresource: "status" }],
    ["deleting its pod", "pods", { operation: "DELETE", name: "p" }],
    ["token for its pod", "serviceaccounts", token("p", "u1", ["vault"])],
    ["its lease", "coordination.k8s.io/leases", { object: { metadata: { name: "n1" } }, namespace: "kube-node-lease" }],
  ];
  for (const [name, resource, parts] of allowed) test(`allows ${name}`, async () => void (await go(resource, parts)));

  const refused: [string, string, object, RegExp][] = [
    ["another Node", "nodes", { object: node("n2") }, /node "n1" is not allowed to modify node "n2"/],
    [
      "restricted labels",
      "nodes",
      { object: node("n1", { "node-restriction.kubernetes.io/x": "y" }) },
      /is not allowed to set the following labels: node-restriction.kubernetes.io\/x/,
    ],
    [
      "labels of others",
      "nodes",
      { object: node("n1", { "foo.k8s.io/x": "y" }), oldObject: node("n1") },
      /is not allowed to modify labels: foo.k8s.io\/x/,
    ],
    [
      "taints",
      "nodes",
      { object: node("n1"), oldObject: node("n1", {}, { taints: [{ key: "a", effect: "NoSchedule" }] }) },
      /node "n1" is not allowed to modify taints/,
    ],
    [
      "ordinary pods",
      "pods",
      { object: testPod({ nodeName: "n1" }) },
      /does not have "kubernetes.io\/config.mirror" annotation, node "n1" can only create mirror pods/,
    ],
    [
      "mirror pods elsewhere",
      "pods",
      { object: mirror({ nodeName: "n2" }) },
      /can only create pods with spec.nodeName set to itself/,
    ],
    [
      "mirror pods of nobody",
      "pods",
      { object: { ...mirror(), metadata: { ...mirror().metadata, ownerReferences: [] } } },
      /can only create pods with an owner reference set to itself/,
    ],
    ["mirror pods of another owner", "pods", { object: mirror({}, { name: "n2" }) }, /owner reference set to itself/],
    [
      "mirror pods of an older self",
      "pods",
      { object: mirror({}, { uid: "old" }) },
      /node n1 UID mismatch: expected old got node-uid/,
    ],
    [
      "mirror pods with secrets",
      "pods",
      { object: mirror({ volumes: [{ name: "s", secret: { secretName: "x" } }] }) },
      /can not create pods that reference secrets/,
    ],
    [
      "status of others' pods",
      "pods",
      { object: testPod(), oldObject: testPod({ nodeName: "n2" }), subresource: "status" },
      /can only update pod status for pods with spec.nodeName set to itself/,
    ],
    [
      "labels through status",
      "pods",
      { object: testPod({}, { labels: { a: "b" } }), oldObject: testPod({ nodeName: "n1" }), subresource: "status" },
      /cannot update labels through pod status/,
    ],
    [
      "deleting others' pods",
      "pods",
      { operation: "DELETE", name: "q" },
      /can only delete pods with spec.nodeName set to itself/,
    ],
    [
      "evicting others' pods",
      "pods",
      { subresource: "eviction", name: "q", object: { metadata: { name: "q" } } },
      /can only evict pods with spec.nodeName set to itself/,
    ],
    [
      "tokens without a pod",
      "serviceaccounts",
      { subresource: "token", object: { metadata: {}, spec: {} } },
      /node requested token not bound to a pod/,
    ],
    ["tokens for others' pods", "serviceaccounts", token("q", "u2"), /bound to a pod scheduled on a different node/],
    ["tokens for old pods", "serviceaccounts", token("p", "u0"), /does not match the UID in record/],
    [
      "tokens for other audiences",
      "serviceaccounts",
      token("p", "u1", ["bank"]),
      /audience "bank" not found in pod spec volume/,
    ],
    [
      "leases elsewhere",
      "coordination.k8s.io/leases",
      { object: { metadata: { name: "n1" } } },
      /can only access leases in the "kube-node-lease" system namespace/,
    ],
    [
      "others' leases",
      "coordination.k8s.io/leases",
      { object: { metadata: { name: "n2" } }, namespace: "kube-node-lease" },
      /same name as the requesting node/,
    ],
  ];
  for (const [name, resource, parts, message] of refused)
    test(`refuses ${name}`, () => assert.rejects(go(resource, parts), message));
});
