import { prune } from "#pkg/api/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes } from "../contract.ts";

/**
 * Brings an object that a webhook or policy has made into the form in which a client's would arrive: fields the schema
 * does not know dropped, defaults filled in. In place.
 */
export function normalize({ resource, subresource }: AdmissionAttributes, object: KubeObject): void {
  // Subresources with kinds of their own (Scale, Binding, options) have been through their own door.
  const kind =
    subresource === "" ? resource.kind : resource.subresources.find(({ name }) => name === subresource)?.kind;
  if (kind !== resource.kind) return;
  prune(resource.schema, object);
  resource.applyDefaults(object, true);
}
