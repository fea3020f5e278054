/**
 * PUT, and what PATCH, apply and subresources share with it: read the present object, make the new one of it, admit,
 * validate, compare-and-swap, and begin again where somebody else was faster.
 */
import {
  deepCopy,
  deepEqual,
  invalid,
  isShared,
  type KubeObject,
  notFound,
  type StatusError,
  unshared,
} from "#pkg/apimachinery/index.ts";
import { badRequest, conflict, fieldInvalid } from "#pkg/apimachinery/index.ts";
import type { Strategy } from "#pkg/api/index.ts";
import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import { RevisionConflictError } from "#pkg/storage/cacher/index.ts";
import { MODIFIED, storageError } from "../http/status.ts";
import { readObject } from "./body.ts";
import type { RequestTarget } from "../http/target.ts";
import { admissionAttributes, allocatorOf, type Call } from "./call.ts";
import {
  AFTER_ADMISSION,
  assertValid,
  collectWarnings,
  createNew,
  optionsObject,
  reserve,
  sendWritten,
  warnOfRepeatedOwners,
  type Written,
} from "./create.ts";
import type { InstalledResource } from "./installed.ts";
import { trackUpdate } from "./managed.ts";
import { carryMetadata, resetMetadata, tidyMetadata, validateMetaUpdate } from "./object-meta.ts";
import { parseWriteOptions, whyNoRevision, type WriteOptions } from "./options.ts";
import { shareUnchanged } from "./unchanged.ts";

/** Which part of an object a write may change, and under which rules. */
export interface WriteView {
  /** "" for the object itself. */
  readonly subresource: string;
  readonly type: "main" | "status" | "update";
  readonly strategy: Strategy;
}

/** The object itself, as opposed to one of its subresources. */
export function mainView(call: Call): WriteView {
  return { subresource: "", type: "main", strategy: call.installed.definition.strategy };
}

/** May what such a write leaves alone stay the stored object's own? Other subresources put objects together themselves. */
export function sharesUnchanged(call: Call, view: WriteView): boolean {
  return view.type !== "update" && call.installed.definition.strategy.sharesUnchanged === true;
}

export interface UpdateRequest {
  readonly view: WriteView;
  readonly options: WriteOptions;
  /** Makes the new object from the present one; called again after a lost race. Owns what it returns. */
  readonly change: (old: Readonly<KubeObject>) => KubeObject | Promise<KubeObject>;
  /** Which object is meant, where the client says so. */
  readonly uid?: string | undefined;
  /** Creates the object when it is absent; without it that is a 404. */
  readonly createAbsent?: () => Promise<Written>;
  /** metadata.managedFields is final already (server-side apply). */
  readonly managed?: boolean;
  /** What admission sees instead of the object (Scale). */
  readonly admissionView?: {
    of(object: Readonly<KubeObject>): KubeObject;
    apply(view: KubeObject, object: KubeObject): void;
  };
  /** Lost races after which the client is told; unlimited effort would starve others. */
  readonly attempts: number;
}

/** Races an unconditional write may lose. */
const ATTEMPTS = 32;

/** PUT of an object. */
export async function updateObject(call: Call): Promise<void> {
  await updateThrough(call, mainView(call));
}

/** PUT through a view (the object, its status, …). */
export async function updateThrough(call: Call, view: WriteView): Promise<void> {
  const options = parseWriteOptions("UpdateOptions", call.target.query);
  const body = await readBody(call, view, options);
  const conditional = hasRevision(body);
  const sharing = sharesUnchanged(call, view);
  let first = true;
  let created = false;
  const written = await guaranteedUpdate(call, {
    view,
    options,
    change: async (old) => {
      // Admission has had its hands on the first copy: a second attempt starts from the bytes again.
      const object = first ? body : await readBody(call, view, options);
      first = false;
      if (sharing) shareUnchanged(object, old, view.type === "status" ? "status" : undefined);
      return object;
    },
    uid: body.metadata.uid,
    attempts: conditional ? 2 : ATTEMPTS,
    ...(view.type === "main" && view.strategy.allowCreateOnUpdate === true && !conditional
      ? { createAbsent: () => ((created = true), createNew(call, body, options)) }
      : {}),
  });
  const sent = sendWritten(call, created ? 201 : 200, written);
  if (sent !== undefined) await sent;
}

async function readBody(call: Call, view: WriteView, { fieldValidation }: WriteOptions): Promise<KubeObject> {
  const { definition } = call.installed;
  const body = await readObject(call, definition, fieldValidation);
  checkNames(call, body);
  warnOfRepeatedOwners(call, body, "");
  // What else a PUT may change is compared with the stored object and worked on; a status replaces all but itself.
  if (view.type !== "status" && isShared(body["spec"])) body["spec"] = unshared(body["spec"]);
  definition.applyDefaults(body);
  return body;
}

function hasRevision({ metadata: { resourceVersion } }: KubeObject): boolean {
  return resourceVersion !== undefined && resourceVersion !== "" && resourceVersion !== "0";
}

/** @throws StatusError 400 when body and URL disagree. */
export function checkNames(call: Call, object: KubeObject): void {
  const { metadata } = object;
  const { name, namespace } = call.target;
  if (metadata.name === undefined || metadata.name === "") {
    throw badRequest(`the name of the object (${name} based on URL) was undeterminable: name must be provided`);
  }
  if (metadata.name !== name) {
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`);
  }
  if (!call.installed.definition.namespaced) {
    delete metadata.namespace;
    return;
  }
  if (metadata.namespace === undefined || metadata.namespace === "") metadata.namespace = namespace;
  else if (metadata.namespace !== namespace) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
}

/** Read, change, admit, validate, compare-and-swap; again when someone else was faster and the client named no version. */
export async function guaranteedUpdate(call: Call, request: UpdateRequest): Promise<Written> {
  const { installed, target } = call;
  const cache = installed.cache!;
  let entry = cache.peek(target.namespace, target.name) ?? (await cache.get(target.namespace, target.name));
  for (let attempt = 1; ; attempt++) {
    if (entry === undefined) {
      // Who knows its uid means one that is gone.
      if (request.uid) throw wrongUid(call, request.uid, "");
      if (request.createAbsent !== undefined) return request.createAbsent();
      throw notFound(installed.subject, target.name);
    }
    const outcome = await tryUpdate(call, request, entry);
    if (!("conflict" in outcome)) return outcome;
    if (attempt >= request.attempts) throw conflict(installed.subject, target.name, MODIFIED);
    entry = outcome.conflict ?? (await cache.get(target.namespace, target.name));
  }
}

type Outcome = Written | { readonly conflict: CacheEntry | undefined };

async function tryUpdate(call: Call, request: UpdateRequest, entry: CacheEntry): Promise<Outcome> {
  const { installed, services } = call;
  const { view, options } = request;
  const prepared = installed.prepare([entry]);
  if (prepared !== undefined) await prepared;
  const old = installed.object(entry);
  let object = await request.change(old);
  const stale = await checkPreconditions(call, object, entry);
  if (stale !== undefined) return stale;
  const attributes = admissionAttributes(call, {
    operation: "UPDATE",
    name: entry.name,
    object: request.admissionView?.of(object) ?? object,
    oldObject: request.admissionView?.of(old) ?? old,
    dryRun: options.dryRun,
    options: optionsObject("UpdateOptions", options),
  });
  const admitted = services.admission.admit(attributes);
  if (admitted !== undefined) await admitted;
  if (request.admissionView !== undefined) request.admissionView.apply(attributes.object!, object);
  else object = attributes.object ?? object;
  warnOfRepeatedOwners(call, object, AFTER_ADMISSION);
  const reserved = view.type === "main" ? reserve(call, object, old, options.dryRun) : undefined;
  const reservation = reserved === undefined ? undefined : await reserved;
  let validated = false;
  let stored = false;
  try {
    object = prepareUpdate(call, view, object, old, options.dryRun);
    validateUpdate(call, view, object, old);
    if (request.managed !== true) trackUpdate(call, old, object, options.fieldManager, view.subresource);
    // Validating admission judges the object as the successor of one version.
    object.metadata.resourceVersion = String(entry.revision);
    attributes.object = request.admissionView?.of(object) ?? object;
    const valid = services.admission.validate(attributes);
    if (valid !== undefined) await valid;
    validated = true;
    delete object.metadata.resourceVersion; // stored without it
    const outcome = await writeUpdate(call, object, entry, options.dryRun);
    stored = !options.dryRun && !("conflict" in outcome);
    return outcome;
  } finally {
    if (validated) {
      const settled = services.admission.settle(attributes, stored);
      if (settled !== undefined) await settled;
    }
    if (reservation !== undefined) await (stored ? reservation.commit() : reservation.rollback());
  }
}

async function writeUpdate(call: Call, object: KubeObject, entry: CacheEntry, dryRun: boolean): Promise<Outcome> {
  const { installed } = call;
  const { definition } = installed;
  const goes = isGone(object, definition.group, definition.plural);
  if (dryRun) {
    object.metadata.resourceVersion = String(entry.revision);
    return { object: await installed.readBack(object) };
  }
  try {
    if (!goes) return { entry: await installed.cache!.update(entry, await installed.storable(object)) };
    const last = await installed.cache!.delete(entry);
    await allocatorOf(call)?.released(installed.object(entry));
    object.metadata.resourceVersion = String(last.revision);
    return { object };
  } catch (error) {
    if (error instanceof RevisionConflictError) return { conflict: error.current };
    throw storageError(error, installed.subject, entry.name);
  }
}

/** Nothing holds a deleted object any more: this update was the last word on it. */
function isGone(object: KubeObject, group: string, plural: string): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (finalizers?.length ?? 0) > 0) return false;
  if ((deletionGracePeriodSeconds ?? 0) !== 0) return false;
  if (group === "" && plural === "namespaces") {
    const spec = object["spec"] as { finalizers?: unknown[] } | undefined;
    return (spec?.finalizers?.length ?? 0) === 0;
  }
  return true;
}

/** The object that a client means by its uid is not the one that has the name. */
function wrongUid({ installed, target }: Call, uid: string, has: string | undefined): StatusError {
  const why = `UID in precondition: ${uid}, UID in object meta: ${has}`;
  return conflict(installed.subject, target.name, failedPrecondition(installed, target, why));
}

/** In the words of upstream's store, which clients look for. */
export function failedPrecondition(
  { cache }: InstalledResource,
  { namespace, name }: Pick<RequestTarget, "namespace" | "name">,
  why: string,
): string {
  const key = `${cache!.prefix}${namespace === "" ? "" : `${namespace}/`}${name}`;
  return `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: ${why}`;
}

/** A version the client named must be the present one. Returns a conflict when our view may be the old one. */
async function checkPreconditions(
  call: Call,
  { metadata }: KubeObject,
  entry: CacheEntry,
): Promise<{ conflict: CacheEntry | undefined } | undefined> {
  const { installed } = call;
  const { resourceVersion } = metadata;
  const before = entry.object.metadata;
  // A patch may not change it; an update says by it which object it means.
  const isUpdate = call.request.method === "PUT";
  if (isUpdate && metadata.uid !== undefined && metadata.uid !== "" && metadata.uid !== before.uid) {
    throw wrongUid(call, metadata.uid, before.uid);
  }
  if (resourceVersion === undefined || resourceVersion === "" || resourceVersion === "0") {
    if (installed.definition.strategy.allowUnconditionalUpdate !== false) return undefined;
    const { group, plural } = installed.definition;
    throw invalid({ group, kind: plural }, entry.name, [
      fieldInvalid("metadata.resourceVersion", 0, "must be specified for an update"),
    ]);
  }
  if (resourceVersion === String(entry.revision)) return undefined;
  const fresh = await installed.cache!.get(entry.namespace, entry.name);
  if (fresh !== undefined && fresh.revision !== entry.revision && resourceVersion === String(fresh.revision)) {
    return { conflict: fresh };
  }
  throw notPresent(call, resourceVersion);
}

/** The resourceVersion that an object was sent with is not that of the present one, or none at all: 409, 400. */
export function notPresent(call: Call, resourceVersion: string): StatusError {
  const problem = whyNoRevision(resourceVersion);
  return problem === undefined ? conflict(call.installed.subject, call.target.name, MODIFIED) : badRequest(problem);
}

/** Everything a write through this view may not change comes from the old object. */
function prepareUpdate(
  call: Call,
  view: WriteView,
  object: KubeObject,
  old: Readonly<KubeObject>,
  dryRun: boolean,
): KubeObject {
  const { installed, user, target, now, warnings } = call;
  let result = object;
  const sharing = sharesUnchanged(call, view);
  if (view.type === "status") {
    // All but the status is the stored object's own: nothing behind this point may write to it.
    result = { ...old, status: object["status"], metadata: object.metadata };
    if (result["status"] === undefined) delete result["status"];
    if (installed.definition.custom)
      result.metadata = { ...deepCopy(old.metadata), managedFields: object.metadata.managedFields };
  } else if (view.type === "main") {
    for (const field of installed.resetFields) {
      if (old[field] === undefined) delete result[field];
      else result[field] = sharing ? old[field] : deepCopy(old[field]);
    }
  }
  carryMetadata(result, old);
  resetMetadata(result, old, view.strategy.resetMetadata ?? []);
  delete result.metadata.resourceVersion;
  tidyMetadata(result.metadata);
  view.strategy.prepareForUpdate?.(result, old, { user, namespace: target.namespace, dryRun, now, warnings });
  if (installed.keepsGeneration && view.type !== "status") {
    const bumped =
      specChanged(result, old, installed.hasStatus) || view.strategy.bumpsGeneration?.(result, old) === true;
    if (bumped) result.metadata.generation = (old.metadata.generation ?? 0) + 1;
  }
  return result;
}

const NOT_SPEC = new Set(["metadata", "status", "apiVersion", "kind"]);

/** Without a status subresource the status is a field like any other. */
function specChanged(object: Readonly<KubeObject>, old: Readonly<KubeObject>, hasStatus: boolean): boolean {
  const fields = new Set([...Object.keys(object), ...Object.keys(old)]);
  for (const field of fields) {
    if (NOT_SPEC.has(field) && (field !== "status" || hasStatus)) continue;
    if (object[field] !== old[field] && !deepEqual(object[field], old[field])) return true;
  }
  return false;
}

/** @throws StatusError 422 */
function validateUpdate(call: Call, view: WriteView, object: KubeObject, old: Readonly<KubeObject>): void {
  const { strategy } = view;
  const kindErrors = strategy.validateUpdate?.(object, old) ?? strategy.validate?.(object) ?? [];
  assertValid(call, object, kindErrors, validateMetaUpdate(object.metadata, old.metadata));
  collectWarnings(call, strategy, object, old);
}
