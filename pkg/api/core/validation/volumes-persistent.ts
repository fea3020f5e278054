import { posix } from "node:path";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import type { PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec } from "../../types/core-v1.ts";
import {
  dnsSubdomain,
  type FieldError,
  forbidden,
  immutable,
  invalid,
  isEmpty,
  nonNegativeQuantity,
  notSupported,
  oneOf,
  required,
  sameValue,
} from "../../validation/rules.ts";
import { validateNodeSelector } from "./affinity.ts";
import { validateAccessModes, validatePvcSpec, VOLUME_MODES } from "./claims.ts";
import { describeDifference } from "./difference.ts";
import { sourcesOf, validateSource } from "./persistent-sources.ts";

/** A volume inside a VolumeAttachment is a CSI driver's and has no claim, capacity or nodes of its own. */
function validateInline(spec: PersistentVolumeSpec, path: string): FieldError[] {
  const outside = (field: string) =>
    forbidden(`${path}.${field}`, "may not be specified in the context of inline volumes");
  return [
    ...(spec.claimRef === undefined ? [] : [outside("claimRef")]),
    ...(Object.keys(spec.capacity ?? {}).length === 0 ? [] : [outside("capacity")]),
    ...(spec.csi === undefined
      ? [required(`${path}.csi`, "has to be specified in the context of inline volumes")]
      : []),
  ];
}

function validateCapacity(capacity: Readonly<Record<string, string | number>>, path: string): FieldError[] {
  const names = Object.keys(capacity);
  const errors: FieldError[] = names.length === 0 ? [required(path)] : [];
  if (capacity["storage"] === undefined || names.length > 1) {
    errors.push(notSupported(path, names.length === 0 ? null : capacity, ["storage"]));
  }
  for (const name of names) {
    const at = `${path}[${name}]`;
    const quantity = parseQuantity(capacity[name]!);
    errors.push(...nonNegativeQuantity(capacity[name]!, at));
    if (quantity.sign <= 0) errors.push(invalid(at, quantity.toString(), "must be greater than zero"));
  }
  return errors;
}

const RECLAIM_POLICIES = ["Delete", "Recycle", "Retain"];

/** The spec of a volume called `name`; `inline`: the one inside a VolumeAttachment. */
export function validatePersistentVolumeSpec(
  spec: PersistentVolumeSpec,
  name: string,
  path: string,
  inline = false,
): FieldError[] {
  const errors = inline ? validateInline(spec, path) : [];
  errors.push(...validateAccessModes(spec.accessModes, `${path}.accessModes`, ""));
  if (!inline) errors.push(...validateCapacity(spec.capacity ?? {}, `${path}.capacity`));
  const { persistentVolumeReclaimPolicy: policy, nodeAffinity, volumeMode } = spec;
  const policyAt = `${path}.persistentVolumeReclaimPolicy`;
  if (!inline) errors.push(...oneOf(policy, RECLAIM_POLICIES, policyAt, true));
  else if (!isEmpty(policy) && policy !== "Retain") {
    errors.push(forbidden(policyAt, "may only be Retain in the context of inline volumes"));
  }
  if (nodeAffinity !== undefined) {
    const at = `${path}.nodeAffinity`;
    if (inline) errors.push(forbidden(at, "may not be specified in the context of inline volumes"));
    else if (nodeAffinity.required !== undefined) {
      errors.push(...validateNodeSelector(nodeAffinity.required, `${at}.required`));
    } else errors.push(required(`${at}.required`, "must specify required node constraints"));
  }
  errors.push(...validateSource(spec, name, path));
  if (spec.hostPath !== undefined && posix.normalize(spec.hostPath.path ?? "") === "/" && policy === "Recycle") {
    errors.push(forbidden(policyAt, "may not be 'recycle' for a hostPath mount of '/'"));
  }
  if (!isEmpty(spec.storageClassName)) {
    const at = `${path}.storageClassName`;
    if (inline) errors.push(forbidden(at, "may not be specified in the context of inline volumes"));
    else errors.push(...dnsSubdomain(spec.storageClassName!, at));
  }
  if (volumeMode !== undefined) {
    const at = `${path}.volumeMode`;
    if (inline && volumeMode !== "Filesystem") {
      errors.push(forbidden(at, "may not specify volumeMode other than Filesystem in the context of inline volumes"));
    } else if (!VOLUME_MODES.includes(volumeMode)) errors.push(notSupported(at, volumeMode, VOLUME_MODES));
  }
  if (!isEmpty(spec.volumeAttributesClassName)) {
    errors.push(...dnsSubdomain(spec.volumeAttributesClassName!, `${path}.volumeAttributesClassName`));
    if (spec.csi === undefined) {
      errors.push(required(`${path}.csi`, "has to be specified when using volumeAttributesClassName"));
    }
  }
  return errors;
}

export const validatePersistentVolume = ({ metadata, spec = {} }: PersistentVolume): FieldError[] =>
  validatePersistentVolumeSpec(spec, metadata.name ?? "", "spec");

export function validatePersistentVolumeUpdate(
  volume: PersistentVolume,
  old: Readonly<PersistentVolume>,
): FieldError[] {
  const errors = validatePersistentVolume(volume);
  const spec = volume.spec ?? {};
  const before = old.spec ?? {};
  const [source, had] = [sourcesOf(spec), sourcesOf(before)];
  // The secret that growing the volume takes may be named later.
  if (before.csi !== undefined && before.csi.controllerExpandSecretRef === undefined && spec.csi !== undefined) {
    const { controllerExpandSecretRef: _later, ...csi } = spec.csi;
    source.csi = csi;
  }
  if (!sameValue(source, had)) {
    const difference = describeDifference(had, source, "spec");
    errors.push(
      forbidden(
        "spec.persistentvolumesource",
        `spec.persistentvolumesource is immutable after creation\n${difference}`,
      ),
    );
  }
  errors.push(...immutable(spec.volumeMode, before.volumeMode, "volumeMode"));
  if (before.nodeAffinity !== undefined) {
    errors.push(...immutable(spec.nodeAffinity, before.nodeAffinity, "nodeAffinity"));
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
  // No class is another wish than whatever class is the default.
  const otherClass = spec.storageClassName !== before.storageClassName;
  if (changed || otherClass)
    errors.push(forbidden("spec", `${CLAIM_MESSAGE}\n${describeDifference(before, spec, "spec")}`));
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
