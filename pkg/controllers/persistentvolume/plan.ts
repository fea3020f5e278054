import { storageClassNameOf } from "#pkg/api/rules/index.ts";
import type { Node, PersistentVolume, PersistentVolumeClaim } from "#pkg/api/types/core-v1.ts";
import type { StorageClass } from "#pkg/api/types/storage-v1.ts";
import {
  BIND_COMPLETED,
  BOUND_BY_CONTROLLER,
  findVolume,
  isReservedFor,
  mismatch,
  PROVISIONED_BY,
  SELECTED_NODE,
} from "./matching.ts";

/** Provisioners of these names were once part of Kubernetes; today drivers serve them. No other may use the prefix. */
const MIGRATED_PROVISIONERS: ReadonlySet<string> = new Set(
  ["aws-ebs", "azure-disk", "azure-file", "cinder", "gce-pd", "portworx-volume", "vsphere-volume"].map(
    (name) => `kubernetes.io/${name}`,
  ),
);

/** A claim and what there is to decide by. */
export interface ClaimView {
  readonly claim: PersistentVolumeClaim;
  readonly volumes: readonly PersistentVolume[];
  readonly volumeNamed: (name: string) => PersistentVolume | undefined;
  readonly storageClass: StorageClass | undefined;
  readonly node: Node | undefined;
}

/** What becomes of a claim next. */
export type ClaimAction =
  | { readonly type: "none" }
  | { readonly type: "bind"; readonly volume: PersistentVolume }
  /** Waits; with an event that says for what. */
  | { readonly type: "pending"; readonly event?: { type: "Normal" | "Warning"; reason: string; message: string } }
  | { readonly type: "provision"; readonly storageClass: StorageClass }
  | { readonly type: "lost"; readonly reason: string; readonly message: string };

/** Decides about one claim. Pure. */
export function planClaim(view: ClaimView): ClaimAction {
  const { claim } = view;
  if (claim.metadata.annotations?.[BIND_COMPLETED] !== undefined) return planBound(view);
  const named = claim.spec?.volumeName;
  if (named !== undefined && named !== "") {
    const volume = view.volumeNamed(named);
    if (volume === undefined) return { type: "pending" };
    if (isReservedFor(volume, claim)) return { type: "bind", volume };
    if (volume.spec?.claimRef === undefined) {
      const fault = mismatch(volume, claim);
      if (fault === undefined) return { type: "bind", volume };
      const message = `Cannot bind to requested volume "${named}": ${fault}`;
      return { type: "pending", event: { type: "Warning", reason: "VolumeMismatch", message } };
    }
    return {
      type: "pending",
      event: {
        type: "Warning",
        reason: "FailedBinding",
        message: `volume "${named}" already bound to a different claim.`,
      },
    };
  }
  const delayed = isDelayed(view);
  const volume = findVolume(claim, view.volumes, delayed, view.node);
  if (volume !== undefined) return { type: "bind", volume };
  return planUnmatched(view, delayed);
}

function isDelayed({ claim, storageClass }: ClaimView): boolean {
  return (
    storageClass?.volumeBindingMode === "WaitForFirstConsumer" &&
    claim.metadata.annotations?.[SELECTED_NODE] === undefined
  );
}

function planUnmatched({ claim, storageClass }: ClaimView, delayed: boolean): ClaimAction {
  if (delayed)
    return {
      type: "pending",
      event: {
        type: "Normal",
        reason: "WaitForFirstConsumer",
        message: "waiting for first consumer to be created before binding",
      },
    };
  const name = storageClassNameOf(claim);
  if (name === "")
    return {
      type: "pending",
      event: {
        type: "Normal",
        reason: "FailedBinding",
        message: "no persistent volumes available for this claim and no storage class is set",
      },
    };
  if (storageClass === undefined)
    return {
      type: "pending",
      event: {
        type: "Warning",
        reason: "ProvisioningFailed",
        message: `storageclass.storage.k8s.io "${name}" not found`,
      },
    };
  const { provisioner } = storageClass;
  if (provisioner.startsWith("kubernetes.io/") && !MIGRATED_PROVISIONERS.has(provisioner))
    return {
      type: "pending",
      event: {
        type: "Warning",
        reason: "ProvisioningFailed",
        message: `no volume plugin matched name: ${provisioner}`,
      },
    };
  return { type: "provision", storageClass };
}

function planBound({ claim, volumeNamed }: ClaimView): ClaimAction {
  const named = claim.spec?.volumeName ?? "";
  if (named === "")
    return {
      type: "lost",
      reason: "ClaimLost",
      message: "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
    };
  const volume = volumeNamed(named);
  if (volume === undefined)
    return {
      type: "lost",
      reason: "ClaimLost",
      message: "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
    };
  if (volume.spec?.claimRef === undefined || isReservedFor(volume, claim)) return { type: "bind", volume };
  return {
    type: "lost",
    reason: "ClaimMisbound",
    message: "Two claims are bound to the same volume, this one is bound incorrectly",
  };
}

/** What becomes of a volume next. */
export type VolumeAction =
  | { readonly type: "phase"; readonly phase: "Available" | "Bound" | "Released" | "Failed" }
  | { readonly type: "none" }
  /** The claim is there and not bound yet: it decides. */
  | { readonly type: "ask-claim" }
  /** The claim went elsewhere: the volume is free again. */
  | { readonly type: "unbind" }
  /** The claim is gone: the reclaim policy decides. */
  | { readonly type: "reclaim"; readonly policy: string };

/** Decides about one volume; `claim` is the one its claimRef names, whatever its uid. Pure. */
export function planVolume(volume: PersistentVolume, claim: PersistentVolumeClaim | undefined): VolumeAction {
  const reference = volume.spec?.claimRef;
  if (reference === undefined || reference.uid === undefined || reference.uid === "")
    return { type: "phase", phase: "Available" };
  if (claim === undefined || claim.metadata.uid !== reference.uid)
    return { type: "reclaim", policy: volume.spec?.persistentVolumeReclaimPolicy ?? "Retain" };
  const bound = claim.spec?.volumeName ?? "";
  if (bound === "") return { type: "ask-claim" };
  if (bound === volume.metadata.name) return { type: "phase", phase: "Bound" };
  const dynamic = volume.metadata.annotations?.[PROVISIONED_BY] !== undefined;
  if (dynamic && volume.spec?.persistentVolumeReclaimPolicy === "Delete") return { type: "reclaim", policy: "Delete" };
  return volume.metadata.annotations?.[BOUND_BY_CONTROLLER] !== undefined ? { type: "unbind" } : { type: "none" };
}
