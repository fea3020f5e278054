/** The contract of a volume, and what the classes need from the kubelet around them. */
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from "#pkg/api/types/core-v1.ts";
import type { Clock, CommandRunner, Random } from "#pkg/util/index.ts";
import type { Mounts } from "../mounts.ts";
import type { ReferencedObjects } from "../objects.ts";
import type { DownwardContext } from "../pod/downward.ts";
import type { RenewableToken } from "../tokens.ts";

export interface VolumeContext {
  readonly pod: Pod;
  readonly clock: Clock;
  readonly random: Random;
  readonly mounts: Mounts;
  readonly commands: CommandRunner;
  readonly objects: Pick<ReferencedObjects, "configMap" | "secret">;
  readonly downward: DownwardContext;
  /** Requests a token for the pod's service account, bound to the pod. */
  readonly requestToken: (
    audience: string | undefined,
    expirationSeconds: number,
    signal?: AbortSignal,
  ) => Promise<RenewableToken>;
  readonly trustBundle: (name: string, signal?: AbortSignal) => Promise<string | undefined>;
  readonly claim: (
    name: string,
    signal?: AbortSignal,
  ) => Promise<{ claim: PersistentVolumeClaim; volume: PersistentVolume }>;
  readonly signal?: AbortSignal;
}

/** A volume that is ready for containers. */
export type MountedVolume =
  | { readonly kind: "path"; readonly hostPath: string; readonly readOnly: boolean; readonly recheckAt?: number }
  /** The runtime mounts an image itself; it is pulled when a container that uses it starts. */
  | { readonly kind: "image"; readonly reference: string; readonly pullPolicy: string | undefined };

/**
 * One kind of volume. Both methods are idempotent: setUp is called on every change of the pod or of what it refers
 * to, tearDown also when setUp never ran. `directory` is the volume's own and created before setUp.
 */
export interface VolumeDriver {
  /** With "~" for "/", as it appears in the pod's directory. */
  readonly pluginDirectory: string;
  /** Its directory never reaches the disk. */
  readonly inMemory?: boolean;
  setUp(volume: Volume, directory: string, context: VolumeContext): Promise<MountedVolume>;
}

/** Names what is wrong with a volume; becomes a FailedMount event and is retried. */
export class VolumeError extends Error {}
