import type { Pod, Volume } from "#pkg/api/types/core-v1.ts";

/** What a pod on a node entitles that node to read, as "kind/name" within the pod's namespace. */
export type References = ReadonlySet<string>;

function addVolume(volume: Volume, podName: string, add: (kind: string, name: string | undefined) => void): void {
  add("configmap", volume.configMap?.name);
  add("secret", volume.secret?.secretName);
  add("pvc", volume.persistentVolumeClaim?.claimName);
  if (volume.ephemeral !== undefined) add("pvc", `${podName}-${volume.name}`);
  for (const source of volume.projected?.sources ?? []) {
    add("configmap", source.configMap?.name);
    add("secret", source.secret?.name);
  }
  // In-tree volumes that name a secret.
  add("secret", volume.azureFile?.secretName);
  add("secret", volume.cephfs?.secretRef?.name);
  add("secret", volume.cinder?.secretRef?.name);
  add("secret", volume.csi?.nodePublishSecretRef?.name);
  add("secret", volume.flexVolume?.secretRef?.name);
  add("secret", volume.iscsi?.secretRef?.name);
  add("secret", volume.rbd?.secretRef?.name);
  add("secret", volume.scaleIO?.secretRef?.name);
  add("secret", volume.storageos?.secretRef?.name);
}

/** Everything a pod refers to that its node has to read. Static (mirror) pods entitle to nothing. */
export function referencesOf(pod: Pod): References {
  const found = new Set<string>();
  if (pod.metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined) return found;
  const add = (kind: string, name: string | undefined): void => {
    if (name !== undefined && name !== "") found.add(`${kind}/${name}`);
  };
  const spec = pod.spec;
  if (spec === undefined) return found;
  add("serviceaccount", spec.serviceAccountName);
  for (const secret of spec.imagePullSecrets ?? []) add("secret", secret.name);
  for (const container of [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ]) {
    for (const { valueFrom } of container.env ?? []) {
      add("configmap", valueFrom?.configMapKeyRef?.name);
      add("secret", valueFrom?.secretKeyRef?.name);
    }
    for (const source of container.envFrom ?? []) {
      add("configmap", source.configMapRef?.name);
      add("secret", source.secretRef?.name);
    }
  }
  for (const volume of spec.volumes ?? []) addVolume(volume, pod.metadata.name ?? "", add);
  for (const claim of spec.resourceClaims ?? []) {
    add("resourceclaim", claim.resourceClaimName);
    const status = pod.status?.resourceClaimStatuses?.find(({ name }) => name === claim.name);
    add("resourceclaim", status?.resourceClaimName);
  }
  return found;
}
