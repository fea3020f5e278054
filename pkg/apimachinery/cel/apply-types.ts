import { type CelType, DYN, STRING, structType } from "./types.ts";
import { isList, isMap, isStruct, type Value } from "./values.ts";

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
