import { compareKeys } from "./keys.ts";

interface Slot<V> {
  readonly key: string;
  value: V;
}

/** A chunk is split in two beyond this: inserting moves at most this many references. */
const MAX_CHUNK = 512;

/**
 * A map in key order. Look-ups and replacements cost a hash look-up; inserting and removing cost a binary search and a
 * short move, whatever the size; a range costs collecting references; counting a range costs its number of chunks.
 */
export class SortedMap<V> {
  readonly #slots = new Map<string, Slot<V>>();
  /** Never empty chunks, each sorted, all keys of one before all keys of the next. */
  readonly #chunks: Slot<V>[][] = [];

  get size(): number {
    return this.#slots.size;
  }
  get(key: string): V | undefined {
    return this.#slots.get(key)?.value;
  }
  /** Returns the value it replaces. */
  set(key: string, value: V): V | undefined {
    const present = this.#slots.get(key);
    if (present !== undefined) {
      const previous = present.value;
      present.value = value;
      return previous;
    }
    const slot: Slot<V> = { key, value };
    this.#slots.set(key, slot);
    this.#insert(slot);
    return undefined;
  }
  /** Returns the value it removes. */
  delete(key: string): V | undefined {
    const slot = this.#slots.get(key);
    if (slot === undefined) return undefined;
    this.#slots.delete(key);
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at]!;
    chunk.splice(lowerBound(chunk, key), 1);
    if (chunk.length === 0) this.#chunks.splice(at, 1);
    return slot.value;
  }
  clear(): void {
    this.#slots.clear();
    this.#chunks.length = 0;
  }
  /** Visits keys from `start` (inclusive) to `end` (exclusive, undefined: to the last) until `visit` returns false. */
  visit(start: string, end: string | undefined, visit: (value: V, key: string) => boolean | void): void {
    if (this.#chunks.length === 0 || isEmpty(start, end)) return;
    let at = this.#chunkOf(start);
    let index = lowerBound(this.#chunks[at]!, start);
    for (; at < this.#chunks.length; at++, index = 0) {
      const chunk = this.#chunks[at]!;
      const last = chunk[chunk.length - 1]!;
      const stop = end === undefined || compareKeys(last.key, end) < 0 ? chunk.length : lowerBound(chunk, end);
      for (; index < stop; index++) {
        const slot = chunk[index]!;
        if (visit(slot.value, slot.key) === false) return;
      }
      if (stop < chunk.length) return;
    }
  }
  /** Number of keys from `start` (inclusive) to `end` (exclusive). */
  countBetween(start: string, end: string | undefined): number {
    if (this.#chunks.length === 0 || isEmpty(start, end)) return 0;
    const first = this.#chunkOf(start);
    const last = end === undefined ? this.#chunks.length - 1 : this.#chunkOf(end);
    let count = -lowerBound(this.#chunks[first]!, start);
    for (let at = first; at < last; at++) count += this.#chunks[at]!.length;
    count += end === undefined ? this.#chunks[last]!.length : lowerBound(this.#chunks[last]!, end);
    return count;
  }

  /** The chunk that holds or would hold `key`. */
  #chunkOf(key: string): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (compareKeys(this.#chunks[middle]![0]!.key, key) <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }
  #insert(slot: Slot<V>): void {
    if (this.#chunks.length === 0) {
      this.#chunks.push([slot]);
      return;
    }
    const at = this.#chunkOf(slot.key);
    const chunk = this.#chunks[at]!;
    const index = lowerBound(chunk, slot.key);
    if (chunk.length < MAX_CHUNK) {
      chunk.splice(index, 0, slot);
    } else if (index === chunk.length && at === this.#chunks.length - 1) {
      this.#chunks.push([slot]); // Loading in key order leaves full chunks behind.
    } else {
      const upper = chunk.splice(MAX_CHUNK / 2);
      if (index <= chunk.length) chunk.splice(index, 0, slot);
      else upper.splice(index - chunk.length, 0, slot);
      this.#chunks.splice(at + 1, 0, upper);
    }
  }
}

function isEmpty(start: string, end: string | undefined): boolean {
  return end !== undefined && compareKeys(start, end) >= 0;
}

/** Index of the first slot whose key is not below `key`. */
function lowerBound<V>(chunk: readonly Slot<V>[], key: string): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(chunk[middle]!.key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
