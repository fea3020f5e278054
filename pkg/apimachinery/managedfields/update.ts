import { isRecord } from "../deep.ts";
import type { AnyObject, ManagedFieldsEntry } from "../object.ts";
import type { FieldSchema } from "../schema.ts";
import { fieldsOfNew } from "./added.ts";
import { compareObjects } from "./compare.ts";
import { difference, type Fields, isEmpty, union } from "./fields.ts";
import { derivedSet } from "./known-fields.ts";
import { capManagers, decodeManagers, encodeManagers, entryOf, isSameManager, type Manager } from "./managers.ts";
import { nodeOf } from "./nodes.ts";
import { trackedFields, writableFields } from "./strip.ts";

export interface UpdateRequest {
  readonly schema: FieldSchema;
  /** The stored object; undefined on create. */
  readonly live: Readonly<AnyObject> | undefined;
  /** The object about to be stored, after mutating admission. */
  readonly updated: Readonly<AnyObject>;
  /** Field manager of the request, or the name its user agent gives. */
  readonly manager: string;
  readonly operation?: "Update";
  readonly apiVersion: string;
  /** "" for the main resource. */
  readonly subresource?: string;
  /** RFC 3339, whole seconds. */
  readonly time: string;
  /** Dotted paths that this endpoint does not write ("status" for the main resource); nobody gains ownership there. */
  readonly resetFields?: readonly string[];
}

/** `managedFields: [{}]` in a request gives up all ownership. An empty list means that the client knows nothing of it. */
function isReset(entries: readonly ManagedFieldsEntry[] | undefined): boolean {
  return entries !== undefined && entries.length === 1 && isRecord(entries[0]) && Object.keys(entries[0]).length === 0;
}

/** The owners before the write: the request's own list when it brings a valid one, else the live object's. */
function managersBefore(request: Pick<UpdateRequest, "live" | "updated" | "subresource">): Manager[] {
  const live = request.live?.metadata.managedFields;
  if ((request.subresource ?? "") === "") {
    const given = request.updated.metadata.managedFields;
    if (isReset(given)) return [];
    const managers = decodeManagers(given);
    if (managers !== undefined && managers.length > 0) return managers;
  }
  return decodeManagers(live) ?? [];
}

/** Takes `gone` from every manager; what owns nothing any more is dropped. */
export function withoutFields(managers: readonly Manager[], gone: readonly Fields[]): Manager[] {
  return without(managers, (fields) => gone.reduce(difference, fields));
}

function without(managers: readonly Manager[], rest: (fields: Fields) => Fields): Manager[] {
  const remaining: Manager[] = [];
  for (const manager of managers) {
    const fields = rest(manager.fields);
    if (fields === manager.fields) remaining.push(manager);
    else if (!isEmpty(fields)) remaining.push({ ...manager, fields });
  }
  return remaining;
}

/**
 * metadata.managedFields after an ordinary write (create, update, patch other than apply): the writer owns what it
 * changed, nobody owns what is gone. Entries that stay the same are the live object's own, not copies.
 */
export function updateManagedFields(request: UpdateRequest): ManagedFieldsEntry[] {
  const { schema, live, updated, manager, apiVersion, subresource = "", time, resetFields } = request;
  const before = managersBefore(request);
  // An object that gave up its managers stays untracked until somebody applies to it.
  if (before.length === 0) {
    if (live !== undefined) return [];
    if (resetFields === undefined || resetFields.every((path) => !path.includes("."))) {
      const fields = fieldsOfNew(nodeOf(schema), updated as object as Record<string, unknown>, resetFields ?? []);
      if (fields === undefined) return [];
      return [entryOf({ name: manager, operation: "Update", apiVersion, subresource, time }, fields)];
    }
  }
  // Where both have the same list, comparing finds nothing there anyway.
  const same = live?.metadata.managedFields === updated.metadata.managedFields;
  const comparison = same
    ? compareObjects(nodeOf(schema), live ?? {}, updated)
    : compareObjects(nodeOf(schema), withoutManagedFields(live), withoutManagedFields(updated));
  const changed = writableFields(comparison.changed, resetFields);
  const removed = writableFields(comparison.removed, resetFields);
  let managers: readonly Manager[] = before;
  if (!isEmpty(changed) || !isEmpty(removed)) {
    const taken = trackedFields(changed, undefined);
    const self: Manager = { name: manager, operation: "Update", apiVersion, subresource, time, fields: taken };
    // Objects of one shape are written alike: what becomes of the sets they share is found out once.
    const what = JSON.stringify([changed, removed]);
    const gone = (fields: Fields) => derivedSet(fields, what, () => difference(difference(fields, changed), removed));
    if (isEmpty(taken)) managers = without(before, gone);
    else {
      const own = before.find((other) => isSameManager(other, self));
      const others = own === undefined ? before : before.filter((other) => other !== own);
      const fields =
        own === undefined
          ? taken
          : derivedSet(own.fields, `own${what}`, () => union(difference(own.fields, removed), taken));
      managers = [...without(others, gone), { ...self, fields }];
    }
  }
  return encodeManagers(capManagers(managers));
}

/** The list itself is no field of the object for this purpose; comparing it would cost more than all the rest. */
export function withoutManagedFields(object: Readonly<AnyObject> | undefined): Record<string, unknown> {
  // On create, what a Go type holds even when empty is there already.
  if (object === undefined) return {};
  const { managedFields: _managedFields, ...metadata } = object.metadata;
  return { ...object, metadata };
}
