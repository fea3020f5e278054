import { createHash } from "node:crypto";
import type { Draft } from "#pkg/client/index.ts";
import type { AttachedVolume, Node, PersistentVolume, Pod } from "#pkg/api/types/core-v1.ts";
import type { CSIDriver, VolumeAttachment } from "#pkg/api/types/storage-v1.ts";
import { isPodTerminal } from "../common/pods.ts";

const CSI_PREFIX = "kubernetes.io/csi/";

/** The name that kubelets look for: the driver, its volume and the node, hashed. */
export function attachmentName(driver: string, handle: string, nodeName: string): string {
  return `csi-${createHash("sha256").update(`${handle}${driver}${nodeName}`).digest("hex")}`;
}

/** How node.status names a CSI volume. */
export function uniqueVolumeName(driver: string, handle: string): string {
  return `${CSI_PREFIX}${driver}^${handle}`;
}

/** The attachments to make and to remove. */
export interface AttachPlan {
  readonly attach: Draft<VolumeAttachment>[];
  readonly detach: VolumeAttachment[];
  /** What node.status says is attached; undefined when it says so already. */
  readonly attached: AttachedVolume[] | undefined;
  /** Pods that wait for a volume which has just been attached, with the volume's name. */
  readonly served: readonly { readonly pod: Pod; readonly volume: string }[];
}

/** What is attached, and what pods on nodes need. */
export interface AttachView {
  readonly node: Node | undefined;
  readonly nodeName: string;
  /** All pods bound to the node. */
  readonly pods: readonly Pod[];
  /** Volumes behind a pod's claims. */
  readonly volumesOf: (pod: Pod) => readonly PersistentVolume[];
  readonly driver: (name: string) => CSIDriver | undefined;
  readonly volumeNamed: (name: string) => PersistentVolume | undefined;
  /** All attachments of the node, whoever made them. */
  readonly attachments: readonly VolumeAttachment[];
}

/** Which CSI volumes must be attached to a node, and which of ours need not be any more. Pure. */
export function planAttachments(view: AttachView): AttachPlan {
  const wanted = new Map<string, Draft<VolumeAttachment>>();
  for (const pod of view.pods) {
    if (isPodTerminal(pod)) continue;
    for (const volume of view.volumesOf(pod)) {
      const csi = volume.spec.csi;
      if (csi === undefined || view.driver(csi.driver)?.spec.attachRequired === false) continue;
      const name = attachmentName(csi.driver, csi.volumeHandle, view.nodeName);
      wanted.set(name, {
        apiVersion: "storage.k8s.io/v1",
        kind: "VolumeAttachment",
        metadata: { name },
        spec: { attacher: csi.driver, nodeName: view.nodeName, source: { persistentVolumeName: volume.metadata.name } },
      });
    }
  }
  const present = new Set(view.attachments.map(({ metadata }) => metadata.name));
  const inUse = new Set(view.node?.status?.volumesInUse ?? []);
  return {
    attach: [...wanted.values()].filter(({ metadata }) => !present.has(metadata.name ?? "")),
    detach: view.attachments.filter(
      (attachment) => !wanted.has(attachment.metadata.name) && mayDetach(view, attachment, inUse),
    ),
    ...planAttached(view),
  };
}

/** Kubelets mount only what their node's status lists. */
function planAttached(view: AttachView): Pick<AttachPlan, "attached" | "served"> {
  const { node } = view;
  const known = node?.status?.volumesAttached ?? [];
  const names = new Map<string, string>();
  for (const { metadata, spec, status } of view.attachments) {
    const volume = view.volumeNamed(spec.source.persistentVolumeName ?? "");
    const csi = volume?.spec.csi;
    if (csi === undefined || status?.attached !== true || metadata.deletionTimestamp !== undefined) continue;
    names.set(uniqueVolumeName(csi.driver, csi.volumeHandle), volume!.metadata.name);
  }
  const others = known.filter(({ name }) => !name.startsWith(CSI_PREFIX));
  const added = [...names.keys()].filter((name) => !known.some((volume) => volume.name === name));
  const kept = known.filter(({ name }) => names.has(name));
  if (node === undefined || (added.length === 0 && others.length + kept.length === known.length))
    return { attached: undefined, served: [] };
  const fresh = new Set(added.map((name) => names.get(name)!));
  const served = view.pods.flatMap((pod) =>
    view.volumesOf(pod).flatMap(({ metadata }) => (fresh.has(metadata.name) ? [{ pod, volume: metadata.name }] : [])),
  );
  return { attached: [...others, ...kept, ...added.map((name) => ({ name, devicePath: "" }))], served };
}

/** Only what carries a name of ours, and what the kubelet does not have mounted any more. */
function mayDetach(view: AttachView, { metadata, spec }: VolumeAttachment, inUse: ReadonlySet<string>): boolean {
  if (metadata.deletionTimestamp !== undefined) return false;
  const csi = view.volumeNamed(spec.source.persistentVolumeName ?? "")?.spec.csi;
  if (csi === undefined || metadata.name !== attachmentName(csi.driver, csi.volumeHandle, spec.nodeName)) return false;
  return !inUse.has(uniqueVolumeName(csi.driver, csi.volumeHandle));
}
