/** The contract of a volume, and what the classes need from the kubelet around them. */
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from "#pkg/api/types/core-v1.ts";
import { type Clock, type CommandRunner, type Random, errorMessage } from "#pkg/util/index.ts";
import type { Mounts } from "../mounts.ts";
import type { ReferencedObjects } from "../objects.ts";
import type { DownwardContext } from "../pod/downward.ts";
import type { RenewableToken } from "../tokens.ts";

/** What a volume's set-up may use. */
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
  | {
      readonly kind: "path";
      readonly hostPath: string;
      readonly readOnly: boolean;
      /** It is the pod's: under SELinux it takes the label of the containers that mount it. */
      readonly relabel?: boolean;
      readonly recheckAt?: number;
    }
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

/** A volume of a claim could not be set up. Messages name it, not the pod's own name for it. */
export class ClaimedVolumeError extends VolumeError {
  readonly volume: string;
  constructor(volume: string, cause: unknown) {
    super(errorMessage(cause), { cause });
    this.volume = volume;
  }
}

/** What a claim stands for is not known (yet): there is nothing to set up. */
export class UnprocessedVolumeError extends VolumeError {}

/** What is wrong with the volumes of one pod, each problem as its event tells it. */
export class VolumesError extends VolumeError {
  readonly problems: readonly string[];
  /** Names of the volumes that are missing. */
  readonly unmounted: readonly string[];
  /** Is what there is to mount known of all of them? */
  readonly processed: boolean;

  constructor(failures: ReadonlyMap<string, unknown>) {
    const unmounted = [...failures.keys()].sort();
    const unprocessed = [...failures].filter(([, error]) => error instanceof UnprocessedVolumeError);
    const problems = [...failures]
      .filter(([, error]) => !(error instanceof UnprocessedVolumeError))
      .map(([name, error]) => {
        const shown = error instanceof ClaimedVolumeError ? error.volume : name;
        return `MountVolume.SetUp failed for volume "${shown}" : ${errorMessage(error)}`;
      });
    if (unprocessed.length > 0) {
      const why = unprocessed.map(([, error]) => errorMessage(error)).join("; ");
      const names = unprocessed.map(([name]) => name);
      problems.push(unmountedMessage(unmounted, names, why));
    }
    super(problems.join("; "), { cause: [...failures.values()][0] });
    this.problems = problems;
    this.unmounted = unmounted;
    this.processed = unprocessed.length === 0;
  }
}

/** The words for a pod that cannot start for want of its volumes. */
export function unmountedMessage(unmounted: readonly string[], unprocessed: readonly string[], why: string): string {
  const list = (names: readonly string[]) => `[${names.join(" ")}]`;
  return `Unable to attach or mount volumes: unmounted volumes=${list(unmounted)}, unattached volumes=[], failed to process volumes=${list(unprocessed)}: ${why}`;
}
