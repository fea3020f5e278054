/** CEL's types, and how schemas map to them. */
import type { FieldSchema } from "../schema.ts";
import { escapeFieldName, isWord, unescapeFieldName } from "./names.ts";

export type CelType =
  | {
      readonly kind:
        | "int"
        | "uint"
        | "double"
        | "bool"
        | "string"
        | "bytes"
        | "null"
        | "dyn"
        | "timestamp"
        | "duration"
        | "error";
    }
  | { readonly kind: "list"; readonly element: CelType }
  | { readonly kind: "map"; readonly key: CelType; readonly value: CelType }
  | { readonly kind: "optional"; readonly element: CelType }
  | { readonly kind: "type"; readonly of: CelType }
  /** A struct. `field` gives the type of a field by the name it has in expressions; undefined: no such field. */
  | {
      readonly kind: "object";
      readonly name: string;
      readonly schema?: FieldSchema;
      field(name: string): CelType | undefined;
    }
  /** A type of a library, such as kubernetes.URL: no fields, only functions. */
  | { readonly kind: "opaque"; readonly name: string }
  /** A type parameter of a function, standing for one type per call. */
  | { readonly kind: "param"; readonly name: string };

export const INT: CelType = { kind: "int" };
export const UINT: CelType = { kind: "uint" };
export const DOUBLE: CelType = { kind: "double" };
export const BOOL: CelType = { kind: "bool" };
export const STRING: CelType = { kind: "string" };
export const BYTES: CelType = { kind: "bytes" };
export const NULL: CelType = { kind: "null" };
export const DYN: CelType = { kind: "dyn" };
export const ERROR: CelType = { kind: "error" };
export const TIMESTAMP: CelType = { kind: "timestamp" };
export const DURATION: CelType = { kind: "duration" };
/** The element of an empty literal, the value of an empty optional: any type. */
export const FREE = { kind: "param", name: "_" } as const;
export const listOf = (element: CelType): CelType => ({ kind: "list", element });
export const mapOf = (key: CelType, value: CelType): CelType => ({ kind: "map", key, value });
export const optionalOf = (element: CelType): CelType => ({ kind: "optional", element });
export const opaque = (name: string): CelType => ({ kind: "opaque", name });

const SCALARS: Readonly<Record<string, CelType>> = {
  int: INT,
  uint: UINT,
  double: DOUBLE,
  bool: BOOL,
  string: STRING,
  bytes: BYTES,
  null: NULL,
  dyn: DYN,
  timestamp: TIMESTAMP,
  duration: DURATION,
};

/** Reads the notation of function declarations: `list<A>`, `map<K,V>`, `optional<A>`, `type<A>`, `kubernetes.URL`. */
export function parseType(text: string): CelType {
  const scalar = SCALARS[text];
  if (scalar !== undefined) return scalar;
  if (/^[A-Z]$/.test(text)) return { kind: "param", name: text };
  const match = /^(list|map|optional|type)<(.*)>$/.exec(text);
  if (match === null) return opaque(text);
  const inner = match[2]!;
  switch (match[1]) {
    case "list":
      return listOf(parseType(inner));
    case "optional":
      return optionalOf(parseType(inner));
    case "type":
      return { kind: "type", of: parseType(inner) };
    default: {
      const comma = inner.indexOf(",");
      return mapOf(parseType(inner.slice(0, comma).trim()), parseType(inner.slice(comma + 1).trim()));
    }
  }
}

/** The type's name in error messages. */
export function showType(type: CelType): string {
  switch (type.kind) {
    case "list":
      return `list(${showType(type.element)})`;
    case "map":
      return `map(${showType(type.key)}, ${showType(type.value)})`;
    case "optional":
      return `optional_type(${showType(type.element)})`;
    case "type":
      return `type(${showType(type.of)})`;
    case "object":
    case "opaque":
      return type.name;
    case "param":
      return type.name === FREE.name ? "dyn" : type.name;
    case "error":
      return "!error!";
    default:
      return type.kind;
  }
}

/** The name of the type itself, without parameters. */
export function nominalType(type: CelType): string {
  switch (type.kind) {
    case "list":
    case "map":
    case "type":
      return type.kind;
    case "optional":
      return "optional_type";
    case "null":
      return "null_type";
    case "timestamp":
      return "google.protobuf.Timestamp";
    case "duration":
      return "google.protobuf.Duration";
    default:
      return showType(type);
  }
}

const ofSchema = new WeakMap<FieldSchema, CelType>();

/** The CEL type of values that a schema describes. */
export function typeOfSchema(schema: FieldSchema): CelType {
  let type = ofSchema.get(schema);
  if (type === undefined) {
    type = convert(schema);
    ofSchema.set(schema, type);
  }
  return type;
}

/** What rules of custom resources see of metadata. */
const NAMES_ONLY: FieldSchema = {
  type: "object",
  properties: new Map([
    ["name", { type: "string" }],
    ["generateName", { type: "string" }],
  ]),
};

function objectOf(schema: FieldSchema): CelType {
  return {
    kind: "object",
    name: schema.definition ?? "object",
    schema,
    field(name) {
      const property = propertyOf(schema, name);
      return property === undefined || !isTyped(property) ? undefined : typeOfSchema(property);
    },
  };
}

/** The schema of a field as expressions see it, by the field's name in expressions. */
export function propertyOf(schema: FieldSchema, name: string): FieldSchema | undefined {
  const own = unescapeFieldName(name);
  if (escapeFieldName(own) !== name && !isWord(name)) return undefined;
  const property = schema.properties?.get(own);
  return own === "metadata" && schema.raw !== undefined && property?.raw === undefined
    ? property && NAMES_ONLY
    : property;
}

/** Data without a type all the way down cannot be named in expressions. */
export function isTyped({ type, items }: FieldSchema): boolean {
  if (type === "any") return false;
  return (type !== "array" && type !== "map") || (items !== undefined && isTyped(items));
}

/** A struct type of given fields, for variables that no schema describes. */
export function structType(name: string, fields: Readonly<Record<string, CelType>>): CelType {
  return { kind: "object", name, field: (field) => (Object.hasOwn(fields, field) ? fields[field] : undefined) };
}

function convert(schema: FieldSchema): CelType {
  switch (schema.type) {
    case "object":
      return objectOf(schema);
    case "map":
      return mapOf(STRING, schema.items === undefined ? DYN : typeOfSchema(schema.items));
    case "array":
      return listOf(schema.items === undefined ? DYN : typeOfSchema(schema.items));
    case "string":
      if (schema.format === "date-time" || schema.format === "date") return TIMESTAMP;
      if (schema.format === "duration") return DURATION;
      return schema.format === "byte" ? BYTES : STRING;
    case "quantity":
      return STRING;
    case "time":
    case "micro-time":
      return TIMESTAMP;
    case "bytes":
      return BYTES;
    case "integer":
      return INT;
    case "number":
      return DOUBLE;
    case "boolean":
      return BOOL;
    default:
      return DYN;
  }
}

/** Is `value` usable where `wanted` is expected? Binds type parameters of `wanted` in `bindings`. */
export function isAssignable(value: CelType, wanted: CelType, bindings: Map<string, CelType>): boolean {
  // The element of an empty literal fits anything, and anything fits it.
  if (wanted.kind === "param" && wanted.name === FREE.name) return true;
  if (wanted.kind === "param") {
    const bound = bindings.get(wanted.name);
    if (bound === undefined) {
      bindings.set(wanted.name, value);
      return true;
    }
    if (isAssignable(value, bound, bindings)) return true;
    if (!isAssignable(bound, value, bindings)) return false;
    bindings.set(wanted.name, value); // the more general of the two
    return true;
  }
  if (value.kind === "dyn" || wanted.kind === "dyn" || value.kind === "error" || wanted.kind === "error") return true;
  if (value.kind === "param") return true;
  if (value.kind === "null") {
    return ["null", "object", "timestamp", "duration", "opaque", "optional"].includes(wanted.kind);
  }
  if (wanted.kind === "null") return ["object", "timestamp", "duration", "opaque", "optional"].includes(value.kind);
  switch (wanted.kind) {
    case "list":
      return value.kind === "list" && isAssignable(value.element, wanted.element, bindings);
    case "map":
      return (
        value.kind === "map" &&
        isAssignable(value.key, wanted.key, bindings) &&
        isAssignable(value.value, wanted.value, bindings)
      );
    case "optional":
      return value.kind === "optional" && isAssignable(value.element, wanted.element, bindings);
    case "type":
      return value.kind === "type";
    case "object":
      return value.kind === "object" && value.name === wanted.name && sameFields(value.schema, wanted.schema);
    case "opaque":
      return value.kind === "opaque" && value.name === wanted.name;
    default:
      return value.kind === wanted.kind;
  }
}

/** Structs that a custom resource's schema describes in different places are different, although none has a name. */
const sameFields = (a: FieldSchema | undefined, b: FieldSchema | undefined): boolean =>
  a === b || a?.definition !== undefined || a?.raw === undefined || b?.raw === undefined;

/** `type` with parameters replaced; unbound ones stay free. */
export function substitute(type: CelType, bindings: ReadonlyMap<string, CelType>): CelType {
  switch (type.kind) {
    case "param":
      return bindings.get(type.name) ?? FREE;
    case "list":
      return listOf(substitute(type.element, bindings));
    case "map":
      return mapOf(substitute(type.key, bindings), substitute(type.value, bindings));
    case "optional":
      return optionalOf(substitute(type.element, bindings));
    case "type":
      return { kind: "type", of: substitute(type.of, bindings) };
    default:
      return type;
  }
}

/** No difference but in what is free. */
export function sameType(a: CelType, b: CelType): boolean {
  if (a.kind === "param" || b.kind === "param") return true;
  if (a.kind !== b.kind) return false;
  return isAssignable(a, b, new Map()) && isAssignable(b, a, new Map()) && !hidesDyn(a, b);
}
/** Elements of which one side knows nothing. */
function hidesDyn(a: CelType, b: CelType): boolean {
  if (a.kind === "map" && b.kind === "map") return !sameType(a.key, b.key) || !sameType(a.value, b.value);
  if ("element" in a && "element" in b) return !sameType(a.element, b.element);
  return false;
}

/** The type both have in common: one of them, or dyn. */
export function joinTypes(a: CelType, b: CelType): CelType {
  if (a.kind === "dyn" || b.kind === "dyn") return DYN;
  const bindings = new Map<string, CelType>();
  if (isAssignable(a, b, bindings)) return b.kind === "null" ? a : b;
  return isAssignable(b, a, bindings) ? a : DYN;
}

/** The type as results have it: what stayed free is dyn. */
export function settled(type: CelType): CelType {
  return type.kind === "param" ? DYN : type;
}

/** No dyn anywhere: values are certain to have this type. */
export function isConcrete(type: CelType): boolean {
  switch (type.kind) {
    case "dyn":
    case "param":
    case "error":
    case "null":
      return false;
    default:
      return true;
  }
}
