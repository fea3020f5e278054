import assert from "node:assert/strict";
import { test } from "node:test";
import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { Namespace, Pod } from "#pkg/api/types/core-v1.ts";
import type { Attributes, Authorizer } from "../../contract.ts";
import { MemorySource } from "../../source/index.ts";
import { attributesFor, run } from "../testing.ts";
import {
  AlwaysDeny,
  ExtendedResourceToleration,
  LimitPodHardAntiAffinityTopology,
  NamespaceExists,
  OwnerReferencesPermissionEnforcement,
  PodConnectAuthorization,
} from "./extra.ts";

/** Allows exactly the given "verb resource[/subresource]". */
const allowing = (...rights: string[]): Authorizer => ({
  authorize: (a: Attributes) => {
    const right = a.resourceRequest ? `${a.verb} ${a.resource}${a.subresource === "" ? "" : `/${a.subresource}`}` : "";
    return { decision: rights.includes(right) ? "allow" : "no-opinion", reason: "" };
  },
});

test("reaching into a pod needs create, also by WebSocket", async () => {
  const exec = attributesFor("pods", {
    operation: "CONNECT",
    subresource: "exec",
    name: "p",
    object: { kind: "PodExecOptions" },
  });
  await run(new PodConnectAuthorization(allowing("create pods/exec")), exec);
  await assert.rejects(run(new PodConnectAuthorization(allowing("get pods/exec")), exec), {
    message:
      'pods "p" is forbidden: User "tester" cannot create resource "pods/exec" in API group "" in the namespace "ns"',
  });
  const log = attributesFor("pods", { operation: "CONNECT", subresource: "proxy", name: "p" });
  await run(new PodConnectAuthorization(allowing()), log);
});

test("OwnerReferencesPermissionEnforcement", async () => {
  const installed = () => [
    {
      definition: {
        group: "apps",
        version: "v1",
        kind: "ReplicaSet",
        plural: "replicasets",
        namespaced: true,
      } as ResourceDefinition,
    },
  ];
  const owned = (more: object): object => ({
    metadata: {
      name: "p",
      ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "r", uid: "1", ...more }],
    },
  });
  const judge = (object: object, oldObject: object | undefined, ...rights: string[]): Promise<unknown> =>
    run(
      new OwnerReferencesPermissionEnforcement(allowing(...rights), installed),
      attributesFor("pods", { object, ...(oldObject === undefined ? {} : { oldObject }) }),
    );
  await judge(owned({}), undefined);
  await assert.rejects(
    judge(owned({ blockOwnerDeletion: true }), undefined),
    /cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on/,
  );
  await judge(owned({ blockOwnerDeletion: true }), undefined, "update replicasets/finalizers");
  await judge(owned({ blockOwnerDeletion: true }), owned({ blockOwnerDeletion: true }));
  await assert.rejects(
    judge(owned({}), { metadata: { name: "p" } }),
    /cannot set an ownerRef on a resource you can't delete/,
  );
  await judge(owned({}), { metadata: { name: "p" } }, "delete pods");
  await assert.rejects(
    judge(owned({ kind: "Unknown", blockOwnerDeletion: true }), undefined),
    /cannot find RESTMapping for APIVersion apps\/v1 Kind Unknown/,
  );
});

test("NamespaceExists, AlwaysDeny", async () => {
  const namespaces = new MemorySource<Namespace>([{ metadata: { name: "ns" } } as Namespace]);
  await run(new NamespaceExists(namespaces), attributesFor("pods", { operation: "DELETE" }));
  await assert.rejects(
    run(new NamespaceExists(namespaces), attributesFor("pods", { operation: "DELETE", namespace: "no" })),
    { code: 404 },
  );
  await assert.rejects(
    run(new AlwaysDeny(), attributesFor("pods", { name: "p" })),
    /admission control is denying all modifications/,
  );
});

test("pod plugins that are off by default", async () => {
  const pod = (spec: object): Pod => ({ metadata: { name: "p" }, spec: { containers: [], ...spec } }) as unknown as Pod;
  const spread = (topologyKey: string): Pod =>
    pod({ affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey }] } } });
  await run(
    new LimitPodHardAntiAffinityTopology(),
    attributesFor("pods", { object: spread("kubernetes.io/hostname") }),
  );
  await assert.rejects(
    run(new LimitPodHardAntiAffinityTopology(), attributesFor("pods", { object: spread("zone") })),
    /has TopologyKey zone but only key kubernetes.io\/hostname is allowed/,
  );
  const gpu = pod({ containers: [{ name: "c", resources: { requests: { "example.com/gpu": "1", cpu: "1" } } }] });
  await run(new ExtendedResourceToleration(), attributesFor("pods", { object: gpu }));
  await run(new ExtendedResourceToleration(), attributesFor("pods", { object: gpu }));
  assert.deepEqual(gpu.spec!.tolerations, [{ key: "example.com/gpu", operator: "Exists" }]);
});
