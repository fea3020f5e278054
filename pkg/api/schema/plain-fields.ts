import { type FieldEntry, hasMessage, messageFields } from "#pkg/apimachinery/protobuf/index.ts";
import { protobufMessageOf } from "./definitions.ts";

export interface PlainFields {
  /** Fields whose empty value is the same as none, and is left out. */
  readonly dropped: ReadonlySet<string>;
  /** Lists, maps, pointers and times that JSON has as null where there are none. */
  readonly nullable: ReadonlySet<string>;
  /** Those of them whose empty value is none. */
  readonly emptyIsNull: ReadonlySet<string>;
}

interface Collected {
  readonly dropped: Set<string>;
  readonly nullable: Set<string>;
  readonly emptyIsNull: Set<string>;
}

function collect(fields: readonly FieldEntry[], into: Collected): Collected {
  for (const field of fields) {
    const { name, label, type } = field;
    if (field.inline) collect(messageFields(type), into);
    else if (field.absent === "null") {
      into.nullable.add(name);
      if (label !== "optional" || type === "bytes") into.emptyIsNull.add(name);
    } else if (label !== "optional" || (!field.isMessage && !field.keepsZero)) into.dropped.add(name);
  }
  return into;
}

/** How upstream writes the empty values of a definition's fields: plain scalars, lists and maps. */
export function plainFieldsOf(definition: string): PlainFields {
  const message = protobufMessageOf(definition);
  const fields = hasMessage(message) ? messageFields(message) : [];
  return collect(fields, { dropped: new Set(), nullable: new Set(), emptyIsNull: new Set() });
}

/** "", 0, false, and lists and maps without elements. */
export function isZero(value: unknown): boolean {
  if (value === "" || value === 0 || value === false) return true;
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.length === 0;
  for (const _key in value) return false;
  return true;
}
