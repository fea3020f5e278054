import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolume, PersistentVolumeClaim } from "#pkg/api/types/core-v1.ts";
import type { StorageClass } from "#pkg/api/types/storage-v1.ts";
import { draftVolume } from "../localpath/provisioner.ts";
import { meta } from "../testing/objects.ts";
import { BIND_COMPLETED, BOUND_BY_CONTROLLER, findVolume, PROVISIONED_BY, SELECTED_NODE } from "./matching.ts";
import { planClaim, planVolume } from "./plan.ts";

const volumeOf = (
  name: string,
  storage: string,
  spec: PersistentVolume["spec"] = {},
  phase = "Available",
): PersistentVolume => ({
  metadata: meta(name),
  spec: { capacity: { storage }, accessModes: ["ReadWriteOnce"], ...spec },
  status: { phase },
});
const claimOf = (
  spec: PersistentVolumeClaim["spec"] = {},
  annotations: Record<string, string> = {},
): PersistentVolumeClaim => ({
  metadata: meta("claim", { annotations }),
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "2Gi" } }, ...spec },
});
const delayedClass: StorageClass = {
  metadata: meta("slow"),
  provisioner: "p",
  volumeBindingMode: "WaitForFirstConsumer",
};
const view = (claim: PersistentVolumeClaim, volumes: PersistentVolume[] = [], storageClass?: StorageClass) => ({
  claim,
  volumes,
  volumeNamed: (name: string) => volumes.find(({ metadata }) => metadata.name === name),
  storageClass,
  node: undefined,
});
const reference = (name: string, uid?: string) => ({ namespace: "ns", name, ...(uid === undefined ? {} : { uid }) });

test("the smallest volume that suits is chosen, a reserved one before all", () => {
  const volumes = [
    volumeOf("big", "10Gi"),
    volumeOf("fit", "3Gi"),
    volumeOf("small", "1Gi"),
    volumeOf("taken", "2Gi", { claimRef: reference("other", "u") }),
  ];
  const name = (claim: PersistentVolumeClaim, all = volumes) => findVolume(claim, all, false, undefined)?.metadata.name;
  assert.equal(name(claimOf()), "fit");
  assert.equal(name(claimOf({ accessModes: ["ReadWriteMany"] })), undefined);
  assert.equal(name(claimOf({ storageClassName: "fast" })), undefined);
  assert.equal(name(claimOf({ volumeMode: "Block" })), undefined);
  assert.equal(name(claimOf({ selector: { matchLabels: { a: "b" } } })), undefined);
  const reserved = volumeOf("reserved", "20Gi", { claimRef: reference("claim") });
  assert.equal(name(claimOf(), [...volumes, reserved]), "reserved");
  assert.equal(findVolume(claimOf(), volumes, true, undefined), undefined, "the scheduler chooses");
});

test("a claim without a volume waits, asks a provisioner, or says what is missing", () => {
  const reason = (claim: PersistentVolumeClaim, storageClass?: StorageClass) => {
    const action = planClaim(view(claim, [], storageClass));
    return action.type === "pending" ? action.event?.reason : action.type;
  };
  assert.equal(reason(claimOf()), "FailedBinding");
  assert.equal(reason(claimOf({ storageClassName: "slow" })), "ProvisioningFailed");
  assert.equal(reason(claimOf({ storageClassName: "slow" }), delayedClass), "WaitForFirstConsumer");
  assert.equal(reason(claimOf({ storageClassName: "slow" }, { [SELECTED_NODE]: "n" }), delayedClass), "provision");
  assert.equal(reason(claimOf({ volumeName: "missing" })), undefined);
});

test("a claim does not get the volume that it names unless that suits it", () => {
  const fault = (spec: PersistentVolume["spec"], storage = "2Gi") => {
    const action = planClaim(view(claimOf({ volumeName: "v" }), [volumeOf("v", storage, spec)]));
    return action.type === "pending" ? `${action.event?.reason} ${action.event?.message}` : action.type;
  };
  const text = 'VolumeMismatch Cannot bind to requested volume "v": ';
  assert.equal(fault({}), "bind");
  assert.equal(fault({}, "1Gi"), `${text}requested PV is too small`);
  assert.equal(fault({ storageClassName: "fast" }), `${text}storageClassName does not match`);
  assert.equal(fault({ volumeMode: "Block" }), `${text}incompatible volumeMode`);
  assert.equal(fault({ accessModes: ["ReadOnlyMany"] }), `${text}incompatible accessMode`);
  assert.equal(fault({ storageClassName: "fast", claimRef: reference("claim") }), "bind", "reserved by hand");
  assert.match(fault({ claimRef: reference("other", "u") }), /^FailedBinding volume "v" already bound/);
});

test("built-in provisioners that there are none of are named, those that drivers serve are asked", () => {
  const outcome = (provisioner: string) => {
    const action = planClaim(view(claimOf({ storageClassName: "s" }), [], { metadata: meta("s"), provisioner }));
    return action.type === "pending" ? action.event?.message : action.type;
  };
  assert.equal(outcome("kubernetes.io/no-provisioner"), "no volume plugin matched name: kubernetes.io/no-provisioner");
  assert.equal(outcome("kubernetes.io/gce-pd"), "provision");
  assert.equal(outcome("example.com/p"), "provision");
});

test("a bound claim that lost its volume is lost", () => {
  const bound = claimOf({ volumeName: "v" }, { [BIND_COMPLETED]: "yes" });
  assert.equal(planClaim(view(bound)).type, "lost");
  const other = planClaim(view(bound, [volumeOf("v", "2Gi", { claimRef: reference("claim", "another-uid") })]));
  assert.deepEqual(other.type === "lost" ? other.reason : other.type, "ClaimMisbound");
  assert.equal(
    planClaim(view(bound, [volumeOf("v", "2Gi", { claimRef: reference("claim", "uid-claim") })])).type,
    "bind",
  );
});

test("a volume follows its claim, and is reclaimed when that is gone", () => {
  const bound = volumeOf(
    "v",
    "2Gi",
    { claimRef: reference("claim", "uid-claim"), persistentVolumeReclaimPolicy: "Delete" },
    "Bound",
  );
  assert.deepEqual(planVolume(volumeOf("v", "2Gi"), undefined), { type: "phase", phase: "Available" });
  assert.deepEqual(planVolume(bound, claimOf({ volumeName: "v" })), { type: "phase", phase: "Bound" });
  assert.deepEqual(planVolume(bound, claimOf()), { type: "ask-claim" });
  assert.deepEqual(planVolume(bound, undefined), { type: "reclaim", policy: "Delete" });
  const recreated = { ...claimOf({ volumeName: "v" }), metadata: meta("claim", { uid: "new" }) };
  assert.deepEqual(planVolume(bound, recreated), { type: "reclaim", policy: "Delete" });
  const ours = { ...bound, metadata: meta("v", { annotations: { [BOUND_BY_CONTROLLER]: "yes" } }) };
  assert.deepEqual(planVolume(ours, claimOf({ volumeName: "elsewhere" })), { type: "unbind" });
  const provisioned = { ...bound, metadata: meta("v", { annotations: { [PROVISIONED_BY]: "p" } }) };
  assert.deepEqual(planVolume(provisioned, claimOf({ volumeName: "elsewhere" })), {
    type: "reclaim",
    policy: "Delete",
  });
});

test("a local volume is tied to its node and to its claim", () => {
  const { metadata, spec } = draftVolume("/data", claimOf(), { ...delayedClass, reclaimPolicy: "Delete" }, "host-1");
  assert.equal(metadata.name, "pvc-uid-claim");
  assert.equal(spec?.hostPath?.path, "/data/pvc-uid-claim_ns_claim");
  assert.equal(spec?.claimRef?.uid, "uid-claim");
  assert.deepEqual(spec?.nodeAffinity?.required?.nodeSelectorTerms?.[0]?.matchExpressions?.[0]?.values, ["host-1"]);
});
