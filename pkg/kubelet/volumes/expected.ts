/** Which volumes can be counted on before they are set up. Pure. */
import type { ConfigMap, KeyToPath, Pod, Secret, Volume } from "#pkg/api/types/core-v1.ts";
import type { Reference } from "../objects.ts";

/** The object as far as it is known here already. */
export type Peek = (reference: Reference) => ConfigMap | Secret | undefined;

/**
 * True when nothing but an API server that is away could keep the pod's volumes from being set up: its sandbox need not
 * wait for them. Of a pod whose volumes cannot be had nothing is to run, not even a sandbox.
 */
export function volumesExpected(pod: Pod, peek: Peek): boolean {
  const namespace = pod.metadata.namespace ?? "";
  const has = (kind: Reference["kind"], name: string | undefined, items: readonly KeyToPath[] = []): boolean => {
    const object = peek({ kind, namespace, name: name ?? "" });
    if (object === undefined) return false;
    const keys = { ...object.data, ...("binaryData" in object ? object.binaryData : {}) };
    return items.every(({ key }) => Object.hasOwn(keys, key));
  };
  const expected = ({ emptyDir, configMap, secret, downwardAPI, projected }: Volume): boolean => {
    if (emptyDir !== undefined) return (emptyDir.medium ?? "") === "";
    if (configMap !== undefined) return has("configmaps", configMap.name, configMap.items);
    if (secret !== undefined) return has("secrets", secret.secretName, secret.items);
    if (projected === undefined) return downwardAPI !== undefined;
    return (projected.sources ?? []).every((source) => {
      if (source.configMap !== undefined) return has("configmaps", source.configMap.name, source.configMap.items);
      if (source.secret !== undefined) return has("secrets", source.secret.name, source.secret.items);
      return source.downwardAPI !== undefined || source.serviceAccountToken !== undefined;
    });
  };
  return (pod.spec.volumes ?? []).every(expected);
}
