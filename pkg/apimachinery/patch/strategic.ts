/**
 * Strategic merge patch: a merge patch that knows from the schema which lists merge by key, with directives inside the
 * patch. Specification: sig-api-machinery/strategic-merge-patch.md; messages follow apimachinery util/strategicpatch.
 */
import { deepCopy, deepEqual, isRecord, setMember } from "../deep.ts";
import type { FieldSchema } from "../schema.ts";
import { elementOrder, orderMerged, partition } from "./element-order.ts";
import { goValue, PatchError } from "./patch-error.ts";

type Json = Record<string, unknown>;

const PATCH = "$patch";
const RETAIN_KEYS = "$retainKeys";
const DELETE_FROM_PRIMITIVE_LIST = "$deleteFromPrimitiveList";
const SET_ELEMENT_ORDER = "$setElementOrder";

/** What the schema says about one member. */
interface Member {
  readonly schema: FieldSchema | undefined;
  /** "merge", "replace" or "" ("retainKeys" is removed, as it only tells clients what to write). */
  readonly strategy: string;
  readonly mergeKey: string;
}

function memberOf(schema: FieldSchema | undefined, name: string): Member {
  const found = schema?.properties?.get(name) ?? (schema?.type === "map" ? schema.items : undefined);
  const strategies = (found?.patchStrategy ?? "")
    .split(",")
    .filter((strategy) => strategy !== "retainKeys" && strategy !== "");
  if (strategies.length > 1) throw new PatchError(`unexpected patch strategy: ${JSON.stringify(strategies)}`);
  return { schema: found, strategy: strategies[0] ?? "", mergeKey: found?.patchMergeKey ?? "" };
}

/**
 * The object after the patch. Neither argument changes, and the result shares nothing with them.
 * @throws PatchError when the patch is malformed or does not fit the schema.
 */
export function applyStrategicMergePatch(schema: FieldSchema, original: Readonly<Json>, patch: Readonly<Json>): Json {
  return mergeMap(deepCopy(original) as Json, deepCopy(patch) as Json, schema);
}

/** Merges in place; both arguments belong to the caller of applyStrategicMergePatch. */
function mergeMap(original: Json, patch: Json, schema: FieldSchema | undefined): Json {
  if (Object.hasOwn(patch, PATCH)) {
    const directive = patch[PATCH];
    if (directive === "delete") return {};
    if (directive !== "replace") throw unknownPatchType(directive, patch);
    delete patch[PATCH];
    return patch;
  }
  applyRetainKeys(original, patch);
  applyElementOrders(original, patch, schema);
  for (const key of Object.keys(patch)) mergeMember(original, key, patch[key], schema);
  return original;
}

const unknownPatchType = (type: unknown, map: Json): PatchError =>
  new PatchError(`unknown patch type: ${typeof type === "string" ? type : misprinted(type)} in map: ${goValue(map)}`);

/** What Go prints where it was promised a text. */
const misprinted = (value: unknown): string =>
  typeof value === "number"
    ? `%!s(float64=${value})`
    : typeof value === "boolean"
      ? `%!s(bool=${value})`
      : goValue(value);

function mergeMember(original: Json, patchKey: string, value: unknown, schema: FieldSchema | undefined): void {
  const deletion = patchKey.startsWith(DELETE_FROM_PRIMITIVE_LIST);
  const key = deletion ? fieldOfDirective(patchKey, DELETE_FROM_PRIMITIVE_LIST) : patchKey;
  if (value === null) {
    delete original[key];
    return;
  }
  const present = Object.hasOwn(original, key) ? original[key] : undefined;
  if (Array.isArray(present) && Array.isArray(value)) {
    const { schema: member, strategy, mergeKey } = memberOf(schema, key);
    if (deletion) {
      kindOfElements(present, value);
      original[key] = present.filter((item) => !value.some((gone) => deepEqual(gone, item)));
    } else if (strategy === "merge") original[key] = mergeList(present, value, member, mergeKey);
    else original[key] = value;
  } else if (deletion) {
    // There is nothing of this kind to delete from.
  } else if (isRecord(present) && isRecord(value)) {
    const { schema: member, strategy } = memberOf(schema, key);
    original[key] = strategy === "replace" ? withoutDirectives(value) : mergeMap(present, value, member);
  } else {
    const added = withoutDirectives(value);
    if (added !== undefined) setMember(original, key, added);
  }
}

/** "$setElementOrder/containers" names the field containers. */
function fieldOfDirective(key: string, directive: string): string {
  const [prefix, field, ...rest] = key.split("/");
  if (prefix !== directive || field === undefined || field === "" || rest.length > 0) {
    throw new PatchError(
      directive === SET_ELEMENT_ORDER
        ? "invalid patch format of setElementOrder list"
        : "invalid patch format of primitive list",
      400,
    );
  }
  return field;
}

const isDirective = (key: string): boolean =>
  key === PATCH ||
  key === RETAIN_KEYS ||
  key.startsWith(DELETE_FROM_PRIMITIVE_LIST) ||
  key.startsWith(SET_ELEMENT_ORDER);

/** A patch value as plain data: no directives, no nulls, nothing marked for deletion (undefined if that is all). */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) {
    // An element that says "replace" speaks of the list and is none of its elements.
    const elements = value.filter((item) => !isRecord(item) || item[PATCH] !== "replace");
    return elements.map(withoutDirectives).filter((item) => item !== undefined);
  }
  if (!isRecord(value)) return value;
  if (value[PATCH] === "delete") return undefined;
  const plain: Json = {};
  for (const key of Object.keys(value)) {
    if (isDirective(key) || value[key] === null) continue;
    const member = withoutDirectives(value[key]);
    if (member !== undefined) setMember(plain, key, member);
  }
  return plain;
}

/** $retainKeys: drops members of `original` that are not listed. */
function applyRetainKeys(original: Json, patch: Json): void {
  if (!Object.hasOwn(patch, RETAIN_KEYS)) return;
  const list = patch[RETAIN_KEYS];
  delete patch[RETAIN_KEYS];
  if (!Array.isArray(list)) throw new PatchError("invalid patch format of retainKeys", 400);
  const retained = new Set(list);
  for (const key of Object.keys(patch)) {
    if (patch[key] === null || isDirective(key)) continue;
    if (!retained.has(key)) throw new PatchError("invalid patch format of retainKeys", 400);
  }
  for (const key of Object.keys(original)) if (!retained.has(key)) delete original[key];
}

/** $setElementOrder: merges the lists it speaks of and puts them into its order. */
function applyElementOrders(original: Json, patch: Json, schema: FieldSchema | undefined): void {
  for (const directive of Object.keys(patch)) {
    if (!directive.startsWith(SET_ELEMENT_ORDER)) continue;
    const order = patch[directive];
    delete patch[directive];
    const key = fieldOfDirective(directive, SET_ELEMENT_ORDER);
    if (!Array.isArray(order)) throw noList(order);
    const present = Object.hasOwn(original, key) ? original[key] : undefined;
    const changes = Object.hasOwn(patch, key) ? patch[key] : undefined;
    if (present !== undefined && !Array.isArray(present)) throw noList(present);
    if (changes !== undefined && !Array.isArray(changes)) throw noList(changes);
    const { schema: member, strategy, mergeKey } = memberOf(schema, key);
    if (changes !== undefined) assertSameOrder(changes, order, mergeKey);
    let merged: unknown[];
    if (present === undefined && changes === undefined) continue;
    if (present === undefined) merged = withoutDirectives(changes) as unknown[];
    else if (changes === undefined) merged = present;
    else if (strategy === "merge") merged = mergeList(present.slice(), changes, member, mergeKey);
    else merged = withoutDirectives(changes) as unknown[];
    const { inList, others } = partition(merged, order, mergeKey);
    original[key] = orderMerged(inList, others, order, present ?? [], mergeKey);
    delete patch[key];
  }
}

/** What Go calls the type of JSON data. */
function goType(value: unknown): string {
  if (value === null) return "%!s(<nil>)";
  if (isRecord(value)) return "map[string]interface {}";
  return typeof value === "number" ? "float64" : typeof value === "boolean" ? "bool" : typeof value;
}
const noList = (value: unknown): PatchError =>
  new PatchError(`expected a []interface {}, but received a ${goType(value)}`);

/** Elements to keep must stand in the patch in the relative order of the directive. */
function assertSameOrder(changes: readonly unknown[], order: readonly unknown[], mergeKey: string): void {
  const kept = mergeKey === "" ? changes : changes.filter((item) => !isRecord(item) || item[PATCH] === undefined);
  let next = 0;
  for (let i = 0; i < order.length && next < kept.length; i++) {
    if (elementOrder([order[i]], kept[next], mergeKey) === 0) next++;
  }
  if (next < kept.length) {
    throw new PatchError(
      `The order in patch list:\n${goValue(changes)}\n doesn't match ${SET_ELEMENT_ORDER} list:\n${goValue(order)}\n`,
    );
  }
}

/** undefined: there are none. @throws PatchError when they are not all of one kind */
function kindOfElements(original: readonly unknown[], patch: readonly unknown[]): string | undefined {
  const kinds = new Set(
    [...original, ...patch].map((item) => (isRecord(item) ? "map" : Array.isArray(item) ? "slice" : typeof item)),
  );
  if (kinds.size > 1) throw new PatchError(`list element types are not identical: ${goValue([original, patch])}`);
  return [...kinds][0];
}

/** A list with patchStrategy merge: scalars without repetition, maps by their merge key. */
function mergeList(
  original: unknown[],
  patch: unknown[],
  schema: FieldSchema | undefined,
  mergeKey: string,
): unknown[] {
  if (original.length === 0 && patch.length === 0) return original;
  const kind = kindOfElements(original, patch);
  if (kind === "slice") throw new PatchError("lists of lists are not supported", 422);
  const maps = kind === "map";
  let merged: unknown[];
  let changes = patch;
  if (maps) {
    if (mergeKey === "")
      throw new PatchError(`cannot merge lists without merge key for ${schema?.definition ?? "list"}`);
    const special = applySpecialElements(original as Json[], patch as Json[], mergeKey);
    changes = special.changes;
    merged = mergeElements(special.original, special.changes, mergeKey, schema?.items);
  } else merged = [...new Set([...original, ...patch])];
  const key = maps ? mergeKey : "";
  const { inList, others } = partition(merged, changes, key);
  return orderMerged(inList, others, changes, original, key);
}

/** Elements that carry `$patch` delete others or replace the whole list. */
function applySpecialElements(
  original: Json[],
  patch: Json[],
  mergeKey: string,
): { original: Json[]; changes: Json[] } {
  let remaining = original;
  let replace = false;
  const changes: Json[] = [];
  for (const element of patch) {
    const directive = element[PATCH];
    if (directive === undefined) changes.push(element);
    else if (directive === "replace") replace = true;
    else if (directive === "merge") throw new PatchError("merging lists cannot yet be specified in the patch");
    else if (directive !== "delete") throw unknownPatchType(directive, element);
    else {
      const gone = mergeKeyOf(element, mergeKey);
      remaining = remaining.filter((item) => !deepEqual(item[mergeKey], gone));
    }
  }
  return replace ? { original: [], changes } : { original: remaining, changes };
}

function mergeElements(original: Json[], changes: Json[], mergeKey: string, schema: FieldSchema | undefined): Json[] {
  const merged = original.slice();
  for (const element of changes) {
    const value = mergeKeyOf(element, mergeKey);
    const index = merged.findIndex((item) => deepEqual(mergeKeyOf(item, mergeKey), value));
    if (index >= 0) merged[index] = mergeMap(merged[index]!, element, schema);
    else merged.push(withoutDirectives(element) as Json);
  }
  return merged;
}

function mergeKeyOf(element: Json, mergeKey: string): unknown {
  if (Object.hasOwn(element, mergeKey)) return element[mergeKey];
  throw new PatchError(`map: ${goValue(element)} does not contain declared merge key: ${mergeKey}`);
}
