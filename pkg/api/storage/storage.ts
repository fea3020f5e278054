import { defineResource } from "../define.ts";
import { ALL_METADATA } from "../resource.ts";
import { nodeLabelWarning, nodeSelectorWarnings } from "../validation/node-labels.ts";
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
import {
  validateCSIDriver,
  validateCSIDriverUpdate,
  validateCSINode,
  validateCSINodeUpdate,
  validateCSIStorageCapacity,
  validateCSIStorageCapacityUpdate,
  validateStorageClass,
  validateStorageClassUpdate,
  validateVolumeAttachment,
  validateVolumeAttachmentUpdate,
  validateVolumeAttributesClass,
  validateVolumeAttributesClassUpdate,
} from "./validation.ts";

const group = "storage.k8s.io";

export const storageClass = defineResource<StorageClass>({
  group,
  version: "v1",
  kind: "StorageClass",
  printRow: printStorageClass,
  strategy: {
    validate: validateStorageClass,
    validateUpdate: validateStorageClassUpdate,
    warnings: ({ allowedTopologies = [] }) =>
      allowedTopologies.flatMap(({ matchLabelExpressions = [] }, term) =>
        matchLabelExpressions.flatMap(({ key }, index) =>
          nodeLabelWarning(key, `allowedTopologies[${term}].matchLabelExpressions[${index}]`),
        ),
      ),
  },
});
export const volumeAttachment = defineResource<VolumeAttachment>({
  group,
  version: "v1",
  kind: "VolumeAttachment",
  printRow: printVolumeAttachment,
  initialStatus: { attached: false },
  strategy: {
    generation: false,
    allowUnconditionalUpdate: false,
    validate: validateVolumeAttachment,
    validateUpdate: validateVolumeAttachmentUpdate,
  },
  status: { resetMetadata: ALL_METADATA, validateUpdate: validateVolumeAttachmentUpdate },
});
export const csiNode = defineResource<CSINode>({
  group,
  version: "v1",
  kind: "CSINode",
  printRow: printCSINode,
  strategy: { allowUnconditionalUpdate: false, validate: validateCSINode, validateUpdate: validateCSINodeUpdate },
});
export const csiDriver = defineResource<CSIDriver>({
  group,
  version: "v1",
  kind: "CSIDriver",
  printRow: printCSIDriver,
  strategy: {
    allowUnconditionalUpdate: false,
    generation: true,
    defaults({ spec }) {
      if (spec !== undefined && (spec.volumeLifecycleModes ?? []).length === 0)
        spec.volumeLifecycleModes = ["Persistent"];
    },
    validate: validateCSIDriver,
    validateUpdate: validateCSIDriverUpdate,
  },
});
export const csiStorageCapacity = defineResource<CSIStorageCapacity>({
  group,
  version: "v1",
  kind: "CSIStorageCapacity",
  printRow: printCSIStorageCapacity,
  strategy: {
    allowUnconditionalUpdate: false,
    validate: validateCSIStorageCapacity,
    validateUpdate: validateCSIStorageCapacityUpdate,
    warnings: ({ nodeTopology }) => nodeSelectorWarnings(nodeTopology, "nodeTopology"),
  },
});
export const volumeAttributesClass = defineResource<VolumeAttributesClass>({
  group,
  version: "v1",
  kind: "VolumeAttributesClass",
  printRow: printVolumeAttributesClass,
  strategy: { validate: validateVolumeAttributesClass, validateUpdate: validateVolumeAttributesClassUpdate },
});
export const volumeAttributesClassBeta = defineResource<VolumeAttributesClass>({
  group,
  version: "v1beta1",
  kind: "VolumeAttributesClass",
  printRow: printVolumeAttributesClass,
  strategy: { validate: validateVolumeAttributesClass, validateUpdate: validateVolumeAttributesClassUpdate },
});
