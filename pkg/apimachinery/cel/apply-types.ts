import { type CelType, DYN, STRING, structType } from "./types.ts";
import {
  ArrayList,
  Duration,
  EntryMap,
  isList,
  isMap,
  isStruct,
  Opaque,
  Timestamp,
  typeNameOf,
  TypeValue,
  Uint,
  type Value,
} from "./values.ts";

const JSON_PATCH = structType("JSONPatch", { op: STRING, path: STRING, from: STRING, value: DYN });

/**
 * Types of the literals in mutating admission policies: `Object`, `Object.spec`, `Object.spec.containers` (an element of
 * that list), and `JSONPatch`. What an object may have is known only when one is there, so that any field of any type goes.
 */
export function applyConfigurationType(name: string): CelType | undefined {
  if (name === "JSONPatch") return JSON_PATCH;
  return name === "Object" || name.startsWith("Object.") ? { kind: "object", name, field: () => DYN } : undefined;
}

/** Complaints about literals that are not where their type's name says: `Object{spec: Object.status{}}`. */
export function misplacedLiterals(value: Value, path?: string): string[] {
  if (isList(value)) {
    return Array.from({ length: value.length }, (_, index) => misplacedLiterals(value.at(index), path)).flat();
  }
  if (isMap(value)) return [...value.keys()].flatMap((key) => misplacedLiterals(value.get(key)!, path));
  if (!isStruct(value) || applyConfigurationType(value.typeName) === undefined) return [];
  const { typeName } = value;
  const inner = [...value.fieldNames()].flatMap((name) =>
    misplacedLiterals(value.field(name)!, typeName === "JSONPatch" ? undefined : `${path ?? typeName}.${name}`),
  );
  if (path === undefined || path === typeName) return inner;
  const [found, expected] = [typeName, path].map((name) => JSON.stringify(name));
  return [
    `unexpected type name ${found}, expected ${expected}, which matches field name path from root Object type`,
    ...inner,
  ];
}

/** A value and all that is in it, with paths; what came from an object as a whole is JSON, and is not looked into. */
function* partsOf(value: Value, path = ""): Iterable<readonly [Value, string]> {
  yield [value, path];
  if (value instanceof ArrayList) for (const [i, item] of value.items.entries()) yield* partsOf(item, `${path}[${i}]`);
  else if (value instanceof EntryMap)
    for (const key of value.keys()) yield* partsOf(value.get(key)!, `${path}.${String(key)}`);
  else if (isStruct(value) && applyConfigurationType(value.typeName) !== undefined)
    for (const name of value.fieldNames()) yield* partsOf(value.field(name)!, `${path}.${name}`);
}

/** A key that no object of JSON can have. */
function foreignKey(value: Value): Value | undefined {
  return value instanceof EntryMap ? [...value.keys()].find((key) => typeof key !== "string") : undefined;
}

/** Why an apply configuration cannot be merged: what it has that is no JSON, or null. Undefined where all is well. */
export function unmergeable(configuration: Value): string | undefined {
  for (const [value, path] of partsOf(configuration)) {
    const key = foreignKey(value);
    if (key !== undefined) return `${path}: map key '${String(key)}' is of type ${typeNameOf(key)}, not string`;
    const foreign =
      value === null || [Timestamp, Duration, Uint8Array, Uint, Opaque].some((other) => value instanceof other);
    if (foreign) return `${path}: expected a value of JSON, got ${typeNameOf(value)}`;
    if (typeof value === "number" && !Number.isFinite(value)) return `${path}: json: unsupported value: ${value}`;
  }
  return undefined;
}

/** Why the values of a JSON patch cannot be written as JSON, as upstream says it. Undefined where they can. */
export function unwritable(operations: Value): string | undefined {
  for (const [value] of partsOf(operations)) {
    const key = foreignKey(value);
    if (typeof key === "boolean") return "type conversion error from bool to 'string'";
    if (key !== undefined) return `unsupported type conversion from '${typeNameOf(key)}' to string`;
    if (value instanceof TypeValue) return "type conversion not supported for 'type'";
    if (value instanceof Opaque) return `type conversion error from '${value.typeName}' to '*structpb.Value'`;
    if (typeof value === "number" && !Number.isFinite(value)) {
      const shown = String(value).replace(/^(-?)Infinity/, (_, sign: string) => `${sign || "+"}Inf`);
      return `json: error calling MarshalJSON for type *structpb.Value: proto: google.protobuf.Value.number_value: invalid ${shown} value`;
    }
  }
  return undefined;
}
