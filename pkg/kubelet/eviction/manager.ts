/** Watches what the node has left, reports pressure, frees what it can, and evicts pods when that is not enough. */
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { sleep, pause } from "#pkg/util/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import { isCriticalPod } from "../pod/spec.ts";
import { endedByKubelet, type Verdict } from "../pod/worker-deps.ts";
import type { BrokenLimit } from "./limits.ts";
import { evictionMessage } from "./message.ts";
import { rankForEviction } from "./rank.ts";
import type { EvictedResource, PodUsage } from "./rank.ts";
import { conditionOf, crossed, headroom, limitOf, resourceOf } from "./signals.ts";
import type { Observations, SignalName, Threshold } from "./signals.ts";

const PERIOD_MS = 10_000;
/** Between two rounds memory alone is looked at: at most and at least so often. */
const MEMORY_PERIOD_MS = 1000;
const MIN_MEMORY_PERIOD_MS = 100;
/** What an evicted pod gives back counts before another one has to go; one that does not end is not waited for longer. */
const LEAVING_MS = 30_000;
const LOOK_MS = 1000;
/** How long what an evicted pod had on disk may still be on its way: a runtime frees layers when it gets round to it. */
const RETURNING_MS = 60_000;
/** What a pod gets to end when the node cannot wait. */
const IMMEDIATE_GRACE_SECONDS = 1;

/** The node's pressure conditions. */
export interface Pressure {
  readonly memory: boolean;
  readonly disk: boolean;
  readonly pid: boolean;
}

/** What eviction goes by, and how it acts; times in milliseconds unless named otherwise. */
export interface EvictionDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly thresholds: readonly Threshold[];
  readonly transitionMs: number;
  readonly maxGraceSeconds: number;
  readonly observe: () => Promise<Observations>;
  /** Of that what speaks of memory, without asking anybody else. */
  readonly observeMemory: () => Promise<Observations>;
  readonly pods: () => readonly Pod[];
  readonly usages: (signal: AbortSignal) => Promise<ReadonlyMap<string, PodUsage>>;
  /** Something has to be done about a resource: first whatever can be spared is given back, then a pod goes. */
  readonly onAttempt: (resource: EvictedResource) => void;
  /** Gives back what can be spared of what the signal speaks of. */
  readonly freeDisk: (of: SignalName, signal: AbortSignal) => Promise<void>;
  /** Pods that break a storage limit of their own, with why. */
  readonly overLimit: (signal: AbortSignal) => Promise<ReadonlyMap<string, BrokenLimit>>;
  /** `by` is the signal, or the pod's own limit, that the pod has to go for. */
  readonly evict: (pod: Pod, verdict: Verdict, by: string) => void;
  /** Lets the pod take no more memory: until it has ended it would take what the node needs to end it. */
  readonly stopGrowth: (pod: Pod) => Promise<void>;
  /** Has the node got back everything that the pod used of it? */
  readonly cleanedUp: (uid: string) => boolean;
  readonly onPressureChange: () => void;
}

export class EvictionManager {
  readonly #deps: EvictionDeps;
  /** When each threshold was first seen crossed, without a break. */
  readonly #since = new Map<Threshold, number>();
  /** Those that pods were evicted for, and whose minimum has not been reclaimed yet. */
  #unresolved: ReadonlySet<Threshold> = new Set();
  /** When each kind of pressure was last seen: the condition outlives it by the transition period. */
  readonly #lastPressure = new Map<"memory" | "disk" | "pid", number>();
  /** Evicted pods that may still hold something. */
  readonly #leaving = new Set<string>();
  /** What pods had on disk that were evicted for it. */
  #returning: { readonly until: number; readonly usage: PodUsage }[] = [];

  constructor(deps: EvictionDeps) {
    this.#deps = deps;
  }

  pressure(): Pressure {
    const now = this.#deps.clock.monotonic();
    const lasting = (kind: "memory" | "disk" | "pid") => {
      const last = this.#lastPressure.get(kind);
      return last !== undefined && now - last < this.#deps.transitionMs;
    };
    return { memory: lasting("memory"), disk: lasting("disk"), pid: lasting("pid") };
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.synchronize(signal);
        if (!(await this.#untilGone(signal))) await this.#rest(signal);
        continue;
      } catch (err) {
        if (signal.aborted) return;
        this.#deps.log.warn({ err }, "Looking at the node's resources failed");
      }
      await pause(this.#deps.clock, PERIOD_MS, signal);
    }
  }

  /**
   * Until the next round is due. A process can take all memory within a second, so memory is looked at all along, the more
   * often the sooner it would be short; a round is due at once when it is.
   */
  async #rest(signal: AbortSignal): Promise<void> {
    const { clock, observeMemory, thresholds } = this.#deps;
    const watched = thresholds.filter((one) => conditionOf(one.signal) === "memory" && !this.#since.has(one));
    const end = clock.monotonic() + PERIOD_MS;
    let before: { readonly at: number; readonly left: number } | undefined;
    // Never at once: what comes and goes at a threshold must not keep the node busy with rounds.
    let pause = MIN_MEMORY_PERIOD_MS;
    for (let now = clock.monotonic(); now < end; now = clock.monotonic()) {
      await sleep(clock, Math.min(pause, end - now), signal);
      const left = headroom(watched, await observeMemory());
      if (left < 0) return;
      const at = clock.monotonic();
      const perMs = before === undefined || at === before.at ? 0 : (before.left - left) / (at - before.at);
      before = { at, left };
      const half = perMs > 0 ? left / perMs / 2 : MEMORY_PERIOD_MS;
      pause = Math.max(MIN_MEMORY_PERIOD_MS, Math.min(half, MEMORY_PERIOD_MS));
    }
  }

  /** Resolves to whether anything had to be waited for: the node is looked at again as soon as it is gone. */
  async #untilGone(signal: AbortSignal): Promise<boolean> {
    const { clock, cleanedUp } = this.#deps;
    if (this.#leaving.size === 0) return false;
    const end = clock.monotonic() + LEAVING_MS;
    do await sleep(clock, LOOK_MS, signal);
    while ([...this.#leaving].some((uid) => !cleanedUp(uid)) && clock.monotonic() < end);
    this.#leaving.clear();
    return true;
  }

  #evict(pod: Pod, why: Pick<Verdict, "message" | "graceSeconds">, by: string): void {
    this.#leaving.add(pod.metadata.uid);
    this.#deps.evict(pod, { reason: "Evicted", ...why, condition: endedByKubelet(why.message) }, by);
  }

  /** One round; evicts at most one pod for pressure. */
  async synchronize(signal: AbortSignal): Promise<void> {
    const { clock, thresholds, transitionMs, onPressureChange } = this.#deps;
    if (await this.#enforceLimits(signal)) return;
    const observations = await this.#deps.observe();
    const now = clock.monotonic();
    const current = crossed(thresholds, this.#unresolved, observations);
    for (const threshold of this.#since.keys()) if (!current.includes(threshold)) this.#since.delete(threshold);
    const before = this.pressure();
    for (const threshold of current) {
      if (!this.#since.has(threshold)) this.#since.set(threshold, now);
      // The condition speaks of what is, whatever grace eviction gives.
      this.#lastPressure.set(conditionOf(threshold.signal), now);
    }
    for (const [kind, last] of this.#lastPressure) if (now - last >= transitionMs) this.#lastPressure.delete(kind);
    const after = this.pressure();
    if (before.memory !== after.memory || before.disk !== after.disk || before.pid !== after.pid) onPressureChange();
    const due = current
      .filter((threshold) => now - this.#since.get(threshold)! >= threshold.graceSeconds * 1000)
      .sort((a, b) => Number(conditionOf(b.signal) === "memory") - Number(conditionOf(a.signal) === "memory"));
    this.#unresolved = new Set(due);
    if (!current.some(({ signal: crossedSignal }) => conditionOf(crossedSignal) === "disk")) this.#returning = [];
    const worst = due[0];
    if (worst !== undefined) await this.#relieve(worst, observations, signal);
  }

  async #relieve(threshold: Threshold, observations: Observations, signal: AbortSignal): Promise<void> {
    const { pods, usages, freeDisk, stopGrowth, maxGraceSeconds, log, observe, onAttempt } = this.#deps;
    const resource = resourceOf(threshold.signal);
    onAttempt(resource);
    let seen = observations.get(threshold.signal)!;
    const ofDisk = conditionOf(threshold.signal) === "disk";
    if (ofDisk) {
      await freeDisk(threshold.signal, signal);
      seen = (await observe()).get(threshold.signal) ?? seen;
      const soon = { ...seen, available: seen.available + this.#returningOf(resource) };
      if (crossed([threshold], this.#unresolved, new Map([[threshold.signal, soon]])).length === 0) return;
    }
    const used = await usages(signal);
    const candidates = rankForEviction(
      pods().filter((pod) => !isCriticalPod(pod)),
      used,
      resource,
    );
    const [victim] = candidates;
    if (victim === undefined) {
      log.warn({ signal: threshold.signal }, "The node is short of a resource and has no pod to evict");
      return;
    }
    if (threshold.hard && resource === "memory") await stopGrowth(victim);
    const message = evictionMessage(victim, used.get(victim.metadata.uid), {
      resource,
      threshold: limitOf(threshold, seen.capacity),
      available: seen.available,
    });
    const graceSeconds = threshold.hard
      ? IMMEDIATE_GRACE_SECONDS
      : Math.min(maxGraceSeconds, victim.spec.terminationGracePeriodSeconds ?? 30);
    log.warn(
      { pod: victim.metadata.name, namespace: victim.metadata.namespace, signal: threshold.signal },
      "Evicting a pod",
    );
    this.#evict(victim, { message, graceSeconds }, threshold.signal);
    const usage = used.get(victim.metadata.uid);
    if (ofDisk && usage !== undefined)
      this.#returning.push({ until: this.#deps.clock.monotonic() + RETURNING_MS, usage });
  }

  #returningOf(resource: EvictedResource): number {
    const now = this.#deps.clock.monotonic();
    this.#returning = this.#returning.filter(({ until }) => now < until);
    return this.#returning.reduce(
      (sum, { usage }) => sum + (resource === "inodes" ? usage.inodes : usage.diskBytes),
      0,
    );
  }

  /** Whether any pod had to go for a limit of its own: what it leaves may be all that was wanted. */
  async #enforceLimits(signal: AbortSignal): Promise<boolean> {
    const { overLimit, pods } = this.#deps;
    const broken = await overLimit(signal);
    const condemned = pods().filter((pod) => broken.has(pod.metadata.uid) && !isCriticalPod(pod));
    for (const pod of condemned) {
      const { message, signal: by } = broken.get(pod.metadata.uid)!;
      this.#evict(pod, { message, graceSeconds: IMMEDIATE_GRACE_SECONDS }, by);
    }
    return condemned.length > 0;
  }
}
