import { deepEqual } from "../deep.ts";
import type { FieldSchema } from "../schema.ts";
import { noSuchOverload } from "./errors.ts";
import {
  type CelList,
  type CelMap,
  type CelStruct,
  Duration,
  isList,
  isMap,
  isStruct,
  keyText,
  kindOf,
  Opaque,
  Optional,
  Timestamp,
  TypeValue,
  Uint,
  type Value,
} from "./values.ts";

/** Equality over all types: numbers by value whatever their type, other types only among themselves. */
export function celEquals(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (isNumber(a)) return isNumber(b) && compareNumbers(a, b) === 0;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (isList(a)) return isList(b) && listsEqual(a, b);
  if (isMap(a)) return isMap(b) && mapsEqual(a, b);
  if (isStruct(a)) return isStruct(b) && structsEqual(a, b);
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (a instanceof Timestamp) return b instanceof Timestamp && a.nanos === b.nanos;
  if (a instanceof Duration) return b instanceof Duration && a.nanos === b.nanos;
  if (a instanceof TypeValue) return b instanceof TypeValue && a.name === b.name;
  if (a instanceof Optional) {
    if (!(b instanceof Optional)) return false;
    if (a.value === undefined || b.value === undefined) return a.value === b.value;
    return celEquals(a.value, b.value);
  }
  return a instanceof Opaque && b instanceof Opaque && a.typeName === b.typeName && a.equals(b);
}

type Numeric = bigint | number | Uint;
const isNumber = (value: Value): value is Numeric =>
  typeof value === "bigint" || typeof value === "number" || value instanceof Uint;
const plain = (value: Numeric): bigint | number => (value instanceof Uint ? value.value : value);

/** As cel-go does, a double compares with an integer through the integer's nearest double. NaN compares with nothing. */
function compareNumbers(a: Numeric, b: Numeric): number {
  let left = plain(a);
  let right = plain(b);
  if (typeof left !== typeof right) {
    left = Number(left);
    right = Number(right);
  }
  return left < right ? -1 : left > right ? 1 : left === right ? 0 : Number.NaN;
}

function listsEqual(a: CelList, b: CelList): boolean {
  if (a.length !== b.length) return false;
  const listType = a.schema?.listType ?? b.schema?.listType;
  if (listType === "set") return everyItem(a, (item) => containsItem(b, item));
  if (listType === "map") {
    const keys = a.schema?.listMapKeys ?? b.schema?.listMapKeys ?? [];
    return everyItem(a, (item) => {
      const twin = findByKeys(b, item, keys);
      return twin !== undefined && celEquals(item, twin);
    });
  }
  for (let i = 0; i < a.length; i++) if (!celEquals(a.at(i), b.at(i))) return false;
  return true;
}

function everyItem(list: CelList, holds: (item: Value) => boolean): boolean {
  for (let i = 0; i < list.length; i++) if (!holds(list.at(i))) return false;
  return true;
}
export function containsItem(list: CelList, value: Value): boolean {
  for (let i = 0; i < list.length; i++) if (celEquals(list.at(i), value)) return true;
  return false;
}
/** The item with the same keys as `item`, in a list of x-kubernetes-list-type map. */
function findByKeys(list: CelList, item: Value, keys: readonly string[]): Value | undefined {
  const keyOf = (value: Value): string =>
    JSON.stringify(keys.map((key) => (isStruct(value) ? keyText(value.field(key) ?? null) : undefined) ?? null));
  const wanted = keyOf(item);
  for (let i = 0; i < list.length; i++) if (keyOf(list.at(i)) === wanted) return list.at(i);
  return undefined;
}

function mapsEqual(a: CelMap, b: CelMap): boolean {
  if (a.size !== b.size) return false;
  for (const key of a.keys()) {
    const other = b.get(key);
    if (other === undefined || !celEquals(a.get(key)!, other)) return false;
  }
  return true;
}

function structsEqual(a: CelStruct, b: CelStruct): boolean {
  if (a.typeName !== b.typeName) return false;
  const names = new Set([...a.fieldNames(), ...b.fieldNames()]);
  for (const name of names) {
    const left = a.field(name);
    const right = b.field(name);
    if (left === undefined || right === undefined || !celEquals(left, right)) return false;
  }
  return othersEqual(a, b, names);
}

/** Data without a schema, which expressions cannot name, makes a difference too. */
function othersEqual({ members: a }: CelStruct, { members: b }: CelStruct, known: ReadonlySet<string>): boolean {
  if (a === undefined || b === undefined) return true;
  const rest = (object: Readonly<Record<string, unknown>>): string[] =>
    Object.keys(object).filter((name) => !known.has(name) && object[name] !== null && object[name] !== undefined);
  const names = rest(a);
  return names.length === rest(b).length && names.every((name) => deepEqual(a[name], b[name]));
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  // Order of code points, which UTF-16 order is not above U+FFFF.
  return /[\ud800-\udfff]/.test(a) || /[\ud800-\udfff]/.test(b)
    ? Buffer.compare(Buffer.from(a), Buffer.from(b))
    : a < b
      ? -1
      : 1;
}

/** Negative, zero, positive; NaN where a NaN is involved. @throws CelError for types without order. */
export function celCompare(a: Value, b: Value): number {
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b);
  if (kindOf(a) !== kindOf(b)) throw noSuchOverload();
  if (typeof a === "string") return compareText(a, b as string);
  if (typeof a === "boolean") return Number(a) - Number(b);
  if (a instanceof Uint8Array) return Buffer.compare(a, b as Uint8Array);
  if (a instanceof Timestamp) return compareNumbers(a.nanos, (b as Timestamp).nanos);
  if (a instanceof Duration) return compareNumbers(a.nanos, (b as Duration).nanos);
  throw noSuchOverload();
}

/** `+` of lists: a union where the schema says set or map. */
export function concatLists(a: CelList, b: CelList): { readonly items: Value[]; readonly schema?: FieldSchema } {
  const items: Value[] = [];
  for (let i = 0; i < a.length; i++) items.push(a.at(i));
  const schema = a.schema;
  for (let i = 0; i < b.length; i++) {
    const item = b.at(i);
    if (schema?.listType === "set") {
      if (!containsItem(a, item)) items.push(item);
    } else if (schema?.listType === "map") {
      const twin = findByKeys(a, item, schema.listMapKeys ?? []);
      const at = twin === undefined ? -1 : items.findIndex((present) => celEquals(present, twin));
      if (at < 0) items.push(item);
      else items[at] = item;
    } else items.push(item);
  }
  return { items, schema };
}
