import type { FieldSchema } from "#pkg/api/index.ts";
import { isRecord } from "#pkg/apimachinery/index.ts";
import { assertTyped } from "#pkg/apimachinery/managedfields/index.ts";
import { errorMessage } from "#pkg/util/index.ts";

/**
 * Merges an apply configuration into an object as server-side apply would (KEP-555), without ownership: objects field by
 * field, keyed lists by their keys, sets as unions. Returns the merged value; its arguments stay as they are.
 * @throws Error for what does not fit the schema, and for a list or map that is atomic: a policy must not replace such by
 * accident.
 */
export function mergeApplied(schema: FieldSchema, current: unknown, applied: unknown): unknown {
  try {
    assertTyped(schema, applied);
  } catch (error) {
    throw new Error(`failed to convert patch object to typed object: ${errorMessage(error)}`, { cause: error });
  }
  const atomic = atomicParts(schema, applied, "");
  if (atomic.length > 0)
    throw new Error(`invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ${atomic.join(", ")}`);
  return merge(schema, current, applied);
}

/** Paths of the lists and maps in `applied` that the schema replaces as a whole. */
function atomicParts(schema: FieldSchema | undefined, applied: unknown, path: string): string[] {
  if (isRecord(applied)) {
    const own = schema?.mapType === "atomic" ? [path] : [];
    const inner = Object.entries(applied).flatMap(([name, value]) =>
      atomicParts(schema?.properties?.get(name), value, `${path}.${name}`),
    );
    return [...own, ...inner];
  }
  if (!Array.isArray(applied) || schema?.type !== "array") return [];
  const own = schema.listType === "map" || schema.listType === "set" ? [] : [path];
  return [...own, ...applied.flatMap((item, index) => atomicParts(schema.items, item, `${path}[${index}]`))];
}

function merge(schema: FieldSchema | undefined, current: unknown, applied: unknown): unknown {
  if (isRecord(applied)) {
    const merged: Record<string, unknown> = isRecord(current) ? { ...current } : {};
    for (const [name, value] of Object.entries(applied)) {
      const inner = schema?.type === "map" ? schema.items : schema?.properties?.get(name);
      merged[name] = merge(inner, merged[name], value);
    }
    return merged;
  }
  if (!Array.isArray(applied)) return applied;
  const items: unknown[] = Array.isArray(current) ? current : [];
  if (schema?.listType === "map") return mergeKeyed(schema, items, applied);
  return schema?.listType === "set" ? [...new Set([...items, ...applied])] : applied;
}

function mergeKeyed(schema: FieldSchema, current: readonly unknown[], applied: readonly unknown[]): unknown[] {
  const keys = schema.listMapKeys ?? [];
  const identity = (item: unknown): string => JSON.stringify(keys.map((key) => keyValue(schema, item, key)));
  const merged = [...current];
  for (const item of applied) {
    const wanted = identity(item);
    const index = merged.findIndex((own) => identity(own) === wanted);
    if (index < 0) merged.push(merge(schema.items, undefined, item));
    else merged[index] = merge(schema.items, merged[index], item);
  }
  return merged;
}

/** A key that is left out has its default (protocol: TCP). */
function keyValue(schema: FieldSchema, item: unknown, key: string): unknown {
  const value = isRecord(item) ? item[key] : undefined;
  return value ?? schema.items?.properties?.get(key)?.default ?? null;
}
