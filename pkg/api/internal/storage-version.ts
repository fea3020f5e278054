import { defineResource } from "../define.ts";
import { ALL_METADATA } from "../resource.ts";
import { immutable, requiredText } from "../validation/rules.ts";
import { printStorageVersion, printStorageVersionMigration } from "../printers/small.ts";
import type { StorageVersion } from "../types/apiserverinternal-v1alpha1.ts";
import type { StorageVersionMigration } from "../types/storagemigration-v1beta1.ts";

export const storageVersion = defineResource<StorageVersion>({
  group: "internal.apiserver.k8s.io",
  version: "v1alpha1",
  kind: "StorageVersion",
  printRow: printStorageVersion,
  strategy: { generation: false },
  status: { resetMetadata: ALL_METADATA },
});
export const storageVersionMigration = defineResource<StorageVersionMigration>({
  group: "storagemigration.k8s.io",
  version: "v1beta1",
  kind: "StorageVersionMigration",
  printRow: printStorageVersionMigration,
  strategy: {
    generation: false,
    validate: ({ spec }) => requiredText(spec.resource?.resource, "spec.resource.resource"),
    validateUpdate: ({ spec }, old) => immutable(spec.resource, old.spec.resource, "spec.resource"),
  },
});
