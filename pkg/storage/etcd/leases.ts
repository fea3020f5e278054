import type { LeaseClient } from "etcd3/lib/rpc.js";
import type { Clock } from "#pkg/util/index.ts";

/** Keys on one lease are deleted in one transaction, which must stay small. */
const MAX_KEYS_PER_LEASE = 1000;
const MAX_REUSE_SECONDS = 60;
/** A key may live this much longer, as a part of its lifetime, so that keys written together share a lease. */
const REUSE_SHARE = 0.05;

interface SharedLease {
  readonly id: Promise<string>;
  readonly reuseUntil: number;
  keys: number;
}

/** Leases shared by keys of the same lifetime written within a short time: a lease per key would double the requests. */
export class Leases {
  readonly #client: LeaseClient;
  readonly #clock: Clock;
  readonly #shared = new Map<number, SharedLease>();

  constructor(client: LeaseClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }
  /** A lease that lives at least `ttlSeconds` from now. */
  async lease(ttlSeconds: number): Promise<string> {
    const now = this.#clock.now();
    let shared = this.#shared.get(ttlSeconds);
    if (shared === undefined || shared.reuseUntil <= now || shared.keys >= MAX_KEYS_PER_LEASE) {
      const reuseSeconds = Math.min(ttlSeconds * REUSE_SHARE, MAX_REUSE_SECONDS);
      shared = { id: this.#grant(ttlSeconds + reuseSeconds), reuseUntil: now + reuseSeconds * 1000, keys: 0 };
      this.#shared.set(ttlSeconds, shared);
    }
    shared.keys++;
    try {
      return await shared.id;
    } catch (error) {
      this.forget(ttlSeconds);
      throw error;
    }
  }
  /** The lease for this lifetime is of no use any more. */
  forget(ttlSeconds: number): void {
    this.#shared.delete(ttlSeconds);
  }

  async #grant(seconds: number): Promise<string> {
    const { ID } = await this.#client.leaseGrant({ TTL: Math.ceil(seconds) });
    return ID;
  }
}
