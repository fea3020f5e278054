import { deepCopy, isRecord } from "#pkg/apimachinery/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";

type Defaulter = (value: unknown) => void;

const NOTHING: Defaulter = () => undefined;

/**
 * Compiles the defaults of a custom resource's schema. The result fills them in, in place; it is idempotent. Nulls that
 * are not allowed and have no default go, or, with `keepsNulls`, stay for validation to refuse.
 */
export function compileSchemaDefaults(schema: FieldSchema, keepsNulls = false): Defaulter {
  switch (schema.type) {
    case "object":
      return objectDefaults(schema, keepsNulls);
    case "array":
      return elementDefaults(schema, keepsNulls);
    case "map":
      return entryDefaults(schema, keepsNulls);
    default:
      return NOTHING;
  }
}

function elementDefaults(schema: FieldSchema, keepsNulls: boolean): Defaulter {
  const apply = schema.items === undefined ? NOTHING : compileSchemaDefaults(schema.items, keepsNulls);
  if (apply === NOTHING) return NOTHING;
  return (value) => {
    if (Array.isArray(value)) for (const element of value) apply(element);
  };
}

/** A null counts as left out where none is allowed: the default takes its place. */
function objectDefaults(schema: FieldSchema, keepsNulls: boolean): Defaulter {
  /** Those that appear where they are absent. */
  const defaults: { name: string; value: unknown; nullable: boolean }[] = [];
  /** What is below them only matters where they are present. */
  const nested = new Map<string, Defaulter>();
  const nonNull = new Set<string>();
  for (const [name, member] of schema.properties ?? []) {
    // Built-in metadata has its own rules.
    if (member.raw === undefined) continue;
    const apply = compileSchemaDefaults(member, keepsNulls);
    if (apply !== NOTHING) nested.set(name, apply);
    const nullable = member.nullable === true;
    if (!nullable && !keepsNulls) nonNull.add(name);
    if (member.default !== undefined) defaults.push({ name, value: member.default, nullable });
  }
  if (defaults.length + nested.size + nonNull.size === 0) return NOTHING;
  return (object) => {
    if (!isRecord(object)) return;
    for (const { name, value, nullable } of defaults) {
      const absent = object[name] === undefined || (object[name] === null && !nullable);
      if (absent) object[name] = deepCopy(value);
    }
    for (const name of Object.keys(object)) {
      if (object[name] === null && nonNull.has(name)) delete object[name];
      else nested.get(name)?.(object[name]);
    }
  };
}

/** Entries of maps have no defaults of their own. */
function entryDefaults(schema: FieldSchema, keepsNulls: boolean): Defaulter {
  const apply = schema.items === undefined ? NOTHING : compileSchemaDefaults(schema.items, keepsNulls);
  const dropsNulls = !keepsNulls && schema.items?.raw !== undefined && schema.items.nullable !== true;
  if (apply === NOTHING && !dropsNulls) return NOTHING;
  return (object) => {
    if (!isRecord(object)) return;
    for (const key of Object.keys(object)) {
      if (object[key] === null && dropsNulls) delete object[key];
      else apply(object[key]);
    }
  };
}
