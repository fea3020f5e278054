import { deepCopy, isRecord } from "#pkg/apimachinery/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";

type Defaulter = (value: unknown) => void;

const NOTHING: Defaulter = () => undefined;

/** Compiles the defaults of a custom resource's schema. The result fills them in, in place; it is idempotent. */
export function compileSchemaDefaults(schema: FieldSchema): Defaulter {
  switch (schema.type) {
    case "object":
      return objectDefaults(schema);
    case "array":
      return elementDefaults(schema, (value, apply) => {
        if (Array.isArray(value)) for (const element of value) apply(element);
      });
    case "map":
      return elementDefaults(schema, (value, apply) => {
        if (isRecord(value)) for (const key of Object.keys(value)) apply(value[key]);
      });
    default:
      return NOTHING;
  }
}

function elementDefaults(schema: FieldSchema, each: (value: unknown, apply: Defaulter) => void): Defaulter {
  const apply = schema.items === undefined ? NOTHING : compileSchemaDefaults(schema.items);
  return apply === NOTHING ? NOTHING : (value) => each(value, apply);
}

function objectDefaults(schema: FieldSchema): Defaulter {
  /** Those that appear where they are absent. */
  const defaults: { name: string; value: unknown; nullable: boolean }[] = [];
  /** Those with defaults below them, which only matter where they are present. */
  const nested = new Map<string, Defaulter>();
  for (const [name, member] of schema.properties ?? []) {
    // Built-in metadata has its own rules.
    if (member.raw === undefined) continue;
    const apply = compileSchemaDefaults(member);
    if (apply !== NOTHING) nested.set(name, apply);
    if (member.default !== undefined)
      defaults.push({ name, value: member.default, nullable: member.nullable === true });
  }
  if (defaults.length + nested.size === 0) return NOTHING;
  return (object) => {
    if (!isRecord(object)) return;
    for (const { name, value, nullable } of defaults) {
      // A null where none is allowed counts as left out.
      const absent = object[name] === undefined || (object[name] === null && !nullable);
      if (absent) object[name] = deepCopy(value);
    }
    if (nested.size > 0) for (const name of Object.keys(object)) nested.get(name)?.(object[name]);
  };
}
