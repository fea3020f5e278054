/**
 * What a write leaves alone stays the stored object's own: it is not copied, checked, defaulted, validated or encoded
 * again. "The same" is identity (`===`), and whoever works on the new object behind this point must not write into a
 * field that is the old object's own. Kinds whose strategies keep to that say so with `sharesUnchanged`.
 */
import { deepEqual, isRecord, type JsonPatchOperation, type KubeObject } from "#pkg/apimachinery/index.ts";

type Json = Record<string, unknown>;

/** Members that every write works on. */
const ALWAYS_OWN: ReadonlySet<string> = new Set(["apiVersion", "kind", "metadata"]);

/** Fields of the old object that a write leaves alone. */
export interface Unchanged {
  readonly fields: ReadonlySet<string>;
  /** metadata.managedFields is left alone, too. */
  readonly managedFields: boolean;
}

export const NOTHING_UNCHANGED: Unchanged = { fields: new Set(), managedFields: false };

/** What a merge patch (also a strategic one) does not mention. */
export function unmentionedByMerge(patch: Readonly<Json>, old: Readonly<KubeObject>): Unchanged {
  // Directives speak of fields in ways of their own.
  if (hasDirective(patch)) return NOTHING_UNCHANGED;
  const { metadata } = patch;
  const managedFields =
    !Object.hasOwn(patch, "metadata") ||
    (isRecord(metadata) && !Object.hasOwn(metadata, "managedFields") && !hasDirective(metadata));
  return { fields: fieldsBut(old, (field) => Object.hasOwn(patch, field)), managedFields };
}

function hasDirective(patch: Readonly<Json>): boolean {
  for (const key in patch) if (key.startsWith("$")) return true;
  return false;
}

/** What no operation of a JSON patch points to or into. */
export function unmentionedByJsonPatch(
  operations: readonly Partial<JsonPatchOperation>[],
  old: Readonly<KubeObject>,
): Unchanged {
  const mentioned = new Set<string>();
  let managedFields = true;
  for (const operation of operations) {
    for (const pointer of [operation?.path, operation?.from]) {
      if (pointer === undefined) continue;
      // Of the whole object, or none at all: the patch code has the word for it.
      if (typeof pointer !== "string" || !/^\/[^/~]+(?:\/|$)/.test(pointer)) return NOTHING_UNCHANGED;
      const [, field, member] = pointer.split("/", 3);
      mentioned.add(field!);
      if (field === "metadata" && (member === undefined || member === "managedFields" || member.includes("~")))
        managedFields = false;
    }
  }
  return { fields: fieldsBut(old, (field) => mentioned.has(field)), managedFields };
}

function fieldsBut(old: Readonly<KubeObject>, mentioned: (field: string) => boolean): ReadonlySet<string> {
  const fields = new Set<string>();
  for (const field in old) if (!ALWAYS_OWN.has(field) && !mentioned(field)) fields.add(field);
  return fields;
}

/** Fields of `object` that are the old object's own. */
export function unchangedOf(object: Readonly<KubeObject>, old: Readonly<KubeObject>): Unchanged {
  const fields = new Set<string>();
  for (const field in object) if (!ALWAYS_OWN.has(field) && object[field] === old[field]) fields.add(field);
  return { fields, managedFields: false };
}

/** `object` without its unchanged parts: what is left to be copied, checked and defaulted. */
export function changedPart(object: Readonly<KubeObject>, { fields, managedFields }: Unchanged): KubeObject {
  if (fields.size === 0 && !managedFields) return object as KubeObject;
  const part: Json = {};
  for (const field in object) if (!fields.has(field)) part[field] = object[field];
  if (managedFields) {
    const { managedFields: _managedFields, ...metadata } = object.metadata;
    part["metadata"] = metadata;
  }
  return part as unknown as KubeObject;
}

/** The whole object: the worked-on part, and the old object's own for the rest. Fields keep the old object's order. */
export function withUnchanged(part: KubeObject, old: Readonly<KubeObject>, unchanged: Unchanged): KubeObject {
  const { fields, managedFields } = unchanged;
  if (managedFields && old.metadata.managedFields !== undefined) {
    part.metadata.managedFields = old.metadata.managedFields;
  }
  if (fields.size === 0) return part;
  const { apiVersion, kind, metadata } = part;
  const whole: KubeObject = { apiVersion, kind, metadata };
  for (const field in old) {
    if (fields.has(field)) whole[field] = old[field];
    else if (!ALWAYS_OWN.has(field) && part[field] !== undefined) whole[field] = part[field];
  }
  for (const field in part) if (!(field in whole)) whole[field] = part[field];
  return whole;
}

/**
 * Replaces fields that say the same as the old object's by these: one comparison spares all that would follow. `only`
 * names the field that counts where the others are not taken from `object` anyway.
 */
export function shareUnchanged(object: KubeObject, old: Readonly<KubeObject>, only?: string): void {
  for (const field in object) {
    const value = object[field];
    if (ALWAYS_OWN.has(field) || typeof value !== "object" || (only !== undefined && field !== only)) continue;
    if (deepEqual(value, old[field])) object[field] = old[field];
  }
  const { managedFields } = old.metadata;
  if (managedFields !== undefined && deepEqual(object.metadata.managedFields, managedFields)) {
    object.metadata.managedFields = managedFields;
  }
}
