import { canonicalQuantity } from "#pkg/apimachinery/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import { isZero, type PlainFields, plainFieldsOf } from "./plain-fields.ts";
import { schemaOf } from "./schema-of.ts";

/** Changes a value in place and returns it, or returns what stands for it. */
type Pruner = (value: unknown) => unknown;

const pruners = new WeakMap<FieldSchema, Pruner>();

/**
 * Brings an object into the form in which it is stored, in place: fields the schema does not know go, so do nulls and
 * empty values that upstream does not write, and quantities and times are written canonically. Fields below
 * `preserveUnknownFields` stay as they are.
 */
export function prune<T>(schema: FieldSchema, object: T): T {
  return compile(schema)(object) as T;
}

function compile(schema: FieldSchema): Pruner {
  const known = pruners.get(schema);
  if (known !== undefined) return known;
  let compiled: Pruner | undefined;
  const pruner: Pruner = (value) => (compiled ??= build(schema))(value);
  pruners.set(schema, pruner);
  return pruner;
}

const NONE: ReadonlySet<string> = new Set();
const NO_FIELDS: PlainFields = { dropped: NONE, nullable: NONE, emptyIsNull: NONE };
const keep: Pruner = (value) => value;

function build(schema: FieldSchema): Pruner {
  switch (schema.type) {
    case "object":
      return objectPruner(schema);
    case "array":
      return arrayPruner(schema);
    case "map":
      return mapPruner(schema);
    case "quantity":
      return pruneQuantity;
    case "time":
      return pruneTime;
    default:
      return keep;
  }
}

/** Kinds and metadata of objects inside objects have the shape every object has. */
function embeddedMembers(): readonly [string, FieldSchema][] {
  return [
    ["apiVersion", { type: "string" }],
    ["kind", { type: "string" }],
    ["metadata", schemaOf("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")],
  ];
}

function objectPruner(schema: FieldSchema): Pruner {
  const open = schema.preserveUnknownFields === true || (schema.properties === undefined && schema.items === undefined);
  if (open && schema.properties === undefined && schema.embeddedResource !== true) return keep;
  const members = new Map<string, Pruner>();
  if (schema.embeddedResource === true) {
    for (const [name, member] of embeddedMembers()) members.set(name, compile(member));
  }
  for (const [name, member] of schema.properties ?? []) {
    if (schema.embeddedResource !== true || !members.has(name)) members.set(name, compile(member));
  }
  const additional = schema.items === undefined ? undefined : compile(schema.items);
  const keepsNulls = schema.raw !== undefined;
  const { dropped, nullable, emptyIsNull } = plainFields(schema);
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    const object = value as Record<string, unknown>;
    for (const name in object) {
      const member = members.get(name) ?? additional;
      const before = object[name];
      if (before === null && !keepsNulls) {
        if (!nullable.has(name)) delete object[name];
      } else if (member === undefined) {
        if (!open) delete object[name];
      } else {
        const after = member(before);
        if (dropped.has(name) && isZero(after)) delete object[name];
        else if (emptyIsNull.has(name) && isZero(after)) object[name] = null;
        else if (after !== before) object[name] = after;
      }
    }
    return object;
  };
}

/** How empty values of the schema's fields are written; custom resources keep theirs. */
export function plainFields({ definition }: FieldSchema): PlainFields {
  return definition === undefined ? NO_FIELDS : plainFieldsOf(definition);
}

function zeroOf(type: FieldSchema["type"] | undefined): () => unknown {
  switch (type) {
    case "object":
    case "map":
      return () => ({});
    case "string":
    case "bytes":
      return () => "";
    case "integer":
    case "number":
    case "int-or-string":
      return () => 0;
    case "quantity":
      return () => "0";
    case "boolean":
      return () => false;
    default:
      return () => null;
  }
}

/** What a decoder in Go makes of null as an element or a map's value; custom resources are not decoded by types. */
function zeroElement(schema: FieldSchema): () => unknown {
  return schema.raw === undefined ? zeroOf(schema.items?.type) : () => null;
}

function arrayPruner(schema: FieldSchema): Pruner {
  const element = compile(schema.items ?? { type: "any" });
  const zero = zeroElement(schema);
  return (value) => {
    if (!Array.isArray(value)) return value;
    for (let i = 0; i < value.length; i++) {
      const before: unknown = value[i] ?? zero();
      const after = element(before);
      if (after !== value[i]) value[i] = after;
    }
    return value;
  };
}

function mapPruner(schema: FieldSchema): Pruner {
  const element = compile(schema.items ?? { type: "any" });
  const zero = zeroElement(schema);
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    const object = value as Record<string, unknown>;
    for (const key in object) {
      const before = object[key];
      const after = element(before ?? zero());
      if (after !== before) object[key] = after;
    }
    return object;
  };
}

const pruneQuantity: Pruner = (value) => {
  if (typeof value === "bigint") return canonicalQuantity(String(value));
  if (typeof value !== "string" && typeof value !== "number") return value;
  return canonicalQuantity(value);
};

const WIRE_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/;

const pruneTime: Pruner = (value) => {
  if (typeof value !== "string" || WIRE_TIME.test(value)) return value;
  const time = Date.parse(value);
  return Number.isNaN(time) ? value : `${new Date(time).toISOString().slice(0, 19)}Z`;
};
