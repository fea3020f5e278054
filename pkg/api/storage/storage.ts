import { defineResource } from "../define.ts";
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
} from "../types/storage-v1.ts";
import {
  printCSIDriver,
  printCSINode,
  printCSIStorageCapacity,
  printStorageClass,
  printVolumeAttachment,
  printVolumeAttributesClass,
} from "./print.ts";

const group = "storage.k8s.io";

export const storageClass = defineResource<StorageClass>({
  group,
  version: "v1",
  kind: "StorageClass",
  printRow: printStorageClass,
});
export const volumeAttachment = defineResource<VolumeAttachment>({
  group,
  version: "v1",
  kind: "VolumeAttachment",
  printRow: printVolumeAttachment,
  initialStatus: { attached: false },
  strategy: { generation: false },
});
export const csiNode = defineResource<CSINode>({ group, version: "v1", kind: "CSINode", printRow: printCSINode });
export const csiDriver = defineResource<CSIDriver>({
  group,
  version: "v1",
  kind: "CSIDriver",
  printRow: printCSIDriver,
  strategy: {
    generation: true,
    defaults({ spec }) {
      if (spec !== undefined && (spec.volumeLifecycleModes ?? []).length === 0)
        spec.volumeLifecycleModes = ["Persistent"];
    },
  },
});
export const csiStorageCapacity = defineResource<CSIStorageCapacity>({
  group,
  version: "v1",
  kind: "CSIStorageCapacity",
  printRow: printCSIStorageCapacity,
});
export const volumeAttributesClass = defineResource<VolumeAttributesClass>({
  group,
  version: "v1",
  kind: "VolumeAttributesClass",
  printRow: printVolumeAttributesClass,
});
export const volumeAttributesClassBeta = defineResource<VolumeAttributesClass>({
  group,
  version: "v1beta1",
  kind: "VolumeAttributesClass",
  printRow: printVolumeAttributesClass,
});
