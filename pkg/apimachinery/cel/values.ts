/**
 * Run-time values. int is a bigint, double a number; JSON data is wrapped lazily, so that an expression touches only
 * what it reads. Everything is immutable.
 */
import { isRecord, setMember } from "../deep.ts";
import type { FieldSchema } from "../schema.ts";
import { CelError } from "./errors.ts";
import { unescapeFieldName } from "./names.ts";
import { Duration, formatDuration, formatTimestamp, parseDuration, parseTimestamp, Timestamp } from "./time.ts";
import type { CelType } from "./types.ts";
import { typeOfSchema } from "./types.ts";

export { Duration, Timestamp };

export class Uint {
  readonly value: bigint;
  constructor(value: bigint) {
    this.value = value;
  }
}
export class Optional {
  /** undefined: none. */
  readonly value: Value | undefined;
  constructor(value: Value | undefined) {
    this.value = value;
  }
}
export class TypeValue {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}
/** A value of a library's own type. */
export abstract class Opaque {
  abstract readonly typeName: string;
  /** Counts in costs, like the length of a text. */
  get size(): number {
    return 1;
  }
  abstract equals(other: Opaque): boolean;
}

/** What lists, maps and structs derive from, so that JSON data cannot pass for one. */
export abstract class Composite {
  abstract readonly celKind: "list" | "map" | "object";
}

export interface CelList extends Composite {
  readonly celKind: "list";
  readonly length: number;
  at(index: number): Value;
  /** x-kubernetes-list-type of the list, where order does not matter. */
  readonly schema?: FieldSchema;
}
export interface CelMap extends Composite {
  readonly celKind: "map";
  readonly size: number;
  /** undefined when there is no such key. */
  get(key: Value): Value | undefined;
  keys(): Iterable<Value>;
}
export interface CelStruct extends Composite {
  readonly celKind: "object";
  readonly typeName: string;
  /** undefined when the field is not set. */
  field(name: string): Value | undefined;
  fieldNames(): Iterable<string>;
  /** The object as it is, with members that no field describes. */
  readonly members?: Readonly<Record<string, unknown>>;
}

export type Value =
  | bigint
  | number
  | string
  | boolean
  | null
  | Uint8Array
  | Uint
  | Timestamp
  | Duration
  | Optional
  | TypeValue
  | Opaque
  | CelList
  | CelMap
  | CelStruct;

export class ArrayList extends Composite implements CelList {
  readonly celKind = "list";
  readonly items: readonly Value[];
  constructor(items: readonly Value[]) {
    super();
    this.items = items;
  }
  get length(): number {
    return this.items.length;
  }
  at(index: number): Value {
    return this.items[index]!;
  }
}

/** Text that equal keys share, whatever their numeric type; undefined for what cannot be a key. */
export function keyText(key: Value): string | undefined {
  switch (typeof key) {
    case "string":
      return `s${key}`;
    case "bigint":
      return `n${key}`;
    case "boolean":
      return key ? "true" : "false";
    case "number":
      return Number.isInteger(key) ? `n${BigInt(key)}` : `n${key}`;
    default:
      return key instanceof Uint ? `n${key.value}` : undefined;
  }
}

export class EntryMap extends Composite implements CelMap {
  readonly celKind = "map";
  readonly #entries: ReadonlyMap<string, readonly [Value, Value]>;
  constructor(entries: ReadonlyMap<string, readonly [Value, Value]>) {
    super();
    this.#entries = entries;
  }
  get size(): number {
    return this.#entries.size;
  }
  get(key: Value): Value | undefined {
    const text = keyText(key);
    return text === undefined ? undefined : this.#entries.get(text)?.[1];
  }
  *keys(): Iterable<Value> {
    for (const [key] of this.#entries.values()) yield key;
  }
}

const ANY: FieldSchema = { type: "any" };

class JsonList extends Composite implements CelList {
  readonly celKind = "list";
  readonly schema: FieldSchema;
  readonly #items: readonly unknown[];
  constructor(items: readonly unknown[], schema: FieldSchema) {
    super();
    this.#items = items;
    this.schema = schema;
  }
  get length(): number {
    return this.#items.length;
  }
  at(index: number): Value {
    return fromJson(this.#items[index], this.schema.items ?? ANY);
  }
}

class JsonMap extends Composite implements CelMap {
  readonly celKind = "map";
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #items: FieldSchema;
  constructor(object: Readonly<Record<string, unknown>>, items: FieldSchema) {
    super();
    this.#object = object;
    this.#items = items;
  }
  get size(): number {
    return Object.keys(this.#object).length;
  }
  get(key: Value): Value | undefined {
    if (typeof key !== "string" || !Object.hasOwn(this.#object, key)) return undefined;
    const value = this.#object[key];
    return value === undefined ? undefined : fromJson(value, this.#items);
  }
  keys(): Iterable<Value> {
    return Object.keys(this.#object);
  }
}

class JsonStruct extends Composite implements CelStruct {
  readonly celKind = "object";
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #schema: FieldSchema;
  constructor(object: Readonly<Record<string, unknown>>, schema: FieldSchema) {
    super();
    this.#object = object;
    this.#schema = schema;
  }
  get typeName(): string {
    return this.#schema.definition ?? "object";
  }
  get members(): Readonly<Record<string, unknown>> {
    return this.#object;
  }
  field(name: string): Value | undefined {
    const own = unescapeFieldName(name);
    const schema = this.#schema.properties?.get(own);
    if (schema === undefined || !Object.hasOwn(this.#object, own)) return undefined;
    const value = this.#object[own];
    // Null stands for absent, also where the schema allows it.
    if (value === undefined || value === null) return undefined;
    return fromJson(value, schema);
  }
  *fieldNames(): Iterable<string> {
    for (const [name] of this.#schema.properties ?? []) if (this.field(name) !== undefined) yield name;
  }
}

/** A value of JSON data that `schema` describes. Numbers without schema are ints where they are whole. */
export function fromJson(value: unknown, schema: FieldSchema): Value {
  switch (typeof value) {
    case "string":
      return fromText(value, schema);
    case "number":
      if (schema.type === "number" || !Number.isInteger(value)) return value;
      return schema.type === "quantity" ? String(value) : BigInt(value);
    case "boolean":
      return value;
    case "bigint":
      return value;
    default:
  }
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return new JsonList(value, schema);
  if (!isRecord(value)) throw new CelError(`unsupported value of type ${typeof value}`);
  if (isValue(value)) return value;
  const type = schema.type === "any" ? undefined : typeOfSchema(schema);
  if (type?.kind === "object") return new JsonStruct(value, schema);
  return new JsonMap(value, schema.type === "map" ? (schema.items ?? ANY) : ANY);
}

/** JSON data that may be missing. */
export function optionalValue(value: unknown, schema: FieldSchema): Optional {
  return new Optional(value === undefined ? undefined : fromJson(value, schema));
}

/** Bindings may hold CEL values as they are (an authorizer, for instance). */
function isValue(value: object): value is Value & object {
  return (
    value instanceof Opaque ||
    value instanceof Timestamp ||
    value instanceof Duration ||
    value instanceof Uint ||
    value instanceof Optional ||
    value instanceof TypeValue ||
    value instanceof Uint8Array ||
    value instanceof Composite
  );
}

function fromText(text: string, schema: FieldSchema): Value {
  switch (schema.type === "string" ? schema.format : schema.type) {
    case "date-time":
    case "time":
    case "micro-time":
      return parseTimestamp(text);
    case "date":
      return parseTimestamp(`${text}T00:00:00Z`);
    case "duration":
      return parseDuration(text);
    case "byte":
    case "bytes":
      return Uint8Array.from(Buffer.from(text, "base64"));
    default:
      return text;
  }
}

export type Kind = CelType["kind"];
export function kindOf(value: Value): Kind {
  switch (typeof value) {
    case "bigint":
      return "int";
    case "number":
      return "double";
    case "string":
      return "string";
    case "boolean":
      return "bool";
    default:
  }
  if (value === null) return "null";
  if ("celKind" in value) return value.celKind;
  if (value instanceof Uint) return "uint";
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof Timestamp) return "timestamp";
  if (value instanceof Duration) return "duration";
  if (value instanceof Optional) return "optional";
  return value instanceof TypeValue ? "type" : "opaque";
}

export function typeNameOf(value: Value): string {
  const kind = kindOf(value);
  switch (kind) {
    case "null":
      return "null_type";
    case "optional":
      return "optional_type";
    case "object":
      return (value as CelStruct).typeName;
    case "opaque":
      return (value as Opaque).typeName;
    case "timestamp":
      return "google.protobuf.Timestamp";
    case "duration":
      return "google.protobuf.Duration";
    default:
      return kind;
  }
}

export const isList = (value: Value): value is CelList =>
  typeof value === "object" && value !== null && "celKind" in value && value.celKind === "list";
export const isMap = (value: Value): value is CelMap =>
  typeof value === "object" && value !== null && "celKind" in value && value.celKind === "map";
export const isStruct = (value: Value): value is CelStruct =>
  typeof value === "object" && value !== null && "celKind" in value && value.celKind === "object";

const wholeNumber = (value: bigint): number | bigint => {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

/**
 * The value as JSON data: timestamps and durations as text, bytes as base64, whole numbers as numbers or, where these could
 * not hold them, as bigints.
 */
export function toJson(value: Value): unknown {
  if (typeof value === "bigint") return wholeNumber(value);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint) return wholeNumber(value.value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (value instanceof Timestamp) return formatTimestamp(value);
  if (value instanceof Duration) return formatDuration(value);
  if (value instanceof Optional) return value.value === undefined ? undefined : toJson(value.value);
  if (value instanceof TypeValue) return value.name;
  if (value instanceof Opaque) return String(value);
  if (isList(value)) return Array.from({ length: value.length }, (_, i) => toJson(value.at(i)));
  const object: Record<string, unknown> = {};
  if (isMap(value)) for (const key of value.keys()) setMember(object, keyToName(key), toJson(value.get(key)!));
  else for (const name of value.fieldNames()) setMember(object, name, toJson(value.field(name)!));
  return object;
}

function keyToName(key: Value): string {
  return key instanceof Uint ? String(key.value) : String(key);
}
