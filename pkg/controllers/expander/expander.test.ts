import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolume, PersistentVolumeClaim } from "#pkg/api/types/core-v1.ts";
import { PROVISIONED_BY } from "../persistentvolume/matching.ts";
import { LOCAL_PATH_PROVISIONER } from "../localpath/provisioner.ts";
import { meta } from "../testing/objects.ts";
import { planExpansion } from "./expander.ts";

function claim(wanted: string, has: string, phase = "Bound"): PersistentVolumeClaim {
  return {
    metadata: meta("claim"),
    spec: { resources: { requests: { storage: wanted } } },
    status: { phase, capacity: { storage: has } },
  };
}
function volume(provisioner: string, uid = "uid-claim"): PersistentVolume {
  return {
    metadata: meta("volume", { annotations: { [PROVISIONED_BY]: provisioner } }),
    spec: { claimRef: { uid } },
  } as PersistentVolume;
}

test("a bound claim that asks for more gets it from us, or waits for whoever made its volume", () => {
  const ours = volume(LOCAL_PATH_PROVISIONER);
  assert.deepEqual(planExpansion(claim("2Gi", "1Gi"), ours), { type: "grow", storage: "2Gi" });
  assert.deepEqual(planExpansion(claim("2Gi", "1Gi"), volume("csi.example.com")), { type: "external" });
  assert.deepEqual(planExpansion(claim("1Gi", "1024Mi"), ours), { type: "none" }, "the same in other units");
  assert.deepEqual(planExpansion(claim("1Gi", "2Gi"), ours), { type: "none" }, "nothing shrinks");
  assert.deepEqual(planExpansion(claim("2Gi", "1Gi", "Pending"), ours), { type: "none" });
  assert.deepEqual(planExpansion(claim("2Gi", "1Gi"), volume(LOCAL_PATH_PROVISIONER, "another")), { type: "none" });
  assert.deepEqual(planExpansion(claim("2Gi", "1Gi"), undefined), { type: "none" });
});
