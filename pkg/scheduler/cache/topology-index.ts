import type { NodeInfo } from "./node-info.ts";
import { labelOf } from "./selectors.ts";
import type { Labels } from "./selectors.ts";

/** The values nodes have for one topology key, numbered so that counting needs no strings. */
export interface TopologyKey {
  readonly key: string;
  /** Position in NodeInfo.domains. */
  readonly slot: number;
  /** One more than the highest number in use. */
  readonly size: number;
  /** How many values nodes have at present. */
  readonly used: number;
  /** By number: 1 where a node has the value at present. Shared: not to be changed, and not to be kept. */
  present(): Uint8Array;
}

class Key implements TopologyKey {
  readonly key: string;
  readonly slot: number;
  readonly #numbers = new Map<string, number>();
  readonly #uses: number[] = [];
  readonly #values: string[] = [];
  readonly #free: number[] = [];
  #present: Uint8Array | undefined;

  constructor(key: string, slot: number) {
    this.key = key;
    this.slot = slot;
  }
  get size(): number {
    return this.#uses.length;
  }
  get used(): number {
    return this.#numbers.size;
  }
  present(): Uint8Array {
    this.#present ??= Uint8Array.from(this.#uses, (uses) => (uses > 0 ? 1 : 0));
    return this.#present;
  }
  use(value: string): number {
    let number = this.#numbers.get(value);
    if (number === undefined) {
      number = this.#free.pop() ?? this.#uses.length;
      this.#numbers.set(value, number);
      this.#values[number] = value;
      this.#uses[number] = 0;
      this.#present = undefined;
    }
    this.#uses[number]!++;
    return number;
  }
  release(number: number): void {
    if (--this.#uses[number]! > 0) return;
    this.#numbers.delete(this.#values[number]!);
    this.#free.push(number);
    this.#present = undefined;
  }
}

/** A key that no node has a label for. Pods may name any number of such keys, so they must cost nothing. */
const ABSENT: TopologyKey = { key: "", slot: 0, size: 0, used: 0, present: () => new Uint8Array(0) };

/** Keeps, for every topology key in use, the number of each node's value in `node.domains`. */
export class TopologyIndex {
  readonly #keys = new Map<string, Key>();
  readonly #nodes = new Map<NodeInfo, Labels>();
  /** How many nodes have a label of this key. */
  readonly #labelled = new Map<string, number>();

  /** The key's numbering, made on first use. */
  track(key: string): TopologyKey {
    let tracked = this.#keys.get(key);
    if (tracked === undefined) {
      if (!this.#labelled.has(key)) return ABSENT;
      tracked = new Key(key, this.#keys.size + 1);
      this.#keys.set(key, tracked);
      for (const node of this.#nodes.keys()) assign(tracked, node);
    }
    return tracked;
  }
  /** Call after a node was added or its labels changed. */
  update(node: NodeInfo): void {
    this.#countLabels(node, node.labels);
    node.domains[ABSENT.slot] = -1;
    for (const key of this.#keys.values()) {
      const old = node.domains[key.slot];
      assign(key, node);
      if (old !== undefined && old >= 0) key.release(old);
    }
  }
  remove(node: NodeInfo): void {
    if (!this.#nodes.has(node)) return;
    this.#countLabels(node, undefined);
    for (const key of this.#keys.values()) {
      const old = node.domains[key.slot];
      if (old !== undefined && old >= 0) key.release(old);
      node.domains[key.slot] = -1;
    }
  }

  #countLabels(node: NodeInfo, labels: Labels | undefined): void {
    for (const key of Object.keys(this.#nodes.get(node) ?? {})) {
      const left = this.#labelled.get(key)! - 1;
      if (left === 0) this.#labelled.delete(key);
      else this.#labelled.set(key, left);
    }
    if (labels === undefined) {
      this.#nodes.delete(node);
      return;
    }
    this.#nodes.set(node, labels);
    for (const key of Object.keys(labels)) this.#labelled.set(key, (this.#labelled.get(key) ?? 0) + 1);
  }
}

function assign(key: Key, node: NodeInfo): void {
  const value = labelOf(node.labels, key.key);
  node.domains[key.slot] = value === undefined ? -1 : key.use(value);
}
