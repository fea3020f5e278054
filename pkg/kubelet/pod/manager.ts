/** Follows the pods of this node and gives each a worker; looks after pods the runtime has but nobody wants. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { SharedInformer } from "#pkg/client/index.ts";
import { ifExists } from "#pkg/util/index.ts";
import type { Logger } from "#pkg/util/index.ts";
import type { Admission } from "../admission.ts";
import { mirrors } from "../static/mirror.ts";
import type { VolumeManager } from "../volumes/manager.ts";
import { removeRuntimePod } from "./retirement.ts";
import { isMirrorPod } from "./spec.ts";
import { endedByKubelet, type WorkerDeps } from "./worker-deps.ts";
import { PodWorker } from "./worker.ts";

/** What an orphan gets before it is killed: nobody knows its real grace period any more. */
const ORPHAN_GRACE_SECONDS = 1;
const PREEMPTING = "Preempting";

/** What the manager gives its workers, and who judges new pods. */
export interface PodManagerDeps {
  readonly worker: WorkerDeps;
  readonly log: Logger;
  /** Judges a pod that is new to this node against those already here. */
  readonly admit: (pod: Pod, others: readonly Pod[]) => Admission;
}

export class PodManager {
  readonly #deps: PodManagerDeps;
  readonly #workers = new Map<string, PodWorker>();
  readonly #cleaning = new Set<string>();
  readonly #runs = new Set<Promise<void>>();
  /** Mirror pods by the full name of the static pod they stand for. */
  readonly #mirrors = new Map<string, Pod>();
  readonly #static = new Set<string>();
  #foundStatic: readonly Pod[] = [];
  #signal: AbortSignal | undefined;
  #sourcesReady = false;

  constructor(deps: PodManagerDeps) {
    this.#deps = deps;
  }

  start(informer: SharedInformer<Pod>, signal: AbortSignal): void {
    this.#signal = signal;
    informer.addHandler({
      onAdd: (pod) => this.#apply(pod),
      onUpdate: (pod) => this.#apply(pod),
      onDelete: (pod) => this.#delete(pod),
    });
  }

  /** From now on pods the runtime has and no source names are orphans. */
  sourcesReady(): void {
    this.#sourcesReady = true;
    this.cleanOrphans();
  }

  /** Begins to remove whatever the runtime has of pods without a worker: again, where an earlier attempt failed. */
  cleanOrphans(): void {
    if (!this.#sourcesReady) return;
    for (const uid of this.#deps.worker.pleg.uids()) if (!this.#workers.has(uid)) void this.#cleanOrphan(uid);
  }

  /** Resolves when no worker runs any more: after the signal has aborted. */
  async settled(): Promise<void> {
    await Promise.all(this.#runs);
  }

  get(uid: string): PodWorker | undefined {
    return this.#workers.get(uid);
  }
  find(namespace: string, name: string): PodWorker | undefined {
    let found: PodWorker | undefined;
    for (const worker of this.#workers.values()) {
      const { metadata } = worker.pod;
      if (metadata.name !== name || (metadata.namespace ?? "") !== namespace) continue;
      // A pod of that name may still be on its way out while the next is there already.
      if (found === undefined || worker.state === "syncing") found = worker;
    }
    return found;
  }
  workers(): PodWorker[] {
    return [...this.#workers.values()];
  }
  /** Pods whose containers use the node. */
  activePods(): Pod[] {
    return this.workers()
      .filter(({ active }) => active)
      .map(({ pod }) => pod);
  }
  /**
   * Pods whose claims stand against a new one's. What was deleted without grace claims nothing: for the scheduler its
   * place is free at once, and a pod that failed here in its stead would not come back. And the place of a preempted pod
   * is another's already.
   */
  #claimants(): Pod[] {
    return this.workers()
      .filter(({ active, removed, endsFor }) => active && !removed && endsFor !== PREEMPTING)
      .map(({ pod }) => pod);
  }
  wakeAll(): void {
    for (const worker of this.#workers.values()) worker.wake();
  }

  onRuntimeChange(uid: string): void {
    const worker = this.#workers.get(uid);
    if (worker !== undefined) worker.wake();
    else if (this.#sourcesReady) void this.#cleanOrphan(uid);
  }

  /** The static pods there are now; a changed manifest is another pod. Their mirrors only tell the API about them. */
  setStatic(found: readonly Pod[]): void {
    const uids = new Set(found.map(({ metadata }) => metadata.uid));
    for (const uid of this.#static) if (!uids.has(uid)) this.#workers.get(uid)?.remove();
    for (const pod of found) {
      const { uid, namespace = "", name } = pod.metadata;
      if (this.#workers.has(uid)) continue;
      // The pod that this one replaces must be gone first: both may hold the same ports and paths.
      if (
        this.workers().some(({ pod: other }) => other.metadata.name === name && other.metadata.namespace === namespace)
      )
        continue;
      this.#static.add(uid);
      this.#applyPod(pod);
    }
    this.#foundStatic = found;
  }
  staticPods(): Pod[] {
    return this.workers()
      .filter(({ uid, state }) => this.#static.has(uid) && state !== "finished")
      .map(({ pod }) => pod);
  }
  mirrors(): Pod[] {
    return [...this.#mirrors.values()];
  }
  isStatic(uid: string): boolean {
    return this.#static.has(uid);
  }
  /** What the API has of a static pod. A mirror of the pod that was there before tells nothing of this one. */
  mirrorOf(pod: Pod): Pod | undefined {
    const mirror = this.#mirrors.get(`${pod.metadata.namespace ?? ""}/${pod.metadata.name}`);
    return mirror !== undefined && mirrors(mirror, pod) ? mirror : undefined;
  }

  #apply(pod: Pod): void {
    if (isMirrorPod(pod)) {
      this.#mirrors.set(`${pod.metadata.namespace ?? ""}/${pod.metadata.name}`, pod);
      this.find(pod.metadata.namespace ?? "", pod.metadata.name)?.wake();
      return;
    }
    this.#applyPod(pod);
  }

  #applyPod(pod: Pod): void {
    const existing = this.#workers.get(pod.metadata.uid);
    if (existing !== undefined) {
      existing.update(pod);
      return;
    }
    const signal = this.#signal;
    if (signal === undefined) throw new Error("the pod manager was given a pod before it was started");
    const worker = new PodWorker(this.#deps.worker, pod, ({ uid }) => {
      this.#workers.delete(uid);
      for (const waiting of this.#deps.worker.resources.deferred()) this.#workers.get(waiting)?.wake();
      if (this.#static.delete(uid)) this.setStatic(this.#foundStatic);
    });
    const admission = this.#isNew(pod) ? this.#deps.admit(pod, this.#claimants()) : undefined;
    this.#workers.set(worker.uid, worker);
    if (admission !== undefined && "refused" in admission) {
      const { refused } = admission;
      this.#deps.worker.metrics.rejections.inc({ reason: refused.reason });
      this.#deps.worker.event(pod, undefined, "Warning", refused.reason, refused.message);
      worker.reject(refused);
    }
    if (admission !== undefined && "preempt" in admission)
      for (const other of admission.preempt) this.#preempt(other, admission.lacking);
    const run = worker
      .run(signal)
      .catch((err: unknown) => this.#deps.log.error({ err, podUid: worker.uid }, "A pod worker stopped unexpectedly"))
      .finally(() => this.#runs.delete(run));
    this.#runs.add(run);
  }

  /** Ends a pod for a critical one that has no room beside it. */
  #preempt(pod: Pod, lacking: string): void {
    this.#deps.worker.metrics.preemptions.inc({ preemption_signal: lacking });
    const message = "Preempted in order to admit critical pod";
    this.#deps.worker.event(pod, undefined, "Warning", PREEMPTING, message);
    this.#workers.get(pod.metadata.uid)?.fail({ reason: PREEMPTING, message, condition: endedByKubelet(message) });
  }

  /** Pods that were here before the kubelet restarted are not judged again. */
  #isNew(pod: Pod): boolean {
    const phase = pod.status?.phase;
    if (phase === "Succeeded" || phase === "Failed" || pod.metadata.deletionTimestamp !== undefined) return false;
    return pod.status?.startTime === undefined && this.#deps.worker.pleg.get(pod.metadata.uid).sandboxes.length === 0;
  }

  #delete(pod: Pod): void {
    if (isMirrorPod(pod)) {
      const key = `${pod.metadata.namespace ?? ""}/${pod.metadata.name}`;
      if (this.#mirrors.get(key)?.metadata.uid === pod.metadata.uid) this.#mirrors.delete(key);
      this.find(pod.metadata.namespace ?? "", pod.metadata.name)?.wake();
      return;
    }
    this.#workers.get(pod.metadata.uid)?.remove();
  }

  async #cleanOrphan(uid: string): Promise<void> {
    const signal = this.#signal;
    if (signal === undefined || this.#cleaning.has(uid)) return;
    const { worker, log } = this.#deps;
    this.#cleaning.add(uid);
    try {
      // What was last seen may be from before somebody else, a kubelet that died, ended it.
      const observed = await worker.pleg.refresh(uid, signal);
      log.info({ podUid: uid }, "Removing a pod that no source knows");
      await worker.lifecycle.stopPod(undefined, observed, ORPHAN_GRACE_SECONDS, "", () => undefined, signal);
      await worker.pleg.refresh(uid, signal);
      await removeRuntimePod(worker, uid, signal);
      await worker.volumes.tearDown(uid);
      await worker.removeOrphanedCgroup(uid);
    } catch (err) {
      if (!signal.aborted)
        log.warn({ err, podUid: uid }, "Removing an orphaned pod failed; the next housekeeping tries again");
    } finally {
      this.#cleaning.delete(uid);
    }
  }

  /** Removes pods' directories and logs that belong to nothing. */
  async cleanDirectories(volumes: VolumeManager): Promise<void> {
    const known = (uid: string) => this.#workers.has(uid) || this.#deps.worker.pleg.get(uid).sandboxes.length > 0;
    const attempt = async (uid: string, what: string, removal: () => Promise<void>) => {
      try {
        await removal();
      } catch (err) {
        this.#deps.log.warn({ err, podUid: uid }, what);
      }
    };
    for (const uid of await volumes.podsOnDisk())
      if (!known(uid)) await attempt(uid, "Removing an orphaned pod directory failed", () => volumes.tearDown(uid));
    const { podLogsDir } = this.#deps.worker.config;
    for (const [uid, name] of await podsWithLogs(podLogsDir)) {
      const path = join(podLogsDir, name);
      if (!known(uid)) await attempt(uid, "Removing orphaned logs failed", () => rm(path, { recursive: true }));
    }
  }
}

/** Uids and names of the directories <namespace>_<name>_<uid>; neither of the three has an underscore. */
async function podsWithLogs(directory: string): Promise<[uid: string, name: string][]> {
  const found = (await ifExists(readdir(directory))) ?? [];
  return found.flatMap((name): [string, string][] => {
    const uid = /^[^_]+_[^_]+_([^_]+)$/.exec(name)?.[1];
    return uid === undefined ? [] : [[uid, name]];
  });
}
