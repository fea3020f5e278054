import { ageOf, UNSET } from "../printers/cells.ts";
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
} from "../types/storage-v1.ts";

function isDefault(annotations: Readonly<Record<string, string>> | undefined, keys: readonly string[]): boolean {
  return keys.some((key) => annotations?.[key] === "true");
}

const DEFAULT_CLASS = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];

export function printStorageClass(storageClass: Readonly<StorageClass>, now: number): unknown[] {
  const { name = "", annotations } = storageClass.metadata;
  return [
    isDefault(annotations, DEFAULT_CLASS) ? `${name} (default)` : name,
    storageClass.provisioner,
    storageClass.reclaimPolicy ?? "Delete",
    storageClass.volumeBindingMode ?? "Immediate",
    storageClass.allowVolumeExpansion ?? false,
    ageOf(storageClass, now),
  ];
}

export function printVolumeAttributesClass(attributes: Readonly<VolumeAttributesClass>, now: number): unknown[] {
  return [attributes.metadata.name, attributes.driverName, ageOf(attributes, now)];
}

export function printVolumeAttachment(attachment: Readonly<VolumeAttachment>, now: number): unknown[] {
  return [
    attachment.metadata.name,
    attachment.spec.attacher,
    attachment.spec.source?.persistentVolumeName ?? "",
    attachment.spec.nodeName,
    attachment.status?.attached ?? false,
    ageOf(attachment, now),
  ];
}

export function printCSINode(node: Readonly<CSINode>, now: number): unknown[] {
  return [node.metadata.name, node.spec.drivers?.length ?? 0, ageOf(node, now)];
}

export function printCSIDriver(driver: Readonly<CSIDriver>, now: number): unknown[] {
  const { spec } = driver;
  const audiences = (spec.tokenRequests ?? []).map(({ audience }) => audience);
  return [
    driver.metadata.name,
    spec.attachRequired ?? true,
    spec.podInfoOnMount ?? false,
    spec.storageCapacity ?? false,
    audiences.length === 0 ? UNSET : audiences.join(","),
    spec.requiresRepublish ?? false,
    (spec.volumeLifecycleModes ?? []).join(",") || "<none>",
    ageOf(driver, now),
  ];
}

export function printCSIStorageCapacity(capacity: Readonly<CSIStorageCapacity>): unknown[] {
  const amount = capacity.capacity === undefined ? UNSET : String(capacity.capacity);
  return [capacity.metadata.name, capacity.storageClassName, amount];
}
