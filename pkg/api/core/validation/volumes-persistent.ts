import { parseQuantity } from "#pkg/apimachinery/index.ts";
import type { PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec } from "../../types/core-v1.ts";
import {
  dnsSubdomain,
  type FieldError,
  forbidden,
  immutable,
  invalid,
  isEmpty,
  noBacksteps,
  nonNegativeQuantity,
  notSupported,
  oneOf,
  required,
  sameValue,
} from "../../validation/rules.ts";
import { validateNodeSelector } from "./affinity.ts";
import { validateAccessModes, validatePvcSpec } from "./claims.ts";
import { describeDifference } from "./difference.ts";

/** Fields of the spec that are not the volume's source. */
const NOT_SOURCES: ReadonlySet<string> = new Set([
  "accessModes",
  "capacity",
  "claimRef",
  "mountOptions",
  "nodeAffinity",
  "persistentVolumeReclaimPolicy",
  "storageClassName",
  "volumeAttributesClassName",
  "volumeMode",
]);

function sourcesOf(spec: object): string[] {
  return Object.entries(spec)
    .filter(([field, value]) => !NOT_SOURCES.has(field) && value !== undefined)
    .map(([field]) => field);
}

function validateSource(spec: PersistentVolumeSpec, path: string): FieldError[] {
  const [type, ...others] = sourcesOf(spec);
  if (type === undefined) return [required(path, "must specify a volume type")];
  const errors: FieldError[] = [];
  for (const other of others) errors.push(forbidden(`${path}.${other}`, "may not specify more than 1 volume type"));
  if (type === "hostPath") {
    if (isEmpty(spec.hostPath!.path)) errors.push(required(`${path}.hostPath.path`));
    else errors.push(...noBacksteps(spec.hostPath!.path, `${path}.hostPath.path`));
    if (spec.hostPath!.path === "/" && spec.persistentVolumeReclaimPolicy === "Recycle") {
      errors.push(
        forbidden(`${path}.persistentVolumeReclaimPolicy`, "may not be 'recycle' for a hostPath mount of '/'"),
      );
    }
  } else if (type === "local") {
    if (isEmpty(spec.local!.path)) errors.push(required(`${path}.local.path`));
    if (spec.nodeAffinity === undefined) {
      errors.push(required(`${path}.nodeAffinity`, "Local volume requires node affinity"));
    }
  } else if (type === "csi") {
    if (isEmpty(spec.csi!.driver)) errors.push(required(`${path}.csi.driver`));
    if (isEmpty(spec.csi!.volumeHandle)) errors.push(required(`${path}.csi.volumeHandle`));
  } else if (type === "nfs") {
    if (isEmpty(spec.nfs!.server)) errors.push(required(`${path}.nfs.server`));
    if (isEmpty(spec.nfs!.path)) errors.push(required(`${path}.nfs.path`));
    else if (!spec.nfs!.path.startsWith("/")) {
      errors.push(invalid(`${path}.nfs.path`, spec.nfs!.path, "must be an absolute path"));
    }
  }
  return errors;
}

/** The spec of a volume; `inline` for the one inside a VolumeAttachment, which has no claim or capacity of its own. */
export function validatePersistentVolumeSpec(spec: PersistentVolumeSpec, path: string, inline = false): FieldError[] {
  const errors: FieldError[] = [];
  if (!inline) {
    errors.push(...validateAccessModes(spec.accessModes, `${path}.accessModes`, ""));
    const capacity = spec.capacity ?? {};
    if (Object.keys(capacity).length === 0) errors.push(required(`${path}.capacity`));
    else if (capacity["storage"] === undefined || Object.keys(capacity).length > 1) {
      errors.push(notSupported(`${path}.capacity`, capacity, ["storage"]));
    }
    for (const [name, amount] of Object.entries(capacity)) {
      errors.push(...nonNegativeQuantity(amount, `${path}.capacity[${name}]`));
      if (parseQuantity(amount).isZero()) {
        errors.push(invalid(`${path}.capacity[${name}]`, String(amount), "must be greater than zero"));
      }
    }
  }
  const policies = ["Delete", "Recycle", "Retain"];
  errors.push(
    ...oneOf(spec.persistentVolumeReclaimPolicy, policies, `${path}.persistentVolumeReclaimPolicy`, true),
    ...validateNodeSelector(spec.nodeAffinity?.required, `${path}.nodeAffinity.required`),
    ...validateSource(spec, path),
  );
  if (spec.nodeAffinity !== undefined && spec.nodeAffinity.required === undefined) {
    errors.push(required(`${path}.nodeAffinity.required`, "must specify required node constraints"));
  }
  if (!isEmpty(spec.storageClassName)) errors.push(...dnsSubdomain(spec.storageClassName!, `${path}.storageClassName`));
  errors.push(...oneOf(spec.volumeMode, ["Block", "Filesystem"], `${path}.volumeMode`, true));
  if (!isEmpty(spec.volumeAttributesClassName)) {
    errors.push(...dnsSubdomain(spec.volumeAttributesClassName!, `${path}.volumeAttributesClassName`));
    if (spec.csi === undefined) {
      errors.push(required(`${path}.csi`, "has to be specified when using volumeAttributesClassName"));
    }
  }
  return errors;
}

export const validatePersistentVolume = ({ spec = {} }: PersistentVolume): FieldError[] =>
  validatePersistentVolumeSpec(spec, "spec");

export function validatePersistentVolumeUpdate(
  volume: PersistentVolume,
  old: Readonly<PersistentVolume>,
): FieldError[] {
  const errors = validatePersistentVolume(volume);
  const spec = volume.spec ?? {};
  const before = old.spec ?? {};
  const source = (from: PersistentVolumeSpec) =>
    Object.fromEntries(sourcesOf(from).map((type) => [type, (from as Record<string, unknown>)[type]]));
  if (!sameValue(source(spec), source(before))) {
    const difference = describeDifference(source(before), source(spec), "spec");
    errors.push(
      forbidden(
        "spec.persistentvolumesource",
        `spec.persistentvolumesource is immutable after creation\n${difference}`,
      ),
    );
  }
  errors.push(...immutable(spec.volumeMode, before.volumeMode, "spec.volumeMode"));
  if (before.nodeAffinity !== undefined) {
    errors.push(...immutable(spec.nodeAffinity, before.nodeAffinity, "spec.nodeAffinity"));
  }
  return errors;
}

export const validateClaim = ({ spec = {} }: PersistentVolumeClaim): FieldError[] => validatePvcSpec(spec, "spec");

const CLAIM_MESSAGE =
  "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

/** A bound claim may grow; everything else about what was asked for is settled. */
export function validateClaimUpdate(claim: PersistentVolumeClaim, old: Readonly<PersistentVolumeClaim>): FieldError[] {
  const errors = validateClaim(claim);
  const spec = { ...claim.spec };
  const before = { ...old.spec };
  // The binder fills in the volume's name, and the storage class where there was none.
  if (isEmpty(before.volumeName)) delete spec.volumeName;
  if (before.storageClassName === undefined && isEmpty(old.spec?.volumeName)) delete spec.storageClassName;
  if (old.status?.phase === "Bound") {
    const [wanted, had] = [spec.resources?.requests?.["storage"], before.resources?.requests?.["storage"]];
    spec.resources = before.resources;
    spec.volumeAttributesClassName = before.volumeAttributesClassName;
    const floor = old.status.capacity?.["storage"] ?? had;
    if (wanted !== undefined && had !== undefined && parseQuantity(wanted).cmp(parseQuantity(had)) < 0) {
      const recovers = floor !== undefined && parseQuantity(wanted).cmp(parseQuantity(floor)) > 0;
      if (!recovers) {
        const why = "field can not be less than previous value";
        errors.push(forbidden("spec.resources.requests.storage", why));
      }
    }
  }
  // The same reference in its old and its new field.
  delete spec.dataSource;
  delete before.dataSource;
  const changed = [...new Set([...Object.keys(spec), ...Object.keys(before)])].some(
    (field) => !sameValue((spec as Record<string, unknown>)[field], (before as Record<string, unknown>)[field]),
  );
  if (changed) errors.push(forbidden("spec", `${CLAIM_MESSAGE}\n${describeDifference(before, spec, "spec")}`));
  if (!sameValue(claim.spec?.volumeMode, old.spec?.volumeMode)) {
    errors.push(...immutable(claim.spec?.volumeMode, old.spec?.volumeMode, "volumeMode"));
  }
  return errors;
}

export function validateClaimStatus({ status }: PersistentVolumeClaim): FieldError[] {
  const errors: FieldError[] = [];
  for (const [name, amount] of Object.entries(status?.capacity ?? {})) {
    errors.push(...nonNegativeQuantity(amount, `status.capacity[${name}]`));
  }
  return errors;
}
