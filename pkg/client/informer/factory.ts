import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { Client, EventHandler, InformerFactory, InformerOptions, SharedInformer } from "../contract.ts";
import { onAbort } from "../transport/abort.ts";
import { Reflector } from "./reflector.ts";
import { StoreInformer } from "./shared-informer.ts";

export interface InformerFactoryDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  /** Spreads watch ends and retries; without it they are regular. */
  readonly random?: Random;
}

/** Caches and watches that several factories of a process share, each for as long as it needs them. */
export interface InformerPool {
  /** For a component that comes and goes: its informers hear of nothing any more once the signal they started with aborts. */
  factory(): InformerFactory;
}

/** Informers by resource and options, so that components of one process share caches and watches. */
export function createInformerFactory(deps: InformerFactoryDeps): InformerFactory {
  return createInformerPool(deps).factory();
}

/** One cache per resource and options for all factories made from it. */
export function createInformerPool(deps: InformerFactoryDeps): InformerPool {
  const pool = new SharedPool(deps);
  return { factory: () => new PoolFactory(pool) };
}

interface Pooled {
  readonly informer: StoreInformer<AnyObject>;
  readonly users: Set<PoolFactory>;
  readonly stop: AbortController;
  /** Undefined once it runs. */
  run: ((signal: AbortSignal) => Promise<void>) | undefined;
}

class SharedPool {
  readonly #deps: InformerFactoryDeps;
  readonly #pooled = new Map<string, Pooled>();

  constructor(deps: InformerFactoryDeps) {
    this.#deps = deps;
  }
  join<T extends AnyObject>(id: string, user: PoolFactory, resource: ResourceRef<T>, options: InformerOptions): Pooled {
    let pooled = this.#pooled.get(id);
    if (pooled === undefined) {
      const { client, clock, random } = this.#deps;
      const log = this.#deps.log.child({ resource: resource.plural });
      const informer = new StoreInformer<T>(log);
      const reflector = new Reflector<T>({ client, resource, options, sink: informer, clock, random, log });
      pooled = {
        informer: informer as unknown as StoreInformer<AnyObject>,
        users: new Set(),
        stop: new AbortController(),
        run: (signal) => reflector.run(signal),
      };
      this.#pooled.set(id, pooled);
    }
    pooled.users.add(user);
    return pooled;
  }
  leave(id: string, user: PoolFactory, pooled: Pooled): void {
    pooled.users.delete(user);
    if (pooled.users.size > 0) return;
    pooled.stop.abort(new Error("the informer was stopped"));
    this.#pooled.delete(id);
  }
}

interface Member {
  readonly pooled: Pooled;
  readonly share: Share<AnyObject>;
  started: boolean;
}

class PoolFactory implements InformerFactory {
  readonly #pool: SharedPool;
  readonly #members = new Map<string, Member>();

  constructor(pool: SharedPool) {
    this.#pool = pool;
  }
  informer<T extends AnyObject>(resource: ResourceRef<T>, options: InformerOptions = {}): SharedInformer<T> {
    const id = identify(resource, options);
    let member = this.#members.get(id);
    if (member === undefined) {
      const pooled = this.#pool.join(id, this, resource, options);
      this.#members.set(id, (member = { pooled, share: new Share(pooled.informer), started: false }));
    }
    // The id names the resource, and a resource has one object type.
    return member.share as unknown as SharedInformer<T>;
  }
  start(signal: AbortSignal): void {
    const added = [...this.#members].filter(([, { started }]) => !started);
    if (added.length === 0) return;
    for (const [, member] of added) {
      member.started = true;
      const { run, stop } = member.pooled;
      member.pooled.run = undefined;
      void run?.(stop.signal); // never rejects
    }
    onAbort(signal, () => {
      for (const [id, member] of added) this.#leave(id, member);
    });
  }
  stop<T extends AnyObject>(resource: ResourceRef<T>, options: InformerOptions = {}): void {
    const id = identify(resource, options);
    const member = this.#members.get(id);
    if (member !== undefined) this.#leave(id, member);
  }
  async synced(signal?: AbortSignal): Promise<void> {
    const started = [...this.#members.values()].filter((member) => member.started);
    await Promise.all(started.map(({ share }) => share.synced(signal)));
  }

  #leave(id: string, member: Member): void {
    if (this.#members.get(id) !== member) return; // stopped before
    this.#members.delete(id);
    member.share.end();
    this.#pool.leave(id, this, member.pooled);
  }
}

/** A pooled informer as one factory hands it out: its handlers go when the factory ends. */
class Share<T> implements SharedInformer<T> {
  readonly #informer: SharedInformer<T>;
  readonly #removers = new Set<() => void>();

  constructor(informer: SharedInformer<T>) {
    this.#informer = informer;
  }
  get lister(): SharedInformer<T>["lister"] {
    return this.#informer.lister;
  }
  synced(signal?: AbortSignal): Promise<void> {
    return this.#informer.synced(signal);
  }
  addHandler(handler: EventHandler<T>): () => void {
    const remove = this.#informer.addHandler(handler);
    this.#removers.add(remove);
    return () => {
      this.#removers.delete(remove);
      remove();
    };
  }
  addIndex(name: string, keys: (object: T) => string[]): void {
    this.#informer.addIndex(name, keys);
  }
  end(): void {
    for (const remove of this.#removers) remove();
    this.#removers.clear();
  }
}

function identify(resource: ResourceRef<unknown>, options: InformerOptions): string {
  const { fieldSelector = "", labelSelector = "", namespace = "", metadataOnly = false } = options;
  const { group, version, plural } = resource;
  return JSON.stringify([group, version, plural, fieldSelector, labelSelector, namespace, metadataOnly]);
}
