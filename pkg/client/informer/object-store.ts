import type { AnyObject, ObjectKey } from "#pkg/apimachinery/index.ts";
import type { Lister } from "../contract.ts";

interface Index<T> {
  readonly keysOf: (object: T) => string[];
  readonly buckets: Map<string, Set<T>>;
}

/** An informer's cache: objects by namespace and name, and by any number of indexes. */
export class ObjectStore<T extends AnyObject> implements Lister<T> {
  readonly #namespaces = new Map<string, Map<string, T>>();
  readonly #indexes = new Map<string, Index<T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }
  get({ namespace, name }: ObjectKey): T | undefined {
    return this.#namespaces.get(namespace)?.get(name);
  }
  list(namespace = ""): T[] {
    if (namespace !== "") return [...(this.#namespaces.get(namespace)?.values() ?? [])];
    const all: T[] = [];
    for (const objects of this.#namespaces.values()) for (const object of objects.values()) all.push(object);
    return all;
  }
  byIndex(index: string, value: string): T[] {
    const { buckets } = this.#index(index);
    const bucket = buckets.get(value);
    return bucket === undefined ? [] : [...bucket];
  }
  addIndex(name: string, keysOf: (object: T) => string[]): void {
    if (this.#indexes.has(name)) return;
    const index: Index<T> = { keysOf, buckets: new Map() };
    this.#indexes.set(name, index);
    for (const object of this.list()) insert(index, object);
  }
  /** Stores the object and returns the one it replaces. */
  set(object: T): T | undefined {
    const namespace = object.metadata.namespace ?? "";
    const name = object.metadata.name ?? "";
    let objects = this.#namespaces.get(namespace);
    if (objects === undefined) this.#namespaces.set(namespace, (objects = new Map()));
    const old = objects.get(name);
    objects.set(name, object);
    if (old === undefined) this.#size++;
    for (const index of this.#indexes.values()) {
      if (old !== undefined) remove(index, old);
      insert(index, object);
    }
    return old;
  }
  /** Removes the object and returns what was stored. */
  delete({ namespace, name }: ObjectKey): T | undefined {
    const objects = this.#namespaces.get(namespace);
    const old = objects?.get(name);
    if (objects === undefined || old === undefined) return undefined;
    objects.delete(name);
    if (objects.size === 0) this.#namespaces.delete(namespace);
    this.#size--;
    for (const index of this.#indexes.values()) remove(index, old);
    return old;
  }

  #index(name: string): Index<T> {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new Error(`there is no index named ${name}`);
    return index;
  }
}

function insert<T>({ keysOf, buckets }: Index<T>, object: T): void {
  for (const key of keysOf(object)) {
    const bucket = buckets.get(key);
    if (bucket === undefined) buckets.set(key, new Set([object]));
    else bucket.add(object);
  }
}

function remove<T>({ keysOf, buckets }: Index<T>, object: T): void {
  for (const key of keysOf(object)) {
    const bucket = buckets.get(key);
    if (bucket === undefined) continue;
    bucket.delete(object);
    if (bucket.size === 0) buckets.delete(key);
  }
}
