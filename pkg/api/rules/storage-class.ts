import type { PersistentVolume, PersistentVolumeClaim } from "../types/core-v1.ts";

/** What named the class before 1.6, and still wins over the field. */
export const BETA_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class";

/** Name of the StorageClass that a volume or claim belongs to; "" when it belongs to none. */
export function storageClassNameOf({ metadata, spec }: Readonly<PersistentVolume | PersistentVolumeClaim>): string {
  return metadata.annotations?.[BETA_STORAGE_CLASS] ?? spec?.storageClassName ?? "";
}
