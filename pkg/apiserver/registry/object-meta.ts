import type { FieldError } from "#pkg/apimachinery/index.ts";
import type { KubeObject, ObjectMeta } from "#pkg/apimachinery/index.ts";
import {
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  goQuote,
  IMMUTABLE_DETAIL,
  isDns1123Label,
  isDns1123Subdomain,
  isQualifiedName,
  isValidPathSegmentName,
  validateAnnotations,
  validateLabels,
} from "#pkg/apimachinery/index.ts";
import type { InstalledResource } from "./installed.ts";

/** Characters of a generated name that come from the client; five random ones follow. */
const MAX_GENERATED_PREFIX = 58;

/** A generateName prefix, cut so that the suffix still fits into a label. */
export function generatedPrefix(generateName: string): string {
  return generateName.slice(0, MAX_GENERATED_PREFIX);
}

/** Drops metadata that says nothing, so that equal objects have equal bytes. */
export function tidyMetadata(metadata: ObjectMeta): void {
  for (const field of ["labels", "annotations"] as const) {
    const map = metadata[field];
    if (map !== undefined && Object.keys(map).length === 0) delete metadata[field];
  }
  for (const field of ["finalizers", "ownerReferences", "managedFields"] as const) {
    if (metadata[field]?.length === 0) delete metadata[field];
  }
  delete metadata.selfLink;
}

/** Rules that hold for the metadata of every kind. `path` is "metadata". */
export function validateObjectMeta(installed: InstalledResource, metadata: ObjectMeta): FieldError[] {
  const { definition } = installed;
  const errors: FieldError[] = [];
  const validateName = (name: string, prefix: boolean): string[] => [
    ...isValidPathSegmentName(name, prefix),
    ...(definition.strategy.validateName?.(name, prefix) ?? isDns1123Subdomain(prefix ? maskTrailingDash(name) : name)),
  ];
  if (metadata.generateName !== undefined && metadata.generateName !== "") {
    for (const message of validateName(metadata.generateName, true)) {
      errors.push(fieldInvalid("metadata.generateName", metadata.generateName, message));
    }
  }
  if (metadata.name === undefined || metadata.name === "") {
    errors.push(fieldRequired("metadata.name", "name or generateName is required"));
  } else {
    for (const message of new Set(validateName(metadata.name, false))) {
      errors.push(fieldInvalid("metadata.name", metadata.name, message));
    }
  }
  if (definition.namespaced) {
    if (metadata.namespace === undefined || metadata.namespace === "") errors.push(fieldRequired("metadata.namespace"));
    else {
      for (const message of isDns1123Label(metadata.namespace)) {
        errors.push(fieldInvalid("metadata.namespace", metadata.namespace, message));
      }
    }
  } else if (metadata.namespace !== undefined && metadata.namespace !== "") {
    errors.push(fieldForbidden("metadata.namespace", "not allowed on this type"));
  }
  if ((metadata.generation ?? 0) < 0) {
    errors.push(fieldInvalid("metadata.generation", metadata.generation, "must be greater than or equal to 0"));
  }
  errors.push(...validateLabels(metadata.labels, "metadata.labels"));
  errors.push(...validateAnnotations(metadata.annotations, "metadata.annotations"));
  errors.push(...validateOwnerReferences(metadata), ...validateFinalizers(metadata));
  return errors;
}

function maskTrailingDash(name: string): string {
  return name.length > 1 && name.endsWith("-") ? `${name.slice(0, -2)}a` : name;
}

function validateOwnerReferences(metadata: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  let controller: string | undefined;
  for (const [index, owner] of (metadata.ownerReferences ?? []).entries()) {
    const path = `metadata.ownerReferences[${index}]`;
    if (!owner.apiVersion)
      errors.push(fieldInvalid(`${path}.apiVersion`, owner.apiVersion ?? "", "version must not be empty"));
    if (!owner.kind) errors.push(fieldInvalid(`${path}.kind`, "", "must not be empty"));
    if (!owner.name) errors.push(fieldInvalid(`${path}.name`, "", "must not be empty"));
    if (!owner.uid) errors.push(fieldInvalid(`${path}.uid`, "", "must not be empty"));
    if (owner.apiVersion === "v1" && owner.kind === "Event") {
      errors.push(fieldInvalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"));
    }
    if (owner.controller === true) {
      if (controller === undefined) controller = owner.name;
      else {
        const others = `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${owner.name}`;
        errors.push(fieldInvalid("metadata.ownerReferences", metadata.ownerReferences, others));
      }
    }
  }
  return errors;
}

const GARBAGE_FINALIZERS = ["orphan", "foregroundDeletion"];

function validateFinalizers(metadata: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  const finalizers = metadata.finalizers ?? [];
  for (const [index, finalizer] of finalizers.entries()) {
    for (const message of isQualifiedName(finalizer)) {
      errors.push(fieldInvalid(`metadata.finalizers[${index}]`, finalizer, message));
    }
  }
  if (GARBAGE_FINALIZERS.every((finalizer) => finalizers.includes(finalizer))) {
    const both = "finalizer orphan and foregroundDeletion cannot be both set";
    errors.push(fieldInvalid("metadata.finalizers", finalizers, both));
  }
  return errors;
}

/** Fills in what a client left out of an update and what only the server may change. */
export function carryMetadata(object: KubeObject, old: Readonly<KubeObject>): void {
  const { metadata } = object;
  const before = old.metadata;
  if (metadata.uid === undefined || metadata.uid === "") metadata.uid = before.uid;
  if (metadata.creationTimestamp === undefined || metadata.creationTimestamp === null) {
    setOrDelete(metadata, "creationTimestamp", before.creationTimestamp);
  }
  if (metadata.deletionTimestamp === undefined || metadata.deletionTimestamp === null) {
    setOrDelete(metadata, "deletionTimestamp", before.deletionTimestamp);
  }
  if (metadata.deletionGracePeriodSeconds === undefined || metadata.deletionGracePeriodSeconds === null) {
    setOrDelete(metadata, "deletionGracePeriodSeconds", before.deletionGracePeriodSeconds);
  }
  setOrDelete(metadata, "generation", before.generation);
}

function setOrDelete<K extends keyof ObjectMeta>(metadata: ObjectMeta, field: K, value: ObjectMeta[K]): void {
  if (value === undefined) delete metadata[field];
  else metadata[field] = value;
}

/** Rules for what an update may change of the metadata. */
export function validateMetaUpdate(metadata: ObjectMeta, before: Readonly<ObjectMeta>): FieldError[] {
  const errors: FieldError[] = [];
  const immutable = (field: "name" | "namespace" | "uid" | "creationTimestamp"): void => {
    if ((metadata[field] ?? "") !== (before[field] ?? "")) {
      errors.push(fieldInvalid(`metadata.${field}`, metadata[field] ?? "", IMMUTABLE_DETAIL));
    }
  };
  const added = (metadata.finalizers ?? []).filter((finalizer) => !(before.finalizers ?? []).includes(finalizer));
  if (before.deletionTimestamp !== undefined && added.length > 0) {
    const list = `[]string{${added.map(goQuote).join(", ")}}`;
    const why = `no new finalizers can be added if the object is being deleted, found new finalizers ${list}`;
    errors.push(fieldForbidden("metadata.finalizers", why));
  }
  immutable("name");
  immutable("namespace");
  immutable("uid");
  immutable("creationTimestamp");
  if ((metadata.deletionTimestamp ?? "") !== (before.deletionTimestamp ?? "")) {
    errors.push(fieldInvalid("metadata.deletionTimestamp", metadata.deletionTimestamp ?? null, IMMUTABLE_DETAIL));
  }
  if ((metadata.deletionGracePeriodSeconds ?? 0) !== (before.deletionGracePeriodSeconds ?? 0)) {
    const path = "metadata.deletionGracePeriodSeconds";
    errors.push(fieldInvalid(path, metadata.deletionGracePeriodSeconds ?? null, IMMUTABLE_DETAIL));
  }
  return errors;
}
