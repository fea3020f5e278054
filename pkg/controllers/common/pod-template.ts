import { type AnyObject, deepCopy, isDns1123Subdomain, type OwnerReference } from "#pkg/apimachinery/index.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { Pod, PodTemplateSpec } from "#pkg/api/types/core-v1.ts";

/** The reference by which `owner` controls what it makes. */
export function controllerRef(owner: AnyObject, kind: { apiVersion: string; kind: string }): OwnerReference {
  return {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    name: owner.metadata.name ?? "",
    uid: owner.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** "<owner>-" as generateName, without the dash where that would not be a name. */
export function podsPrefix(ownerName: string): string {
  return isDns1123Subdomain(`${ownerName}-x`).length === 0 ? `${ownerName}-` : ownerName;
}

/** A pod as the owner's template describes it, named by the server. */
export function podFromTemplate(
  template: PodTemplateSpec | undefined,
  owner: AnyObject,
  ownerReference: OwnerReference,
): Draft<Pod> {
  const metadata = template?.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      generateName: podsPrefix(owner.metadata.name ?? ""),
      namespace: owner.metadata.namespace,
      ...(metadata?.labels === undefined ? {} : { labels: { ...metadata.labels } }),
      ...(metadata?.annotations === undefined ? {} : { annotations: { ...metadata.annotations } }),
      ...(metadata?.finalizers === undefined ? {} : { finalizers: [...metadata.finalizers] }),
      ownerReferences: [ownerReference],
    },
    spec: deepCopy(template?.spec) ?? { containers: [] },
  };
}
