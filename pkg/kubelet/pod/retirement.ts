/** What follows when nothing of a pod runs any more: its volumes, cgroup, containers and its object go. */
import { rm } from "node:fs/promises";
import { pods } from "#pkg/api/refs.ts";
import { isConflict, isNotFound, keyOf } from "#pkg/apimachinery/index.ts";
import { podLogDirectory } from "./configs.ts";
import { isMirrorPod } from "./spec.ts";
import type { PodSubject } from "./subject.ts";
import type { WorkerDeps } from "./worker-deps.ts";

/** A finalizer may keep the object for long: the API is not asked to drop it more often than this. */
const DELETE_AGAIN_MS = 30_000;

export class Retirement {
  readonly #subject: PodSubject;
  #cleaned = false;
  #deletedAt: number | undefined;

  constructor(subject: PodSubject) {
    this.#subject = subject;
  }

  /** Are the pod's volumes and cgroup gone? */
  get cleaned(): boolean {
    return this.#cleaned;
  }

  /** One idempotent pass; resolves to true when nothing is left to do for the pod. */
  async advance(signal: AbortSignal): Promise<boolean> {
    const { uid, pod, removed, deps } = this.#subject;
    if (!this.#cleaned) {
      deps.probes.forget(uid);
      await deps.metrics.volumes("volume_unmount", deps.clock, () => deps.volumes.tearDown(uid));
      await deps.removeCgroup(pod, "wait");
      deps.objects.release(uid);
      this.#cleaned = true;
    }
    const deleted = pod.metadata.deletionTimestamp !== undefined;
    if (!deleted && !removed) return false;
    if (deleted && !removed && !isMirrorPod(pod)) await this.#deleteObject(signal);
    // A finalizer may keep the object: containers go all the same, the worker stays until the object does.
    await removeRuntimePod(deps, uid, signal);
    await rm(podLogDirectory(deps.config.podLogsDir, pod), { recursive: true, force: true });
    // The runtime has let go of it only now.
    if (!(await deps.removeCgroup(pod, "kill"))) throw new Error("the pod's cgroup is still in use");
    if (!this.#subject.removed) return false;
    for (const part of [deps.puller, deps.crashBackoff, deps.resources, deps.status]) part.forget(uid);
    return true;
  }

  async #deleteObject(signal: AbortSignal): Promise<void> {
    const { uid, pod, deps } = this.#subject;
    const now = deps.clock.monotonic();
    if (this.#deletedAt !== undefined && now - this.#deletedAt < DELETE_AGAIN_MS) return;
    await deps.status.flush(uid);
    try {
      await deps.client.delete(pods, keyOf(pod), { gracePeriodSeconds: 0, preconditions: { uid }, signal });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
    this.#deletedAt = now;
  }
}

/** Removes a pod's stopped containers and sandboxes; rejects as long as the runtime still has any of them. */
export async function removeRuntimePod(
  { runtime, pleg }: Pick<WorkerDeps, "runtime" | "pleg">,
  uid: string,
  signal: AbortSignal,
): Promise<void> {
  const { containers, sandboxes } = pleg.get(uid);
  await Promise.all(containers.map(({ id }) => runtime.removeContainer(id, { signal })));
  await Promise.all(sandboxes.map(({ id }) => runtime.removeSandbox(id, { signal })));
  const left = await pleg.refresh(uid, signal);
  if (left.containers.length + left.sandboxes.length > 0)
    throw new Error("containers or sandboxes of the pod came up while it was being removed");
}
