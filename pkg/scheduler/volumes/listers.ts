import { storageClassNameOf } from "#pkg/api/rules/index.ts";
import { controllerOf, keyOf } from "#pkg/apimachinery/index.ts";
import type { ObjectKey } from "#pkg/apimachinery/index.ts";
import {
  cSIDrivers,
  cSINodes,
  cSIStorageCapacities,
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  volumeAttachments,
} from "#pkg/api/refs.ts";
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from "#pkg/api/types/core-v1.ts";
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
} from "#pkg/api/types/storage-v1.ts";
import type { InformerFactory, SharedInformer } from "#pkg/client/index.ts";

/** The storage objects that decide where a pod's volumes can be. */
export interface VolumeInformers {
  readonly claims: SharedInformer<PersistentVolumeClaim>;
  readonly volumes: SharedInformer<PersistentVolume>;
  readonly classes: SharedInformer<StorageClass>;
  readonly csiNodes: SharedInformer<CSINode>;
  readonly csiDrivers: SharedInformer<CSIDriver>;
  readonly capacities: SharedInformer<CSIStorageCapacity>;
  readonly attachments: SharedInformer<VolumeAttachment>;
}

export const BY_CLASS = "scheduler/storage-class";
export const BY_NODE = "scheduler/node";

/** Informers of everything that decides where volumes can be. */
export function volumeInformers(factory: InformerFactory): VolumeInformers {
  const informers: VolumeInformers = {
    claims: factory.informer(persistentVolumeClaims),
    volumes: factory.informer(persistentVolumes),
    classes: factory.informer(storageClasses),
    csiNodes: factory.informer(cSINodes),
    csiDrivers: factory.informer(cSIDrivers),
    capacities: factory.informer(cSIStorageCapacities),
    attachments: factory.informer(volumeAttachments),
  };
  informers.volumes.addIndex(BY_CLASS, (volume) => [storageClassNameOf(volume)]);
  informers.capacities.addIndex(BY_CLASS, ({ storageClassName }) => [storageClassName]);
  informers.attachments.addIndex(BY_NODE, ({ spec }) => [spec.nodeName]);
  return informers;
}

/** Does the binding of the claim wait for its first pod? */
export function waitsForConsumer({ classes }: VolumeInformers, claim: PersistentVolumeClaim): boolean {
  const name = storageClassNameOf(claim);
  return classes.lister.get({ namespace: "", name })?.volumeBindingMode === "WaitForFirstConsumer";
}

/** A claim that a pod uses. */
export interface ClaimUse {
  readonly key: ObjectKey;
  /** Made for this pod from a template; then it must be owned by the pod. */
  readonly isEphemeral: boolean;
}

/** The claim a volume of the pod stands for, if it does. */
export function claimOf({ metadata }: Pod, volume: Volume): ClaimUse | undefined {
  const namespace = metadata.namespace ?? "";
  const { persistentVolumeClaim, ephemeral, name } = volume;
  if (persistentVolumeClaim !== undefined) {
    return { key: { namespace, name: persistentVolumeClaim.claimName }, isEphemeral: false };
  }
  return ephemeral === undefined
    ? undefined
    : { key: { namespace, name: `${metadata.name}-${name}` }, isEphemeral: true };
}

/** All claims that the pod uses, those of its ephemeral volumes included. */
export function claimsOf(pod: Pod): ClaimUse[] {
  const uses: ClaimUse[] = [];
  for (const volume of pod.spec.volumes ?? []) {
    const use = claimOf(pod, volume);
    if (use !== undefined) uses.push(use);
  }
  return uses;
}

/** The claim, or why the pod cannot use it (yet). */
export function findClaim({ claims }: VolumeInformers, pod: Pod, use: ClaimUse): PersistentVolumeClaim | string {
  const claim = claims.lister.get(use.key);
  const quoted = JSON.stringify(use.key.name);
  if (claim === undefined) {
    return use.isEphemeral
      ? `waiting for ephemeral volume controller to create the persistentvolumeclaim ${quoted}`
      : `persistentvolumeclaim ${quoted} not found`;
  }
  if (claim.status?.phase === "Lost") {
    return `persistentvolumeclaim ${quoted} bound to non-existent persistentvolume ${JSON.stringify(claim.spec?.volumeName ?? "")}`;
  }
  if (claim.metadata.deletionTimestamp !== undefined) return `persistentvolumeclaim ${quoted} is being deleted`;
  if (use.isEphemeral && controllerOf(claim)?.uid !== pod.metadata.uid) {
    const { namespace, name } = keyOf(claim);
    return `PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`;
  }
  return claim;
}

const BIND_COMPLETED = "pv.kubernetes.io/bind-completed";

/** Is the claim bound for good, by both sides? */
export function isBound({ metadata, spec, status }: PersistentVolumeClaim): boolean {
  const isComplete = metadata.annotations?.[BIND_COMPLETED] !== undefined || status?.phase === "Bound";
  return spec?.volumeName !== undefined && spec.volumeName !== "" && isComplete;
}
