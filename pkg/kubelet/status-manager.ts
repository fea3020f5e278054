/**
 * Writes pod statuses to the API: at once, only what changed, one request per pod at a time. What is compared is the
 * newest object known, from the watch or from our own last write.
 */
import type { Pod, PodCondition, PodStatus } from "#pkg/api/types/core-v1.ts";
import { pods } from "#pkg/api/refs.ts";
import { deepEqual, isNotFound, keyOf } from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { sleep } from "#pkg/util/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";

/** Conditions the kubelet owns; others belong to whoever wrote them. */
const OWNED = new Set([
  "PodReadyToStartContainers",
  "Initialized",
  "Ready",
  "ContainersReady",
  "PodScheduled",
  "PodResizePending",
  "PodResizeInProgress",
  "AllContainersRestarting",
  "DisruptionTarget",
]);
/** Always present while the pod is on a node; the rest of ours come and go. */
const REMOVABLE = new Set(["PodResizePending", "PodResizeInProgress"]);
const OWNED_FIELDS = [
  "phase",
  "reason",
  "message",
  "hostIP",
  "hostIPs",
  "podIP",
  "podIPs",
  "startTime",
  "qosClass",
  "observedGeneration",
  "initContainerStatuses",
  "containerStatuses",
  "ephemeralContainerStatuses",
  "resources",
  "allocatedResources",
] as const satisfies readonly (keyof PodStatus)[];
/** Lists that a strategic merge patch would merge by key instead of replacing. */
const MERGED_LISTS = new Set<string>(["hostIPs", "podIPs"]);
const RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;

/** Keeps the times of what has not changed since it was last wanted, whether or not the API has it yet. Pure. */
export function withTimesOf(before: PodStatus | undefined, next: PodStatus): PodStatus {
  if (before === undefined) return next;
  const conditions = next.conditions?.map((condition) => {
    const old = before.conditions?.find(({ type }) => type === condition.type);
    return OWNED.has(condition.type) && old?.status === condition.status
      ? { ...condition, lastTransitionTime: old.lastTransitionTime }
      : condition;
  });
  return {
    ...next,
    startTime: before.startTime ?? next.startTime,
    ...(conditions === undefined ? {} : { conditions }),
  };
}

/** The strategic merge patch from one status to the next, or undefined when nothing changes. Pure. */
export function statusPatch(current: PodStatus | undefined, after: PodStatus): Record<string, unknown> | undefined {
  const before: PodStatus = current ?? {};
  const patch: Record<string, unknown> = {};
  for (const field of OWNED_FIELDS) {
    if (deepEqual(before[field], after[field])) continue;
    if (after[field] === undefined) patch[field] = null;
    else if (MERGED_LISTS.has(field) && before[field] !== undefined)
      patch[field] = [...(after[field] as unknown[]), { $patch: "replace" }];
    else patch[field] = after[field];
  }
  const conditions: unknown[] = [];
  for (const condition of after.conditions ?? []) {
    if (!OWNED.has(condition.type)) continue;
    const old = before.conditions?.find(({ type }) => type === condition.type);
    if (old !== undefined && deepEqual(comparable(old), comparable(condition))) continue;
    // A merge keeps what is not named: reason and message of the past must go.
    conditions.push({ ...condition, reason: condition.reason ?? null, message: condition.message ?? null });
  }
  for (const { type } of before.conditions ?? []) {
    if (REMOVABLE.has(type) && after.conditions?.every((condition) => condition.type !== type) === true)
      conditions.push({ $patch: "delete", type });
  }
  if (conditions.length > 0) patch["conditions"] = conditions;
  return Object.keys(patch).length === 0 ? undefined : patch;
}

function comparable({ lastProbeTime: _probe, ...condition }: PodCondition): unknown {
  return {
    ...condition,
    reason: condition.reason === "" ? undefined : condition.reason,
    message: condition.message === "" ? undefined : condition.message,
  };
}

interface Entry {
  /** What the worker last wanted written. */
  wanted: PodStatus;
  pod: Pod;
  busy: boolean;
  /** Monotonic time since which the API has not had what is wanted. */
  dueSince: number | undefined;
  written: Pod | undefined;
  waiters: (() => void)[];
}

function newer(a: Pod | undefined, b: Pod): Pod {
  if (a === undefined || a.metadata.uid !== b.metadata.uid) return b;
  return BigInt(a.metadata.resourceVersion) > BigInt(b.metadata.resourceVersion) ? a : b;
}

export class StatusManager {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #signal: AbortSignal;
  readonly #onWritten: (seconds: number) => void;
  readonly #entries = new Map<string, Entry>();

  /** `onWritten` learns how long the API went without a change of a pod's status. */
  constructor(deps: {
    client: Client;
    clock: Clock;
    log: Logger;
    signal: AbortSignal;
    onWritten: (seconds: number) => void;
  }) {
    this.#client = deps.client;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#signal = deps.signal;
    this.#onWritten = deps.onWritten;
  }

  /** The newest object known for the pod: ours when it is newer than the watch's. */
  latest(pod: Pod): Pod {
    return newer(this.#entries.get(pod.metadata.uid)?.written, pod);
  }
  /** The status last wanted, which the API may not have yet. */
  wanted(uid: string): PodStatus | undefined {
    return this.#entries.get(uid)?.wanted;
  }

  set(pod: Pod, status: PodStatus): void {
    const { uid } = pod.metadata;
    let entry = this.#entries.get(uid);
    if (entry === undefined) {
      entry = { wanted: status, pod, busy: false, dueSince: undefined, written: undefined, waiters: [] };
      this.#entries.set(uid, entry);
    }
    entry.wanted = withTimesOf(entry.wanted, status);
    entry.pod = pod;
    entry.dueSince ??= this.#clock.monotonic();
    if (!entry.busy) void this.#write(uid, entry);
  }

  /** Resolves when everything wanted so far has been written (or the pod is gone). */
  async flush(uid: string): Promise<void> {
    const entry = this.#entries.get(uid);
    if (entry === undefined || !entry.busy) return;
    await new Promise<void>((resolve) => entry.waiters.push(resolve));
  }

  forget(uid: string): void {
    this.#entries.delete(uid);
  }

  async #write(uid: string, entry: Entry): Promise<void> {
    entry.busy = true;
    let delayMs = RETRY_MS;
    try {
      while (this.#entries.get(uid) === entry && !this.#signal.aborted) {
        const base = newer(entry.written, entry.pod);
        const patch = statusPatch(base.status, entry.wanted);
        if (patch === undefined) {
          entry.dueSince = undefined;
          return;
        }
        try {
          const body = { metadata: { uid }, status: patch };
          const written = await this.#client.patch(pods, keyOf(base), "strategic", body, {
            subresource: "status",
            signal: this.#signal,
          });
          entry.written = written;
          if (entry.dueSince !== undefined) this.#onWritten((this.#clock.monotonic() - entry.dueSince) / 1000);
          entry.dueSince = undefined;
          delayMs = RETRY_MS;
          // A server that refuses a field silently must not make us write it for ever.
          const missing = statusPatch(written.status, entry.wanted);
          if (missing !== undefined && deepEqual(missing, patch)) {
            this.#log.warn(
              { pod: base.metadata.name, namespace: base.metadata.namespace, fields: Object.keys(patch) },
              "The API server did not keep parts of a pod's status",
            );
            return;
          }
        } catch (err) {
          if (this.#signal.aborted || isNotFound(err)) return;
          this.#log.warn(
            { err, pod: base.metadata.name, namespace: base.metadata.namespace },
            "Updating a pod's status failed",
          );
          await sleep(this.#clock, delayMs, this.#signal);
          delayMs = Math.min(delayMs * 2, MAX_RETRY_MS);
        }
      }
    } catch (err) {
      if (!this.#signal.aborted) this.#log.error({ err, podUid: uid }, "The status writer stopped unexpectedly");
    } finally {
      entry.busy = false;
      for (const resolve of entry.waiters.splice(0)) resolve();
    }
  }
}
