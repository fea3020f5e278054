/** Keeps VolumeAttachments for the CSI volumes of pods; attaching itself is the driver's own attacher's work. */
import { ignoreAlreadyExists, ignoreNotFound, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { cSIDrivers, nodes, persistentVolumeClaims, persistentVolumes, volumeAttachments } from "#pkg/api/refs.ts";
import type { PersistentVolume, Pod } from "#pkg/api/types/core-v1.ts";
import type { VolumeAttachment } from "#pkg/api/types/storage-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";
import { POD_NODE_INDEX } from "../common/shared-informers.ts";
import { claimsOf } from "../protection/protection.ts";
import { planAttachments } from "./plan.ts";

const NODE_INDEX = "controllers/node";

/** persistentvolume-attach-detach-controller. */
export function createAttachDetachController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const addNode = (pod: Pod) => {
    if ((pod.spec.nodeName ?? "") !== "" && claimsOf(pod).length > 0) queue.add(pod.spec.nodeName!);
  };
  const addAttachment = ({ spec }: VolumeAttachment) => queue.add(spec.nodeName);
  const addUsers = (namespace: string | undefined, claim: string) => {
    for (const pod of informers.pods().lister.list(namespace)) if (claimsOf(pod).includes(claim)) addNode(pod);
  };
  const addUsersOf = ({ spec: { csi, claimRef } }: PersistentVolume) => {
    if (csi !== undefined && claimRef?.name !== undefined) addUsers(claimRef.namespace, claimRef.name);
  };
  return createLoop(env, {
    workers: 4,
    queue,
    sources: [
      watching(informers.pods(), {
        onAdd: addNode,
        onUpdate(pod, old) {
          if (pod.spec.nodeName !== old.spec.nodeName || pod.status?.phase !== old.status?.phase) addNode(pod);
        },
        onDelete: addNode,
      }),
      watching(informers.of(nodes), {
        onUpdate(node, old) {
          if (node.status?.volumesInUse?.length !== old.status?.volumesInUse?.length) queue.add(node.metadata.name);
        },
      }),
      watching(
        informers.index(volumeAttachments, NODE_INDEX, ({ spec }) => [spec.nodeName]),
        {
          onAdd: addAttachment,
          onUpdate(attachment, old) {
            if (attachment.status?.attached !== old.status?.attached) addAttachment(attachment);
          },
          onDelete: addAttachment,
        },
      ),
      watching(informers.of(persistentVolumeClaims), {
        onUpdate(claim, old) {
          if (claim.spec.volumeName !== old.spec.volumeName) addUsers(claim.metadata.namespace, claim.metadata.name);
        },
      }),
      // Its cache may be behind that of claims.
      watching(informers.of(persistentVolumes), {
        onAdd(volume, initial) {
          if (!initial) addUsersOf(volume);
        },
        onUpdate(volume, old) {
          if (volume.spec.claimRef?.uid !== old.spec.claimRef?.uid) addUsersOf(volume);
        },
      }),
      watching(informers.of(cSIDrivers)),
    ],
    reconcile: (key, context) => reconcile(env, key, context),
  });
}

async function reconcile(env: ControllerEnv, { name }: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
  const { client, informers, recorder } = env;
  const volumeNamed = (volume: string) => informers.of(persistentVolumes).lister.get({ namespace: "", name: volume });
  const plan = planAttachments({
    node: informers.of(nodes).lister.get({ namespace: "", name }),
    nodeName: name,
    pods: informers.pods().lister.byIndex(POD_NODE_INDEX, name),
    volumesOf: (pod) => volumesOf(env, pod),
    driver: (driver) => informers.of(cSIDrivers).lister.get({ namespace: "", name: driver }),
    volumeNamed,
    attachments: informers.of(volumeAttachments).lister.byIndex(NODE_INDEX, name),
  });
  for (const draft of plan.attach) {
    await ignoreAlreadyExists(client.create(volumeAttachments, draft, { signal }));
  }
  for (const { metadata } of plan.detach) {
    await ignoreNotFound(
      client.delete(
        volumeAttachments,
        { namespace: "", name: metadata.name },
        { preconditions: { uid: metadata.uid }, signal },
      ),
    );
  }
  if (plan.attached === undefined) return DONE;
  const patch = { status: { volumesAttached: plan.attached.length === 0 ? null : plan.attached } };
  const subresource = "status";
  await ignoreNotFound(client.patch(nodes, { namespace: "", name }, "merge", patch, { subresource, signal }));
  for (const { pod, volume } of plan.served)
    recorder.event(pod, "Normal", "SuccessfulAttachVolume", `AttachVolume.Attach succeeded for volume "${volume}" `);
  return DONE;
}

function volumesOf({ informers }: ControllerEnv, pod: Pod): PersistentVolume[] {
  return claimsOf(pod).flatMap((name) => {
    const claim = informers.of(persistentVolumeClaims).lister.get({ namespace: pod.metadata.namespace ?? "", name });
    const volume = informers.of(persistentVolumes).lister.get({ namespace: "", name: claim?.spec.volumeName ?? "" });
    return volume === undefined || volume.spec.claimRef?.uid !== claim?.metadata.uid ? [] : [volume];
  });
}
