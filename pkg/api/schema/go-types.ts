import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import { hasMessage, messageFields } from "#pkg/apimachinery/protobuf/index.ts";
import data from "../data/go-types.json" with { type: "json" };
import { protobufMessageOf } from "./definitions.ts";

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

/** The Go type that follows from the schema alone, as error messages show it. */
export function goTypeOf(schema: FieldSchema): string {
  if (schema.type === "array") return `[]${goTypeOf(schema.items ?? { type: "any" })}`;
  if (schema.type === "map") return `map[string]${goTypeOf(schema.items ?? { type: "any" })}`;
  if (schema.type === "integer") return schema.format ?? "int64";
  if (schema.type === "object") {
    return schema.definition === undefined ? "map[string]interface {}" : structName(schema.definition);
  }
  return SCALARS[schema.type] ?? schema.type;
}

const NAMED_TYPES: Readonly<Record<string, Readonly<Record<string, string>>>> = data.types;

/** The name of a field's Go type where it has one of its own. */
export function namedTypeOf(struct: string, field: string): string | undefined {
  return NAMED_TYPES[struct]?.[field];
}

/** The structs that a definition's type embeds, by the fields that come from them: Go names them in the paths of errors. */
export function embeddedStructsOf(definition: string | undefined): ReadonlyMap<string, string> {
  const embedded = new Map<string, string>();
  const message = definition === undefined ? "" : protobufMessageOf(definition);
  const collect = (type: string, within: string): void => {
    for (const field of messageFields(type)) {
      const struct = field.type.slice(field.type.lastIndexOf(".") + 1);
      if (field.inline) collect(field.type, within === "" ? struct : `${within}.${struct}`);
      else if (within !== "") embedded.set(field.name, within);
    }
  };
  if (hasMessage(message)) collect(message, "");
  return embedded;
}
