/**
 * Places in the data that a schema describes, as far as cost estimates follow them, and how large a value there can be.
 */
import type { FieldSchema } from "../schema.ts";
import { escapeFieldName } from "./names.ts";
import type { Range } from "./ranges.ts";
import { isTyped, propertyOf } from "./types.ts";

/** A schema, "key" for the name of a map's entry, or "nowhere" where the path leads out of the schema. */
export type Place = { readonly schema: FieldSchema } | "key" | "nowhere";

const MAX_REQUEST_BYTES = 3 * 1024 * 1024;

export const ROOT_OF = (schema: FieldSchema | undefined): Place => (schema === undefined ? "nowhere" : { schema });

const schemaAt = (place: Place): FieldSchema | undefined => (typeof place === "string" ? undefined : place.schema);
const at = (schema: FieldSchema | undefined): Place => (schema === undefined ? "nowhere" : { schema });

/** The first step from a value that comes from nowhere in the data counts as the root: cel-go drops it as a name. */
export function memberOf(place: Place | undefined, field: string, root: Place): Place {
  if (place === undefined) return root;
  const schema = schemaAt(place);
  const property = schema === undefined ? undefined : propertyOf(schema, field);
  return at(property !== undefined && isTyped(property) ? property : undefined);
}
/** Elements of a list, values of a map. */
export function below(place: Place | undefined, root: Place): Place {
  return place === undefined ? root : at(schemaAt(place)?.items);
}
/** Positions of a list, names of a map's entries. */
export function entriesOf(place: Place | undefined, root: Place, positions: boolean): Place {
  if (place === undefined) return root;
  return !positions && schemaAt(place)?.type === "map" ? "key" : "nowhere";
}

/** undefined: nothing is known. */
export function sizeAt(place: Place): Range | undefined {
  if (place === "nowhere") return undefined;
  return { min: 0, max: place === "key" ? 0 : maxSize(place.schema) };
}

/** Elements or characters a value can have. */
function maxSize(schema: FieldSchema): number {
  const { raw } = schema;
  const bound = (name: string): number | undefined =>
    typeof raw?.[name] === "number" ? Math.max(0, raw[name]) : undefined;
  switch (schema.type) {
    case "int-or-string":
      return (bound("maxLength") ?? (MAX_REQUEST_BYTES - 2) / 4) * 4;
    case "string":
      return maxText(schema, bound("maxLength"));
    case "array":
      return bound("maxItems") ?? Math.floor((MAX_REQUEST_BYTES - 2) / (minBytes(schema.items!) + 1));
    case "map":
      return bound("maxProperties") ?? Math.floor((MAX_REQUEST_BYTES - 2) / (minBytes(schema.items!) + 6));
    default:
      return 0;
  }
}

function maxText({ format, enum: allowed }: FieldSchema, maxLength: number | undefined): number {
  if (format === "duration" || format === "date-time") return 32;
  if (format === "date") return 12;
  if (format === "byte") return maxLength ?? MAX_REQUEST_BYTES - 2;
  // A character takes up to four bytes.
  if (maxLength !== undefined) return maxLength * 4;
  if (allowed === undefined || allowed.length === 0) return MAX_REQUEST_BYTES - 2;
  return Math.max(0, ...allowed.map((value) => (typeof value === "string" ? Buffer.byteLength(value) : 0)));
}

/** How often a value can occur in a request, where nothing bounds the lists and maps around it. */
export const maxOccurrences = (schema: FieldSchema): number => Math.floor(MAX_REQUEST_BYTES / (minBytes(schema) + 1));

/** Bytes of the shortest JSON text of a value. */
function minBytes(schema: FieldSchema): number {
  switch (schema.type) {
    case "boolean":
      return 4;
    case "string":
      return { duration: 3, date: 12, "date-time": 21 }[schema.format ?? ""] ?? 2;
    case "array":
    case "map":
      return 2;
    case "object":
      return minObjectBytes(schema);
    default:
      return 1;
  }
}

function minObjectBytes(schema: FieldSchema): number {
  let bytes = 2;
  for (const name of schema.required ?? []) {
    const property = propertyOf(schema, escapeFieldName(name) ?? name) ?? schema.properties?.get(name);
    if (property === undefined || property.default !== undefined || !isTyped(property)) continue;
    bytes += Buffer.byteLength(name) + minBytes(property) + 4;
  }
  return bytes;
}
