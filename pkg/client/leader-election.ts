import { ignoreAlreadyExists, ignoreNotFound, isConflict } from "#pkg/apimachinery/index.ts";
import type { ObjectKey } from "#pkg/apimachinery/index.ts";
import { leases } from "#pkg/api/refs.ts";
import type { Lease } from "#pkg/api/types/coordination-v1.ts";
import { formatMicroTime, Wakeup, pause } from "#pkg/util/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { Client, Draft } from "./contract.ts";
import { onAbort } from "./transport/abort.ts";

export interface LeaderElectorOptions {
  readonly client: Client;
  readonly lease: ObjectKey;
  /** Who we are: unique among the candidates, e.g. host name and a UUID. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: Random;
  /** Defaults 15 s, 10 s and 2 s. */
  readonly leaseDurationMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryPeriodMs?: number;
  /** What the lease says of its holder beyond its name; undefined removes what another holder said. */
  readonly annotations?: Readonly<Record<string, string | undefined>>;
  /** Called whenever another (or the first) leader is seen. */
  readonly onNewLeader?: (identity: string) => void;
}

/** Candidates wait up to this much longer than the retry period, so that they do not try in step. */
const JITTER = 1.2;
const FINAL_RELEASE_TIMEOUT_MS = 5_000;

/** Elects one of several processes by a Lease. A lease is judged by when *we* saw it change, never by its clock. */
export class LeaderElector {
  readonly #options: LeaderElectorOptions;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  #observed: Lease | undefined;
  #observedAt = 0;
  #leader = "";
  #isLeader = false;

  constructor(options: LeaderElectorOptions) {
    this.#options = options;
    this.#leaseDurationMs = options.leaseDurationMs ?? 15_000;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryPeriodMs = options.retryPeriodMs ?? 2_000;
  }
  get isLeader(): boolean {
    return this.#isLeader;
  }

  /**
   * Waits to become leader, then runs `lead`, whose signal aborts when leadership is lost or `signal` aborts. Resolves
   * when `lead` has ended, with "lost" when another may lead now, "released" when we gave the lease back (or never
   * had it).
   */
  async run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<"lost" | "released"> {
    const { log, lease } = this.#options;
    if (!(await this.#acquire(signal))) return "released";
    this.#isLeader = true;
    log.info({ lease: lease.name }, "Became leader");
    const term = new AbortController();
    const unlink = onAbort(signal, () => term.abort(signal.reason));
    const leading = lead(term.signal).finally(() => term.abort(new Error("the leader has finished")));
    leading.catch(() => undefined); // handled below, once renewing has stopped
    let outcome: "lost" | "released";
    try {
      outcome = await this.#renew(term.signal);
      if (outcome === "lost") term.abort(new Error("leadership was lost"));
      await leading;
    } finally {
      unlink();
      this.#isLeader = false;
    }
    if (outcome === "lost") log.warn({ lease: lease.name }, "Lost leadership");
    // Only now is nobody working under the lease any more: the next leader need not wait for its end.
    else await this.#release();
    return outcome;
  }

  async #acquire(signal: AbortSignal): Promise<boolean> {
    const waiting = new AbortController();
    const unlink = onAbort(signal, () => waiting.abort(signal.reason));
    const changed = new Wakeup();
    const following = this.#follow(waiting.signal, changed);
    try {
      return await this.#compete(signal, changed);
    } finally {
      unlink();
      waiting.abort(new Error("no longer a candidate"));
      await following;
    }
  }

  async #compete(signal: AbortSignal, changed: Wakeup): Promise<boolean> {
    const { log, lease } = this.#options;
    while (!signal.aborted) {
      try {
        if (await this.#tryAcquireOrRenew(signal)) return true;
      } catch (err) {
        if (signal.aborted) return false;
        log.warn({ err, lease: lease.name }, "Failed to acquire the lease");
      }
      await this.#pause(signal, changed);
    }
    return false;
  }

  /** Waits a retry period, or less: until the lease that somebody holds runs out, or is given back. */
  async #pause(signal: AbortSignal, changed: Wakeup): Promise<void> {
    const { clock, random } = this.#options;
    const end = clock.monotonic() + this.#retryPeriodMs * (1 + JITTER * (random?.float() ?? 0));
    for (;;) {
      const now = clock.monotonic();
      const heldMs = this.#isHeld() ? this.#observedAt + this.#validMs() - now : Infinity;
      const delayMs = Math.min(end - now, heldMs);
      if (delayMs <= 0) return;
      const turn = new AbortController();
      const unlink = onAbort(signal, () => turn.abort(signal.reason));
      const timer = pause(clock, delayMs, turn.signal);
      await Promise.race([timer, changed.wait(turn.signal)]);
      unlink();
      turn.abort(new Error("awake"));
      if (signal.aborted || !this.#isHeld()) return;
    }
  }

  /**
   * Sees every renewal when it is made, so that the lease is judged from then and not from when we happened to ask.
   * Without a watch there is still the asking.
   */
  async #follow(signal: AbortSignal, changed: Wakeup): Promise<void> {
    const { client, clock, lease, log } = this.#options;
    const { namespace, name } = lease;
    while (!signal.aborted) {
      try {
        for await (const { type, object } of client.watch(leases, {
          namespace,
          fieldSelector: `metadata.name=${name}`,
          signal,
        })) {
          if (type === "BOOKMARK" || object.metadata.name !== name) continue;
          this.#observe(type === "DELETED" ? { ...object, spec: {} } : object);
          changed.notify();
        }
      } catch (err) {
        if (!signal.aborted) log.debug({ err, lease: name }, "Cannot watch the lease, will retry");
      }
      await pause(clock, this.#retryPeriodMs, signal);
    }
  }

  /** Does somebody hold the lease, as far as we have seen? */
  #isHeld(): boolean {
    const { holderIdentity = "" } = this.#observed?.spec ?? {};
    return holderIdentity !== "" && this.#options.clock.monotonic() < this.#observedAt + this.#validMs();
  }
  #validMs(): number {
    const seconds = this.#observed?.spec?.leaseDurationSeconds;
    return seconds === undefined ? this.#leaseDurationMs : seconds * 1000;
  }

  async #renew(signal: AbortSignal): Promise<"lost" | "released"> {
    const { clock, log } = this.#options;
    let renewedAt = clock.monotonic();
    for (;;) {
      await pause(clock, this.#retryPeriodMs, signal);
      if (signal.aborted) return "released";
      const leftMs = renewedAt + this.#renewDeadlineMs - clock.monotonic();
      if (leftMs <= 0) return "lost";
      const deadline = new AbortController();
      const cancel = clock.schedule(leftMs, () => deadline.abort(new Error("renew deadline exceeded")));
      try {
        if (await this.#tryAcquireOrRenew(AbortSignal.any([signal, deadline.signal]))) renewedAt = clock.monotonic();
        else if (this.#leader !== this.#options.identity) return "lost";
      } catch (err) {
        if (!signal.aborted) log.warn({ err, lease: this.#options.lease.name }, "Failed to renew the lease");
      } finally {
        cancel();
      }
    }
  }

  /** True when the lease is ours now. */
  async #tryAcquireOrRenew(signal: AbortSignal): Promise<boolean> {
    const { client, lease: key, identity, clock } = this.#options;
    const lease = await ignoreNotFound(client.get(leases, key, { signal }));
    if (lease === undefined) return this.#create(signal);
    this.#observe(lease);
    const { holderIdentity = "", leaseTransitions = 0, acquireTime } = lease.spec ?? {};
    if (this.#isHeld() && holderIdentity !== identity) return false;
    const now = formatMicroTime(clock.now());
    const ours = holderIdentity === identity;
    const spec = {
      ...lease.spec,
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#leaseDurationMs / 1000),
      acquireTime: ours ? acquireTime : now,
      renewTime: now,
      leaseTransitions: ours ? leaseTransitions : leaseTransitions + 1,
    };
    try {
      this.#observe(
        await client.update(leases, { ...lease, metadata: this.#described(lease.metadata), spec }, { signal }),
      );
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  #described<M extends Draft<Lease>["metadata"]>(metadata: M): M {
    const { annotations } = this.#options;
    return annotations === undefined
      ? metadata
      : { ...metadata, annotations: { ...metadata.annotations, ...annotations } };
  }

  async #create(signal: AbortSignal): Promise<boolean> {
    const { client, lease: key, identity, clock } = this.#options;
    const now = formatMicroTime(clock.now());
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#leaseDurationMs / 1000),
      acquireTime: now,
      renewTime: now,
      leaseTransitions: 0,
    };
    const metadata = this.#described({ name: key.name, namespace: key.namespace });
    const draft = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec } as const;
    const lease = await ignoreAlreadyExists(client.create(leases, draft, { signal }));
    if (lease !== undefined) this.#observe(lease);
    return lease !== undefined;
  }

  #observe(lease: Lease): void {
    const changed =
      this.#observed?.metadata.uid !== lease.metadata.uid ||
      this.#observed?.metadata.resourceVersion !== lease.metadata.resourceVersion;
    if (changed) {
      this.#observed = lease;
      this.#observedAt = this.#options.clock.monotonic();
    }
    const leader = lease.spec?.holderIdentity ?? "";
    if (leader === this.#leader) return;
    this.#leader = leader;
    if (leader !== "") this.#options.onNewLeader?.(leader);
  }

  async #release(): Promise<void> {
    const { client, identity, clock, log } = this.#options;
    const lease = this.#observed;
    if (lease?.spec?.holderIdentity !== identity) return;
    const now = formatMicroTime(clock.now());
    const spec = { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime: now, acquireTime: now };
    const timeout = new AbortController();
    const cancel = clock.schedule(FINAL_RELEASE_TIMEOUT_MS, () => timeout.abort(new Error("timed out")));
    try {
      await client.update(leases, { ...lease, spec }, { signal: timeout.signal });
    } catch (err) {
      log.warn({ err, lease: this.#options.lease.name }, "Failed to release the lease");
    } finally {
      cancel();
    }
  }
}
