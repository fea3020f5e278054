import type { ResourceQuota } from "#pkg/api/types/core-v1.ts";
import { parseList, type ResourceList } from "#pkg/api/quota/index.ts";
import { type KubeObject, parseQuantity, type Quantity } from "#pkg/apimachinery/index.ts";
import {
  type CacheEntry,
  KeyNotFoundError,
  type ResourceCache,
  RevisionConflictError,
} from "#pkg/storage/cacher/index.ts";

export type QuotaCache = Pick<ResourceCache, "peek" | "update">;

/** Something to be charged: what it adds to each quota by name. */
export interface Charge {
  readonly namespace: string;
  /** quota name → resources it limits → what is added. */
  readonly deltas: ReadonlyMap<string, ResourceList>;
  /** Checked, not written. */
  readonly dryRun: boolean;
  /** Makes the error for a quota that would be exceeded. */
  refuse(message: string): Error;
}

interface Pending {
  readonly charge: Charge;
  /** Quotas this charge has not been written to yet. */
  readonly open: Set<string>;
  /** Quotas it has been written to. */
  readonly done: Set<string>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** How often a quota that others write to at the same time is tried again before the request fails. */
const ATTEMPTS = 10;
/** Charges waiting per namespace; beyond it requests fail instead of piling up. */
const MAX_WAITING = 5000;

function printed(list: Iterable<[string, Quantity]>): string {
  return [...list]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, quantity]) => `${name}=${quantity.toString()}`)
    .join(",");
}

/**
 * Books usage into ResourceQuota status with compare-and-swap. Charges of one namespace are taken in order, and all that
 * wait at the same time share one write per quota, so many creators cannot exceed a quota and do not queue for it either.
 */
export class QuotaAccountant {
  readonly #cache: QuotaCache;
  readonly #waiting = new Map<string, Pending[]>();
  /** Revision of our own last write per quota: anything newer was written by someone who counted afresh. */
  readonly #written = new Map<string, number>();

  /** What a lost race showed, where it is ahead of the cache: with several servers the cache may lag behind. */
  readonly #ahead = new Map<string, CacheEntry>();

  constructor(cache: QuotaCache) {
    this.#cache = cache;
  }

  /** Resolves when the charge is in all its quotas. Rejects, having charged nothing, when one would be exceeded. */
  charge(charge: Charge): Promise<void> {
    return new Promise((resolve, reject) => {
      const pending: Pending = { charge, open: new Set(charge.deltas.keys()), done: new Set(), resolve, reject };
      const waiting = this.#waiting.get(charge.namespace);
      if (waiting === undefined) {
        this.#waiting.set(charge.namespace, [pending]);
        void this.#drain(charge.namespace);
      } else if (waiting.length >= MAX_WAITING) reject(charge.refuse("too many requests are waiting for quota"));
      else waiting.push(pending);
    });
  }

  /**
   * Takes a charge back whose write failed. A quota that somebody recounted since is left alone: the recount did not
   * see the object, so taking it back again would undercount.
   */
  async release(charge: Charge): Promise<void> {
    if (charge.dryRun) return;
    for (const [name, delta] of charge.deltas) await this.#giveBack(charge.namespace, name, delta);
  }

  async #drain(namespace: string): Promise<void> {
    for (;;) {
      const batch = this.#waiting.get(namespace)!;
      if (batch.length === 0) break;
      this.#waiting.set(namespace, []);
      try {
        await this.#book(namespace, batch);
      } catch (error) {
        for (const pending of batch) pending.reject(error as Error);
      }
    }
    this.#waiting.delete(namespace);
  }

  async #book(namespace: string, batch: readonly Pending[]): Promise<void> {
    let open = batch;
    for (let attempt = 1; open.length > 0; attempt++) {
      if (attempt > ATTEMPTS) {
        for (const pending of open)
          await this.#drop(pending, pending.charge.refuse("the quota is being changed too often; please try again"));
        return;
      }
      const names = new Set(open.flatMap((pending) => [...pending.open]));
      for (const name of names) await this.#bookQuota(namespace, name, open);
      const settled = open.filter((pending) => pending.open.size === 0);
      for (const pending of settled) pending.resolve();
      open = open.filter((pending) => pending.open.size > 0);
    }
  }

  /** Books all open charges of one quota with one write; on a lost race they stay open. */
  async #bookQuota(namespace: string, name: string, batch: readonly Pending[]): Promise<void> {
    const entry = this.#latest(namespace, name);
    const concerned = batch.filter((pending) => pending.open.has(name));
    if (entry === undefined) {
      for (const pending of concerned) pending.open.delete(name); // the quota is gone
      return;
    }
    const quota = entry.object as unknown as ResourceQuota;
    const hard = parseList(quota.status?.hard);
    const used = parseList(quota.status?.used);
    const accepted: Pending[] = [];
    for (const pending of concerned) {
      const delta = pending.charge.deltas.get(name)!;
      const exceeded = exceeding(hard, used, delta);
      if (exceeded.length > 0) {
        await this.#drop(pending, pending.charge.refuse(exceededMessage(name, exceeded, delta, used, hard)));
        continue;
      }
      accepted.push(pending);
      if (!pending.charge.dryRun)
        for (const [resource, amount] of delta) used.set(resource, plus(used.get(resource), amount));
    }
    if (accepted.some(({ charge }) => !charge.dryRun) && !(await this.#write(entry, used))) return;
    for (const pending of accepted) {
      pending.open.delete(name);
      pending.done.add(name);
    }
  }

  /** Refuses a charge and takes back what other quotas were already charged for it. */
  async #drop(pending: Pending, error: Error): Promise<void> {
    const { charge, done } = pending;
    pending.open.clear();
    if (!charge.dryRun) for (const name of done) await this.#giveBack(charge.namespace, name, charge.deltas.get(name)!);
    pending.reject(error);
  }

  async #giveBack(namespace: string, name: string, delta: ResourceList): Promise<void> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const entry = this.#latest(namespace, name);
      if (entry === undefined || entry.revision !== this.#written.get(entry.key)) return;
      const used = parseList((entry.object as unknown as ResourceQuota).status?.used);
      for (const [resource, amount] of delta) used.set(resource, plus(used.get(resource), amount.neg()));
      if (await this.#write(entry, used)) return;
    }
  }

  #latest(namespace: string, name: string): CacheEntry | undefined {
    const cached = this.#cache.peek(namespace, name);
    const ahead = this.#ahead.get(`${namespace}/${name}`);
    if (ahead === undefined) return cached;
    if (cached !== undefined && cached.revision < ahead.revision) return ahead;
    this.#ahead.delete(`${namespace}/${name}`);
    return cached;
  }

  async #write(entry: CacheEntry, used: ResourceList): Promise<boolean> {
    const { status, ...rest } = entry.object as unknown as ResourceQuota;
    const counted = Object.fromEntries([...used].map(([name, quantity]) => [name, quantity.toString()]));
    const changed = structuredClone({ ...rest, status: { ...status, used: counted } }) as unknown as KubeObject;
    try {
      const written = await this.#cache.update(entry, changed);
      this.#written.set(entry.key, written.revision);
      return true;
    } catch (error) {
      if (error instanceof RevisionConflictError) {
        if (error.current !== undefined) this.#ahead.set(`${entry.namespace}/${entry.name}`, error.current);
        return false;
      }
      if (error instanceof KeyNotFoundError) return false;
      throw error;
    }
  }
}

const ZERO = parseQuantity("0");

function plus(present: Quantity | undefined, amount: Quantity): Quantity {
  const sum = present === undefined ? amount : present.add(amount);
  return sum.cmp(ZERO) < 0 ? ZERO : sum;
}

function exceeding(hard: ResourceList, used: ResourceList, delta: ResourceList): string[] {
  return [...delta]
    .filter(([name, amount]) => hard.has(name) && plus(used.get(name), amount).cmp(hard.get(name)!) > 0)
    .map(([name]) => name);
}

function exceededMessage(
  name: string,
  exceeded: readonly string[],
  delta: ResourceList,
  used: ResourceList,
  hard: ResourceList,
): string {
  const only = (list: ResourceList): string =>
    printed(exceeded.map((resource) => [resource, list.get(resource) ?? ZERO]));
  return `exceeded quota: ${name}, requested: ${only(delta)}, used: ${only(used)}, limited: ${only(hard)}`;
}
