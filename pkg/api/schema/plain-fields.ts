import { jsonFields } from "#pkg/apimachinery/protobuf/index.ts";
import { protobufMessageOf } from "./definitions.ts";

export interface PlainFields {
  /** Fields whose empty value is the same as none, and is left out. */
  readonly dropped: ReadonlySet<string>;
  /** Lists, maps, pointers and times that JSON has as null where there are none. */
  readonly nullable: ReadonlySet<string>;
  /** Those of them whose empty value is none. */
  readonly emptyIsNull: ReadonlySet<string>;
}

/** How upstream writes the empty values of a definition's fields: plain scalars, lists and maps. */
export function plainFieldsOf(definition: string): PlainFields {
  const dropped = new Set<string>();
  const nullable = new Set<string>();
  const emptyIsNull = new Set<string>();
  for (const { name, label, type, isMessage, keepsZero, absent } of jsonFields(protobufMessageOf(definition))) {
    if (absent === "null") {
      nullable.add(name);
      if (label !== "optional" || type === "bytes") emptyIsNull.add(name);
    } else if (label !== "optional" || (!isMessage && !keepsZero)) dropped.add(name);
  }
  return { dropped, nullable, emptyIsNull };
}

/** "", 0, false, and lists and maps without elements. */
export function isZero(value: unknown): boolean {
  if (value === "" || value === 0 || value === false) return true;
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.length === 0;
  for (const _key in value) return false;
  return true;
}
