import type { FieldSchema } from "../schema.ts";
import { unescapeFieldName } from "./names.ts";
import { type CelType, listOf, mapOf, STRING, structType, typeOfSchema } from "./types.ts";

const JSON_PATCH = structType("JSONPatch", { op: STRING, path: STRING, from: STRING, value: { kind: "dyn" } });

/**
 * Types of the literals in mutating admission policies: `Object`, `Object.spec`, `Object.spec.containers` (an element
 * of that list), and `JSONPatch`. A literal of an inner type fits the field it is named after.
 */
export function applyConfigurationTypes(schema: FieldSchema): (name: string) => CelType | undefined {
  return (name) => {
    if (name === "JSONPatch") return JSON_PATCH;
    const [root, ...path] = name.split(".");
    if (root !== "Object") return undefined;
    let node: FieldSchema | undefined = schema;
    for (const field of path) node = elementOf(node)?.properties?.get(unescapeFieldName(field));
    const struct = elementOf(node);
    return struct?.type === "object" ? literalType(name, struct) : undefined;
  };
}

function elementOf(schema: FieldSchema | undefined): FieldSchema | undefined {
  return schema?.type === "array" || schema?.type === "map" ? schema.items : schema;
}

/** Fields that are structs have the type of their path, not of their definition. */
function literalType(name: string, schema: FieldSchema): CelType {
  return {
    kind: "object",
    name,
    schema,
    field(field) {
      const property = schema.properties?.get(unescapeFieldName(field));
      if (property === undefined) return undefined;
      const element = elementOf(property);
      if (element?.type !== "object" || element.properties === undefined) return typeOfSchema(property);
      const inner = literalType(`${name}.${field}`, element);
      return property.type === "array" ? listOf(inner) : property.type === "map" ? mapOf(STRING, inner) : inner;
    },
  };
}
