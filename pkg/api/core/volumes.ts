import { formatTime } from "#pkg/util/index.ts";
import { defineResource } from "../define.ts";
import type { PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec } from "../types/core-v1.ts";
import { printPersistentVolume, printPersistentVolumeClaim } from "./print.ts";
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
    validateUpdate: validatePersistentVolumeUpdate,
  },
  status: {
    prepareForUpdate(volume, old, { now }) {
      if (volume.status === undefined || volume.status.phase === old.status?.phase) return;
      volume.status.lastPhaseTransitionTime = formatTime(now);
    },
  },
});

/** The old and the new field for the same thing say the same where the old one can. */
function unifyDataSources(spec: PersistentVolumeClaimSpec | undefined): void {
  if (spec?.dataSource !== undefined) spec.dataSourceRef ??= { ...spec.dataSource };
  else if (spec?.dataSourceRef !== undefined && !spec.dataSourceRef.namespace) {
    const { namespace: _namespace, ...source } = spec.dataSourceRef;
    const known = source.kind === "PersistentVolumeClaim" || source.kind === "VolumeSnapshot";
    if (known) spec.dataSource = source;
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
    prepareForUpdate: ({ spec }) => unifyDataSources(spec),
    validate: validateClaim,
    validateUpdate: validateClaimUpdate,
  },
  status: { validateUpdate: validateClaimStatus },
});
