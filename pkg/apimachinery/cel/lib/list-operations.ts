import { celCompare, celEquals } from "../equality.ts";
import { CelError, noSuchOverload } from "../errors.ts";
import { declare, type LinearCost, type Overload, type SizeEstimates } from "../functions.ts";
import { exactly, factor, plus, type Range, times } from "../ranges.ts";
import { ArrayList, type CelList, isList, type Value } from "../values.ts";

export const COMPARABLE = ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"];
/** Longest list that `lists.range` makes: what an evaluation may cost. */
const MAX_RANGE = 1_000_000n;

const itemsOf = (list: CelList): Value[] => Array.from({ length: list.length }, (_, i) => list.at(i));

function slice(list: CelList, start: bigint, end: bigint): ArrayList {
  const refuse = (why: string): never => {
    throw new CelError(`cannot slice(${start}, ${end}), ${why}`);
  };
  if (start < 0n || end < 0n) refuse("negative indexes not supported");
  if (start > end) refuse("start index must be less than or equal to end index");
  if (end > BigInt(list.length)) refuse(`list is length ${list.length}`);
  return new ArrayList(itemsOf(list).slice(Number(start), Number(end)));
}

function flatten(list: CelList, depth: bigint): Value[] {
  if (depth < 0n) throw new CelError("level must be non-negative");
  return itemsOf(list).flatMap((item) => (depth > 0n && isList(item) ? flatten(item, depth - 1n) : [item]));
}

/** The items of a list in the order of their keys. @throws CelError for keys of different types */
export function sortByKeys(items: readonly Value[], keys: readonly Value[]): ArrayList {
  const order = keys.map((_, i) => i);
  const compare = (a: number, b: number): number => {
    if (typeof keys[a] !== typeof keys[b]) throw new CelError("list elements must have the same type");
    return celCompare(keys[a]!, keys[b]!);
  };
  return new ArrayList(order.sort(compare).map((i) => items[i]!));
}

function range(count: bigint): ArrayList {
  if (count < 0n) throw new CelError(`lists.range: size must be non-negative, got ${count}`);
  if (count > MAX_RANGE) throw noSuchOverload();
  return new ArrayList(Array.from({ length: Number(count) }, (_, i) => BigInt(i)));
}

function distinct(list: CelList): ArrayList {
  const items: Value[] = [];
  for (const item of itemsOf(list)) if (!items.some((known) => celEquals(known, item))) items.push(item);
  return new ArrayList(items);
}

/** A new list of so many elements, each of which took so much. */
export const LIST_COST = 11;
const making = (size: (sizes: SizeEstimates) => Range, perItem: (sizes: SizeEstimates) => number = () => 1) => ({
  estimate: (sizes: SizeEstimates): Range => plus(factor(size(sizes), perItem(sizes)), LIST_COST),
  resultSize: size,
});
const own = (sizes: SizeEstimates): Range => sizes.of(0);
const squared = (sizes: SizeEstimates): Range => times(sizes.of(0), sizes.of(0));

/** Every item is compared with every other; texts take longer. */
const comparingAll = (ofTexts: boolean): LinearCost => ({
  rule: (sizes) => Math.floor(sizes.of(0) ** 2 * (ofTexts ? 2.1 : 2)) + LIST_COST,
  ...making(squared, () => (ofTexts ? 2.1 : 2)),
});
const copying: LinearCost = { rule: (sizes) => sizes.of(0) + LIST_COST, ...making(own) };
const slicing: LinearCost = {
  rule: (sizes) => Math.max(0, sizes.value(2) - sizes.value(1)) + LIST_COST,
  ...making((sizes) => exactly((sizes.literal(2) ?? own(sizes).max) - (sizes.literal(1) ?? 0))),
};
const counting: LinearCost = {
  rule: (sizes) => Math.max(0, sizes.value(0)) + LIST_COST,
  ...making((sizes) => exactly(sizes.literal(0) ?? 2 ** 64)),
};
const flattening: LinearCost = {
  rule: (sizes) => sizes.of(0) + LIST_COST,
  ...making(own),
};
/** So many times as levels are flattened. */
const flatteningDeep: LinearCost = {
  rule: (sizes) => sizes.of(0) * Math.max(1, sizes.value(1)) + LIST_COST,
  ...making(own, (sizes) => sizes.literal(1) ?? 2 ** 64),
};
const isText = (type: string): boolean => type === "string" || type === "bytes";

/** cel-go's ext.Lists, version 3. */
export const listOperations: readonly Overload[] = [
  declare("slice", "list<A>.(int, int) -> list<A>", slice, slicing),
  declare("flatten", "list<list<A>>.() -> list<A>", (list: CelList) => new ArrayList(flatten(list, 1n)), flattening),
  declare(
    "flatten",
    "list<dyn>.(int) -> list<dyn>",
    (list: CelList, depth: bigint) => new ArrayList(flatten(list, depth)),
    flatteningDeep,
  ),
  ...COMPARABLE.map((type) =>
    declare(
      "sort",
      `list<${type}>.() -> list<${type}>`,
      (list: CelList) => sortByKeys(itemsOf(list), itemsOf(list)),
      comparingAll(isText(type)),
    ),
  ),
  declare("lists.range", "(int) -> list<int>", range, counting),
  declare("reverse", "list<A>.() -> list<A>", (list: CelList) => new ArrayList(itemsOf(list).reverse()), copying),
  ...["string", "bytes", "A"].map((type) =>
    declare("distinct", `list<${type}>.() -> list<${type}>`, distinct, comparingAll(isText(type))),
  ),
];
