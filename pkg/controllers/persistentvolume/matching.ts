/** Which volume suits a claim: pure. */
import { fitsNode, storageClassNameOf } from "#pkg/api/rules/index.ts";
import { labelSelectorAsSelector, parseQuantity } from "#pkg/apimachinery/index.ts";
import type { Node, NodeSelectorTerm, PersistentVolume, PersistentVolumeClaim } from "#pkg/api/types/core-v1.ts";

export const BIND_COMPLETED = "pv.kubernetes.io/bind-completed";
export const BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller";
export const PROVISIONED_BY = "pv.kubernetes.io/provisioned-by";
export const SELECTED_NODE = "volume.kubernetes.io/selected-node";
export const STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner";
export const BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner";

/** Is the volume reserved for, or bound to, exactly this claim? */
export function isReservedFor({ spec }: PersistentVolume, { metadata }: PersistentVolumeClaim): boolean {
  const reference = spec?.claimRef;
  return (
    reference?.name === metadata.name &&
    reference.namespace === metadata.namespace &&
    (reference.uid === undefined || reference.uid === "" || reference.uid === metadata.uid)
  );
}

function storage(list: Record<string, string | number> | undefined): number {
  const value = list?.["storage"];
  return value === undefined ? 0 : parseQuantity(value).toNumber();
}
function requestedBytes(claim: PersistentVolumeClaim): number {
  return storage(claim.spec?.resources?.requests);
}
function capacityBytes(volume: PersistentVolume): number {
  return storage(volume.spec?.capacity);
}

function sameMode(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  return (volume.spec?.volumeMode ?? "Filesystem") === (claim.spec?.volumeMode ?? "Filesystem");
}

/** Why this volume could not serve the claim, who-is-bound-to-whom aside; undefined when it could. */
export function mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
  const modes = volume.spec?.accessModes ?? [];
  if (volume.metadata.deletionTimestamp !== undefined)
    return `the volume is marked for deletion ${JSON.stringify(volume.metadata.name)}`;
  if (capacityBytes(volume) < requestedBytes(claim)) return "requested PV is too small";
  if ((volume.spec?.volumeAttributesClassName ?? "") !== (claim.spec?.volumeAttributesClassName ?? ""))
    return "volumeAttributesClassName does not match";
  if (storageClassNameOf(volume) !== storageClassNameOf(claim)) return "storageClassName does not match";
  if (!sameMode(volume, claim)) return "incompatible volumeMode";
  if (!(claim.spec?.accessModes ?? []).every((mode) => modes.includes(mode))) return "incompatible accessMode";
  return undefined;
}

function reaches(volume: PersistentVolume, node: Node): boolean {
  const terms: NodeSelectorTerm[] | undefined = volume.spec?.nodeAffinity?.required?.nodeSelectorTerms;
  if (terms === undefined) return true;
  const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } };
  return fitsNode({ containers: [], affinity }, node);
}

/**
 * The best volume for a claim: one reserved for it, else the smallest that suits and is free. With `delayed` binding only
 * a reserved one counts, because the scheduler chooses.
 */
export function findVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  delayed: boolean,
  node: Node | undefined,
): PersistentVolume | undefined {
  let selector;
  try {
    selector = claim.spec?.selector === undefined ? undefined : labelSelectorAsSelector(claim.spec.selector);
  } catch {
    return undefined; // a selector that cannot be read selects nothing
  }
  let best: PersistentVolume | undefined;
  for (const volume of volumes) {
    if (volume.metadata.deletionTimestamp !== undefined) continue;
    if (volume.spec?.claimRef !== undefined) {
      if (isReservedFor(volume, claim) && capacityBytes(volume) >= requestedBytes(claim) && sameMode(volume, claim))
        return volume;
      continue;
    }
    if (delayed || volume.status?.phase !== "Available" || mismatch(volume, claim) !== undefined) continue;
    if (selector !== undefined && !selector.matches(volume.metadata.labels)) continue;
    if (node !== undefined && !reaches(volume, node)) continue;
    if (best === undefined || capacityBytes(volume) < capacityBytes(best)) best = volume;
    else if (capacityBytes(volume) === capacityBytes(best) && volume.metadata.name < best.metadata.name) best = volume;
  }
  return best;
}
