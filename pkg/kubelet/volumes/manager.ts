/** Sets up and takes down the volumes of pods under <root>/pods/<uid>/volumes. */
import { chmod, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { ifExists } from "#pkg/util/index.ts";
import type { Pod, Volume } from "#pkg/api/types/core-v1.ts";
import type { Mounts } from "../mounts.ts";
import type { Reference } from "../objects.ts";
import { containersOf } from "../pod/spec.ts";
import { claimDriver, emptyDirDriver, ephemeralDriver, hostPathDriver, imageDriver, nfsDriver } from "./local.ts";
import { configMapDriver, downwardDriver, projectedDriver, secretDriver } from "./projected.ts";
import { MemoryDirectories } from "./memory.ts";
import { VolumeError, VolumesError } from "./volume.ts";
import type { MountedVolume, VolumeContext, VolumeDriver } from "./volume.ts";

const DRIVERS: Readonly<Partial<Record<keyof Volume, VolumeDriver>>> = {
  emptyDir: emptyDirDriver,
  hostPath: hostPathDriver,
  configMap: configMapDriver,
  secret: secretDriver,
  downwardAPI: downwardDriver,
  projected: projectedDriver,
  persistentVolumeClaim: claimDriver,
  ephemeral: ephemeralDriver,
  nfs: nfsDriver,
  image: imageDriver,
};

function driverOf(volume: Volume): VolumeDriver {
  for (const [source, driver] of Object.entries(DRIVERS))
    if (volume[source as keyof Volume] !== undefined) return driver;
  const source = Object.keys(volume).find((key) => key !== "name");
  if (source === undefined) return emptyDirDriver;
  throw new VolumeError(`volume type ${source} is not supported on this node`);
}

/** ConfigMaps and Secrets a pod refers to: volumes, environment, pull secrets. */
export function referencesOf(pod: Pod): Reference[] {
  const namespace = pod.metadata.namespace ?? "";
  const names = new Map<string, Reference>();
  const add = (kind: Reference["kind"], name: string | undefined) => {
    if (name !== undefined && name !== "") names.set(`${kind}/${name}`, { kind, namespace, name });
  };
  for (const { spec } of containersOf(pod)) {
    for (const { configMapRef, secretRef } of spec.envFrom ?? []) {
      add("configmaps", configMapRef?.name);
      add("secrets", secretRef?.name);
    }
    for (const { valueFrom } of spec.env ?? []) {
      add("configmaps", valueFrom?.configMapKeyRef?.name);
      add("secrets", valueFrom?.secretKeyRef?.name);
    }
  }
  for (const volume of pod.spec.volumes ?? []) {
    add("configmaps", volume.configMap?.name);
    add("secrets", volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) {
      add("configmaps", source.configMap?.name);
      add("secrets", source.secret?.name);
    }
  }
  for (const secret of pod.spec.imagePullSecrets ?? []) add("secrets", secret.name);
  return [...names.values()];
}

/** Below the kubelet's root directory: where volumes lie that must not reach the disk. */
export const MEMORY_VOLUMES = "memory-volumes";

/** A pod's volumes, all of them there. */
export interface VolumesReady {
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  /** When a token must be renewed. */
  readonly recheckAt?: number;
}

export class VolumeManager {
  readonly #root: string;
  readonly #mounts: Mounts;
  readonly #memory: MemoryDirectories;

  constructor(deps: { rootDirectory: string; mounts: Mounts }) {
    this.#root = deps.rootDirectory;
    this.#mounts = deps.mounts;
    this.#memory = new MemoryDirectories({ root: join(deps.rootDirectory, MEMORY_VOLUMES), mounts: deps.mounts });
  }

  podDirectory(uid: string): string {
    return join(this.#root, "pods", uid);
  }

  /** Keeps this machine's other users out of the pods' files, which have whatever modes the pods want. */
  async keepOthersOut(): Promise<void> {
    const pods = join(this.#root, "pods");
    await mkdir(pods, { recursive: true });
    await chmod(pods, 0o750); // earlier releases let everybody in
  }

  /** Idempotent. Rejects with VolumesError where any volume failed, after having tried all. */
  async setUp(context: VolumeContext): Promise<VolumesReady> {
    const { pod } = context;
    const used = new Set(
      containersOf(pod).flatMap(({ spec }) =>
        [...(spec.volumeMounts ?? []), ...(spec.volumeDevices ?? [])].map(({ name }) => name),
      ),
    );
    const volumes = (pod.spec.volumes ?? []).filter(({ name }) => used.has(name));
    const results = await Promise.allSettled(volumes.map((volume) => this.#setUpOne(volume, context)));
    const ready = new Map<string, MountedVolume>();
    const failures = new Map<string, unknown>();
    let recheckAt: number | undefined;
    results.forEach((result, index) => {
      const { name } = volumes[index]!;
      if (result.status === "rejected") {
        failures.set(name, result.reason);
        return;
      }
      ready.set(name, result.value);
      if (result.value.kind === "path" && result.value.recheckAt !== undefined)
        recheckAt = Math.min(recheckAt ?? Infinity, result.value.recheckAt);
    });
    if (failures.size > 0) throw new VolumesError(failures);
    return { volumes: ready, ...(recheckAt === undefined ? {} : { recheckAt }) };
  }

  /** Where the pod's volume lies, if it is of a kind that this node knows. */
  directoryOf(pod: Pod, volume: Volume): string {
    const { uid } = pod.metadata;
    const { pluginDirectory, inMemory } = driverOf(volume);
    const name = join(pluginDirectory, volume.name);
    return inMemory === true ? this.#memory.directoryOf(uid, name) : join(this.podDirectory(uid), "volumes", name);
  }

  async #setUpOne(volume: Volume, context: VolumeContext): Promise<MountedVolume> {
    const driver = driverOf(volume);
    const directory = await this.#makeDirectory(context.pod, volume, driver);
    return driver.setUp(
      volume.name !== "" && driver === emptyDirDriver && volume.emptyDir === undefined
        ? { ...volume, emptyDir: {} }
        : volume,
      directory,
      context,
    );
  }

  /** Of a volume in memory, the pod's own directory has a link to the real place. */
  async #makeDirectory(pod: Pod, volume: Volume, { pluginDirectory, inMemory }: VolumeDriver): Promise<string> {
    const { uid } = pod.metadata;
    const plugin = join(this.podDirectory(uid), "volumes", pluginDirectory);
    const directory = join(plugin, volume.name);
    const created = await mkdir(inMemory === true ? plugin : directory, { recursive: true, mode: 0o755 });
    if (inMemory === true) return this.#memory.ensure(uid, join(pluginDirectory, volume.name), directory);
    // As every container finds a volume's root with upstream. The mode that mkdir gives is subject to the umask.
    if (created !== undefined) await chmod(directory, 0o777);
    return directory;
  }

  /** Unmounts everything below the pod's directory and removes it; harmless when there is nothing. */
  async tearDown(uid: string): Promise<void> {
    const directory = this.podDirectory(uid);
    const points = await this.#mounts.below(directory);
    for (const point of points) await this.#mounts.unmount(point);
    // Never delete through a mount that refused to go: it may be somebody's data.
    const left = points.length === 0 ? [] : await this.#mounts.below(directory);
    if (left.length > 0) throw new VolumeError(`${left.length} mounts below ${directory} remain`);
    await rm(directory, { recursive: true, force: true });
    await this.#memory.remove(uid);
  }

  /** Uids that have a directory here. */
  async podsOnDisk(): Promise<string[]> {
    const onDisk = (await ifExists(readdir(join(this.#root, "pods")))) ?? [];
    return [...new Set([...(await this.#memory.pods()), ...onDisk])];
  }
}
