/** Pods that wait for a node, and what each waits for. */
import { DelayedSet } from "#pkg/client/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import type { Status } from "../framework/status.ts";
import type { ClusterEvent, EventRegistration, QueuedPod } from "../framework/types.ts";
import { Heap } from "./heap.ts";

/** Where a waiting pod is, as metrics and explanations name it. */
export type QueueName = "active" | "backoff" | "unschedulable" | "gated" | "in flight";

/** What orders the queue, and what its pods wait for. */
export interface QueueOptions {
  readonly clock: Clock;
  readonly compare: (a: QueuedPod, b: QueuedPod) => number;
  /** A verdict keeps the pod out of the queue (scheduling gates). */
  readonly preEnqueue: (pod: PodInfo) => Status | undefined;
  /** What the plugins of the pod's profile wait for. */
  readonly registrationsOf: (pod: PodInfo) => ReadonlyMap<string, readonly EventRegistration[]>;
  /** Does any profile's plugin of this name wait for such an event? */
  readonly awaits: (plugin: string, event: ClusterEvent) => boolean;
  readonly initialBackoffMs?: number;
  readonly maxBackoffMs?: number;
  /** Told of every pod that enters a queue, and of the event that brought it there. */
  readonly onQueued?: (queue: "active" | "backoff" | "unschedulable" | "gated", event: string) => void;
}

/** A pod on its way through the queues. Updates of the pod replace `info`. */
export interface WaitingPod {
  info: PodInfo;
  queuedAt: number;
  readonly firstQueuedAt: number;
  /** When the last attempt began. */
  attemptedAt: number;
  attempts: number;
  /** How often it was found unschedulable, or failed, in a row: the exponent of its backoff. */
  failures: number;
  failedByError: boolean;
  unschedulablePlugins: ReadonlySet<string>;
  unschedulableSince: number;
  /** Set while a PreEnqueue plugin keeps it out. */
  gate: Status | undefined;
}

/** What became of a scheduling attempt that did not place the pod. */
export interface Failure {
  readonly unschedulablePlugins: ReadonlySet<string>;
  /** Something broke, rather than no node being good enough. */
  readonly error: boolean;
}

/** A pod that no event helped is tried again after this long. */
const MAX_UNSCHEDULABLE_MS = 5 * 60_000;
const ATTEMPT_FAILED = "ScheduleAttemptFailure";
const FLUSH_TICK_MS = 30_000;
/** Events kept for pods being tried; beyond that they are assumed to have been helpful. */
const MAX_REMEMBERED = 20_000;

/**
 * Pods to schedule: active (by priority), backing off, and unschedulable until an event can help. Events that happen
 * while a pod is being tried are remembered for it, so that none is missed between its verdict and its return.
 */
export class SchedulingQueue {
  readonly #options: QueueOptions;
  readonly #active: Heap<WaitingPod>;
  readonly #backoff: DelayedSet<WaitingPod>;
  /** After errors: these wait their time even when there is nothing else to do. */
  readonly #errorBackoff: DelayedSet<WaitingPod>;
  readonly #backingOff = new Map<string, WaitingPod>();
  readonly #unschedulable = new Map<string, WaitingPod>();
  /** The unschedulable by the plugins that refused them: an event looks only at pods whose plugins await it. */
  readonly #byPlugin = new Map<string, Set<WaitingPod>>();
  /** `since` undefined: a node has been found, so no event matters to it any more. */
  readonly #inFlight = new Map<string, { readonly pod: WaitingPod; since: number | undefined }>();
  /** How many of those in flight events are remembered for. */
  #tracked = 0;
  #eventLog: { readonly sequence: number; readonly event: ClusterEvent }[] = [];
  #sequence = 0;
  #wake: (() => void) | undefined;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#active = new Heap<WaitingPod>((pod) => pod.info.uid, options.compare);
    const onDue = (pod: WaitingPod) => {
      this.#backingOff.delete(pod.info.uid);
      this.#activate(pod, "BackoffComplete");
    };
    this.#backoff = new DelayedSet(options.clock, onDue);
    this.#errorBackoff = new DelayedSet(options.clock, onDue);
  }
  get lengths(): {
    readonly active: number;
    readonly backoff: number;
    readonly unschedulable: number;
    readonly gated: number;
  } {
    let gated = 0;
    for (const pod of this.#unschedulable.values()) if (pod.gate !== undefined) gated++;
    const unschedulable = this.#unschedulable.size - gated;
    return { active: this.#active.size, backoff: this.#backingOff.size, unschedulable, gated };
  }
  /** Pods that wait for an event. */
  unschedulable(): Iterable<WaitingPod> {
    return this.#unschedulable.values();
  }
  /** Is there a pod to take? */
  get isActive(): boolean {
    return this.#active.size > 0;
  }
  /** Where the pod "namespace/name" waits, and the gate that keeps it there. Looks through all of them. */
  waitOf(key: string): { readonly queue: QueueName; readonly gate?: Status } | undefined {
    const isIt = ({ info }: WaitingPod) => info.key === key;
    const places: readonly (readonly [QueueName, Iterable<WaitingPod>])[] = [
      ["active", this.#active.values()],
      ["backoff", this.#backingOff.values()],
      ["unschedulable", this.#unschedulable.values()],
    ];
    for (const [queue, waiting] of places) {
      for (const pod of waiting) {
        if (isIt(pod)) return pod.gate === undefined ? { queue } : { queue: "gated", gate: pod.gate };
      }
    }
    for (const { pod } of this.#inFlight.values()) if (isIt(pod)) return { queue: "in flight" };
    return undefined;
  }
  has(uid: string): boolean {
    return (
      this.#active.has(uid) || this.#backingOff.has(uid) || this.#unschedulable.has(uid) || this.#inFlight.has(uid)
    );
  }

  add(info: PodInfo): void {
    if (this.has(info.uid)) {
      this.update(info);
      return;
    }
    const now = this.#options.clock.monotonic();
    const added: WaitingPod = {
      info,
      queuedAt: now,
      firstQueuedAt: now,
      attemptedAt: now,
      attempts: 0,
      failures: 0,
      failedByError: false,
      unschedulablePlugins: new Set(),
      unschedulableSince: 0,
      gate: undefined,
    };
    this.#activate(added, "PodAdd");
  }
  /** Replaces what is known of a pod; a change that can help it (see `event`) is a separate `moveOnEvent`. */
  update(info: PodInfo): void {
    const active = this.#active.get(info.uid);
    if (active !== undefined) {
      this.#active.delete(info.uid);
      active.info = info;
      this.#activate(active, "PodUpdate");
      return;
    }
    const other =
      this.#backingOff.get(info.uid) ?? this.#unschedulable.get(info.uid) ?? this.#inFlight.get(info.uid)?.pod;
    if (other !== undefined) other.info = info;
  }
  delete(uid: string): void {
    this.#active.delete(uid);
    if (this.#backingOff.delete(uid)) {
      this.#backoff.delete(uid);
      this.#errorBackoff.delete(uid);
    }
    const unschedulable = this.#unschedulable.get(uid);
    if (unschedulable !== undefined) this.#leaveUnschedulable(unschedulable);
    this.done(uid);
  }

  /** The next pod to try, now in flight until `done` or `requeue`. Idle time is used for pods still backing off. */
  pop(): WaitingPod | undefined {
    const pod = this.#active.pop() ?? this.#backoff.takeFirst();
    if (pod === undefined) return undefined;
    this.#backingOff.delete(pod.info.uid);
    pod.attempts++;
    this.#inFlight.set(pod.info.uid, { pod, since: this.#sequence });
    this.#tracked++;
    return pod;
  }
  /** A node was found for the pod in flight: it no longer waits for anything that events could bring. */
  placed(uid: string): void {
    const flight = this.#inFlight.get(uid);
    if (flight === undefined || flight.since === undefined) return;
    flight.since = undefined;
    this.#untrack();
  }
  /** Resolves as soon as `pop` may have something. */
  arrival(signal: AbortSignal): Promise<void> {
    if (this.#active.size > 0 || this.#backoff.size > 0 || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener("abort", wake);
        this.#wake = undefined;
        resolve();
      };
      this.#wake = wake;
      signal.addEventListener("abort", wake, { once: true });
    });
  }
  /** The pod in flight needs nothing more from the queue. */
  done(uid: string): void {
    this.placed(uid);
    this.#inFlight.delete(uid);
  }
  /** Takes a pod back that could not be placed. Harmless when it was deleted meanwhile. */
  requeue(pod: WaitingPod, failure: Failure): void {
    const uid = pod.info.uid;
    const flight = this.#inFlight.get(uid);
    if (flight === undefined) return;
    pod.failures++;
    pod.unschedulablePlugins = failure.unschedulablePlugins;
    // Where nobody can say what would help, time may; retrying at once would be a busy loop.
    const isUnexplained = pod.unschedulablePlugins.size === 0;
    pod.failedByError = failure.error || isUnexplained;
    pod.unschedulableSince = this.#options.clock.monotonic();
    const wasHelped = this.#missedHelp(pod, flight.since);
    this.done(uid);
    if (isUnexplained || wasHelped) this.#backOff(pod, ATTEMPT_FAILED);
    else this.#enterUnschedulable(pod, ATTEMPT_FAILED);
  }

  /** Wakes the pods that the event can help. */
  moveOnEvent(event: ClusterEvent): void {
    this.#remember(event);
    if (this.#unschedulable.size === 0) return;
    const candidates = new Set<WaitingPod>();
    for (const [plugin, pods] of this.#byPlugin) {
      if (!this.#options.awaits(plugin, event)) continue;
      for (const pod of pods) if (pod.gate === undefined) candidates.add(pod);
    }
    for (const pod of candidates) if (this.#helps(event, pod)) this.#wakeUp(pod, labelOf(event));
  }
  /** A pod itself has changed, for better or worse: `event` says how. */
  moveOne(uid: string, event: ClusterEvent): void {
    if (this.#inFlight.has(uid)) this.#remember(event);
    const pod = this.#unschedulable.get(uid);
    if (pod === undefined) return;
    if (pod.gate !== undefined || this.#helps(event, pod)) this.#wakeUp(pod, labelOf(event));
  }
  /** Moves pods on that no event has helped for five minutes. */
  flushUnschedulable(): void {
    const now = this.#options.clock.monotonic();
    for (const pod of this.#unschedulable.values()) {
      if (pod.gate === undefined && now - pod.unschedulableSince > MAX_UNSCHEDULABLE_MS)
        this.#wakeUp(pod, "UnschedulableTimeout");
    }
  }
  /** Runs the periodic flush until the signal aborts. */
  startFlushing(signal: AbortSignal): void {
    let cancel = () => undefined as void;
    const tick = () => {
      this.flushUnschedulable();
      cancel = this.#options.clock.schedule(FLUSH_TICK_MS, tick);
    };
    cancel = this.#options.clock.schedule(FLUSH_TICK_MS, tick);
    signal.addEventListener(
      "abort",
      () => {
        cancel();
        this.#backoff.clear();
        this.#errorBackoff.clear();
      },
      { once: true },
    );
  }

  #remember(event: ClusterEvent): void {
    if (this.#tracked === 0) return;
    this.#eventLog.push({ sequence: ++this.#sequence, event });
    if (this.#eventLog.length > MAX_REMEMBERED) this.#eventLog.splice(0, MAX_REMEMBERED / 2);
  }
  #untrack(): void {
    this.#tracked--;
    if (this.#tracked === 0) this.#eventLog = [];
  }
  /** Has something happened since the pod was taken that may help it? */
  #missedHelp(pod: WaitingPod, since: number | undefined): boolean {
    if (since === undefined) return false;
    const [oldest] = this.#eventLog;
    if (oldest !== undefined && oldest.sequence > since + 1) return true; // some are forgotten: perhaps those
    return this.#eventLog.some(({ sequence, event }) => sequence > since && this.#helps(event, pod));
  }
  #helps(event: ClusterEvent, pod: WaitingPod): boolean {
    if (event.resource === "*") return true;
    const registrations = this.#options.registrationsOf(pod.info);
    for (const plugin of pod.unschedulablePlugins) {
      const registered = registrations.get(plugin);
      // A plugin that registers nothing waits for anything.
      if (registered === undefined) return true;
      if (registered.some((registration) => isAwaited(registration, event) && hintSays(registration, event, pod)))
        return true;
    }
    return false;
  }
  #wakeUp(pod: WaitingPod, event: string): void {
    this.#leaveUnschedulable(pod);
    const remainingMs = this.#backoffMs(pod) - (this.#options.clock.monotonic() - pod.unschedulableSince);
    if (remainingMs > 0 && pod.gate === undefined) this.#backOff(pod, event, remainingMs);
    else this.#activate(pod, event);
  }
  #activate(pod: WaitingPod, event: string): void {
    pod.gate = this.#options.preEnqueue(pod.info);
    if (pod.gate !== undefined) {
      pod.unschedulablePlugins = new Set(pod.gate.plugin === undefined ? [] : [pod.gate.plugin]);
      this.#enterUnschedulable(pod, event);
      return;
    }
    pod.queuedAt = this.#options.clock.monotonic();
    this.#options.onQueued?.("active", event);
    this.#active.add(pod);
    this.#wake?.();
  }
  #backOff(pod: WaitingPod, event: string, delayMs = this.#backoffMs(pod)): void {
    this.#options.onQueued?.("backoff", event);
    this.#backingOff.set(pod.info.uid, pod);
    (pod.failedByError ? this.#errorBackoff : this.#backoff).add(pod.info.uid, pod, delayMs);
    if (!pod.failedByError) this.#wake?.();
  }
  #backoffMs({ failures }: WaitingPod): number {
    const { initialBackoffMs = 1_000, maxBackoffMs = 10_000 } = this.#options;
    return failures === 0 ? 0 : Math.min(initialBackoffMs * 2 ** Math.min(failures - 1, 30), maxBackoffMs);
  }
  #enterUnschedulable(pod: WaitingPod, event: string): void {
    this.#options.onQueued?.(pod.gate === undefined ? "unschedulable" : "gated", event);
    this.#unschedulable.set(pod.info.uid, pod);
    for (const plugin of pod.unschedulablePlugins) {
      const pods = this.#byPlugin.get(plugin);
      if (pods === undefined) this.#byPlugin.set(plugin, new Set([pod]));
      else pods.add(pod);
    }
  }
  #leaveUnschedulable(pod: WaitingPod): void {
    this.#unschedulable.delete(pod.info.uid);
    for (const plugin of pod.unschedulablePlugins) {
      const pods = this.#byPlugin.get(plugin);
      pods?.delete(pod);
      if (pods?.size === 0) this.#byPlugin.delete(plugin);
    }
  }
}

/** As upstream names events, e.g. NodeAdd. */
function labelOf({ resource, actions: [action] }: ClusterEvent): string {
  return `${resource}${action ?? ""}`;
}

/** Is it an event of the sort that was registered for? */
export function isAwaited(registration: EventRegistration, event: ClusterEvent): boolean {
  if (registration.resource !== "*" && registration.resource !== event.resource) return false;
  return registration.actions.some((action) => event.actions.includes(action));
}

function hintSays(registration: EventRegistration, event: ClusterEvent, pod: WaitingPod): boolean {
  if (registration.hint === undefined) return true;
  try {
    return registration.hint(pod.info, event);
  } catch {
    return true; // a hint that fails must not leave the pod waiting
  }
}
