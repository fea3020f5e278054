import { badRequest, type FieldSelector, type Selector } from "#pkg/apimachinery/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import type { RequestTarget } from "../http/target.ts";
import type { InstalledResource } from "./installed.ts";
import type { ListOptions } from "./options.ts";

/** What a list or watch is about: the part that storage can look up, and the rest as a filter. */
export interface Selection {
  readonly namespace: string;
  readonly name?: string;
  readonly index?: { readonly index: string; readonly value: string };
  /** undefined when everything matches. */
  readonly matches: ((entry: CacheEntry) => boolean) | undefined;
  readonly labels: Selector | undefined;
  readonly fields: FieldSelector | undefined;
}

/** Index names that storage keeps, by resource (see ResourceRegistry). */
const INDEXED = new Set(["spec.nodeName"]);

/** @throws StatusError 400 for a field that cannot be selected on. */
export function selectionOf(installed: InstalledResource, target: RequestTarget, options: ListOptions): Selection {
  const { labelSelector: labels, fieldSelector: fields } = options;
  const { definition } = installed;
  for (const { field } of fields?.requirements ?? []) {
    if (field === "metadata.name" || definition.selectableFields.has(field)) continue;
    if (field === "metadata.namespace") continue;
    throw badRequest(notSelectable(installed, field));
  }
  const name = target.name === "" ? fields?.exactValue("metadata.name") : target.name;
  const fieldNamespace = definition.namespaced ? fields?.exactValue("metadata.namespace") : undefined;
  const namespace = target.namespace === "" ? (fieldNamespace ?? "") : target.namespace;
  const indexed = fields?.requirements.find(
    ({ field, operator }) => operator === "=" && INDEXED.has(field) && definition.plural === "pods",
  );
  return {
    namespace: definition.namespaced ? namespace : "",
    ...(name === undefined ? {} : { name }),
    ...(indexed === undefined ? {} : { index: { index: indexed.field, value: indexed.value } }),
    matches: matcher(installed, labels, fields),
    labels,
    fields,
  };
}

/** Kinds with selectable fields of their own say it in words of their own. */
function notSelectable({ definition }: InstalledResource, field: string): string {
  const { group, version, kind, custom, selectableFields } = definition;
  if (group === "batch") return `field label ${JSON.stringify(field)} not supported for ${JSON.stringify(kind)}`;
  if (kind === "ResourceSlice") return `field label not supported for ${group}/${version}, Kind=${kind}: ${field}`;
  if (custom || selectableFields.size > 0) return `field label not supported: ${field}`;
  return `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`;
}

function matcher(
  installed: InstalledResource,
  labels: Selector | undefined,
  fields: FieldSelector | undefined,
): Selection["matches"] {
  if (labels === undefined && fields === undefined) return undefined;
  const { selectableFields } = installed.definition;
  // Names and namespaces are known without parsing the object.
  const needsObject =
    labels !== undefined ||
    fields!.requirements.some(({ field }) => field !== "metadata.name" && field !== "metadata.namespace");
  const valueOf = (entry: CacheEntry, object: Readonly<KubeObject> | undefined, field: string): string => {
    if (field === "metadata.name") return entry.name;
    if (field === "metadata.namespace") return entry.namespace;
    return selectableFields.get(field)!(object!);
  };
  return (entry) => {
    const object = needsObject ? installed.object(entry) : undefined;
    if (labels !== undefined && !labels.matches(object!.metadata.labels ?? {})) return false;
    return fields === undefined || fields.matches((field) => valueOf(entry, object, field));
  };
}
