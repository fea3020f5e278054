import { keyString } from "#pkg/apimachinery/index.ts";
import type { Pod, Volume } from "#pkg/api/types/core-v1.ts";
import type { SchedulerCache } from "../cache/cache.ts";
import { unresolvable, unschedulable } from "../framework/status.ts";
import type { Plugin } from "../framework/types.ts";
import { claimOf, claimsOf, findClaim } from "../volumes/listers.ts";
import type { VolumeInformers } from "../volumes/listers.ts";

const DISK_CONFLICT = unschedulable("node(s) had no available disk");
const IN_USE = unschedulable(
  "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
);

interface FilterState {
  /** Claims of the pod that only one pod may use. */
  readonly exclusive: ReadonlySet<string>;
  /** How many other pods use one of them. */
  conflicts: number;
}

/** Disks that cannot be mounted twice, and claims that only one pod may use. */
export function volumeRestrictions(cache: SchedulerCache, informers: VolumeInformers): Plugin<FilterState> {
  return {
    name: "VolumeRestrictions",
    events: [
      { resource: "AssignedPod", actions: ["Delete"], hint: ({ pod }, { object }) => sharesVolume(pod, object as Pod) },
      { resource: "Node", actions: ["Add"] },
      { resource: "PersistentVolumeClaim", actions: ["Add", "Update"] },
    ],
    preFilter: (info) => {
      const { pod, uid } = info;
      const exclusive = new Set<string>();
      for (const use of claimsOf(pod)) {
        const claim = findClaim(informers, pod, use);
        if (typeof claim === "string") return { rejected: unresolvable(claim) };
        if (claim.spec?.accessModes?.includes("ReadWriteOncePod") === true) exclusive.add(keyString(use.key));
      }
      if (exclusive.size === 0) return hasDisks(pod) ? { state: { exclusive, conflicts: 0 } } : "skip";
      let conflicts = 0;
      for (const placed of cache.podsIn(info.namespace)) {
        if (placed.pod.uid !== uid) conflicts += usesOf(placed.pod.pod, exclusive);
      }
      return { state: { exclusive, conflicts } };
    },
    cloneState: (state) => ({ ...state }),
    addPod: (state, _pod, added) => {
      state.conflicts += usesOf(added.pod, state.exclusive);
    },
    removePod: (state, _pod, removed) => {
      state.conflicts -= usesOf(removed.pod, state.exclusive);
    },
    filter: ({ conflicts }, { pod }, node) => {
      if (conflicts > 0) return IN_USE;
      for (const volume of pod.spec.volumes ?? []) {
        if (!isDisk(volume)) continue;
        for (const other of node.pods.values()) if (conflictsWith(volume, other.pod)) return DISK_CONFLICT;
      }
      return undefined;
    },
  };
}

function usesOf(pod: Pod, claims: ReadonlySet<string>): number {
  if (claims.size === 0) return 0;
  return claimsOf(pod).filter(({ key }) => claims.has(keyString(key))).length;
}

function isDisk({ gcePersistentDisk, awsElasticBlockStore, iscsi, rbd }: Volume): boolean {
  return (
    gcePersistentDisk !== undefined || awsElasticBlockStore !== undefined || iscsi !== undefined || rbd !== undefined
  );
}
function hasDisks({ spec }: Pod): boolean {
  return (spec.volumes ?? []).some(isDisk);
}

function conflictsWith(volume: Volume, { spec }: Pod): boolean {
  return (spec.volumes ?? []).some((other) => disksConflict(volume, other));
}

/** Most disks may be shared as long as nobody writes. */
function disksConflict(a: Volume, b: Volume): boolean {
  const { gcePersistentDisk: gceA, awsElasticBlockStore: awsA, iscsi: iscsiA, rbd: rbdA } = a;
  const { gcePersistentDisk: gceB, awsElasticBlockStore: awsB, iscsi: iscsiB, rbd: rbdB } = b;
  const bothRead = (one: { readOnly?: boolean }, other: { readOnly?: boolean }) =>
    one.readOnly === true && other.readOnly === true;
  if (gceA !== undefined && gceB !== undefined && gceA.pdName === gceB.pdName && !bothRead(gceA, gceB)) return true;
  if (awsA !== undefined && awsB !== undefined && awsA.volumeID === awsB.volumeID) return true;
  if (iscsiA !== undefined && iscsiB !== undefined && iscsiA.iqn === iscsiB.iqn && !bothRead(iscsiA, iscsiB))
    return true;
  if (rbdA === undefined || rbdB === undefined) return false;
  const sameMonitor = rbdA.monitors.some((monitor) => rbdB.monitors.includes(monitor));
  const sameImage = (rbdA.pool ?? "rbd") === (rbdB.pool ?? "rbd") && rbdA.image === rbdB.image;
  return sameMonitor && sameImage && !bothRead(rbdA, rbdB);
}

function sharesVolume(waiting: Pod, gone: Pod): boolean {
  return (waiting.spec.volumes ?? []).some((volume) => {
    const claim = claimOf(waiting, volume);
    if (claim === undefined) return isDisk(volume) && conflictsWith(volume, gone);
    return claimsOf(gone).some(({ key }) => keyString(key) === keyString(claim.key));
  });
}
