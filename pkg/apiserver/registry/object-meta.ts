import {
  FOREGROUND_FINALIZER,
  type MetadataField,
  ORPHAN_FINALIZER,
  validateFinalizerName,
  validateFinalizerOwner,
} from "#pkg/api/index.ts";
import type { FieldError, KubeObject, ObjectMeta } from "#pkg/apimachinery/index.ts";
import {
  deepEqual,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  goQuote,
  IMMUTABLE_DETAIL,
  isDns1123Label,
  isDns1123Subdomain,
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

/** What a kind says about its objects' metadata. */
interface MetadataRules {
  readonly namespaced: boolean;
  validateName(name: string, prefix: boolean): string[];
}

/** Rules that hold for the metadata of every kind. */
export function validateObjectMeta({ definition }: InstalledResource, metadata: ObjectMeta): FieldError[] {
  const { namespaced, strategy } = definition;
  const validateName = (name: string, prefix: boolean): string[] => {
    const sample = prefix ? maskTrailingDash(name) : name;
    return strategy.validateName?.(sample, prefix) ?? isDns1123Subdomain(sample);
  };
  return validateMetadata(metadata, "metadata", { namespaced, validateName });
}

/** Names become segments of URLs; asked when everything else is right, because kinds say more exactly what is wrong. */
export function validateNameSegments({ generateName, name }: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  for (const message of isValidPathSegmentName(generateName ?? "", true)) {
    errors.push(fieldInvalid("metadata.generateName", generateName, message));
  }
  for (const message of isValidPathSegmentName(name ?? "")) errors.push(fieldInvalid("metadata.name", name, message));
  return errors;
}

/** Drops owners that are named twice word for word. Returns the UIDs of what was dropped. */
export function dropRepeatedOwners(metadata: ObjectMeta): string[] {
  const owners = metadata.ownerReferences ?? [];
  if (owners.length < 2) return [];
  const kept: typeof owners = [];
  const dropped: string[] = [];
  for (const owner of owners) {
    if (kept.some((other) => other.uid === owner.uid && deepEqual(other, owner))) dropped.push(owner.uid);
    else kept.push(owner);
  }
  if (dropped.length > 0) metadata.ownerReferences = kept;
  return dropped;
}

/** The same of an object inside another, which may have any name that fits into a URL, or none. */
export function validateEmbeddedMeta(metadata: ObjectMeta, path: string): FieldError[] {
  const named = metadata.name === undefined || metadata.name === "" ? { ...metadata, name: "unnamed" } : metadata;
  const namespaced = metadata.namespace !== undefined && metadata.namespace !== "";
  return validateMetadata(named, path, { namespaced, validateName: isValidPathSegmentName });
}

function validateMetadata(metadata: ObjectMeta, path: string, rules: MetadataRules): FieldError[] {
  const { namespaced, validateName } = rules;
  const errors: FieldError[] = [];
  if (metadata.generateName !== undefined && metadata.generateName !== "") {
    for (const message of validateName(metadata.generateName, true)) {
      errors.push(fieldInvalid(`${path}.generateName`, metadata.generateName, message));
    }
  }
  if (metadata.name === undefined || metadata.name === "") {
    errors.push(fieldRequired(`${path}.name`, "name or generateName is required"));
  } else {
    for (const message of new Set(validateName(metadata.name, false))) {
      errors.push(fieldInvalid(`${path}.name`, metadata.name, message));
    }
  }
  if (namespaced) {
    if (metadata.namespace === undefined || metadata.namespace === "") errors.push(fieldRequired(`${path}.namespace`));
    else {
      for (const message of isDns1123Label(metadata.namespace)) {
        errors.push(fieldInvalid(`${path}.namespace`, metadata.namespace, message));
      }
    }
  } else if (metadata.namespace !== undefined && metadata.namespace !== "") {
    errors.push(fieldForbidden(`${path}.namespace`, "not allowed on this type"));
  }
  if ((metadata.generation ?? 0) < 0) {
    errors.push(fieldInvalid(`${path}.generation`, metadata.generation, "must be greater than or equal to 0"));
  }
  errors.push(...validateLabels(metadata.labels, `${path}.labels`));
  errors.push(...validateAnnotations(metadata.annotations, `${path}.annotations`));
  errors.push(...validateOwnerReferences(metadata, path), ...validateFinalizers(metadata, path));
  return errors;
}

/** A prefix may end in the dash that no name may end in. */
function maskTrailingDash(name: string): string {
  return name.length > 1 && name.endsWith("-") ? `${name.slice(0, -2)}a` : name;
}

/** A version, with at most one group before it. */
const VERSION_OF_OWNER = /^(?:[^/]*\/)?[^/]+$/;

function validateOwnerReferences(metadata: ObjectMeta, at: string): FieldError[] {
  const errors: FieldError[] = [];
  let controller: string | undefined;
  // Upstream does not say which one.
  const path = `${at}.ownerReferences`;
  for (const owner of metadata.ownerReferences ?? []) {
    if (!VERSION_OF_OWNER.test(owner.apiVersion ?? "")) {
      errors.push(fieldInvalid(`${path}.apiVersion`, owner.apiVersion ?? "", "version must not be empty"));
    }
    if (!owner.kind) errors.push(fieldInvalid(`${path}.kind`, "", "must not be empty"));
    if (!owner.name) errors.push(fieldInvalid(`${path}.name`, "", "must not be empty"));
    if (!owner.uid) errors.push(fieldInvalid(`${path}.uid`, "", "must not be empty"));
    if (owner.apiVersion === "v1" && owner.kind === "Event") {
      errors.push(fieldInvalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"));
    }
    if (owner.controller === true) {
      const name = `${owner.kind}/${owner.name}`;
      if (controller === undefined) controller = name;
      else {
        const others = `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${name}`;
        errors.push(fieldInvalid(path, metadata.ownerReferences, others));
      }
    }
  }
  return errors;
}

function validateFinalizers(metadata: ObjectMeta, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const finalizers = metadata.finalizers ?? [];
  const path = `${at}.finalizers`;
  for (const finalizer of finalizers) errors.push(...validateFinalizerName(finalizer, path));
  if (finalizers.includes(ORPHAN_FINALIZER) && finalizers.includes(FOREGROUND_FINALIZER)) {
    const both = "finalizer orphan and foregroundDeletion cannot be both set";
    errors.push(fieldInvalid(path, finalizers, both));
  }
  return errors;
}

/** Objects of built-in kinds have finalizers that are Kubernetes' own or say by their domain whose they are. */
export function validateFinalizerOwners({ definition }: InstalledResource, metadata: ObjectMeta): FieldError[] {
  if (definition.custom) return [];
  return (metadata.finalizers ?? []).flatMap((finalizer, index) =>
    validateFinalizerOwner(finalizer, `metadata.finalizers[${index}]`),
  );
}

/** Fills in what a client left out of an update and what only the server may change. */
export function carryMetadata(object: KubeObject, old: Readonly<KubeObject>): void {
  const { metadata } = object;
  const before = old.metadata;
  if (metadata.uid === undefined || metadata.uid === "") metadata.uid = before.uid;
  setOrDelete(metadata, "creationTimestamp", before.creationTimestamp);
  if (before.deletionTimestamp !== undefined) metadata.deletionTimestamp = before.deletionTimestamp;
  else if (metadata.deletionTimestamp === null) delete metadata.deletionTimestamp;
  if (metadata.deletionGracePeriodSeconds === undefined || metadata.deletionGracePeriodSeconds === null) {
    setOrDelete(metadata, "deletionGracePeriodSeconds", before.deletionGracePeriodSeconds);
  }
  setOrDelete(metadata, "generation", before.generation);
}

/** Takes these fields from the metadata before, whatever the request said of them. */
export function resetMetadata(object: KubeObject, old: Readonly<KubeObject>, fields: readonly MetadataField[]): void {
  for (const field of fields) setOrDelete(object.metadata, field, old.metadata[field]);
}

function setOrDelete<K extends keyof ObjectMeta>(metadata: ObjectMeta, field: K, value: ObjectMeta[K]): void {
  if (value === undefined) delete metadata[field];
  else metadata[field] = value;
}

/** Rules for what an update may change of the metadata. */
export function validateMetaUpdate(metadata: ObjectMeta, before: Readonly<ObjectMeta>): FieldError[] {
  const errors: FieldError[] = [];
  const immutable = (field: "name" | "namespace" | "uid"): void => {
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
  if ((metadata.deletionTimestamp ?? "") !== (before.deletionTimestamp ?? "")) {
    errors.push(fieldInvalid("metadata.deletionTimestamp", metadata.deletionTimestamp ?? null, IMMUTABLE_DETAIL));
  }
  if ((metadata.deletionGracePeriodSeconds ?? null) !== (before.deletionGracePeriodSeconds ?? null)) {
    const path = "metadata.deletionGracePeriodSeconds";
    errors.push(fieldInvalid(path, metadata.deletionGracePeriodSeconds ?? null, IMMUTABLE_DETAIL));
  }
  return errors;
}
