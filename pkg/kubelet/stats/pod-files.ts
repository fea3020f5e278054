/** What pods have on the node's disk: logs and volumes. Counting walks directories, so counts are kept for a while. */
import { join } from "node:path";
import type { Pod, Volume } from "#pkg/api/types/core-v1.ts";
import type { Clock } from "#pkg/util/index.ts";
import { treeUsage } from "../eviction/limits.ts";
import type { TreeUsage } from "../eviction/limits.ts";
import { podLogDirectory } from "../pod/configs.ts";
import { containersOf } from "../pod/spec.ts";
import type { VolumeManager } from "../volumes/manager.ts";
import { fileSystemStats } from "./file-system.ts";
import type { FileSystemStats } from "./file-system.ts";

/** Upstream's volumeStatsAggPeriod. */
const KEPT_MS = 60_000;

/** Room in a volume of a pod. */
export interface VolumeStats extends FileSystemStats {
  readonly name: string;
  readonly pvcRef?: { readonly name: string; readonly namespace: string };
}

/** What a pod's files take. */
export interface PodFiles {
  /** By container name. */
  readonly logs: ReadonlyMap<string, TreeUsage>;
  readonly volumes: readonly VolumeStats[];
  /** Logs, and emptyDir volumes on the node's own disk. */
  readonly onDisk: TreeUsage;
}

export class PodFilesCache {
  readonly #deps: { volumes: VolumeManager; podLogsDir: string; clock: Clock };
  readonly #kept = new Map<string, { readonly at: number; readonly files: Promise<PodFiles> }>();

  constructor(deps: { volumes: VolumeManager; podLogsDir: string; clock: Clock }) {
    this.#deps = deps;
  }

  /** Counts anew what is older than a minute. */
  async of(pods: readonly Pod[]): Promise<ReadonlyMap<string, PodFiles>> {
    const now = this.#deps.clock.monotonic();
    for (const [uid, { at }] of this.#kept) if (now - at >= KEPT_MS) this.#kept.delete(uid);
    const result = new Map<string, PodFiles>();
    for (const pod of pods) {
      const { uid } = pod.metadata;
      let kept = this.#kept.get(uid);
      if (kept === undefined) this.#kept.set(uid, (kept = { at: now, files: this.#count(pod) }));
      try {
        result.set(uid, await kept.files);
      } catch (error) {
        this.#kept.delete(uid);
        throw error;
      }
    }
    return result;
  }

  async #count(pod: Pod): Promise<PodFiles> {
    const logs = new Map<string, TreeUsage>();
    const logDirectory = podLogDirectory(this.#deps.podLogsDir, pod);
    for (const { spec } of containersOf(pod)) logs.set(spec.name, await treeUsage(join(logDirectory, spec.name)));
    const volumes: VolumeStats[] = [];
    const onDisk = [...logs.values()];
    for (const volume of pod.spec.volumes ?? []) {
      const found = await this.#volume(pod, volume);
      if (found === undefined) continue;
      volumes.push(found.stats);
      if (found.onDisk !== undefined) onDisk.push(found.onDisk);
    }
    const sum = (a: TreeUsage, b: TreeUsage) => ({ bytes: a.bytes + b.bytes, inodes: a.inodes + b.inodes });
    return { logs, volumes, onDisk: onDisk.reduce(sum, { bytes: 0, inodes: 0 }) };
  }

  /** What belongs to the machine (hostPath) or to the runtime (images) has no statistics. */
  async #volume(pod: Pod, volume: Volume): Promise<{ stats: VolumeStats; onDisk?: TreeUsage } | undefined> {
    const { name, hostPath, image, emptyDir, nfs, persistentVolumeClaim, ephemeral } = volume;
    if (hostPath !== undefined || image !== undefined) return undefined;
    const directory = this.#deps.volumes.directoryOf(pod, volume);
    const system = await fileSystemStats(directory);
    if (system === undefined) return undefined;
    const generated = ephemeral === undefined ? undefined : `${pod.metadata.name}-${name}`;
    const claim = persistentVolumeClaim?.claimName ?? generated;
    if (claim !== undefined)
      return { stats: { ...system, name, pvcRef: { name: claim, namespace: pod.metadata.namespace ?? "" } } };
    // A file system of its own counts what is in it.
    if (nfs !== undefined || (emptyDir?.medium ?? "") !== "") return { stats: { ...system, name } };
    const tree = await treeUsage(directory);
    const stats = { ...system, usedBytes: tree.bytes, inodesUsed: tree.inodes, name };
    return emptyDir === undefined ? { stats } : { stats, onDisk: tree };
  }
}
