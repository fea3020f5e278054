/**
 * Directories on nodes as volumes: makes a PersistentVolume for each claim of a class with this provisioner once the
 * scheduler has chosen a node, and has the directory removed when the volume is released.
 */
import { storageClassNameOf } from "#pkg/api/rules/index.ts";
import { isAlreadyExists, ignoreNotFound, type ObjectKey } from "#pkg/apimachinery/index.ts";
import {
  type Controller,
  DONE,
  type Draft,
  RateLimitingQueue,
  type ReconcileContext,
  type Result,
} from "#pkg/client/index.ts";
import { nodes, persistentVolumeClaims, persistentVolumes, pods, storageClasses } from "#pkg/api/refs.ts";
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "#pkg/api/types/core-v1.ts";
import type { StorageClass } from "#pkg/api/types/storage-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, watching, workThrough } from "../common/loop.ts";
import { PROVISIONED_BY, SELECTED_NODE, STORAGE_PROVISIONER } from "../persistentvolume/matching.ts";

export const LOCAL_PATH_PROVISIONER = "kubits.io/local-path";
const HOSTNAME = "kubernetes.io/hostname";
const HELPER_NAMESPACE = "kube-system";
const HELPER_RECHECK_MS = 2000;

/** The provisioner behind the StorageClass local-path; a controller of this project's own. */
export function createLocalPathProvisioner(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const claims = createQueue(clock);
  const volumes = new RateLimitingQueue<string>({ clock });
  const add = (volume: PersistentVolume) => {
    if (volume.metadata.annotations?.[PROVISIONED_BY] === LOCAL_PATH_PROVISIONER) volumes.add(volume.metadata.name);
  };
  return createLoop(env, {
    workers: 2,
    queue: claims,
    sources: [
      watching(informers.of(persistentVolumeClaims), enqueueSelf<PersistentVolumeClaim>(claims)),
      watching(informers.of(persistentVolumes), { onAdd: add, onUpdate: add }),
      watching(informers.of(storageClasses)),
      watching(informers.of(nodes)),
    ],
    reconcile: (key, context) => provision(env, key, context),
    background: (signal) =>
      workThrough(
        env,
        {
          queue: volumes,
          queueName: `${env.name}-volumes`,
          workers: 2,
          reconcile: (key, context) => remove(env, key, context),
        },
        signal,
      ),
  });
}

async function provision(env: ControllerEnv, key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
  const { client, informers, recorder } = env;
  const claim = informers.of(persistentVolumeClaims).lister.get(key);
  if (claim === undefined || claim.metadata.deletionTimestamp !== undefined) return DONE;
  if (
    (claim.spec?.volumeName ?? "") !== "" ||
    claim.metadata.annotations?.[STORAGE_PROVISIONER] !== LOCAL_PATH_PROVISIONER
  )
    return DONE;
  const storageClass = informers.of(storageClasses).lister.get({ namespace: "", name: storageClassNameOf(claim) });
  if (storageClass?.provisioner !== LOCAL_PATH_PROVISIONER) return DONE;
  const nodeName = claim.metadata.annotations[SELECTED_NODE];
  if (nodeName === undefined) {
    const message = `failed to provision volume with StorageClass "${storageClass.metadata.name}": a node must be selected first; use volumeBindingMode WaitForFirstConsumer`;
    recorder.event(claim, "Warning", "ProvisioningFailed", message);
    return DONE;
  }
  const hostname =
    informers.of(nodes).lister.get({ namespace: "", name: nodeName })?.metadata.labels?.[HOSTNAME] ?? nodeName;
  const volume = draftVolume(env.options.localPathRoot, claim, storageClass, hostname);
  try {
    await client.create(persistentVolumes, volume, { signal });
    recorder.event(claim, "Normal", "ProvisioningSucceeded", `Successfully provisioned volume ${volume.metadata.name}`);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
  return DONE;
}

/** The volume's name comes from the claim's uid, so that provisioning twice makes one. */
export function draftVolume(
  root: string,
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  hostname: string,
): Draft<PersistentVolume> {
  const { name, namespace, uid } = claim.metadata;
  const volume = `pvc-${uid}`;
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: volume, annotations: { [PROVISIONED_BY]: LOCAL_PATH_PROVISIONER } },
    spec: {
      capacity: { storage: claim.spec?.resources?.requests?.["storage"] ?? "0" },
      accessModes: [...(claim.spec?.accessModes ?? ["ReadWriteOnce"])],
      volumeMode: claim.spec?.volumeMode ?? "Filesystem",
      storageClassName: storageClass.metadata.name,
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? "Delete",
      ...(storageClass.mountOptions === undefined ? {} : { mountOptions: [...storageClass.mountOptions] }),
      claimRef: { kind: "PersistentVolumeClaim", apiVersion: "v1", namespace, name, uid },
      hostPath: { path: `${root}/${volume}_${namespace}_${name}`, type: "DirectoryOrCreate" },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: HOSTNAME, operator: "In", values: [hostname] }] }],
        },
      },
    },
  };
}

/** A released volume goes: first its directory, by a pod on its node, then the object. */
async function remove(env: ControllerEnv, name: string, { signal, log }: ReconcileContext): Promise<Result> {
  const { client, informers } = env;
  const volume = informers.of(persistentVolumes).lister.get({ namespace: "", name });
  const isDone =
    volume === undefined ||
    volume.metadata.deletionTimestamp !== undefined ||
    volume.status?.phase !== "Released" ||
    volume.spec?.persistentVolumeReclaimPolicy !== "Delete" ||
    volume.metadata.annotations?.[PROVISIONED_BY] !== LOCAL_PATH_PROVISIONER;
  if (isDone) return DONE;
  const hostname =
    volume.spec?.nodeAffinity?.required?.nodeSelectorTerms?.[0]?.matchExpressions?.[0]?.values?.[0] ?? "";
  const node = informers
    .of(nodes)
    .lister.list()
    .find(({ metadata }) => metadata.labels?.[HOSTNAME] === hostname);
  const path = volume.spec?.hostPath?.path ?? "";
  const root = env.options.localPathRoot;
  // Never remove anything but a direct child of our own directory, whatever the object says.
  const child = path.startsWith(`${root}/`) ? path.slice(root.length + 1) : "";
  if (node === undefined || child === "" || child.includes("/") || child === "..") {
    log.warn({ volume: name, hostname }, "Deleting a volume whose directory cannot be reached");
    await deleteVolume(env, volume, signal);
    return DONE;
  }
  const key = { namespace: HELPER_NAMESPACE, name: `helper-delete-${name}`.slice(0, 253) };
  const helper = await ignoreNotFound(client.get(pods, key, { signal }));
  if (helper === undefined) {
    await client.create(pods, helperPod(env, key.name, volume, node.metadata.name, child), { signal });
    return { requeueAfterMs: HELPER_RECHECK_MS };
  }
  const phase = helper.status?.phase;
  if (phase === "Succeeded" || phase === "Failed")
    await client.delete(pods, key, { gracePeriodSeconds: 0, preconditions: { uid: helper.metadata.uid }, signal });
  if (phase === "Succeeded") {
    await deleteVolume(env, volume, signal);
    return DONE;
  }
  return { requeueAfterMs: HELPER_RECHECK_MS };
}

async function deleteVolume({ client }: ControllerEnv, volume: PersistentVolume, signal: AbortSignal): Promise<void> {
  await ignoreNotFound(client.delete(persistentVolumes, { namespace: "", name: volume.metadata.name }, { signal }));
}

/** It goes with its volume: one made because a cache was behind, when the volume was gone already, stays for nobody. */
function helperPod(
  { options }: ControllerEnv,
  name: string,
  volume: PersistentVolume,
  nodeName: string,
  child: string,
): Draft<Pod> {
  const { uid } = volume.metadata;
  const owner = { apiVersion: "v1", kind: "PersistentVolume", name: volume.metadata.name, uid };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: HELPER_NAMESPACE, ownerReferences: [owner] },
    spec: {
      nodeName,
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      tolerations: [{ operator: "Exists" }],
      containers: [
        {
          name: "helper",
          image: options.localPathHelperImage,
          command: ["rm", "-rf", `/volumes/${child}`],
          volumeMounts: [{ name: "volumes", mountPath: "/volumes" }],
        },
      ],
      volumes: [{ name: "volumes", hostPath: { path: options.localPathRoot, type: "DirectoryOrCreate" } }],
    },
  };
}
