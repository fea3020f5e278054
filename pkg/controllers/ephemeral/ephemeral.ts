/** Makes the claims of pods' ephemeral volumes. */
import { controllerOf, isAlreadyExists, keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type Draft, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { persistentVolumeClaims } from "#pkg/api/refs.ts";
import type { PersistentVolumeClaim, Pod, Volume } from "#pkg/api/types/core-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { isNamespaceTerminating } from "../common/errors.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";
import { controllerRef } from "../common/pod-template.ts";
import { claimNameOf } from "../protection/protection.ts";

/** ephemeral-volume-controller. */
export function createEphemeralVolumeController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const add = (pod: Pod) => {
    if (
      pod.metadata.deletionTimestamp === undefined &&
      (pod.spec.volumes ?? []).some(({ ephemeral }) => ephemeral !== undefined)
    )
      queue.add(keyString(keyOf(pod)));
  };
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [
      watching(informers.pods(), { onAdd: add }),
      watching(informers.of(persistentVolumeClaims), {
        onDelete(claim: PersistentVolumeClaim) {
          const owner = controllerOf(claim);
          if (owner?.kind === "Pod") queue.add(`${claim.metadata.namespace}/${owner.name}`);
        },
      }),
    ],
    reconcile: (key, context) => reconcile(env, key, context),
  });
}

async function reconcile(env: ControllerEnv, key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
  const pod = env.informers.pods().lister.get(key);
  if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) return DONE;
  for (const volume of pod.spec.volumes ?? [])
    if (volume.ephemeral !== undefined) await ensureClaim(env, pod, volume, signal);
  return DONE;
}

/** Made for this very pod, not for one that had its name before, nor by hand. Pure. */
export function isClaimOf(claim: PersistentVolumeClaim, pod: Pod): boolean {
  return controllerOf(claim)?.uid === pod.metadata.uid;
}

/** The claim that a volume of a pod asks for; undefined when it asks for none. Pure. */
export function claimFor(pod: Pod, { name, ephemeral }: Volume): Draft<PersistentVolumeClaim> | undefined {
  const template = ephemeral?.volumeClaimTemplate;
  if (template === undefined) return undefined;
  const { labels, annotations } = template.metadata ?? {};
  const metadata = {
    namespace: pod.metadata.namespace ?? "",
    name: claimNameOf(pod, name),
    ...(labels === undefined ? {} : { labels: { ...labels } }),
    ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
    ownerReferences: [controllerRef(pod, { apiVersion: "v1", kind: "Pod" })],
  };
  return { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata, spec: template.spec };
}

async function ensureClaim(env: ControllerEnv, pod: Pod, volume: Volume, signal: AbortSignal): Promise<void> {
  const { client, informers, recorder } = env;
  const key = { namespace: pod.metadata.namespace ?? "", name: claimNameOf(pod, volume.name) };
  const present = informers.of(persistentVolumeClaims).lister.get(key);
  const fail = (why: string) =>
    recorder.event(pod, "Warning", "FailedBinding", `ephemeral volume ${volume.name}: ${why}`);
  if (present !== undefined) {
    if (isClaimOf(present, pod)) return;
    const why = `PVC ${keyString(key)} was not created for pod ${key.namespace}/${pod.metadata.name} (pod is not owner)`;
    fail(why);
    throw new Error(why);
  }
  const claim = claimFor(pod, volume);
  if (claim === undefined) return;
  try {
    await client.create(persistentVolumeClaims, claim, { signal });
  } catch (error) {
    if (isAlreadyExists(error)) throw error; // the cache will show whose it is
    if (isNamespaceTerminating(error)) return;
    fail(errorMessage(error));
    throw error;
  }
}
