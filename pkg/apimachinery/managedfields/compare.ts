import { deepEqual, isRecord } from "../deep.ts";
import { treeOfAdded } from "./added.ts";
import { type Fields, isEmpty, LEAF, type MutableFields } from "./fields.ts";
import { DEDUCED, type Node } from "./nodes.ts";

/** What happened between two versions of an object, as sets of fields. */
export interface Comparison {
  /** Fields that are new or have another value. */
  readonly changed: Fields;
  readonly removed: Fields;
}

const NONE: Fields = Object.freeze({});

export function compareObjects(node: Node, before: unknown, after: unknown): Comparison {
  const walker = new Walker();
  walker.walk(node, before, after);
  return { changed: walker.changed ?? NONE, removed: walker.removed ?? NONE };
}

const isNothing = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  (typeof value === "object" && (Array.isArray(value) ? value.length === 0 : isEmpty(value as Fields)));

/**
 * Leaves the outcome of a node in `changed` and `removed` (undefined: none), so that equal subtrees, which are nearly
 * all of them, allocate nothing.
 */
class Walker {
  changed: Fields | undefined;
  removed: Fields | undefined;

  walk(node: Node, before: unknown, after: unknown): void {
    this.changed = undefined;
    this.removed = undefined;
    if (before === after) return;
    if (before === undefined) {
      this.changed = treeOfAdded(node, after);
      return;
    }
    switch (node.kind) {
      case "leaf":
        return this.#leaf(before, after);
      case "struct":
      case "map":
      case "deduced":
        return this.#object(node, before, after);
      case "set":
        return this.#set(before, after);
      case "list":
        return this.#list(node, before, after);
    }
  }

  #leaf(before: unknown, after: unknown): void {
    if (after === undefined) this.removed = LEAF;
    else if (before === undefined || !deepEqual(before, after)) this.changed = LEAF;
  }

  /** Puts the outcome of a member into the trees of its parent. */
  #collect(element: string, changed: MutableFields | undefined): MutableFields | undefined {
    if (this.changed === undefined) return changed;
    const tree = changed ?? {};
    tree[element] = this.changed;
    return tree;
  }
  #collectRemoved(element: string, removed: MutableFields | undefined): MutableFields | undefined {
    if (this.removed === undefined) return removed;
    const tree = removed ?? {};
    tree[element] = this.removed;
    return tree;
  }
  /** Sets the outcome of a container whose parts are known: it is itself a member when all of it came or went. */
  #container(
    before: unknown,
    after: unknown,
    changed: MutableFields | undefined,
    removed: MutableFields | undefined,
  ): void {
    this.changed = before === undefined ? { ".": LEAF, ...changed } : changed;
    this.removed = after === undefined ? { ".": LEAF, ...removed } : removed;
  }

  #object(node: Node & { kind: "struct" | "map" | "deduced" }, before: unknown, after: unknown): void {
    if (isNothing(before) && isNothing(after)) return this.#leaf(before, after);
    const left = isRecord(before) ? before : undefined;
    const right = isRecord(after) ? after : undefined;
    if ((left === undefined && !isNothing(before)) || (right === undefined && !isNothing(after))) {
      return this.#leaf(before, after);
    }
    let changed: MutableFields | undefined;
    let removed: MutableFields | undefined;
    for (const key in right) {
      const value = right[key];
      const old = left?.[key];
      // Most subtrees are equal, and finding that out is cheapest without the schema.
      if (old === value || (old !== undefined && deepEqual(old, value))) continue;
      const element = this.#member(node, key, old, value, left !== undefined, true);
      changed = this.#collect(element, changed);
      removed = this.#collectRemoved(element, removed);
    }
    for (const key in left) {
      if (right?.[key] !== undefined || left[key] === undefined) continue;
      const element = this.#member(node, key, left[key], undefined, true, right !== undefined);
      changed = this.#collect(element, changed);
      removed = this.#collectRemoved(element, removed);
    }
    this.#container(before, after, changed, removed);
  }

  /** Compares one member; returns its path element. */
  #member(node: Node, key: string, before: unknown, after: unknown, inBefore: boolean, inAfter: boolean): string {
    if (node.kind === "map") {
      this.walk(node.items, before, after);
      return `f:${key}`;
    }
    const field = node.kind === "struct" ? node.field(key) : undefined;
    if (field === undefined) {
      this.walk(DEDUCED, before, after);
      return `f:${key}`;
    }
    const { empty } = field;
    if (empty === undefined) this.walk(field.node, before, after);
    else this.walk(field.node, inBefore ? (before ?? empty) : before, inAfter ? (after ?? empty) : after);
    return field.element;
  }

  #set(before: unknown, after: unknown): void {
    if ((isNothing(before) && isNothing(after)) || !areLists(before, after)) return this.#leaf(before, after);
    const left = new Set(((before ?? []) as unknown[]).map((value) => `v:${JSON.stringify(value)}`));
    const right = new Set(((after ?? []) as unknown[]).map((value) => `v:${JSON.stringify(value)}`));
    let changed: MutableFields | undefined;
    let removed: MutableFields | undefined;
    for (const element of right) if (!left.has(element)) (changed ??= {})[element] = LEAF;
    for (const element of left) if (!right.has(element)) (removed ??= {})[element] = LEAF;
    this.#container(before, after, changed, removed);
  }

  #list(node: Node & { kind: "list" }, before: unknown, after: unknown): void {
    if ((isNothing(before) && isNothing(after)) || !areLists(before, after)) return this.#leaf(before, after);
    const left = index(node, (before ?? []) as unknown[]);
    const right = index(node, (after ?? []) as unknown[]);
    let changed: MutableFields | undefined;
    let removed: MutableFields | undefined;
    for (const [element, value] of right) {
      const old = left.get(element);
      // Items that share a key cannot be told apart, so they are owned together.
      if (value instanceof Duplicates || old instanceof Duplicates) this.#duplicates(old, value);
      else this.walk(node.items, old, value);
      changed = this.#collect(element, changed);
      removed = this.#collectRemoved(element, removed);
    }
    for (const [element, old] of left) {
      if (right.has(element)) continue;
      if (old instanceof Duplicates) this.#duplicates(old, undefined);
      else this.walk(node.items, old, undefined);
      removed = this.#collectRemoved(element, removed);
    }
    this.#container(before, after, changed, removed);
  }

  #duplicates(before: unknown, after: unknown): void {
    this.changed = undefined;
    this.removed = undefined;
    const plain = (value: unknown) => (value instanceof Duplicates ? value.items : value);
    this.#leaf(plain(before), plain(after));
  }
}

const areLists = (before: unknown, after: unknown): boolean =>
  (isNothing(before) || Array.isArray(before)) && (isNothing(after) || Array.isArray(after));

class Duplicates {
  readonly items: unknown[];
  constructor(items: unknown[]) {
    this.items = items;
  }
}

function index(node: Node & { kind: "list" }, list: readonly unknown[]): Map<string, unknown> {
  const byKey = new Map<string, unknown>();
  for (const item of list) {
    const key = node.keyOf(item);
    if (!byKey.has(key)) byKey.set(key, item);
    else {
      const present = byKey.get(key);
      if (present instanceof Duplicates) present.items.push(item);
      else byKey.set(key, new Duplicates([present, item]));
    }
  }
  return byKey;
}
