import type { FieldSchema } from "#pkg/apimachinery/index.ts";

/** Package and name as Go prints a type: v1.Container, resource.Quantity, intstr.IntOrString. */
function structName(definition: string): string {
  const parts = definition.split(".");
  return `${parts.at(-2)}.${parts.at(-1)}`;
}

const SCALARS: Readonly<Record<string, string>> = {
  string: "string",
  boolean: "bool",
  number: "float64",
  quantity: "resource.Quantity",
  "int-or-string": "intstr.IntOrString",
  time: "v1.Time",
  "micro-time": "v1.MicroTime",
  bytes: "[]uint8",
  any: "interface {}",
};

/** The Go type upstream decodes a field into, as its error messages show it. Named string types show as string. */
export function goTypeOf(schema: FieldSchema): string {
  if (schema.type === "array") return `[]${goTypeOf(schema.items ?? { type: "any" })}`;
  if (schema.type === "map") return `map[string]${goTypeOf(schema.items ?? { type: "any" })}`;
  if (schema.type === "integer") return schema.format ?? "int64";
  if (schema.type === "object") {
    return schema.definition === undefined ? "map[string]interface {}" : structName(schema.definition);
  }
  return SCALARS[schema.type] ?? schema.type;
}
