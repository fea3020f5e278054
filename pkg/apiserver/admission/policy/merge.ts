import type { FieldSchema } from "#pkg/api/index.ts";
import { isRecord } from "#pkg/apimachinery/index.ts";

/**
 * Merges an apply configuration into an object as server-side apply would (KEP-555), without ownership: objects field by
 * field, keyed lists by their keys, sets as unions. Returns the merged value; its arguments stay as they are.
 * @throws Error for a list or map that is atomic: a policy must not replace such by accident.
 */
export function mergeApplied(schema: FieldSchema | undefined, current: unknown, applied: unknown, path = ""): unknown {
  if (isRecord(applied)) return mergeObject(schema, isRecord(current) ? current : undefined, applied, path);
  if (Array.isArray(applied)) return mergeList(schema, Array.isArray(current) ? current : undefined, applied, path);
  return applied;
}

function mergeObject(
  schema: FieldSchema | undefined,
  current: Record<string, unknown> | undefined,
  applied: Record<string, unknown>,
  path: string,
): unknown {
  if (schema?.mapType === "atomic" && path !== "")
    throw new Error(`may not mutate atomic arrays, maps or structs: ${path}`);
  const merged: Record<string, unknown> = { ...current };
  for (const [name, value] of Object.entries(applied)) {
    const inner = schema?.type === "map" ? schema.items : schema?.properties?.get(name);
    merged[name] = mergeApplied(inner, current?.[name], value, `${path}.${name}`);
  }
  return merged;
}

function mergeList(
  schema: FieldSchema | undefined,
  current: unknown[] | undefined,
  applied: unknown[],
  path: string,
): unknown {
  switch (schema?.listType) {
    case "map":
      return mergeKeyed(schema, current ?? [], applied, path);
    case "set":
      return [...new Set([...(current ?? []), ...applied])];
    default:
      throw new Error(`may not mutate atomic arrays, maps or structs: ${path}`);
  }
}

function mergeKeyed(
  schema: FieldSchema,
  current: readonly unknown[],
  applied: readonly unknown[],
  path: string,
): unknown[] {
  const keys = schema.listMapKeys ?? [];
  const identity = (item: unknown): string => JSON.stringify(keys.map((key) => keyValue(schema, item, key)));
  const merged = [...current];
  for (const item of applied) {
    const wanted = identity(item);
    const index = merged.findIndex((own) => identity(own) === wanted);
    if (index < 0) merged.push(mergeApplied(schema.items, undefined, item, `${path}[]`));
    else merged[index] = mergeApplied(schema.items, merged[index], item, `${path}[]`);
  }
  return merged;
}

/** A key that is left out has its default (protocol: TCP). */
function keyValue(schema: FieldSchema, item: unknown, key: string): unknown {
  const value = isRecord(item) ? item[key] : undefined;
  return value ?? schema.items?.properties?.get(key)?.default ?? null;
}
