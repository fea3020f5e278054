import { builtinResources, rootSchema } from "#pkg/api/index.ts";
import type { ValidatingAdmissionPolicy } from "#pkg/api/types/admissionregistration-v1.ts";
import type { APIResourceList } from "#pkg/api/types/meta-v1.ts";
import { apiVersionOf, isNotFound, isRecord, parseApiVersion } from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import type { KnownKind } from "./type-check.ts";

/** A policy is not worth more requests than for this many group versions. */
const MAX_GROUP_VERSIONS = 20;

interface OpenApiV3 {
  readonly components?: { readonly schemas?: Readonly<Record<string, Readonly<Record<string, unknown>>>> };
}

/** Group versions that a policy names, and that are not built in. */
function customVersions({ spec }: ValidatingAdmissionPolicy): { group: string; version: string }[] {
  const named = new Set<string>(spec.paramKind?.apiVersion === undefined ? [] : [spec.paramKind.apiVersion]);
  for (const { apiGroups = [], apiVersions = [] } of spec.matchConstraints?.resourceRules ?? []) {
    if ([...apiGroups, ...apiVersions].some((name) => name.includes("*"))) continue;
    for (const group of apiGroups) for (const version of apiVersions) named.add(apiVersionOf({ group, version }));
  }
  for (const definition of builtinResources()) named.delete(apiVersionOf(definition));
  return [...named]
    .filter((name) => name.includes("/"))
    .slice(0, MAX_GROUP_VERSIONS)
    .map(parseApiVersion);
}

/** The custom kinds that a policy may mean, as the server describes them now. */
export async function customKinds(
  client: Client,
  policy: ValidatingAdmissionPolicy,
  signal: AbortSignal,
): Promise<KnownKind[]> {
  const found: KnownKind[] = [];
  for (const { group, version } of customVersions(policy)) {
    const path = `apis/${encodeURIComponent(group)}/${encodeURIComponent(version)}`;
    try {
      const { resources } = await client.raw<APIResourceList>("GET", `/${path}`, undefined, { signal });
      const { components } = await client.raw<OpenApiV3>("GET", `/openapi/v3/${path}`, undefined, { signal });
      const schemas = Object.values(components?.schemas ?? {});
      for (const { name, kind } of resources ?? []) {
        if (name.includes("/")) continue;
        const schema = schemas.find((each) => isOfKind(each, group, version, kind));
        if (schema !== undefined) found.push({ group, version, plural: name, kind, schema: rootSchema({ ...schema }) });
      }
    } catch (error) {
      // What nobody serves has no types, and is not checked.
      if (!isNotFound(error)) throw error;
    }
  }
  return found;
}

function isOfKind(schema: Readonly<Record<string, unknown>>, group: string, version: string, kind: string): boolean {
  const kinds = schema["x-kubernetes-group-version-kind"];
  return (
    Array.isArray(kinds) &&
    kinds.some((own) => isRecord(own) && own["group"] === group && own["version"] === version && own["kind"] === kind)
  );
}
