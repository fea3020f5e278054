/** Keeps storage objects that are in use: their finalizer goes only when nothing uses them any more. */
import { type AnyObject, ignoreNotFound, keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type EventHandler, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { persistentVolumeClaims, persistentVolumes, pods, volumeAttributesClasses } from "#pkg/api/refs.ts";
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "#pkg/api/types/core-v1.ts";
import type { ObjectMeta } from "#pkg/api/types/meta-v1.ts";
import type { PodGroup } from "#pkg/api/types/scheduling-v1alpha2.ts";
import type { VolumeAttributesClass } from "#pkg/api/types/storage-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, watching } from "../common/loop.ts";
import { isPodTerminal } from "../common/pods.ts";

const PVC_FINALIZER = "kubernetes.io/pvc-protection";
const PV_FINALIZER = "kubernetes.io/pv-protection";
const VAC_FINALIZER = "kubernetes.io/vac-protection";
const POD_GROUP_FINALIZER = "scheduling.k8s.io/podgroup-protection";

const podGroups: ResourceRef<PodGroup> = {
  group: "scheduling.k8s.io",
  version: "v1alpha2",
  plural: "podgroups",
  kind: "PodGroup",
  namespaced: true,
};

/** The claim that is made for a pod's ephemeral volume. */
export function claimNameOf({ metadata }: Pod, volume: string): string {
  return `${metadata.name}-${volume}`;
}

/** Claims that a pod uses, by name: named ones and those made for its ephemeral volumes. */
export function claimsOf(pod: Pod): string[] {
  return (pod.spec.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim !== undefined) return [persistentVolumeClaim.claimName];
    return ephemeral === undefined ? [] : [claimNameOf(pod, name)];
  });
}

/** A kubelet may be using what this pod names. One that never reached a node cannot; a finished one does not any more. */
export function holdsClaims(pod: Pod): boolean {
  return (pod.spec.nodeName ?? "") !== "" && !isPodTerminal(pod);
}

/** persistentvolumeclaim-protection-controller: a claim stays while a pod uses it. */
export function createPvcProtectionController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const addClaims = (pod: Pod) => {
    for (const claim of claimsOf(pod)) queue.add(`${pod.metadata.namespace}/${claim}`);
  };
  return createLoop(env, {
    workers: 2,
    queue,
    sources: [
      watching(informers.of(persistentVolumeClaims), enqueueSelf<PersistentVolumeClaim>(queue)),
      watching(informers.pods(), whenReleased(holdsClaims, addClaims)),
    ],
    reconcile: (key, context) => {
      const uses = (pod: Pod) => holdsClaims(pod) && claimsOf(pod).includes(key.name);
      return protect(env, persistentVolumeClaims, PVC_FINALIZER, key, context, () =>
        isUsedByPod(env, key.namespace, uses, context.signal),
      );
    },
  });
}

/** Told of pods that need what they name no longer. */
function whenReleased(holds: (pod: Pod) => boolean, add: (pod: Pod) => void): EventHandler<Pod> {
  return {
    onUpdate(pod, old) {
      if (!holds(pod) && holds(old)) add(pod);
    },
    onDelete: add,
  };
}

/** The cache first; only the server's own list may set free what pods use. */
async function isUsedByPod(
  { client, informers }: ControllerEnv,
  namespace: string,
  uses: (pod: Pod) => boolean,
  signal: AbortSignal,
): Promise<boolean> {
  if (informers.pods().lister.list(namespace).some(uses)) return true;
  const { items } = await client.list(pods, { namespace, signal });
  return items.some(uses);
}

/** persistentvolume-protection-controller: a volume stays while it is bound. */
export function createPvProtectionController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const isBound = ({ namespace, name }: ObjectKey) =>
    informers.of(persistentVolumes).lister.get({ namespace, name })?.status?.phase === "Bound";
  return createLoop(env, {
    workers: 2,
    queue,
    sources: [watching(informers.of(persistentVolumes), enqueueSelf<PersistentVolume>(queue))],
    reconcile: (key, context) =>
      protect(env, persistentVolumes, PV_FINALIZER, key, context, () => Promise.resolve(isBound(key))),
  });
}

/** Volume attributes classes that a claim needs: the wanted one, the present one and the one it is being changed to. */
export function classesOf({ spec, status }: PersistentVolumeClaim): string[] {
  return [
    spec?.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ].filter((name): name is string => name !== undefined && name !== "");
}

/** volumeattributesclass-protection-controller: a class stays while a claim or volume names it. */
export function createVacProtectionController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const addClasses = (claim: PersistentVolumeClaim) => {
    for (const className of classesOf(claim)) queue.add(className);
  };
  const addClass = ({ spec }: PersistentVolume) => {
    if ((spec?.volumeAttributesClassName ?? "") !== "") queue.add(spec.volumeAttributesClassName!);
  };
  const isUsed = (className: string) =>
    informers
      .of(persistentVolumeClaims)
      .lister.list()
      .some((claim) => classesOf(claim).includes(className)) ||
    informers
      .of(persistentVolumes)
      .lister.list()
      .some(({ spec }) => spec?.volumeAttributesClassName === className);
  return createLoop(env, {
    workers: 2,
    queue,
    sources: [
      watching(informers.of(volumeAttributesClasses), enqueueSelf<VolumeAttributesClass>(queue)),
      watching(informers.of(persistentVolumeClaims), {
        onUpdate: (_claim, old) => addClasses(old),
        onDelete: addClasses,
      }),
      watching(informers.of(persistentVolumes), {
        onUpdate: (_volume, old) => addClass(old),
        onDelete: addClass,
      }),
    ],
    reconcile: (key, context) =>
      protect(env, volumeAttributesClasses, VAC_FINALIZER, key, context, () => Promise.resolve(isUsed(key.name))),
  });
}

/** Groups of pods: held while pods that have not finished belong to them. Runs with the feature GenericWorkload only. */
export function createPodGroupProtectionController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const addGroup = ({ metadata, spec }: Pod) => {
    const group = spec.schedulingGroup?.podGroupName;
    if (group !== undefined) queue.add(`${metadata.namespace}/${group}`);
  };
  return createLoop(env, {
    workers: 2,
    queue,
    sources: [
      watching(informers.of(podGroups), enqueueSelf<PodGroup>(queue)),
      watching(
        informers.pods(),
        whenReleased((pod) => !isPodTerminal(pod), addGroup),
      ),
    ],
    reconcile: (key, context) => {
      const uses = (pod: Pod) => !isPodTerminal(pod) && pod.spec.schedulingGroup?.podGroupName === key.name;
      return protect(env, podGroups, POD_GROUP_FINALIZER, key, context, () =>
        isUsedByPod(env, key.namespace, uses, context.signal),
      );
    },
  });
}

/** The finalizers that an object should have when nothing uses it; undefined when it has them. Pure. */
export function planFinalizers(
  { deletionTimestamp, finalizers = [] }: ObjectMeta,
  finalizer: string,
): string[] | undefined {
  const isProtected = finalizers.includes(finalizer);
  if (deletionTimestamp === undefined) return isProtected ? undefined : [...finalizers, finalizer];
  return isProtected ? finalizers.filter((other) => other !== finalizer) : undefined;
}

/** Adds the finalizer to objects that live, takes it from deleted ones that nothing uses. */
async function protect<T extends AnyObject>(
  { client, informers }: ControllerEnv,
  resource: ResourceRef<T>,
  finalizer: string,
  key: ObjectKey,
  { signal, log }: ReconcileContext,
  isUsed: () => Promise<boolean>,
): Promise<Result> {
  const object = informers.of(resource).lister.get(key);
  if (object === undefined) return DONE;
  const next = planFinalizers(object.metadata, finalizer);
  if (next === undefined) return DONE;
  if (object.metadata.deletionTimestamp !== undefined && (await isUsed())) {
    log.debug({ object: keyString(keyOf(object)) }, "Still in use");
    return DONE;
  }
  await ignoreNotFound(
    client.update(resource, { ...object, metadata: { ...object.metadata, finalizers: next } }, { signal }),
  );
  return DONE;
}
