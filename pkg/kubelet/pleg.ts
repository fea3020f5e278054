/**
 * Knows what the runtime holds. One list of sandboxes and one of containers per second serve all pods; details are
 * asked only for what changed. Workers look again at their own pod at once after acting on it; what they have made
 * themselves is looked at alone.
 */
import { pause } from "#pkg/util/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import { isRuntimeError } from "./cri/runtime.ts";
import type { Runtime, RuntimeContainer, RuntimeContainerStatus, Sandbox, SandboxStatus } from "./cri/runtime.ts";
import type { OutOfMemory } from "./oom.ts";
import { nothingObserved } from "./pod/observed.ts";
import type { ObservedContainer, ObservedPod } from "./pod/observed.ts";
import { podAddresses } from "./pod/network.ts";

const RELIST_PERIOD_MS = 1000;
/** With the runtime's event stream the list is only a safety net, against events that were lost. */
const RELIST_PERIOD_WITH_EVENTS_MS = 30_000;
/** A runtime that has no event stream says so at once: one that has been silent for so long has one. */
const EVENTS_STAND_MS = 3000;
const EVENTS_RETRY_MS = 5000;
/** Runtimes tell of a container's end a moment before their own answers show it: look again until they do. */
const LOOK_AGAIN_MS = 10;
const MAX_LOOK_AGAIN_MS = 1000;
/** Upstream's threshold: a relist that has not succeeded for so long makes the node NotReady. */
const HEALTHY_MS = 180_000;
const UID_LABEL = "io.kubernetes.pod.uid";

/** What somebody has just made for a pod. */
export interface Made {
  readonly sandboxIds: readonly string[];
  readonly containers: readonly { readonly id: string; readonly sandboxId: string }[];
}

interface Entry {
  observed: ObservedPod;
  signature: string;
  /** Monotonic time at which the look behind `observed` began: an older look never replaces it. */
  lookedAt: number;
}

export class PodLifecycleEvents {
  readonly #runtime: Runtime;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #nodeAddresses: () => readonly string[];
  readonly #onChange: (uid: string) => void;
  readonly #onRelist: (seconds: number, sinceLast: number | undefined) => void;
  readonly #outOfMemory: Pick<OutOfMemory, "settled">;
  readonly #entries = new Map<string, Entry>();
  readonly #containers = new Map<string, { state: string; status: RuntimeContainerStatus }>();
  readonly #sandboxes = new Map<string, { state: string; status: SandboxStatus }>();
  /** Pods being looked at because of an event; true when another event came meanwhile. */
  readonly #looking = new Map<string, boolean>();
  /** What events have told the end of and no look has shown ended yet, with the monotonic time of the event. */
  readonly #ended = new Map<string, number>();
  /** Pods that another look is due at in a moment. */
  readonly #lookingAgain = new Set<string>();
  #running: AbortSignal | undefined;
  #lastRelist: number | undefined;
  #relistBegan: number | undefined;
  #eventsWork = false;

  constructor(deps: {
    runtime: Runtime;
    clock: Clock;
    log: Logger;
    nodeAddresses: () => readonly string[];
    onChange: (uid: string) => void;
    /** A list was read: how long that took, and how long before it the last one began. */
    onRelist: (seconds: number, sinceLast: number | undefined) => void;
    outOfMemory: Pick<OutOfMemory, "settled">;
  }) {
    this.#runtime = deps.runtime;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#nodeAddresses = deps.nodeAddresses;
    this.#onChange = deps.onChange;
    this.#onRelist = deps.onRelist;
    this.#outOfMemory = deps.outOfMemory;
  }

  get(uid: string): ObservedPod {
    return this.#entries.get(uid)?.observed ?? nothingObserved(uid);
  }
  /** All pods of which the runtime holds something. */
  uids(): string[] {
    return [...this.#entries.keys()];
  }
  healthy(): boolean {
    return this.#lastRelist !== undefined && this.#clock.monotonic() - this.#lastRelist < HEALTHY_MS;
  }

  /** Looks at one pod now. */
  async refresh(uid: string, signal?: AbortSignal): Promise<ObservedPod> {
    const lookedAt = this.#clock.monotonic();
    const [sandboxes, containers] = await Promise.all([
      this.#runtime.listSandboxes({ podUid: uid }, { signal }),
      this.#runtime.listContainers({ podUid: uid }, { signal }),
    ]);
    await this.#store(uid, sandboxes, containers, lookedAt, signal);
    return this.get(uid);
  }

  /**
   * Looks only at what the caller has just made for the pod, or knows to have ended: runtimes walk through all they have to answer a list,
   * which many pods that start together would pay for each other.
   */
  async add(uid: string, { sandboxIds, containers }: Made, signal?: AbortSignal): Promise<ObservedPod> {
    const lookedAt = this.#clock.monotonic();
    const [newSandboxes, newContainers] = await Promise.all([
      Promise.all(sandboxIds.map((id) => this.#fetchSandbox(id, signal))),
      Promise.all(containers.map(({ id, sandboxId }) => this.#fetchContainer(id, sandboxId, signal))),
    ]);
    // What is gone already shows in a list only.
    if ([...newSandboxes, ...newContainers].includes(undefined)) return this.refresh(uid, signal);
    const current = this.#entries.get(uid);
    // A list that began later has them too.
    if (current !== undefined && current.lookedAt > lookedAt) return current.observed;
    const { sandboxes: knownSandboxes, containers: knownContainers } = this.get(uid);
    this.#set(uid, merge(knownSandboxes, newSandboxes), merge(knownContainers, newContainers), lookedAt);
    return this.get(uid);
  }

  /** Forgets what was cached about a container whose details changed without a change of state. */
  invalidate(containerId: string): void {
    this.#containers.delete(containerId);
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#running = signal;
    void this.#followEvents(signal);
    while (!signal.aborted) {
      const age = this.#lastRelist === undefined ? Infinity : this.#clock.monotonic() - this.#lastRelist;
      if (!this.#eventsWork || age >= RELIST_PERIOD_WITH_EVENTS_MS) {
        try {
          await this.relist(signal);
        } catch (err) {
          if (signal.aborted) return;
          this.#log.warn({ err }, "Listing the runtime's pods failed");
        }
      }
      await pause(this.#clock, RELIST_PERIOD_MS, signal);
    }
  }

  async relist(signal?: AbortSignal): Promise<void> {
    const lookedAt = this.#clock.monotonic();
    const [sandboxes, containers] = await Promise.all([
      this.#runtime.listSandboxes({}, { signal }),
      this.#runtime.listContainers({}, { signal }),
    ]);
    const pods = new Map<string, { sandboxes: Sandbox[]; containers: RuntimeContainer[] }>();
    const podOf = (uid: string | undefined) => {
      if (uid === undefined || uid === "") return undefined;
      let pod = pods.get(uid);
      if (pod === undefined) pods.set(uid, (pod = { sandboxes: [], containers: [] }));
      return pod;
    };
    for (const sandbox of sandboxes) podOf(sandbox.metadata.uid)?.sandboxes.push(sandbox);
    for (const container of containers) podOf(container.labels[UID_LABEL])?.containers.push(container);
    for (const uid of this.#entries.keys()) if (!pods.has(uid)) pods.set(uid, { sandboxes: [], containers: [] });
    // One pod's details may take their time (see OutOfMemory): no other pod waits for them.
    await Promise.all(
      [...pods].map(async ([uid, pod]) => {
        const before = this.#entries.get(uid)?.observed;
        try {
          await this.#store(uid, pod.sandboxes, pod.containers, lookedAt, signal);
        } catch (err) {
          if (signal?.aborted === true) return;
          this.#log.warn({ err, podUid: uid }, "Looking at a pod failed; the next relist tries again");
        }
        if (this.#entries.get(uid)?.observed !== before) this.#onChange(uid);
      }),
    );
    if (signal?.aborted === true) return;
    this.#forgetGone(sandboxes, containers);
    this.#lastRelist = this.#clock.monotonic();
    const sinceLast = this.#relistBegan === undefined ? undefined : (lookedAt - this.#relistBegan) / 1000;
    this.#relistBegan = lookedAt;
    this.#onRelist((this.#lastRelist - lookedAt) / 1000, sinceLast);
  }

  #forgetGone(sandboxes: readonly Sandbox[], containers: readonly RuntimeContainer[]): void {
    const live = new Set([...sandboxes.map(({ id }) => id), ...containers.map(({ id }) => id)]);
    for (const entry of this.#entries.values()) {
      for (const { id } of [...entry.observed.sandboxes, ...entry.observed.containers]) live.add(id);
    }
    for (const id of this.#containers.keys()) if (!live.has(id)) this.#containers.delete(id);
    for (const id of this.#sandboxes.keys()) if (!live.has(id)) this.#sandboxes.delete(id);
    // What is being made just now may have ended before it was seen for the first time.
    const forgetBefore = this.#clock.monotonic() - RELIST_PERIOD_WITH_EVENTS_MS;
    for (const [id, at] of this.#ended) if (!live.has(id) && at < forgetBefore) this.#ended.delete(id);
  }

  async #store(
    uid: string,
    sandboxes: Sandbox[],
    containers: RuntimeContainer[],
    lookedAt: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const old = this.#entries.get(uid);
    if (old !== undefined && old.lookedAt > lookedAt) return;
    const signature = [...sandboxes, ...containers]
      .map(({ id, state }) => `${id}:${state}:${this.#containers.has(id) || this.#sandboxes.has(id)}`)
      .sort()
      .join(" ");
    if (old !== undefined && old.signature === signature) {
      old.lookedAt = lookedAt;
      this.#lookUntilEnded(old.observed);
      return;
    }
    const [sandboxStatuses, containerStatuses] = await Promise.all([
      Promise.all(sandboxes.map((sandbox) => this.#sandboxStatus(sandbox, signal))),
      Promise.all(containers.map((container) => this.#containerStatus(container, signal))),
    ]);
    const current = this.#entries.get(uid);
    if (current !== undefined && current.lookedAt > lookedAt) return;
    this.#set(uid, sandboxStatuses, containerStatuses, lookedAt, [...sandboxes, ...containers]);
  }

  /** `listed` is what the states came from; by default the details themselves. */
  #set(
    uid: string,
    sandboxes: readonly (SandboxStatus | undefined)[],
    containers: readonly (ObservedContainer | undefined)[],
    lookedAt: number,
    listed?: readonly { readonly id: string; readonly state: string }[],
  ): void {
    const newestFirst = (a: { createdAt: number }, b: { createdAt: number }) => b.createdAt - a.createdAt;
    const observed: ObservedPod = {
      uid,
      sandboxes: sandboxes.filter((status) => status !== undefined).sort(newestFirst),
      containers: containers.filter((status) => status !== undefined).sort(newestFirst),
    };
    if (observed.sandboxes.length === 0 && observed.containers.length === 0) {
      this.#entries.delete(uid);
      return;
    }
    const signature = (listed ?? [...observed.sandboxes, ...observed.containers])
      .map(({ id, state }) => `${id}:${state}:true`)
      .sort()
      .join(" ");
    this.#entries.set(uid, { observed, signature, lookedAt });
    this.#lookUntilEnded(observed);
  }

  /** Where an event has told the end of something that still shows as running, another look follows. */
  #lookUntilEnded({ uid, sandboxes, containers }: ObservedPod): void {
    let toldAt: number | undefined;
    for (const { id, state } of [...sandboxes, ...containers]) {
      if (state === "NotReady" || state === "Exited" || state === "Unknown") this.#ended.delete(id);
      else toldAt = this.#ended.get(id) ?? toldAt;
    }
    if (toldAt === undefined || this.#lookingAgain.has(uid)) return;
    this.#lookingAgain.add(uid);
    // The longer it has taken already, the longer it may take.
    const waitMs = Math.min(MAX_LOOK_AGAIN_MS, Math.max(LOOK_AGAIN_MS, this.#clock.monotonic() - toldAt));
    this.#clock.schedule(waitMs, () => {
      this.#lookingAgain.delete(uid);
      this.#lookSoon(uid);
    });
  }

  async #sandboxStatus(sandbox: Sandbox, signal?: AbortSignal): Promise<SandboxStatus | undefined> {
    const cached = this.#sandboxes.get(sandbox.id);
    return cached?.state === sandbox.state ? cached.status : this.#fetchSandbox(sandbox.id, signal);
  }

  async #fetchSandbox(id: string, signal?: AbortSignal): Promise<SandboxStatus | undefined> {
    try {
      const status = await this.#runtime.sandboxStatus(id, { signal });
      // A sandbox that stopped has no address any more, but its pod's status keeps the last one.
      const ips = status.ips.length > 0 ? status.ips : (this.#sandboxes.get(id)?.status.ips ?? []);
      const kept = { ...status, ips: podAddresses(ips, this.#nodeAddresses()[0]) };
      this.#sandboxes.set(id, { state: status.state, status: kept });
      return kept;
    } catch (error) {
      if (isRuntimeError(error, "NotFound")) return undefined;
      throw error;
    }
  }

  async #containerStatus(container: RuntimeContainer, signal?: AbortSignal): Promise<ObservedContainer | undefined> {
    const cached = this.#containers.get(container.id);
    if (cached?.state === container.state) return { ...cached.status, sandboxId: container.sandboxId };
    return this.#fetchContainer(container.id, container.sandboxId, signal);
  }

  async #fetchContainer(id: string, sandboxId: string, signal?: AbortSignal): Promise<ObservedContainer | undefined> {
    try {
      const ask = () => this.#runtime.containerStatus(id, { signal });
      const status = await this.#outOfMemory.settled(await ask(), ask);
      this.#containers.set(id, { state: status.state, status });
      return { ...status, sandboxId };
    } catch (error) {
      if (isRuntimeError(error, "NotFound")) return undefined;
      throw error;
    }
  }

  async #followEvents(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const stands = this.#clock.schedule(EVENTS_STAND_MS, () => {
        this.#eventsWork = true;
      });
      try {
        for await (const { type, containerId, podUid } of this.#runtime.events(signal)) {
          this.#eventsWork = true;
          if (type === "Stopped") this.#ended.set(containerId, this.#clock.monotonic());
          const uid = podUid ?? this.#podOf(containerId);
          if (uid !== undefined) this.#lookSoon(uid);
        }
      } catch (err) {
        if (signal.aborted || isRuntimeError(err, "Unimplemented")) return;
        this.#log.debug({ err }, "The runtime's event stream ended; listing continues");
      } finally {
        stands();
      }
      this.#eventsWork = false;
      await pause(this.#clock, EVENTS_RETRY_MS, signal);
    }
  }

  #podOf(id: string): string | undefined {
    return this.#containers.get(id)?.status.labels[UID_LABEL] ?? this.#sandboxes.get(id)?.status.metadata.uid;
  }

  /** One look per pod at a time; an event that comes during a look makes another follow. */
  #lookSoon(uid: string): void {
    const signal = this.#running;
    if (signal === undefined || signal.aborted) return;
    if (this.#looking.has(uid)) {
      this.#looking.set(uid, true);
      return;
    }
    this.#looking.set(uid, false);
    const before = this.#entries.get(uid)?.observed;
    this.#look(uid, signal)
      .catch((err: unknown) => {
        if (!signal.aborted) this.#log.debug({ err, podUid: uid }, "Looking at a pod after an event failed");
        this.#eventsWork = false; // the next list makes up for it
      })
      .finally(() => {
        const again = this.#looking.get(uid) === true;
        this.#looking.delete(uid);
        if (this.#entries.get(uid)?.observed !== before) this.#onChange(uid);
        if (again) this.#lookSoon(uid);
      });
  }

  /** Looks at what events have told the end of, or where they told nothing else at all of the pod. */
  #look(uid: string, signal: AbortSignal): Promise<ObservedPod> {
    const { sandboxes, containers } = this.get(uid);
    const told = ({ id }: { readonly id: string }) => this.#ended.has(id);
    const ended = { sandboxIds: sandboxes.filter(told).map(({ id }) => id), containers: containers.filter(told) };
    const nothing = ended.sandboxIds.length + ended.containers.length === 0;
    return nothing ? this.refresh(uid, signal) : this.add(uid, ended, signal);
  }
}

/** What was known, with the new in place of what has the same id. */
function merge<T extends { readonly id: string }>(known: readonly T[], added: readonly (T | undefined)[]): T[] {
  const fresh = added.filter((item) => item !== undefined);
  return [...fresh, ...known.filter(({ id }) => fresh.every((item) => item.id !== id))];
}
