import type { Lease } from "../types/coordination-v1.ts";
import type { LeaseCandidate } from "../types/coordination-v1beta1.ts";
import type { RuntimeClass } from "../types/node-v1.ts";
import type { StorageVersion } from "../types/apiserverinternal-v1alpha1.ts";
import type { StorageVersionMigration } from "../types/storagemigration-v1beta1.ts";
import type { ObjectMeta } from "../types/meta-v1.ts";
import { ageOf, UNSET } from "./cells.ts";

/** Kinds that show their name and age. */
export function printNameAndAge(object: Readonly<{ metadata: ObjectMeta }>, now: number): unknown[] {
  return [object.metadata.name, ageOf(object, now)];
}

export function printLease(lease: Readonly<Lease>, now: number): unknown[] {
  return [lease.metadata.name, lease.spec?.holderIdentity ?? "", ageOf(lease, now)];
}

export function printLeaseCandidate(candidate: Readonly<LeaseCandidate>, now: number): unknown[] {
  const { leaseName, binaryVersion, emulationVersion } = candidate.spec;
  return [candidate.metadata.name, leaseName, binaryVersion, emulationVersion ?? "", ageOf(candidate, now)];
}

export function printRuntimeClass(runtimeClass: Readonly<RuntimeClass>, now: number): unknown[] {
  return [runtimeClass.metadata.name, runtimeClass.handler, ageOf(runtimeClass, now)];
}

export function printStorageVersion(version: Readonly<StorageVersion>, now: number): unknown[] {
  const { commonEncodingVersion, storageVersions = [] } = version.status ?? {};
  const servers = storageVersions.map(({ apiServerID, encodingVersion }) => `${apiServerID}=${encodingVersion}`);
  return [
    version.metadata.name,
    commonEncodingVersion ?? UNSET,
    servers.length === 0 ? UNSET : servers.join(","),
    ageOf(version, now),
  ];
}

export function printStorageVersionMigration(migration: Readonly<StorageVersionMigration>): unknown[] {
  const { group, resource } = migration.spec.resource ?? { group: "", resource: "" };
  const current = migration.status?.conditions?.findLast(({ status }) => status === "True");
  return [migration.metadata.name, group === "" ? resource : `${resource}.${group}`, current?.type ?? ""];
}
