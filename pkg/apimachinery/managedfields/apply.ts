import { formatTime } from "#pkg/util/index.ts";
import { deepEqual } from "../deep.ts";
import { badRequest, type StatusError } from "../errors.ts";
import type { AnyObject, KubeObject, ManagedFieldsEntry } from "../object.ts";
import type { FieldSchema } from "../schema.ts";
import { compareObjects } from "./compare.ts";
import { applyConflict, type ManagerConflict } from "./conflicts.ts";
import { fieldSetOf } from "./field-set.ts";
import { difference, type Fields, intersection, isEmpty, union } from "./fields.ts";
import { fieldsOfLastApplied, LAST_APPLIED_MANAGER, syncLastApplied } from "./last-applied.ts";
import { BEFORE_FIRST_APPLY, decodeManagers, encodeManagers, isSameManager, type Manager } from "./managers.ts";
import { mergeMembers } from "./merge.ts";
import { nodeOf } from "./nodes.ts";
import { prunedObject } from "./prune.ts";
import { trackedFields, writableFields } from "./strip.ts";
import { withoutFields, withoutManagedFields } from "./update.ts";

export interface ApplyRequest {
  readonly schema: FieldSchema;
  /** The stored object; undefined when apply creates it. */
  readonly live: Readonly<AnyObject> | undefined;
  /** The configuration: what the applier wants to own. */
  readonly applied: Readonly<AnyObject>;
  /** Owners before; default: those of `live`. */
  readonly managers?: readonly ManagedFieldsEntry[];
  readonly manager: string;
  readonly force: boolean;
  readonly apiVersion: string;
  readonly subresource?: string;
  /** Epoch milliseconds. */
  readonly now: number;
  /** Dotted paths that this endpoint does not write. */
  readonly resetFields?: readonly string[];
  /** Members of the result that the applier has nothing to do with may be the live object's own instead of copies. */
  readonly sharing?: boolean;
}

export type ApplyResult =
  | {
      readonly conflict?: undefined;
      /** The request's own copy (but see `sharing`), its managedFields set. */
      readonly object: KubeObject;
      readonly managedFields: ManagedFieldsEntry[];
      /** False when nothing but ownership can have changed. */
      readonly changed: boolean;
    }
  /** The 409 to answer with. */
  | { readonly conflict: StatusError };

/**
 * Server-side apply: merges a configuration into the live object, removes what the applier gave up and nobody else
 * owns, and finds who owns fields it changes (a conflict unless `force`).
 * @throws StatusError 400 when the configuration carries managedFields; TypedObjectError when it does not fit the schema.
 */
export function applyObject(request: ApplyRequest): ApplyResult {
  const { schema, live, applied, manager, force, apiVersion, subresource = "", now, resetFields } = request;
  if (applied.metadata.managedFields !== undefined && applied.metadata.managedFields !== null) {
    throw badRequest("metadata.managedFields must be nil");
  }
  const node = nodeOf(schema);
  const time = formatTime(now);
  const liveObject = withoutManagedFields(live);
  const before = managersOf(request, liveObject);

  const said = fieldSetOf(node, applied);
  const taken = trackedFields(said, resetFields);
  const self: Manager = { name: manager, operation: "Apply", apiVersion, subresource, time, fields: taken };
  const own = before.find((other) => isSameManager(other, self));
  const others = before.filter((other) => other !== own);

  const whole = mergeMembers(node, liveObject, applied as KubeObject, (member) => {
    if (request.sharing !== true || member === "metadata") return false;
    // What it owned before may have to go.
    return own?.fields[`f:${member}`] === undefined;
  });
  // Untracked fields count here: metadata.name keeps metadata when the last label goes.
  const owned = (): Fields => others.reduce<Fields>((all, { fields }) => union(all, fields), said);
  const pruned = own === undefined || isEmpty(own.fields) ? whole : prunedObject(node, whole, own.fields, owned());
  const merged = pruned as unknown as KubeObject;
  merged.metadata ??= {};

  const comparison = compareObjects(node, liveObject, merged);
  const changed = writableFields(comparison.changed, resetFields);
  const removed = writableFields(comparison.removed, resetFields);
  if (!force) {
    const conflicts = findConflicts(request, others, changed);
    if (conflicts.length > 0) return { conflict: applyConflict(conflicts) };
  }
  if (live !== undefined && manager === LAST_APPLIED_MANAGER) syncLastApplied(merged, applied);

  const isChanged = live === undefined || !deepEqual(liveObject, merged);
  // An applied configuration that changes nothing keeps the time of the one before.
  const entry: Manager = isChanged || own === undefined ? self : { ...self, time: own.time };
  const unchanged =
    own !== undefined && entry.time === own.time && own.apiVersion === apiVersion && deepEqual(own.fields, taken);
  const managedFields = encodeManagers([...withoutFields(others, [changed, removed]), unchanged ? own : entry]);
  if (managedFields.length > 0) merged.metadata.managedFields = managedFields;
  return { object: merged, managedFields, changed: isChanged };
}

/** Fields of other managers that would change, but for those kubectl has applied itself, client-side. */
function findConflicts(
  { schema, live, manager, apiVersion }: ApplyRequest,
  others: readonly Manager[],
  changed: Fields,
): ManagerConflict[] {
  const conflicts = others
    .map((other): ManagerConflict => ({ manager: other, fields: intersection(other.fields, changed) }))
    .filter(({ fields }) => !isEmpty(fields));
  if (conflicts.length === 0 || live === undefined || manager !== LAST_APPLIED_MANAGER) return conflicts;
  const allowed = fieldsOfLastApplied(nodeOf(schema), live, apiVersion);
  return conflicts
    .map((conflict) => ({ ...conflict, fields: difference(conflict.fields, allowed) }))
    .filter(({ fields }) => !isEmpty(fields));
}

/** An object that was never tracked belongs, as it stands, to a manager of that name when the first apply comes. */
function managersOf(
  { schema, live, managers, apiVersion, now }: ApplyRequest,
  liveObject: Record<string, unknown>,
): Manager[] {
  const known = decodeManagers(managers ?? live?.metadata.managedFields) ?? [];
  if (live === undefined || known.length > 0) return known;
  const fields = trackedFields(compareObjects(nodeOf(schema), {}, liveObject).changed, undefined);
  if (isEmpty(fields)) return [];
  return [
    { name: BEFORE_FIRST_APPLY, operation: "Update", apiVersion, subresource: "", time: formatTime(now), fields },
  ];
}
