import { parseQuantity, validateAnnotations, validateLabels } from "#pkg/apimachinery/index.ts";
import type {
  PersistentVolumeClaimSpec,
  PersistentVolumeClaimTemplate,
  TypedLocalObjectReference,
  TypedObjectReference,
} from "../../types/core-v1.ts";
import {
  dnsSubdomain,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  notSupported,
  required,
  given,
} from "../../validation/rules.ts";
import { validateLabelSelector } from "../../validation/selectors.ts";

export const VOLUME_MODES = ["Block", "Filesystem"];
const ACCESS_MODES = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

export function validateAccessModes(modes: readonly string[] | undefined, path: string, what: string): FieldError[] {
  const errors: FieldError[] = [];
  if ((modes ?? []).length === 0) errors.push(required(path, what));
  for (const mode of modes ?? []) {
    if (!ACCESS_MODES.includes(mode)) errors.push(notSupported(path, mode, ACCESS_MODES));
  }
  if ((modes ?? []).length > 1 && modes!.includes("ReadWriteOncePod")) {
    errors.push(forbidden(path, "may not use ReadWriteOncePod with other access modes"));
  }
  return errors;
}

/** Where a claim's content comes from. */
function validateDataSource(
  source: TypedLocalObjectReference | TypedObjectReference | undefined,
  path: string,
): FieldError[] {
  if (source === undefined) return [];
  const errors: FieldError[] = [];
  if (isEmpty(source.name)) errors.push(required(`${path}.name`));
  if (isEmpty(source.kind)) errors.push(required(`${path}.kind`));
  if (isEmpty(source.apiGroup) && source.kind !== "PersistentVolumeClaim") {
    errors.push(
      invalid(path, source.kind ?? "", "must be 'PersistentVolumeClaim' when referencing the default apiGroup"),
    );
  } else if (!isEmpty(source.apiGroup)) errors.push(...dnsSubdomain(source.apiGroup!, `${path}.apiGroup`));
  return errors;
}

/** The spec of a claim, in a PersistentVolumeClaim and in templates of one. */
export function validatePvcSpec(spec: PersistentVolumeClaimSpec, path: string): FieldError[] {
  const errors = validateAccessModes(spec.accessModes, `${path}.accessModes`, "at least 1 access mode is required");
  errors.push(...validateLabelSelector(spec.selector, `${path}.selector`));
  const storage = spec.resources?.requests?.["storage"];
  const at = `${path}.resources[storage]`;
  if (storage === undefined) errors.push(required(at));
  else if (parseQuantity(storage).sign <= 0) errors.push(invalid(at, String(storage), "must be greater than zero"));
  if (!isEmpty(spec.storageClassName)) errors.push(...dnsSubdomain(spec.storageClassName!, `${path}.storageClassName`));
  errors.push(...given(spec.volumeMode, VOLUME_MODES, `${path}.volumeMode`));
  errors.push(...validateDataSource(spec.dataSource, `${path}.dataSource`));
  errors.push(...validateDataSource(spec.dataSourceRef, `${path}.dataSourceRef`));
  if (!isEmpty(spec.volumeAttributesClassName)) {
    errors.push(...dnsSubdomain(spec.volumeAttributesClassName!, `${path}.volumeAttributesClassName`));
  }
  return errors;
}

/** Everything of metadata that a template of a claim cannot give, as upstream spells and orders it. */
const NOT_IN_TEMPLATES = [
  ["name", "name"],
  ["generateName", "generateName"],
  ["namespace", "namespace"],
  ["selfLink", "selfLink"],
  ["uid", "uID"],
  ["resourceVersion", "resourceVersion"],
  ["generation", "generation"],
  ["creationTimestamp", "creationTimestamp"],
  ["deletionTimestamp", "deletionTimestamp"],
  ["deletionGracePeriodSeconds", "deletionGracePeriodSeconds"],
  ["ownerReferences", "ownerReferences"],
  ["finalizers", "finalizers"],
  ["managedFields", "managedFields"],
] as const;

/** The claim that an ephemeral volume makes: labels, annotations and a spec. */
export function validatePvcTemplate({ metadata, spec }: PersistentVolumeClaimTemplate, path: string): FieldError[] {
  const at = `${path}.metadata`;
  const errors = [
    ...validateAnnotations(metadata?.annotations, `${at}.annotations`),
    ...validateLabels(metadata?.labels, `${at}.labels`),
  ];
  const given = (metadata ?? {}) as Readonly<Record<string, unknown>>;
  for (const [field, spelled] of NOT_IN_TEMPLATES) {
    if (!isEmpty(given[field])) errors.push(forbidden(`${at}.${spelled}`, "cannot be set"));
  }
  return [...errors, ...validatePvcSpec(spec ?? {}, `${path}.spec`)];
}
