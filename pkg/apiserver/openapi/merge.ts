import { isRecord } from "#pkg/apimachinery/index.ts";
import type { Json } from "./schemas.ts";

/** What a version 2 document of another server adds to ours. */
export interface OpenApiPart {
  readonly paths: Json;
  readonly definitions: Json;
}

const REFERENCE = "#/definitions/";

/** The part of another server's document that is about paths under `prefix`, with the definitions these need. */
export function partOf(document: unknown, prefix: string): OpenApiPart | undefined {
  if (!isRecord(document) || !isRecord(document["paths"])) return undefined;
  const all = isRecord(document["definitions"]) ? document["definitions"] : {};
  const paths: Json = {};
  for (const [path, item] of Object.entries(document["paths"]))
    if (path === prefix || path.startsWith(`${prefix}/`)) paths[path] = item;
  const definitions: Json = {};
  const pending: unknown[] = [paths];
  while (pending.length > 0) {
    for (const name of referencesIn(pending.pop())) {
      if (Object.hasOwn(definitions, name) || !Object.hasOwn(all, name)) continue;
      definitions[name] = all[name];
      pending.push(all[name]);
    }
  }
  return { paths, definitions };
}

function referencesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(referencesIn);
  if (!isRecord(value)) return [];
  return Object.entries(value).flatMap(([key, child]) =>
    key === "$ref" && typeof child === "string" && child.startsWith(REFERENCE)
      ? [child.slice(REFERENCE.length)]
      : referencesIn(child),
  );
}
