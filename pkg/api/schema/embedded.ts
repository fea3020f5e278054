import { type FieldSchema, isRecord } from "#pkg/apimachinery/index.ts";

/** An object inside another (`x-kubernetes-embedded-resource`), and where it is. */
export interface EmbeddedObject {
  readonly path: string;
  readonly object: Readonly<Record<string, unknown>>;
}
type Walk = (value: unknown, path: string, found: EmbeddedObject[]) => void;

/** Memo: a walk depends on its schema alone; null where nothing is embedded. */
const walks = new WeakMap<FieldSchema, Walk | null>();

/** All objects inside of a custom resource's value, the outer ones first. */
export function embeddedObjects(schema: FieldSchema, value: unknown): readonly EmbeddedObject[] {
  const walk = compile(schema);
  if (walk === null) return NONE;
  const found: EmbeddedObject[] = [];
  walk(value, "", found);
  return found;
}

const NONE: readonly EmbeddedObject[] = [];

function compile(schema: FieldSchema): Walk | null {
  const known = walks.get(schema);
  if (known !== undefined) return known;
  walks.set(schema, null); // A built-in definition may contain itself, and embeds nothing.
  const walk = build(schema);
  walks.set(schema, walk);
  return walk;
}

function build(schema: FieldSchema): Walk | null {
  const { items, embeddedResource = false } = schema;
  const element = items === undefined ? null : compile(items);
  if (schema.type === "array") {
    if (element === null) return null;
    return (value, path, found) => {
      if (!Array.isArray(value)) return;
      for (const [index, item] of value.entries()) element(item, `${path}[${index}]`, found);
    };
  }
  const members = [...(schema.properties ?? [])].flatMap(([name, member]) => {
    const walk = compile(member);
    return walk === null ? [] : [[name, walk] as const];
  });
  if (members.length === 0 && element === null && !embeddedResource) return null;
  return (value, path, found) => {
    if (!isRecord(value)) return;
    if (embeddedResource) found.push({ path, object: value });
    for (const [name, member] of members) {
      if (value[name] !== undefined) member(value[name], path === "" ? name : `${path}.${name}`, found);
    }
    if (element === null) return;
    for (const key in value) if (schema.properties?.has(key) !== true) element(value[key], `${path}[${key}]`, found);
  };
}
