import { type FieldEntry, hasMessage, messageFields } from "#pkg/apimachinery/protobuf/index.ts";
import { definitions, protobufMessageOf } from "./definitions.ts";

function collect(fields: readonly FieldEntry[], required: ReadonlySet<string>, plain: Set<string>): void {
  for (const field of fields) {
    if (field.inline) collect(messageFields(field.type), required, plain);
    else if (field.label !== "optional") {
      if (!required.has(field.name)) plain.add(field.name);
    } else if (!field.isMessage && !field.keepsZero) plain.add(field.name);
  }
}

/**
 * Fields of a definition whose empty value is the same as none: plain scalars, lists and maps that upstream leaves out
 * of JSON when they are empty. Pointers and required fields are not among them.
 */
export function plainFieldsOf(definition: string): ReadonlySet<string> {
  const plain = new Set<string>();
  const message = protobufMessageOf(definition);
  if (hasMessage(message)) collect(messageFields(message), new Set(definitions[definition]?.required), plain);
  return plain;
}

/** "", 0, false, and lists and maps without elements. */
export function isZero(value: unknown): boolean {
  if (value === "" || value === 0 || value === false) return true;
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.length === 0;
  for (const _key in value) return false;
  return true;
}
