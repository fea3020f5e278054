import { formatTime } from "#pkg/util/index.ts";
import { defineResource } from "../define.ts";
import type { PersistentVolume, PersistentVolumeClaim } from "../types/core-v1.ts";
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

export const persistentVolumeClaim = defineResource<PersistentVolumeClaim>({
  group: "",
  version: "v1",
  kind: "PersistentVolumeClaim",
  printRow: printPersistentVolumeClaim,
  initialStatus: { phase: "Pending" },
  strategy: { generation: false, validate: validateClaim, validateUpdate: validateClaimUpdate },
  status: { validateUpdate: validateClaimStatus },
});
