/** What the kubelet does beside running pods: static pods, eviction, images, logs, leftovers. */
import { stat } from "node:fs/promises";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { pause } from "#pkg/util/index.ts";
import type { Runtime } from "./cri/runtime.ts";
import { brokenLimit, hasStorageLimits } from "./eviction/limits.ts";
import type { BrokenLimit } from "./eviction/limits.ts";
import { EvictionManager } from "./eviction/manager.ts";
import type { Pressure } from "./eviction/manager.ts";
import type { PodUsage } from "./eviction/rank.ts";
import { observe, observeMemory, parseThresholds } from "./eviction/signals.ts";
import type { Observation, Threshold } from "./eviction/signals.ts";
import { memoryForPods } from "./node/status.ts";
import type { Host, Parts } from "./parts.ts";
import type { PodLifecycleEvents } from "./pleg.ts";
import { removeContainer, surplusOnNode } from "./pod/dead-containers.ts";
import type { PodManager } from "./pod/manager.ts";
import { runningContainers } from "./pod/observed.ts";
import { reconcileMirrors } from "./static/mirror.ts";
import { StaticPodSource } from "./static/source.ts";

/** Upstream's housekeeping period. It costs nothing where there is no orphan. */
const ORPHAN_PERIOD_MS = 2000;
const HOUSEKEEPING_PERIOD_MS = 60_000;
const IMAGE_GC_PERIOD_MS = 300_000;
const LOG_PERIOD_MS = 10_000;
const MIRROR_PERIOD_MS = 2000;

/** Everything of dead containers but the newest instance of each. */
async function removeDeadContainers(
  runtime: Runtime,
  manager: PodManager,
  pleg: PodLifecycleEvents,
  signal: AbortSignal,
): Promise<void> {
  for (const uid of pleg.uids()) {
    if (manager.get(uid)?.state === "syncing") continue;
    for (const container of pleg.get(uid).containers)
      if (container.state === "Exited") await removeContainer(runtime, container, signal);
  }
}

export class Maintenance {
  readonly #host: Host;
  readonly #parts: Parts;
  readonly #thresholds: readonly Threshold[];
  #eviction: EvictionManager | undefined;

  /** @throws Error when the configured thresholds of eviction cannot be followed. */
  constructor(host: Host, parts: Parts) {
    this.#host = host;
    this.#parts = parts;
    const { evictionHard, evictionSoft, evictionSoftGracePeriodSeconds, evictionMinimumReclaim } = host.config;
    this.#thresholds = parseThresholds({
      hard: evictionHard,
      soft: evictionSoft,
      softGraceSeconds: evictionSoftGracePeriodSeconds,
      minimumReclaim: evictionMinimumReclaim,
    });
  }

  pressure(): Pressure | undefined {
    return this.#eviction?.pressure();
  }

  async #every(periodMs: number, message: string, work: () => Promise<void>): Promise<void> {
    while (!this.#host.signal.aborted) {
      try {
        await work();
      } catch (err) {
        if (!this.#host.signal.aborted) this.#host.log.warn({ err }, message);
      }
      await pause(this.#host.clock, periodMs, this.#host.signal);
    }
  }

  /** Reads the static pods' manifests, then goes on following them: resolves, once they are known, to what follows. */
  async followStaticPods(): Promise<{ readonly following: Promise<unknown> }> {
    const { client, nodeName, clock, log, signal } = this.#host;
    const { manager } = this.#parts;
    const { staticPodPath, fileCheckFrequencySeconds } = this.#host.config;
    if (staticPodPath === "") return { following: Promise.resolve() };
    const source = new StaticPodSource({
      directory: staticPodPath,
      nodeName,
      clock,
      log,
      periodMs: fileCheckFrequencySeconds * 1000,
      onPods: (found) => manager.setStatic(found),
    });
    await source.refresh();
    const mirrors = () => reconcileMirrors(client, this.#host.node(), manager.staticPods(), manager.mirrors(), signal);
    const following = Promise.all([
      source.run(signal),
      this.#every(MIRROR_PERIOD_MS, "Updating mirror pods failed", mirrors),
    ]);
    return { following };
  }

  /** What each pod uses of what eviction watches over. */
  async #usages(signal: AbortSignal): Promise<ReadonlyMap<string, PodUsage>> {
    const { manager, stats, files } = this.#parts;
    const pods = manager.activePods();
    const [containers, onDisk] = await Promise.all([stats.containers(signal), files.of(pods)]);
    const usages = pods.map(async (pod): Promise<[string, PodUsage]> => {
      const { uid } = pod.metadata;
      const own = containers.filter(({ podUid }) => podUid === uid);
      const [used, disk] = [await stats.pod(pod), onDisk.get(uid)];
      const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
      const usage: PodUsage = {
        memoryBytes: used?.memory.workingSetBytes ?? sum(own.map(({ memory }) => memory.workingSetBytes ?? 0)),
        diskBytes: (disk?.onDisk.bytes ?? 0) + sum(own.map(({ rootfsUsedBytes }) => rootfsUsedBytes)),
        inodes: (disk?.onDisk.inodes ?? 0) + sum(own.map(({ rootfsInodesUsed }) => rootfsInodesUsed)),
        processes: used?.processes ?? 0,
        containers: own.map(({ name, memory, rootfsUsedBytes }) => ({
          name,
          memoryBytes: memory.workingSetBytes ?? 0,
          diskBytes: rootfsUsedBytes + (disk?.logs.get(name)?.bytes ?? 0),
        })),
      };
      return [uid, usage];
    });
    return new Map(await Promise.all(usages));
  }

  async #imagesApart(signal: AbortSignal): Promise<boolean> {
    const { images } = await this.#host.runtime.imageFsInfo({ signal });
    const mountpoint = images[0]?.mountpoint;
    if (mountpoint === undefined) return false;
    const [own, theirs] = await Promise.all([stat(this.#host.config.rootDirectory), stat(mountpoint)]);
    return own.dev !== theirs.dev;
  }

  /** What is left of the memory that pods may have together. */
  async #memoryOfPods(): Promise<Observation | undefined> {
    const used = await this.#parts.stats.workingSetOfPods();
    if (used === undefined) return undefined;
    const capacity = memoryForPods(this.#host.machine, this.#host.config);
    return { available: capacity - used, capacity };
  }

  async evict(): Promise<void> {
    const { manager, imageGc, stats, files, volumes, cgroups, agent, pleg, event, nodeEvent } = this.#parts;
    const config = this.#host.config;
    const { runtime } = this.#host;
    // What containers have written to their layers and logs.
    const writable = async (pods: readonly Pod[], signal: AbortSignal) => {
      const [usages, found] = await Promise.all([stats.containers(signal), files.of(pods)]);
      return (uid: string, name: string) =>
        (usages.find((usage) => usage.podUid === uid && usage.name === name)?.rootfsUsedBytes ?? 0) +
        (found.get(uid)?.logs.get(name)?.bytes ?? 0);
    };
    this.#eviction = new EvictionManager({
      clock: this.#host.clock,
      log: this.#host.log,
      thresholds: this.#thresholds,
      transitionMs: config.evictionPressureTransitionSeconds * 1000,
      maxGraceSeconds: config.evictionMaxPodGracePeriodSeconds,
      observe: async () => {
        const { images } = await runtime.imageFsInfo({ signal: this.#host.signal });
        const ofPods = await this.#memoryOfPods();
        return observe(config.rootDirectory, images[0]?.mountpoint, this.#host.machine.pidMax, ofPods);
      },
      observeMemory: async () => observeMemory(await this.#memoryOfPods()),
      pods: () =>
        manager
          .workers()
          .filter(({ state }) => state === "syncing")
          .map(({ pod }) => pod),
      usages: (signal) => this.#usages(signal),
      onAttempt: (resource) => nodeEvent("Warning", "EvictionThresholdMet", `Attempting to reclaim ${resource}`),
      freeDisk: async (of, signal) => {
        // Where images have a file system of their own, they are not what fills the node's.
        if (of.startsWith("nodefs.") && (await this.#imagesApart(signal))) return;
        await removeDeadContainers(runtime, manager, pleg, signal);
        await imageGc.collect(signal, true);
      },
      overLimit: async (signal) => {
        const limited = manager.activePods().filter(hasStorageLimits);
        const broken = new Map<string, BrokenLimit>();
        if (limited.length === 0) return broken;
        const written = await writable(limited, signal);
        for (const pod of limited) {
          const why = await brokenLimit(pod, volumes.podDirectory(pod.metadata.uid), (name) =>
            written(pod.metadata.uid, name),
          );
          if (why !== undefined) broken.set(pod.metadata.uid, why);
        }
        return broken;
      },
      evict: (pod, verdict, by) => {
        const worker = manager.get(pod.metadata.uid);
        if (worker === undefined) return;
        this.#host.metrics.evictions.inc({ eviction_signal: by });
        event(pod, undefined, "Warning", "Evicted", verdict.message);
        worker.fail(verdict);
      },
      stopGrowth: (pod) => cgroups.stopGrowth(pod),
      cleanedUp: (uid) => manager.get(uid)?.cleanedUp ?? true,
      onPressureChange: () => agent.wake(),
    });
    await this.#eviction.run(this.#host.signal);
  }

  collectImages(): Promise<void> {
    const { imageGc } = this.#parts;
    return this.#every(IMAGE_GC_PERIOD_MS, "Collecting unused images failed", async () => {
      await imageGc.collect(this.#host.signal);
    });
  }

  rotateLogs(): Promise<void> {
    const { rotation, pleg } = this.#parts;
    return this.#every(LOG_PERIOD_MS, "Rotating logs failed", async () => {
      const containers = pleg.uids().flatMap((uid) => [...pleg.get(uid).containers]);
      await rotation.link(containers);
      await rotation.rotate(containers, this.#host.signal);
    });
  }

  async #removeSurplusContainers(): Promise<void> {
    const { manager, pleg } = this.#parts;
    const { runtime, config, clock, signal } = this.#host;
    const active = (uid: string) => manager.get(uid)?.state === "syncing";
    const pods = pleg.uids().map((uid) => pleg.get(uid));
    for (const container of surplusOnNode(pods, active, config.deadContainers, clock.now()))
      await removeContainer(runtime, container, signal);
  }

  async #killTogether(): Promise<void> {
    const { manager, pleg, cgroups } = this.#parts;
    if (this.#host.config.singleProcessOOMKill) return;
    for (const pod of manager.activePods())
      for (const { id } of runningContainers(pleg.get(pod.metadata.uid))) await cgroups.killTogether(pod, id);
  }

  async cleanUp(): Promise<void> {
    const { manager, volumes, cgroups, pleg } = this.#parts;
    const orphans = this.#every(ORPHAN_PERIOD_MS, "Removing orphaned pods failed", async () => manager.cleanOrphans());
    const leftovers = this.#every(HOUSEKEEPING_PERIOD_MS, "Housekeeping failed", async () => {
      await manager.cleanDirectories(volumes);
      await cgroups.removeOrphans((uid) => manager.get(uid) !== undefined || pleg.uids().includes(uid));
    });
    const surplus = this.#every(HOUSEKEEPING_PERIOD_MS, "Removing dead containers failed", () =>
      this.#removeSurplusContainers(),
    );
    const together = this.#every(HOUSEKEEPING_PERIOD_MS, "Looking after containers' cgroups failed", () =>
      this.#killTogether(),
    );
    await Promise.all([orphans, leftovers, surplus, together]);
  }
}
