import { isRecord } from "#pkg/apimachinery/index.ts";
import type { Json } from "./schemas.ts";

/** What a version 2 document of another server adds to ours. */
export interface OpenApiPart {
  readonly paths: Json;
  readonly definitions: Json;
  /** What parameters of paths refer to. */
  readonly parameters: Json;
}

const REFERENCE = /^#\/(definitions|parameters)\/(.*)$/;

/** The part of another server's document that is about paths under `prefix`, with the definitions and parameters these need. */
export function partOf(document: unknown, prefix: string): OpenApiPart | undefined {
  if (!isRecord(document) || !isRecord(document["paths"])) return undefined;
  const paths: Json = {};
  for (const [path, item] of Object.entries(document["paths"]))
    if (path === prefix || path.startsWith(`${prefix}/`)) paths[path] = item;
  const found: Record<string, Json> = { definitions: {}, parameters: {} };
  const pending: unknown[] = [paths];
  while (pending.length > 0) {
    for (const [section, name] of referencesIn(pending.pop())) {
      const all = document[section];
      if (Object.hasOwn(found[section]!, name) || !isRecord(all) || !Object.hasOwn(all, name)) continue;
      found[section]![name] = all[name];
      pending.push(all[name]);
    }
  }
  return { paths, definitions: found["definitions"]!, parameters: found["parameters"]! };
}

/** The section and the name of everything that is referred to. */
function referencesIn(value: unknown): [section: string, name: string][] {
  if (Array.isArray(value)) return value.flatMap(referencesIn);
  if (!isRecord(value)) return [];
  return Object.entries(value).flatMap(([key, child]) => {
    const [, section, name] = key === "$ref" && typeof child === "string" ? (REFERENCE.exec(child) ?? []) : [];
    return section === undefined || name === undefined ? referencesIn(child) : [[section, name]];
  });
}
