import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolumeClaim } from "#pkg/api/types/core-v1.ts";
import { meta, podOf } from "../testing/objects.ts";
import { claimFor, isClaimOf } from "./ephemeral.ts";

const pod = podOf("web");
const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };

test("a pod's volume gets a claim named and owned by the pod, as its template says", () => {
  const metadata = { labels: { tier: "fast" }, annotations: { note: "x" } };
  const claim = claimFor(pod, { name: "scratch", ephemeral: { volumeClaimTemplate: { metadata, spec } } });
  const owner = { apiVersion: "v1", kind: "Pod", name: "web", uid: "uid-web" };
  assert.deepEqual(claim, {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      namespace: "ns",
      name: "web-scratch",
      ...metadata,
      ownerReferences: [{ ...owner, controller: true, blockOwnerDeletion: true }],
    },
    spec,
  });
  const bare = claimFor(pod, { name: "scratch", ephemeral: { volumeClaimTemplate: { spec } } });
  assert.deepEqual(Object.keys(bare!.metadata).sort(), ["name", "namespace", "ownerReferences"]);
});

test("other volumes ask for no claim", () => {
  assert.equal(claimFor(pod, { name: "tmp", emptyDir: {} }), undefined);
  assert.equal(claimFor(pod, { name: "data", persistentVolumeClaim: { claimName: "data" } }), undefined);
  assert.equal(claimFor(pod, { name: "odd", ephemeral: {} }), undefined);
});

test("a claim belongs to the pod that it was made for, not to the next one of that name", () => {
  const made = claimFor(pod, { name: "scratch", ephemeral: { volumeClaimTemplate: { spec } } })!;
  const claim: PersistentVolumeClaim = { metadata: meta("web-scratch", made.metadata), spec };
  assert.equal(isClaimOf(claim, pod), true);
  assert.equal(isClaimOf(claim, { ...pod, metadata: { ...pod.metadata, uid: "another" } }), false);
  assert.equal(isClaimOf({ metadata: meta("web-scratch"), spec }, pod), false, "made by hand");
  const [owner] = made.metadata.ownerReferences!;
  const looser = [{ ...owner!, controller: false }];
  assert.equal(isClaimOf({ metadata: meta("web-scratch", { ownerReferences: looser }), spec }, pod), false);
});
