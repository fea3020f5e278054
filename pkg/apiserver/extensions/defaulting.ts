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
  const members: { name: string; value: unknown; nullable: boolean; apply: Defaulter }[] = [];
  for (const [name, member] of schema.properties ?? []) {
    // Built-in metadata has its own rules.
    if (member.raw === undefined) continue;
    const apply = compileSchemaDefaults(member);
    if (apply === NOTHING && member.default === undefined) continue;
    members.push({ name, value: member.default, nullable: member.nullable === true, apply });
  }
  if (members.length === 0) return NOTHING;
  return (object) => {
    if (!isRecord(object)) return;
    for (const { name, value, nullable, apply } of members) {
      // A null where none is allowed counts as left out.
      const absent = object[name] === undefined || (object[name] === null && !nullable);
      if (absent && value !== undefined) object[name] = deepCopy(value);
      if (object[name] !== undefined) apply(object[name]);
    }
  };
}
