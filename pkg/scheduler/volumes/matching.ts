import { storageClassNameOf } from "#pkg/api/rules/index.ts";
import type { PersistentVolume, PersistentVolumeClaim } from "#pkg/api/types/core-v1.ts";
import type { StorageClass, CSIStorageCapacity } from "#pkg/api/types/storage-v1.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import { wholeOf } from "../cache/resources.ts";
import { compileLabelSelector, compileNodeSelector, labelOf, NO_LABELS } from "../cache/selectors.ts";

/** Can the volume be used from the node? */
export function volumeReaches({ spec }: PersistentVolume, node: NodeInfo): boolean {
  const required = spec?.nodeAffinity?.required;
  return required === undefined || compileNodeSelector(required)(node.labels, node.name);
}

function isBoundTo({ spec }: PersistentVolume, { metadata }: PersistentVolumeClaim): boolean {
  const ref = spec?.claimRef;
  if (ref === undefined || ref.name !== metadata.name || ref.namespace !== metadata.namespace) return false;
  return ref.uid === undefined || ref.uid === "" || ref.uid === metadata.uid;
}

/** How large a volume the claim asks for, in bytes. */
export function requestedBytes({ spec }: PersistentVolumeClaim): number {
  return wholeOf(spec?.resources?.requests?.["storage"] ?? 0);
}
function capacityBytes({ spec }: PersistentVolume): number {
  return wholeOf(spec?.capacity?.["storage"] ?? 0);
}

/** The smallest volume that satisfies the claim on this node and that `isTaken` does not rule out. */
export function findVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  node: NodeInfo,
  isTaken: (volume: PersistentVolume) => boolean,
): PersistentVolume | undefined {
  const wanted = requestedBytes(claim);
  const selector = claim.spec?.selector === undefined ? undefined : compileLabelSelector(claim.spec.selector);
  let best: PersistentVolume | undefined;
  for (const volume of volumes) {
    if (isTaken(volume) || volume.metadata.deletionTimestamp !== undefined) continue;
    if ((claim.spec?.volumeMode ?? "Filesystem") !== (volume.spec?.volumeMode ?? "Filesystem")) continue;
    if ((claim.spec?.volumeAttributesClassName ?? "") !== (volume.spec?.volumeAttributesClassName ?? "")) continue;
    const capacity = capacityBytes(volume);
    if (capacity < wanted) continue;
    if (isBoundTo(volume, claim)) {
      if (volumeReaches(volume, node)) return volume;
      continue;
    }
    if (volume.spec?.claimRef !== undefined || volume.status?.phase !== "Available") continue;
    if (selector !== undefined && !selector.matches(volume.metadata.labels ?? NO_LABELS)) continue;
    if (
      storageClassNameOf(volume) !== storageClassNameOf(claim) ||
      !offersModes(volume, claim) ||
      !volumeReaches(volume, node)
    )
      continue;
    if (best === undefined || capacity < capacityBytes(best)) best = volume;
  }
  return best;
}

function offersModes(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const offered = volume.spec?.accessModes ?? [];
  return (claim.spec?.accessModes ?? []).every((mode) => offered.includes(mode));
}

/** May volumes of the class be made for this node? */
export function classAllows({ allowedTopologies = [] }: StorageClass, node: NodeInfo): boolean {
  if (allowedTopologies.length === 0) return true;
  return allowedTopologies.some(({ matchLabelExpressions = [] }) =>
    matchLabelExpressions.every(({ key, values }) => {
      const value = labelOf(node.labels, key);
      return value !== undefined && values.includes(value);
    }),
  );
}

/** Is there storage left that the node can reach, as far as the driver says? */
export function hasCapacity(capacities: readonly CSIStorageCapacity[], node: NodeInfo, wanted: number): boolean {
  return capacities.some(({ capacity, maximumVolumeSize, nodeTopology }) => {
    const limit = maximumVolumeSize ?? capacity;
    if (limit === undefined || wholeOf(limit) < wanted || nodeTopology === undefined) return false;
    return compileLabelSelector(nodeTopology).matches(node.labels);
  });
}
