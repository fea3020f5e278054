import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { ListOptions, WatchOptions } from "./contract.ts";

/** Path of a resource's collection, or of one object of it, or of that one's subresource. "" names nothing. */
export function resourcePath(resource: ResourceRef<unknown>, namespace: string, name = "", subresource = ""): string {
  const { group, version, plural, namespaced } = resource;
  let path = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  if (namespaced && namespace !== "") path += `/namespaces/${encodeURIComponent(namespace)}`;
  path += `/${plural}`;
  if (name !== "") path += `/${encodeURIComponent(name)}`;
  if (subresource !== "") path += `/${subresource}`;
  return path;
}

/** "?a=b&c=d", or "" when there is nothing to say. */
export function queryString(query: Readonly<Record<string, string>>): string {
  const text = new URLSearchParams(query).toString();
  return text === "" ? "" : `?${text}`;
}

export function listQuery(options: ListOptions & WatchOptions): Record<string, string> {
  const query: Record<string, string> = {};
  const set = (name: string, value: string | number | boolean | undefined) => {
    if (value !== undefined && value !== "") query[name] = String(value);
  };
  set("labelSelector", options.labelSelector);
  set("fieldSelector", options.fieldSelector);
  set("resourceVersion", options.resourceVersion);
  set("resourceVersionMatch", options.resourceVersionMatch);
  set("limit", options.limit);
  set("continue", options.continue);
  set("allowWatchBookmarks", options.allowWatchBookmarks);
  set("sendInitialEvents", options.sendInitialEvents);
  set("timeoutSeconds", options.timeoutSeconds);
  return query;
}
