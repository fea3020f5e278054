import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import { jsonFields } from "#pkg/apimachinery/protobuf/index.ts";
import { protobufMessageOf } from "./definitions.ts";

/** What an empty Go value is in JSON, by the type of its schema. */
const ZEROS: Readonly<Partial<Record<FieldSchema["type"], unknown>>> = {
  object: Object.freeze({}),
  string: "",
  integer: 0,
  number: 0,
  boolean: false,
  quantity: "0",
  "int-or-string": 0,
};

/** The members that an empty object of a definition has in its Go type: see FieldSchema.emptyMembers. */
export function emptyMembersOf(definition: string, schema: FieldSchema): ReadonlyMap<string, unknown> {
  const absent = new Map(jsonFields(protobufMessageOf(definition)).map((field) => [field.name, field.absent]));
  const members = new Map<string, unknown>();
  for (const [name, { type }] of schema.properties ?? []) {
    const kind = absent.get(name);
    const isContainer = type === "array" || type === "map";
    // The tables leave out lists that validation does not let be empty, and the metadata of API services.
    if (kind === "null" || (isContainer && schema.required?.includes(name) === true)) members.set(name, null);
    else if (kind === "zero" || (name === "metadata" && type === "object")) members.set(name, ZEROS[type] ?? null);
  }
  return members;
}
