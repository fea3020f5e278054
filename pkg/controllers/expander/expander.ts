/** Lets claims grow: directories of the local-path provisioner at once, everything else is its driver's work. */
import { deepEqual, isNotFound, type ObjectKey, parseQuantity } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { persistentVolumeClaims, persistentVolumes } from "#pkg/api/refs.ts";
import type { PersistentVolume, PersistentVolumeClaim } from "#pkg/api/types/core-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, watching } from "../common/loop.ts";
import { LOCAL_PATH_PROVISIONER } from "../localpath/provisioner.ts";
import { PROVISIONED_BY } from "../persistentvolume/matching.ts";

/** What becomes of a claim that asks for more than its volume has. */
export type Expansion =
  | { readonly type: "none" }
  /** Somebody else has to do it. */
  | { readonly type: "external" }
  | { readonly type: "grow"; readonly storage: string | number };

function bytes(list: Record<string, string | number> | undefined): number {
  const storage = list?.["storage"];
  return storage === undefined ? 0 : parseQuantity(storage).toNumber();
}

/** Does a bound claim ask for more than it has, and can we give it? Pure. */
export function planExpansion(claim: PersistentVolumeClaim, volume: PersistentVolume | undefined): Expansion {
  const wanted = claim.spec.resources?.requests?.["storage"];
  if (claim.status?.phase !== "Bound" || wanted === undefined || volume === undefined) return { type: "none" };
  if (volume.spec.claimRef?.uid !== claim.metadata.uid) return { type: "none" };
  if (bytes(claim.spec.resources?.requests) <= bytes(claim.status.capacity)) return { type: "none" };
  const isOurs = volume.metadata.annotations?.[PROVISIONED_BY] === LOCAL_PATH_PROVISIONER;
  return isOurs ? { type: "grow", storage: wanted } : { type: "external" };
}

/** persistentvolume-expander-controller. */
export function createExpander(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const addClaim = ({ spec }: PersistentVolume) => {
    const claim = spec.claimRef;
    if (claim?.name !== undefined) queue.add(`${claim.namespace}/${claim.name}`);
  };
  return createLoop(env, {
    workers: 2,
    queue,
    sources: [
      watching(informers.of(persistentVolumeClaims), enqueueSelf<PersistentVolumeClaim>(queue)),
      // Its cache may be behind that of claims.
      watching(informers.of(persistentVolumes), { onAdd: addClaim, onUpdate: addClaim }),
    ],
    reconcile: (key, context) => reconcile(env, key, context),
  });
}

async function reconcile(env: ControllerEnv, key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
  const { client, informers, recorder } = env;
  const claim = informers.of(persistentVolumeClaims).lister.get(key);
  if (claim === undefined || claim.metadata.deletionTimestamp !== undefined) return DONE;
  const volume = informers.of(persistentVolumes).lister.get({ namespace: "", name: claim.spec.volumeName ?? "" });
  const plan = planExpansion(claim, volume);
  if (plan.type === "none" || volume === undefined) return DONE;
  if (plan.type === "external") {
    recorder.event(claim, "Normal", "ExternalExpanding", "waiting for an external controller to expand this PVC");
    return DONE;
  }
  const capacity = { storage: plan.storage };
  try {
    if (!deepEqual(volume.spec.capacity, { ...volume.spec.capacity, ...capacity })) {
      const { uid, name } = volume.metadata;
      await client.patch(
        persistentVolumes,
        { namespace: "", name },
        "merge",
        { metadata: { uid }, spec: { capacity } },
        { signal },
      );
    }
    const { uid } = claim.metadata;
    const patch = { metadata: { uid }, status: { capacity } };
    await client.patch(persistentVolumeClaims, key, "merge", patch, { subresource: "status", signal });
    recorder.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded");
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return DONE;
}
