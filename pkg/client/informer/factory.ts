import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { Client, InformerFactory, InformerOptions, SharedInformer } from "../contract.ts";
import { Reflector } from "./reflector.ts";
import { StoreInformer } from "./shared-informer.ts";

export interface InformerFactoryDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  /** Spreads watch ends and retries; without it they are regular. */
  readonly random?: Random;
}

interface Entry {
  readonly informer: SharedInformer<AnyObject>;
  readonly run: (signal: AbortSignal) => Promise<void>;
  stop: AbortController | undefined;
}

/** Informers by resource and options, so that components of one process share caches and watches. */
export function createInformerFactory(deps: InformerFactoryDeps): InformerFactory {
  return new SharedInformerFactory(deps);
}

class SharedInformerFactory implements InformerFactory {
  readonly #deps: InformerFactoryDeps;
  readonly #entries = new Map<string, Entry>();

  constructor(deps: InformerFactoryDeps) {
    this.#deps = deps;
  }
  informer<T extends AnyObject>(resource: ResourceRef<T>, options: InformerOptions = {}): SharedInformer<T> {
    const id = identify(resource, options);
    const known = this.#entries.get(id);
    // The id names the resource, and a resource has one object type.
    if (known !== undefined) return known.informer as unknown as SharedInformer<T>;
    const { client, clock, random } = this.#deps;
    const log = this.#deps.log.child({ resource: resource.plural });
    const informer = new StoreInformer<T>(log);
    const reflector = new Reflector<T>({ client, resource, options, sink: informer, clock, random, log });
    const entry: Entry = {
      informer: informer as unknown as SharedInformer<AnyObject>,
      run: (signal) => reflector.run(signal),
      stop: undefined,
    };
    this.#entries.set(id, entry);
    return informer;
  }
  start(signal: AbortSignal): void {
    for (const entry of this.#entries.values()) {
      if (entry.stop !== undefined && !entry.stop.signal.aborted) continue;
      const stop = new AbortController();
      entry.stop = stop;
      void entry.run(AbortSignal.any([signal, stop.signal])); // never rejects
    }
  }
  stop<T extends AnyObject>(resource: ResourceRef<T>, options: InformerOptions = {}): void {
    const id = identify(resource, options);
    this.#entries.get(id)?.stop?.abort(new Error("the informer was stopped"));
    this.#entries.delete(id);
  }
  async synced(signal?: AbortSignal): Promise<void> {
    const started = [...this.#entries.values()].filter(({ stop }) => stop !== undefined);
    await Promise.all(started.map(({ informer }) => informer.synced(signal)));
  }
}

function identify(resource: ResourceRef<unknown>, options: InformerOptions): string {
  const { fieldSelector = "", labelSelector = "", namespace = "", metadataOnly = false } = options;
  const { group, version, plural } = resource;
  return JSON.stringify([group, version, plural, fieldSelector, labelSelector, namespace, metadataOnly]);
}
