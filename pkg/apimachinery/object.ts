import type { ManagedFieldsEntry, ObjectMeta, OwnerReference } from "#pkg/api/types/meta-v1.ts";

/** Any API object in its JSON wire form. Typed kinds (Pod, …) are structurally assignable to it. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

/** The shape every typed kind shares; use as the bound of generics: `<T extends AnyObject>`. */
export interface AnyObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
}

export type { ManagedFieldsEntry, ObjectMeta, OwnerReference };

/** A version of an API group; the core group is "". */
export interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

/** Names one object of a known resource. `namespace` is "" for cluster-scoped objects. */
export interface ObjectKey {
  readonly namespace: string;
  readonly name: string;
}

/** The key of an object, complete or not. */
export function keyOf(object: AnyObject): ObjectKey {
  return { namespace: object.metadata.namespace ?? "", name: object.metadata.name ?? "" };
}

/** "namespace/name", or "name" for cluster-scoped objects; the form used as a map key and in logs. */
export function keyString(key: ObjectKey): string {
  return key.namespace === "" ? key.name : `${key.namespace}/${key.name}`;
}

/** The opposite of `keyString`. */
export function parseKey(text: string): ObjectKey {
  const slash = text.indexOf("/");
  return slash < 0 ? { namespace: "", name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}

/** "apps/v1" or "v1". */
export function apiVersionOf({ group, version }: GroupVersion): string {
  return group === "" ? version : `${group}/${version}`;
}

/** The opposite of `apiVersionOf`. */
export function parseApiVersion(apiVersion: string): GroupVersion {
  const slash = apiVersion.indexOf("/");
  return slash < 0
    ? { group: "", version: apiVersion }
    : { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

/** The owner reference with controller: true, if there is one. */
export function controllerOf(object: AnyObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}
