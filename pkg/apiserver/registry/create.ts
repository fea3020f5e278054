/**
 * POST: a new object's way through namespace, defaults, mutating admission, the kind's strategy, validation and
 * validating admission into the store. The same for every kind.
 */
import {
  alreadyExists,
  deepCopy,
  badRequest,
  type FieldError,
  invalid,
  type KubeObject,
  StatusError,
  forbidden,
} from "#pkg/apimachinery/index.ts";
import type { Strategy } from "#pkg/api/index.ts";
import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import { KeyExistsError } from "#pkg/storage/cacher/index.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { AdmissionAttributes } from "../contract.ts";
import { storageError } from "../http/status.ts";
import { readObject } from "./body.ts";
import { admissionAttributes, type Call, allocatorOf, type Reservation } from "./call.ts";
import { trackUpdate } from "./managed.ts";
import {
  dropRepeatedOwners,
  generatedPrefix,
  tidyMetadata,
  validateFinalizerOwners,
  validateNameSegments,
  validateObjectMeta,
} from "./object-meta.ts";
import { parseWriteOptions, type WriteOptions } from "./options.ts";
import { sendEntry, sendObject } from "./represent.ts";

/** What a write left: an entry, or for a dry run the object as it would have been. */
export type Written =
  | { readonly entry: CacheEntry; readonly object?: undefined }
  | { readonly entry?: undefined; readonly object: KubeObject };

/** Names tried for one generateName before the client is told of the collision (KEP-4420). */
const NAME_ATTEMPTS = 8;

/** POST to a collection. */
export async function createObject(call: Call): Promise<void> {
  const { definition } = call.installed;
  const options = parseWriteOptions("CreateOptions", call.target.query);
  const object = await readObject(call, definition, options.fieldValidation);
  const written = await createNew(call, object, options);
  const sent = sendWritten(call, 201, written);
  if (sent !== undefined) await sent;
}

/** Answers a write with what it left, in the form that the client asked for. */
export function sendWritten(call: Call, code: number, written: Written): void | Promise<void> {
  const prepared = call.installed.prepare([written.entry]);
  return prepared === undefined ? sendReady(call, code, written) : prepared.then(() => sendReady(call, code, written));
}

function sendReady(call: Call, code: number, written: Written): void | Promise<void> {
  if (written.entry !== undefined) return sendEntry(call, code, written.entry);
  return sendObject(call, code, written.object);
}

/**
 * Runs a new object, decoded and pruned, through defaulting, admission and validation and stores it. `managed` says
 * that metadata.managedFields is final already (server-side apply).
 */
export async function createNew(
  call: Call,
  object: KubeObject,
  options: WriteOptions,
  managed = false,
): Promise<Written> {
  const { installed, services } = call;
  const { definition } = installed;
  const { refusesNew } = definition.strategy;
  if (refusesNew !== undefined) throw forbidden(installed.subject, object.metadata.name ?? "", refusesNew);
  fillNamespace(call, object);
  definition.applyDefaults(object, managed);
  wipeSystemFields(object);
  if (!managed) warnOfRepeatedOwners(call, object, "");
  // The creator owns what it sent, not what admission and the kind's strategy add.
  if (!managed) trackUpdate(call, undefined, object, options.fieldManager);
  const attributes = admissionAttributes(call, {
    operation: "CREATE",
    name: object.metadata.name ?? "",
    object,
    oldObject: undefined,
    dryRun: options.dryRun,
    options: optionsObject("CreateOptions", options),
  });
  const admitted = services.admission.admit(attributes);
  if (admitted !== undefined) await admitted;
  const admittedObject = attributes.object ?? object;
  if (admittedObject !== object) fillNamespace(call, admittedObject); // a webhook's patch may not move it
  warnOfRepeatedOwners(call, admittedObject, AFTER_ADMISSION);
  const { generateName, name: given } = admittedObject.metadata;
  const generates = (given === undefined || given === "") && Boolean(generateName);
  for (let attempt = 1; ; attempt++) {
    // Another attempt takes of the pools what the client asked for, not what the last one was given.
    const named = generates && allocatorOf(call) !== undefined ? deepCopy(admittedObject) : admittedObject;
    if (generates) named.metadata.name = generatedPrefix(generateName!) + services.random.suffix(5);
    const written = await createNamed(call, attributes, named, options);
    if (written !== undefined) return written;
    const name = named.metadata.name ?? "";
    if (!generates) throw alreadyExists(installed.subject, name);
    if (attempt >= NAME_ATTEMPTS) throw generatedNameTaken(call, name);
  }
}

const REVISION = /^0*[1-9][0-9]*$/;
/** What upstream's store says of an object that was copied from another cluster, or from a backup. */
const REVISION_OF_NEW = {
  status: "Failure",
  message: "resourceVersion should not be set on objects to be created",
  code: 500,
} as const;

/**
 * Reserves what the kind takes from pools, prepares, validates, runs validating admission, writes, and settles either
 * way. Nothing was written, and undefined is the answer, when the name is taken.
 */
async function createNamed(
  call: Call,
  attributes: AdmissionAttributes,
  object: KubeObject,
  options: WriteOptions,
): Promise<Written | undefined> {
  const { services, installed } = call;
  const { definition } = installed;
  const { resourceVersion = "" } = object.metadata;
  prepareMetadata(call, object);
  attributes.object = object;
  attributes.name = object.metadata.name ?? "";
  const reserved = reserve(call, object, undefined, options.dryRun);
  const reservation = reserved === undefined ? undefined : await reserved;
  let validated = false;
  let stored = false;
  try {
    prepareNew(call, object, options.dryRun);
    assertValid(call, object, definition.strategy.validate?.(object) ?? []);
    collectWarnings(call, definition.strategy, object, undefined);
    const valid = services.admission.validate(attributes);
    if (valid !== undefined) await valid;
    validated = true;
    if (!options.dryRun && REVISION.test(resourceVersion)) throw new StatusError(REVISION_OF_NEW);
    const written = options.dryRun ? await pretend(call, object) : await insert(call, object);
    stored = written !== undefined && !options.dryRun;
    return written;
  } finally {
    if (validated) {
      const settled = services.admission.settle(attributes, stored);
      if (settled !== undefined) await settled;
    }
    if (reservation !== undefined) await (stored ? reservation.commit() : reservation.rollback());
  }
}

/**
 * Takes from the cluster's pools what the kind takes of them. Upstream does so before it judges the rest of the object,
 * so that an address or port that is not to be had is the first thing that a client hears of.
 */
export function reserve(
  call: Call,
  object: KubeObject,
  old: Readonly<KubeObject> | undefined,
  dryRun: boolean,
): Promise<Reservation> | undefined {
  const { group, kind, strategy } = call.installed.definition;
  const allocator = allocatorOf(call);
  if (allocator === undefined) return undefined;
  const errors = strategy.prepareForAllocation?.(object, old) ?? [];
  if (errors.length > 0) throw invalid({ group, kind }, object.metadata.name ?? "", errors);
  return allocator.reserve(object, old, dryRun);
}

async function insert({ installed }: Call, object: KubeObject): Promise<Written | undefined> {
  try {
    return { entry: await installed.cache!.create(await installed.storable(object)) };
  } catch (error) {
    if (error instanceof KeyExistsError) return undefined;
    throw storageError(error, installed.subject, object.metadata.name ?? "");
  }
}

/** A collision that outlived all attempts: the client may simply try again. */
function generatedNameTaken(call: Call, name: string): StatusError {
  const { status } = alreadyExists(call.installed.subject, name);
  return new StatusError({ ...status, details: { ...status.details, retryAfterSeconds: 1 } });
}

async function pretend(call: Call, object: KubeObject): Promise<Written | undefined> {
  const { namespace = "", name = "" } = object.metadata;
  const present = await call.installed.cache!.get(namespace, name);
  if (present !== undefined) return undefined;
  return { object: await call.installed.readBack(object) };
}

export const AFTER_ADMISSION = " after mutating admission happens";

/** Owners named twice are dropped; `when` is what upstream says of the time at which it was noticed. */
export function warnOfRepeatedOwners(call: Call, { metadata }: KubeObject, when: string): void {
  const dropped = dropRepeatedOwners(metadata);
  if (dropped.length === 0) return;
  call.warnings.push(
    `.metadata.ownerReferences contains duplicate entries${when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${dropped.join(", ")}`,
  );
}

/** @throws StatusError 400 when body and URL name different namespaces. */
export function fillNamespace(call: Call, object: KubeObject): void {
  const { metadata } = object;
  const { namespace } = call.target;
  if (!call.installed.definition.namespaced) {
    delete metadata.namespace;
    return;
  }
  if (namespace === "") throw badRequest("an empty namespace may not be set during creation");
  if (metadata.namespace === undefined || metadata.namespace === "") metadata.namespace = namespace;
  else if (metadata.namespace !== namespace) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
}

/** Forgets what a client or webhook said of fields that are the server's to fill in. */
function wipeSystemFields({ metadata }: KubeObject): void {
  delete metadata.uid;
  delete metadata.creationTimestamp;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata["selfLink"];
}

/** Server-owned metadata of a new object. */
function prepareMetadata({ services, installed, now }: Call, object: KubeObject): void {
  const { metadata } = object;
  // Only now, so that mutating admission has no say in them.
  wipeSystemFields(object);
  metadata.uid = services.random.uuid();
  metadata.creationTimestamp = formatTime(now);
  delete metadata.resourceVersion;
  if (installed.keepsGeneration) metadata.generation = 1;
  tidyMetadata(metadata);
}

function prepareNew({ installed, target, now, user, warnings }: Call, object: KubeObject, dryRun: boolean): void {
  const { custom, strategy } = installed.definition;
  if (custom && installed.hasStatus) delete object["status"];
  strategy.prepareForCreate?.(object, { user, namespace: target.namespace, dryRun, now, warnings });
}

/** `changes` are errors of what an update changes in the metadata. @throws StatusError 422 */
export function assertValid(
  call: Call,
  object: KubeObject,
  errors: readonly FieldError[],
  changes: readonly FieldError[] = [],
): void {
  const { metadata } = object;
  const all = [
    ...validateObjectMeta(call.installed, metadata),
    ...changes,
    ...validateFinalizerOwners(call.installed, metadata),
    ...errors,
  ];
  if (all.length === 0) all.push(...validateNameSegments(metadata));
  if (all.length === 0) return;
  const { group, kind } = call.installed.definition;
  throw invalid({ group, kind }, object.metadata.name ?? "", dedupe(all));
}

/** The name is checked generically and, for some kinds, by the kind again. */
function dedupe(errors: readonly FieldError[]): FieldError[] {
  const seen = new Set<string>();
  return errors.filter(({ type, field, message }) => {
    const key = `${type}\0${field}\0${message}`;
    return !seen.has(key) && seen.add(key);
  });
}

export function collectWarnings(
  call: Call,
  { warnings: find }: Strategy,
  object: KubeObject,
  old: Readonly<KubeObject> | undefined,
): void {
  const warnings = find?.(object, old);
  if (warnings !== undefined && warnings.length > 0) call.warnings.push(...warnings);
}

/** Options as admission sees them; a patch is a creation or an update to it. */
export function optionsObject(kind: "CreateOptions" | "UpdateOptions", options: WriteOptions): Record<string, unknown> {
  return {
    kind,
    apiVersion: "meta.k8s.io/v1",
    ...(options.dryRun ? { dryRun: ["All"] } : {}),
    ...(options.fieldManager === "" ? {} : { fieldManager: options.fieldManager }),
    ...(options.statedFieldValidation === "" ? {} : { fieldValidation: options.statedFieldValidation }),
  };
}
