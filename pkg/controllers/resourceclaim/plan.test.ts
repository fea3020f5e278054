import assert from "node:assert/strict";
import { test } from "node:test";
import type { ResourceClaim } from "#pkg/api/types/resource-v1.ts";
import { meta, podOf } from "../testing/objects.ts";
import { CLAIM_FINALIZER, claimNames, claimsToReserve, planClaim, planPodClaims, POD_CLAIM_NAME } from "./plan.ts";

const pod = podOf("p", { node: "" });
pod.spec.resourceClaims = [
  { name: "own", resourceClaimTemplateName: "gpu" },
  { name: "shared", resourceClaimName: "common" },
];

function claimOf(name: string, extra: Partial<ResourceClaim> = {}, owner = pod.metadata.uid): ResourceClaim {
  return {
    metadata: meta(name, {
      annotations: { [POD_CLAIM_NAME]: "own" },
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "p", uid: owner, controller: true }],
    }),
    spec: {},
    ...extra,
  };
}
const nothing = () => undefined;

test("a claim is made from the template once, and found again when the status was lost", () => {
  assert.deepEqual(planPodClaims(pod, nothing, []), [{ type: "create", entry: "own", template: "gpu" }]);
  assert.deepEqual(planPodClaims(pod, nothing, [claimOf("p-own-x")]), [
    { type: "found", entry: "own", claim: "p-own-x" },
  ]);
});

test("a status names the claim: it is made again when it has gone, and somebody else's is refused", () => {
  const known = { ...pod, status: { resourceClaimStatuses: [{ name: "own", resourceClaimName: "p-own-x" }] } };
  assert.deepEqual(
    [...claimNames(known)],
    [
      ["own", "p-own-x"],
      ["shared", "common"],
    ],
  );
  assert.deepEqual(
    planPodClaims(known, () => claimOf("p-own-x"), []),
    [],
  );
  assert.equal(planPodClaims(known, nothing, [])[0]?.type, "create");
  assert.equal(planPodClaims(known, () => claimOf("p-own-x", {}, "other"), [])[0]?.type, "foreign");
  const without = { ...pod, status: { resourceClaimStatuses: [{ name: "own" }] } };
  assert.deepEqual(planPodClaims(without, nothing, []), []);
});

test("a pod bound by hand gets the allocated claims reserved", () => {
  const bound = podOf("p", { node: "n" });
  bound.spec.resourceClaims = [{ name: "shared", resourceClaimName: "common" }];
  const allocated = claimOf("common", { status: { allocation: {} } });
  assert.deepEqual(
    claimsToReserve(bound, () => allocated),
    [allocated],
  );
  assert.deepEqual(
    claimsToReserve(bound, () => claimOf("common")),
    [],
  );
  const reserved = {
    ...allocated,
    status: { allocation: {}, reservedFor: [{ resource: "pods", name: "p", uid: "uid-p" }] },
  };
  assert.deepEqual(
    claimsToReserve(bound, () => reserved),
    [],
  );
  assert.deepEqual(
    claimsToReserve(pod, () => allocated),
    [],
  );
});

test("a claim is given back when its last user is done, and goes with the pod it was made for", () => {
  const a = { resource: "pods", name: "a", uid: "a" };
  const b = { resource: "pods", name: "b", uid: "b" };
  const claim = claimOf("c", { status: { allocation: {}, reservedFor: [a, b] } });
  claim.metadata.finalizers = [CLAIM_FINALIZER];
  const quiet = { reservedFor: undefined, deallocate: false, delete: false };
  assert.deepEqual(
    planClaim(claim, () => true, true),
    quiet,
  );
  assert.deepEqual(
    planClaim(claim, ({ uid }) => uid === "b", true),
    { ...quiet, reservedFor: [b] },
  );
  assert.deepEqual(
    planClaim(claim, () => false, false),
    { reservedFor: [], deallocate: true, delete: false },
  );
  assert.deepEqual(
    planClaim(claim, () => false, true),
    { reservedFor: [], deallocate: true, delete: true },
  );
  const going = claimOf("c", { status: { allocation: {} } });
  going.metadata.finalizers = [CLAIM_FINALIZER];
  assert.deepEqual(
    planClaim(going, () => true, false),
    quiet,
    "allocated and not yet reserved",
  );
  going.metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
  assert.deepEqual(
    planClaim(going, () => true, true),
    { ...quiet, deallocate: true },
  );
});
