/**
 * DELETE of one object: at once, or marked with a deletionTimestamp while finalizers, a grace period or the garbage
 * collector hold it.
 */
import { conflict, type KubeObject, notFound, StatusError } from "#pkg/apimachinery/index.ts";
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER, type ResourceDefinition } from "#pkg/api/index.ts";
import type { ListMeta } from "#pkg/api/types/meta-v1.ts";
import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import { RevisionConflictError } from "#pkg/storage/cacher/index.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { AdmissionAttributes } from "../contract.ts";
import { encodeStatus, sendBytes } from "../http/reply.ts";
import { MODIFIED, storageError } from "../http/status.ts";
import { admissionAttributes, allocatorOf, type Call } from "./call.ts";
import { type DeleteRequest, readDeleteOptions } from "./delete-options.ts";
import { encodeList, listPage } from "./list.ts";
import { type ListOptions, parseListOptions } from "./options.ts";
import { negotiate, sendEntry, sendObject } from "./represent.ts";

/** What became of an object that was to be deleted. */
export type Deletion =
  /** It stays for now, with a deletionTimestamp. */
  | { readonly kept: CacheEntry | KubeObject }
  /** It is gone; this was its last state. */
  | { readonly gone: CacheEntry | Readonly<KubeObject> };

/** Lost races before the client is told. */
const ATTEMPTS = 32;

/** DELETE of an object. */
export async function deleteObject(call: Call): Promise<void> {
  const options = await readDeleteOptions(call);
  const deletion = await deleteOne(call, call.target.namespace, call.target.name, options);
  if ("kept" in deletion) {
    const code = options.orphanDependents === false ? 202 : 200;
    if (isEntry(deletion.kept)) await call.installed.prepare([deletion.kept]);
    await (isEntry(deletion.kept) ? sendEntry(call, code, deletion.kept) : sendObject(call, code, deletion.kept));
    return;
  }
  if (returnsDeleted(call.installed.definition)) {
    await (isEntry(deletion.gone) ? sendEntry(call, 200, deletion.gone) : sendObject(call, 200, deletion.gone));
    return;
  }
  await sendSuccess(call, isEntry(deletion.gone) ? call.installed.object(deletion.gone) : deletion.gone);
}

/** Kinds whose DELETE answers with the object that has gone instead of a Status. */
const RETURNS_DELETED = new Set([
  "pods",
  "podtemplates",
  "persistentvolumes",
  "persistentvolumeclaims",
  "resourcequotas",
  "serviceaccounts",
  "services",
  "csidrivers.storage.k8s.io",
  "csinodes.storage.k8s.io",
  "storageclasses.storage.k8s.io",
  "volumeattachments.storage.k8s.io",
  "volumeattributesclasses.storage.k8s.io",
  "resourceclaims.resource.k8s.io",
  "resourceclaimtemplates.resource.k8s.io",
  "deviceclasses.resource.k8s.io",
  "resourceslices.resource.k8s.io",
]);

/** Does DELETE of such an object answer with it? */
export function returnsDeleted({ group, plural }: Pick<ResourceDefinition, "group" | "plural">): boolean {
  return RETURNS_DELETED.has(group === "" ? plural : `${plural}.${group}`);
}

function isEntry(value: CacheEntry | Readonly<KubeObject>): value is CacheEntry {
  return "revision" in value && "json" in value;
}

function sendSuccess(call: Call, object: Readonly<KubeObject>): void | Promise<void> {
  const { group, plural } = call.installed.definition;
  const { encoding } = negotiate(call);
  const { name, uid } = object.metadata;
  const details = { name, ...(group === "" ? {} : { group }), kind: plural, uid };
  return sendBytes(call, 200, encoding, encodeStatus(encoding, { metadata: {}, status: "Success", details }));
}

/** Deletes one object or starts its deletion, under admission. @throws StatusError 404, 409 */
async function deleteOne(
  call: Call,
  namespace: string,
  name: string,
  options: DeleteRequest,
  ofCollection = false,
): Promise<Deletion> {
  const { installed, services } = call;
  const cache = installed.cache!;
  const entry = cache.peek(namespace, name) ?? (await cache.get(namespace, name));
  if (entry === undefined) throw notFound(installed.subject, name);
  await installed.prepare([entry]);
  const attributes = admissionAttributes(call, {
    operation: "DELETE",
    name: ofCollection ? "" : name,
    object: undefined,
    oldObject: installed.object(entry),
    dryRun: options.dryRun,
    options: options.raw,
  });
  await admit(call, attributes);
  let stored = false;
  try {
    const deletion = await deleteEntry(call, entry, options);
    stored = !options.dryRun;
    return deletion;
  } finally {
    const settled = services.admission.settle(attributes, stored);
    if (settled !== undefined) await settled;
  }
}

/** Deletes or starts the deletion of what `entry` is a version of. No admission. @throws StatusError 404, 409 */
export async function deleteEntry(call: Call, entry: CacheEntry, options: DeleteRequest): Promise<Deletion> {
  const { installed } = call;
  const { namespace, name } = entry;
  let current: CacheEntry | undefined = entry;
  for (let attempt = 1; ; attempt++) {
    if (current === undefined) throw notFound(installed.subject, name);
    const outcome = await tryDelete(call, current, options);
    if (!("conflict" in outcome)) return outcome;
    if (attempt >= ATTEMPTS) throw conflict(installed.subject, name, MODIFIED);
    current = outcome.conflict ?? (await installed.cache!.get(namespace, name));
  }
}

async function admit(call: Call, attributes: AdmissionAttributes): Promise<void> {
  const { admission } = call.services;
  const admitted = admission.admit(attributes);
  if (admitted !== undefined) await admitted;
  const valid = admission.validate(attributes);
  if (valid !== undefined) await valid;
}

async function tryDelete(
  call: Call,
  entry: CacheEntry,
  options: DeleteRequest,
): Promise<Deletion | { readonly conflict: CacheEntry | undefined }> {
  const { installed } = call;
  const cache = installed.cache!;
  const stale = await checkPreconditions(call, entry, options);
  if (stale !== undefined) return stale;
  await installed.prepare([entry]);
  const object = installed.object(entry);
  const { last, stays } = markDeleted(call, object, options);
  if (options.dryRun) return stays ? { kept: last } : { gone: last };
  let marked = entry;
  try {
    if (last !== object) marked = await cache.update(entry, await installed.storable(last as KubeObject));
    if (stays) return { kept: marked };
    const gone = await cache.delete(marked);
    await installed.prepare([gone]);
    await allocatorOf(call)?.released(object);
    return { gone };
  } catch (error) {
    if (!(error instanceof RevisionConflictError)) throw storageError(error, installed.subject, entry.name);
    // Once it is marked, whoever removes it does what was asked for here.
    return error.current === undefined && marked !== entry ? { gone: marked } : { conflict: error.current };
  }
}

async function checkPreconditions(
  call: Call,
  entry: CacheEntry,
  { preconditions }: DeleteRequest,
): Promise<{ conflict: CacheEntry | undefined } | undefined> {
  const { uid, resourceVersion } = preconditions;
  const has = entry.object.metadata;
  const wrongUid = uid !== undefined && uid !== has.uid;
  const wrongRevision = resourceVersion !== undefined && resourceVersion !== has.resourceVersion;
  if (!wrongUid && !wrongRevision) return undefined;
  const fresh = await call.installed.cache!.get(entry.namespace, entry.name);
  if (fresh?.revision !== entry.revision) return { conflict: fresh };
  const why = wrongUid
    ? `the UID in the precondition (${uid}) does not match the UID in record (${has.uid}). The object might have been deleted and then recreated`
    : `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${has.resourceVersion}). The object might have been modified`;
  // Upstream names the kind here, not the resource.
  const { group, kind } = call.installed.definition;
  throw conflict({ group, resource: kind }, entry.name, why);
}

/** What a deletion makes of an object. */
interface Marked {
  /** As it is seen from now on, or last: the object itself when nothing changes. */
  readonly last: Readonly<KubeObject>;
  /** It goes gracefully, or finalizers hold it. */
  readonly stays: boolean;
}

function markDeleted(call: Call, object: Readonly<KubeObject>, options: DeleteRequest): Marked {
  const { installed, now } = call;
  if (installed.qualifiedName === "namespaces") return markNamespace(call, object, options);
  const grace = installed.definition.strategy.gracePeriodSeconds?.(object, options.gracePeriodSeconds);
  const finalizers = garbageFinalizers(call, object, options);
  if (object.metadata.deletionTimestamp !== undefined) return markAgain(object, finalizers, grace ?? 0, now);
  const stays = finalizers.length > 0 || (grace ?? 0) > 0;
  if (!stays && grace === undefined) return { last: object, stays };
  const marked = withDeletion(object, finalizers, grace ?? 0, now);
  return { last: installed.definition.strategy.markedForDeletion?.(marked, object) ?? marked, stays };
}

/** The last moment that RFC 3339 can write. */
const END_OF_TIME = Date.UTC(9999, 11, 31, 23, 59, 59);

function secondsAfter(time: number, seconds: number): number {
  return Math.min(time + seconds * 1000, END_OF_TIME);
}

/** A second delete may only shorten what is left of the first one's grace period. */
function markAgain(object: Readonly<KubeObject>, finalizers: string[], requested: number, now: number): Marked {
  const { metadata } = object;
  const present = metadata.deletionGracePeriodSeconds ?? 0;
  if (requested < present) {
    const began = Date.parse(metadata.deletionTimestamp!) - present * 1000;
    const ends = Math.max(secondsAfter(began, requested), now);
    const shortened = { ...metadata, deletionTimestamp: formatTime(ends), deletionGracePeriodSeconds: requested };
    const stays = requested > 0 || finalizers.length > 0;
    return { last: withFinalizers({ ...object, metadata: shortened }, finalizers), stays };
  }
  if (present === 0 && finalizers.length === 0) return { last: object, stays: false };
  const same = (metadata.finalizers ?? []).join() === finalizers.join();
  return { last: same ? object : withFinalizers({ ...object, metadata: { ...metadata } }, finalizers), stays: true };
}

function withDeletion(object: Readonly<KubeObject>, finalizers: string[], grace: number, now: number): KubeObject {
  const metadata = { ...object.metadata };
  metadata.deletionTimestamp = formatTime(secondsAfter(now, grace));
  metadata.deletionGracePeriodSeconds = grace;
  if (metadata.generation !== undefined && metadata.generation > 0) metadata.generation++;
  return withFinalizers({ ...object, metadata }, finalizers);
}

function withFinalizers(object: KubeObject, finalizers: string[]): KubeObject {
  if (finalizers.length === 0) delete object.metadata.finalizers;
  else object.metadata.finalizers = finalizers;
  return object;
}

/** Namespaces stay until their content is gone and somebody empties spec.finalizers through /finalize. */
function markNamespace(call: Call, object: Readonly<KubeObject>, options: DeleteRequest): Marked {
  const spec = object["spec"] as { finalizers?: unknown[] } | undefined;
  const held = (spec?.finalizers?.length ?? 0) > 0;
  const finalizers = garbageFinalizers(call, object, options);
  if (object.metadata.deletionTimestamp === undefined) {
    if (!held && finalizers.length === 0) return { last: object, stays: false };
    const marked = withDeletion(object, finalizers, 0, call.now);
    delete marked.metadata.deletionGracePeriodSeconds;
    marked["status"] = { ...(object["status"] as object | undefined), phase: "Terminating" };
    return { last: marked, stays: true };
  }
  if (held) return { last: object, stays: true };
  if (finalizers.length === 0) return { last: object, stays: false };
  return { last: withFinalizers({ ...object, metadata: { ...object.metadata } }, finalizers), stays: true };
}

/** The finalizers the object has, with those of the garbage collector as the options ask for. */
function garbageFinalizers(call: Call, object: Readonly<KubeObject>, options: DeleteRequest): string[] {
  const present = object.metadata.finalizers ?? [];
  const others = present.filter((finalizer) => finalizer !== ORPHAN_FINALIZER && finalizer !== FOREGROUND_FINALIZER);
  const { propagationPolicy, orphanDependents } = options;
  let orphan = present.includes(ORPHAN_FINALIZER);
  let foreground = present.includes(FOREGROUND_FINALIZER);
  if (orphanDependents !== undefined) {
    orphan = orphanDependents;
    if (orphan) foreground = false;
  } else if (propagationPolicy !== undefined) {
    orphan = propagationPolicy === "Orphan";
    foreground = propagationPolicy === "Foreground";
  } else if (!orphan && !foreground) {
    orphan = call.installed.definition.strategy.defaultGarbageCollection === "orphan";
  }
  // Nothing depends on custom or built-in kinds differently; only events never own anything.
  if (call.installed.definition.plural === "events") return others;
  const added =
    object.metadata.deletionTimestamp === undefined
      ? (call.installed.definition.strategy.deletionFinalizers ?? []).filter((each) => !others.includes(each))
      : [];
  return [...others, ...added, ...(orphan ? [ORPHAN_FINALIZER] : []), ...(foreground ? [FOREGROUND_FINALIZER] : [])];
}

/** Deletions of one collection that run at the same time. */
const DELETE_WORKERS = 8;
/** Objects listed at once while deleting a collection. */
const DELETE_PAGE = 500;

/** DELETE of a collection: what was listed is deleted one by one under the same options. */
export async function deleteCollection(call: Call): Promise<void> {
  const { query } = call.target;
  const selecting = new URLSearchParams(query);
  // These belong to the deletion, not to the list.
  for (const name of ["gracePeriodSeconds", "propagationPolicy", "orphanDependents", "dryRun"]) selecting.delete(name);
  const list = parseListOptions(selecting, false);
  const { encoding } = negotiate(call);
  const options = await readDeleteOptions(call);
  const deleted: CacheEntry[] = [];
  let metadata: ListMeta | undefined;
  let page: ListOptions = list.limit > 0 ? list : { ...list, limit: DELETE_PAGE };
  for (;;) {
    const { entries, metadata: pageMeta } = await listPage(call, page);
    metadata ??= pageMeta;
    await call.installed.prepare(entries);
    await deleteAll(call, entries, options);
    deleted.push(...entries);
    if (pageMeta.continue === undefined || list.limit > 0) break;
    page = { ...page, continue: pageMeta.continue, resourceVersion: "" };
  }
  const { continue: _continue, remainingItemCount: _remaining, ...rest } = metadata ?? {};
  await sendBytes(call, 200, encoding, encodeList(call.installed, { entries: deleted, metadata: rest }, encoding));
}

async function deleteAll(call: Call, entries: readonly CacheEntry[], options: DeleteRequest): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let entry = entries[next++]; entry !== undefined; entry = entries[next++]) {
      try {
        await deleteOne(call, entry.namespace, entry.name, options, true);
      } catch (error) {
        // Someone else deleted it first; the goal is reached.
        if (!(error instanceof StatusError && error.reason === "NotFound")) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(DELETE_WORKERS, entries.length) }, work));
}
