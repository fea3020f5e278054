import { keyOf } from "#pkg/apimachinery/index.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { Logger } from "#pkg/util/index.ts";
import type { EventHandler, Lister, SharedInformer } from "../contract.ts";
import { onAbort } from "../transport/abort.ts";
import { ObjectStore } from "./object-store.ts";
import type { ReflectorSink } from "./reflector.ts";

/**
 * A cache of one resource that tells its handlers about every change: the cache first, then the handlers in the order
 * they were added. A handler that throws is logged and does not keep the others from hearing.
 */
export class StoreInformer<T extends AnyObject> implements SharedInformer<T>, ReflectorSink<T> {
  readonly #store = new ObjectStore<T>();
  readonly #log: Logger;
  #handlers: EventHandler<T>[] = [];
  #synced = false;
  readonly #waiting = new Set<() => void>();

  constructor(log: Logger) {
    this.#log = log;
  }
  get lister(): Lister<T> {
    return this.#store;
  }
  synced(signal?: AbortSignal): Promise<void> {
    if (this.#synced) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const done = () => {
        unlink();
        resolve();
      };
      const unlink = onAbort(signal, () => {
        this.#waiting.delete(done);
        reject(signal?.reason);
      });
      if (signal?.aborted !== true) this.#waiting.add(done);
    });
  }
  addHandler(handler: EventHandler<T>): () => void {
    this.#handlers = [...this.#handlers, handler];
    for (const object of this.#store.list()) this.#contain(() => handler.onAdd?.(object, true));
    return () => {
      this.#handlers = this.#handlers.filter((other) => other !== handler);
    };
  }
  addIndex(name: string, keys: (object: T) => string[]): void {
    this.#store.addIndex(name, keys);
  }

  replace(objects: T[]): void {
    const initial = !this.#synced;
    const gone = new Set(this.#store.list());
    for (const object of objects) {
      const old = this.#store.get(keyOf(object));
      if (old !== undefined) gone.delete(old);
      this.#change(object, old, initial);
    }
    for (const object of gone) this.apply("DELETED", object);
    if (!initial) return;
    this.#synced = true;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
  apply(type: "ADDED" | "MODIFIED" | "DELETED", object: T): void {
    const old = this.#store.get(keyOf(object));
    if (type !== "DELETED") {
      this.#change(object, old, false);
      return;
    }
    if (old === undefined) return;
    this.#store.delete(keyOf(object));
    for (const handler of this.#handlers) this.#contain(() => handler.onDelete?.(object));
  }

  #change(object: T, old: T | undefined, initial: boolean): void {
    if (old === undefined) {
      this.#store.set(object);
      for (const handler of this.#handlers) this.#contain(() => handler.onAdd?.(object, initial));
      return;
    }
    // A list after a broken watch mostly repeats what is known.
    if (old.metadata.resourceVersion === object.metadata.resourceVersion) return;
    this.#store.set(object);
    const recreated = old.metadata.uid !== object.metadata.uid;
    for (const handler of this.#handlers) {
      // A missed deletion: whoever counts objects must see the old one go.
      if (recreated) {
        this.#contain(() => handler.onDelete?.(old));
        this.#contain(() => handler.onAdd?.(object, initial));
      } else this.#contain(() => handler.onUpdate?.(object, old));
    }
  }
  #contain(call: () => void): void {
    try {
      call();
    } catch (err) {
      this.#log.error({ err }, "Event handler failed");
    }
  }
}
