import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { StatefulSet } from "#pkg/api/types/apps-v1.ts";
import { meta, NOW, podOf, statefulSetOf } from "../testing/objects.ts";
import { claimsFor, draftPod, ordinalOf, plannedClaimOwners } from "./identity.ts";
import { planStatefulSet } from "./plan.ts";

const REVISIONS = { current: "old", update: "new" };
const pod = (ordinal: number, revision = "new", options: Parameters<typeof podOf>[1] = {}): Pod => {
  const name = `db-${ordinal}`;
  const labels = {
    app: "db",
    "controller-revision-hash": revision,
    "statefulset.kubernetes.io/pod-name": name,
    "apps.kubernetes.io/pod-index": String(ordinal),
  };
  return podOf(name, { labels, ...options });
};
const steps = (set: StatefulSet, pods: Pod[], revisions = REVISIONS) =>
  planStatefulSet(set, revisions, pods, undefined, NOW).steps.map((step) =>
    step.type === "create"
      ? `create ${step.ordinal}${step.current ? " old" : ""}`
      : `${step.type} ${step.pod.metadata.name}`,
  );

test("ordered: one after the other, each ready before the next", () => {
  const set = statefulSetOf(3);
  assert.deepEqual(steps(set, []), ["create 0"]);
  assert.deepEqual(steps(set, [pod(0, "new", { ready: false })]), []);
  assert.deepEqual(steps(set, [pod(0)]), ["create 1"]);
  assert.deepEqual(steps(set, [pod(0), pod(1), pod(2)]), []);
  assert.deepEqual(steps(statefulSetOf(3, { ordinals: { start: 5 } }), []), ["create 5"]);
});

test("parallel: all at once, both ways", () => {
  const parallel = { podManagementPolicy: "Parallel" };
  assert.deepEqual(steps(statefulSetOf(3, parallel), []), ["create 0", "create 1", "create 2"]);
  assert.deepEqual(steps(statefulSetOf(1, parallel), [pod(0), pod(1), pod(2)]), ["delete db-2", "delete db-1"]);
});

test("scaling down goes from the top, and waits for pods that are not well", () => {
  const set = statefulSetOf(1);
  assert.deepEqual(steps(set, [pod(0), pod(1), pod(2)]), ["delete db-2"]);
  assert.deepEqual(steps(set, [pod(0), pod(1), pod(2, "new", { deleted: true })]), []);
  assert.deepEqual(steps(set, [pod(0), pod(1), pod(2, "new", { ready: false })]), ["delete db-2"]);
});

test("finished pods are replaced", () => {
  assert.deepEqual(steps(statefulSetOf(2), [pod(0, "new", { phase: "Failed" }), pod(1)]), ["delete db-0"]);
});

test("an update goes back to front down to the partition, one at a time", () => {
  const set = (partition: number, maxUnavailable?: number | string) =>
    statefulSetOf(3, { updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition, maxUnavailable } } });
  const old = [pod(0, "old"), pod(1, "old"), pod(2, "old")];
  assert.deepEqual(steps(set(0), old), ["delete db-2"]);
  assert.deepEqual(steps(set(0), [old[0]!, old[1]!, pod(2)]), ["delete db-1"]);
  assert.deepEqual(steps(set(2), [old[0]!, old[1]!, pod(2)]), []);
  assert.deepEqual(steps(set(0, 2), old), ["delete db-2", "delete db-1"]);
  assert.deepEqual(steps(set(2), [old[1]!, pod(2)]), ["create 0 old"], "below the partition the old revision is kept");
  const onDelete = statefulSetOf(3, { updateStrategy: { type: "OnDelete" } });
  assert.deepEqual(steps(onDelete, old), []);
  assert.deepEqual(steps(onDelete, [old[1]!, old[2]!]), ["create 0"]);
});

test("an update without a partition makes the pod anew that it has deleted, whatever the status says", () => {
  const set = {
    ...statefulSetOf(3, { updateStrategy: { type: "RollingUpdate" } }),
    status: { replicas: 3, currentReplicas: 3 },
  };
  const old = [pod(0, "old"), pod(1, "old"), pod(2, "old")];
  assert.deepEqual(steps(set, old), ["delete db-2"]);
  assert.deepEqual(steps(set, [old[0]!, old[1]!]), ["create 2"]);
  assert.deepEqual(steps(set, [old[0]!, pod(2)]), ["create 1"]);
  assert.deepEqual(steps(set, [old[1]!, pod(2)]), ["create 0 old"], "which the update has not reached");
});

test("pods that are right already are left alone by a rollback", () => {
  const revisions = { current: "new", update: "old" };
  assert.deepEqual(steps(statefulSetOf(2), [pod(0, "old"), pod(1, "new")], revisions), ["delete db-1"]);
});

test("the status completes an update when all pods are new and ready", () => {
  const status = planStatefulSet(statefulSetOf(2), REVISIONS, [pod(0), pod(1)], undefined, NOW).status;
  assert.equal(status.currentRevision, "new");
  assert.equal(status.currentReplicas, 2);
  const half = planStatefulSet(statefulSetOf(2), REVISIONS, [pod(0, "old"), pod(1)], undefined, NOW).status;
  assert.deepEqual([half.currentRevision, half.currentReplicas, half.updatedReplicas], ["old", 1, 1]);
});

test("minReadySeconds holds the next pod back", () => {
  const fresh = pod(0, "new", { readySince: new Date(NOW - 3000).toISOString() });
  const plan = planStatefulSet(statefulSetOf(2, { minReadySeconds: 10 }), REVISIONS, [fresh], undefined, NOW);
  assert.deepEqual(plan.steps, []);
  assert.equal(plan.requeueAfterMs, 7000);
});

test("labels edited by hand are put right", () => {
  const wrong = pod(0);
  wrong.metadata.labels!["statefulset.kubernetes.io/pod-name"] = "evil";
  assert.deepEqual(steps(statefulSetOf(1), [wrong]), ["repair db-0"]);
});

test("names that are not the set's own are not its pods", () => {
  const set = statefulSetOf(1);
  for (const name of ["db", "db-", "db-00", "db-1-2", "other-0", "db-99999999999", "db-x"])
    assert.equal(ordinalOf(set, { metadata: { name } }), undefined, name);
  assert.equal(ordinalOf(set, { metadata: { name: "db-7" } }), 7);
});

test("pods have their own name, subdomain and claims", () => {
  const set = statefulSetOf(1, {
    volumeClaimTemplates: [{ metadata: meta("data"), spec: { accessModes: ["ReadWriteOnce"] } }],
  });
  const draft = draftPod(
    set,
    {
      ...set.spec.template,
      spec: {
        containers: [],
        volumes: [
          { name: "data", emptyDir: {} },
          { name: "tmp", emptyDir: {} },
        ],
      },
    },
    "rev",
    4,
  );
  assert.equal(draft.metadata.name, "db-4");
  assert.equal(draft.spec.hostname, "db-4");
  assert.equal(draft.spec.subdomain, "db");
  assert.deepEqual(draft.spec.volumes, [
    { name: "data", persistentVolumeClaim: { claimName: "data-db-4" } },
    { name: "tmp", emptyDir: {} },
  ]);
  assert.equal(claimsFor(set, 4).get("data")?.metadata.name, "data-db-4");
});

test("claims are owned as the retention policy says", () => {
  const claim = { metadata: meta("data-db-1"), spec: {} };
  const owners = (policy: object, scaledDown: boolean) =>
    plannedClaimOwners(
      statefulSetOf(1, { persistentVolumeClaimRetentionPolicy: policy }),
      claim,
      pod(1),
      scaledDown,
    )?.map(({ kind }) => kind);
  assert.equal(owners({ whenDeleted: "Retain", whenScaled: "Retain" }, true), undefined);
  assert.deepEqual(owners({ whenDeleted: "Delete", whenScaled: "Retain" }, false), ["StatefulSet"]);
  assert.deepEqual(owners({ whenDeleted: "Retain", whenScaled: "Delete" }, true), ["Pod"]);
  assert.equal(owners({ whenDeleted: "Retain", whenScaled: "Delete" }, false), undefined);
  assert.deepEqual(owners({ whenDeleted: "Delete", whenScaled: "Delete" }, true), ["Pod"]);
});

test("an ordered set always arrives, and never has two pods under way", () => {
  const world = fc.record({
    replicas: fc.nat(6),
    start: fc.nat(3),
    pods: fc.array(fc.record({ ordinal: fc.nat(9), old: fc.boolean() }), { maxLength: 8 }),
  });
  fc.assert(
    fc.property(world, ({ replicas, start, pods }) => {
      const set = statefulSetOf(replicas, { ordinals: { start } });
      let present = new Map(pods.map(({ ordinal, old }) => [ordinal, pod(ordinal, old ? "old" : "new")]));
      for (let turn = 0; turn < 100; turn++) {
        const plan = planStatefulSet(set, REVISIONS, [...present.values()], undefined, NOW);
        if (plan.steps.length === 0) break;
        assert.equal(plan.steps.length, 1);
        const [step] = plan.steps;
        if (step!.type === "create") present.set(step!.ordinal, pod(step!.ordinal));
        else if (step!.type === "delete") present.delete(ordinalOf(set, step!.pod)!);
      }
      assert.deepEqual(
        [...present.keys()].sort(),
        Array.from({ length: replicas }, (_, index) => start + index),
      );
      for (const { metadata } of present.values()) assert.equal(metadata.labels?.["controller-revision-hash"], "new");
      present = new Map();
    }),
  );
});
