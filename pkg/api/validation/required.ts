import { type FieldError, type FieldSchema, isRecord } from "#pkg/apimachinery/index.ts";
import { schemaOf } from "../schema/schema-of.ts";
import { required } from "./rules.ts";

function collect(schema: FieldSchema, value: unknown, path: string, errors: FieldError[]): void {
  if (schema.type === "array") {
    if (!Array.isArray(value)) return;
    for (const [index, item] of value.entries()) collect(schema.items!, item, `${path}[${index}]`, errors);
    return;
  }
  if (schema.type !== "object" || !isRecord(value)) return;
  for (const name of schema.required ?? []) {
    const member = value[name];
    const absent = member === undefined || member === "" || (Array.isArray(member) && member.length === 0);
    if (absent) errors.push(required(`${path}.${name}`));
  }
  for (const [name, member] of schema.properties ?? []) {
    if (value[name] !== undefined) collect(member, value[name], `${path}.${name}`, errors);
  }
}

/**
 * The rule of kinds that have no other one yet: what the schema requires must be there. `definition` names the schema
 * of the value at `path`.
 */
export function validateRequired(definition: string, value: unknown, path: string): FieldError[] {
  const errors: FieldError[] = [];
  collect(schemaOf(definition), value, path, errors);
  return errors;
}
