import { formatTime } from "#pkg/util/index.ts";
import { defineResource } from "../define.ts";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
  TypedLocalObjectReference,
} from "../types/core-v1.ts";
import { printPersistentVolume, printPersistentVolumeClaim } from "./print.ts";
import { claimWarnings, persistentVolumeWarnings } from "./validation/volume-warnings.ts";
import {
  validateClaim,
  validateClaimStatus,
  validateClaimUpdate,
  validatePersistentVolume,
  validatePersistentVolumeUpdate,
} from "./validation/volumes-persistent.ts";

export const persistentVolume = defineResource<PersistentVolume>({
  group: "",
  version: "v1",
  kind: "PersistentVolume",
  printRow: printPersistentVolume,
  strategy: {
    generation: false,
    prepareForCreate(volume, { now }) {
      volume.status = { phase: "Pending", lastPhaseTransitionTime: formatTime(now) };
    },
    validate: validatePersistentVolume,
    warnings: persistentVolumeWarnings,
    validateUpdate: validatePersistentVolumeUpdate,
  },
  status: {
    prepareForUpdate(volume, old, { now }) {
      if (volume.status === undefined || volume.status.phase === old.status?.phase) return;
      volume.status.lastPhaseTransitionTime = formatTime(now);
    },
  },
});

/** Where a claim's content could come from before there was dataSourceRef. */
function isClaimOrSnapshot({ apiGroup, kind }: TypedLocalObjectReference): boolean {
  if (kind === "PersistentVolumeClaim") return (apiGroup ?? "") === "";
  return kind === "VolumeSnapshot" && apiGroup === "snapshot.storage.k8s.io";
}

/**
 * The old and the new field for the same thing say the same. The old one always ignored what it did not know, and still
 * does in requests that have it alone; a claim that has a source keeps it.
 */
function unifyDataSources(spec: PersistentVolumeClaimSpec | undefined, old?: PersistentVolumeClaimSpec): void {
  if (spec === undefined) return;
  const had = old?.dataSource !== undefined || old?.dataSourceRef !== undefined;
  if (
    !had &&
    spec.dataSource !== undefined &&
    spec.dataSourceRef === undefined &&
    !isClaimOrSnapshot(spec.dataSource)
  ) {
    delete spec.dataSource;
  }
  if (spec.dataSource !== undefined) spec.dataSourceRef ??= { ...spec.dataSource };
  else if (spec.dataSourceRef !== undefined && !spec.dataSourceRef.namespace) {
    const { namespace: _namespace, ...source } = spec.dataSourceRef;
    spec.dataSource = source;
  }
}

export const persistentVolumeClaim = defineResource<PersistentVolumeClaim>({
  group: "",
  version: "v1",
  kind: "PersistentVolumeClaim",
  printRow: printPersistentVolumeClaim,
  initialStatus: { phase: "Pending" },
  strategy: {
    generation: false,
    prepareForCreate: ({ spec }) => unifyDataSources(spec),
    prepareForUpdate: ({ spec }, old) => unifyDataSources(spec, old.spec),
    validate: validateClaim,
    warnings: claimWarnings,
    validateUpdate: validateClaimUpdate,
  },
  status: { validateUpdate: validateClaimStatus },
});
