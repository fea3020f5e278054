/** Where the elements of a merged list go: the patch's own order first, server-only elements near their old neighbours. */
import { deepEqual, isRecord } from "../deep.ts";

/** Index of the element with the same merge key (or the same scalar when `mergeKey` is ""), or -1. */
export function elementOrder(order: readonly unknown[], element: unknown, mergeKey: string): number {
  if (mergeKey === "") return order.indexOf(element);
  if (!isRecord(element)) return -1;
  return order.findIndex((item) => isRecord(item) && deepEqual(item[mergeKey], element[mergeKey]));
}

/** Splits `list` into elements that `order` names and the others. */
export function partition(
  list: readonly unknown[],
  order: readonly unknown[],
  mergeKey: string,
): { inList: unknown[]; others: unknown[] } {
  const inList: unknown[] = [];
  const others: unknown[] = [];
  for (const element of list) (elementOrder(order, element, mergeKey) >= 0 ? inList : others).push(element);
  return { inList, others };
}

function sortBy(list: readonly unknown[], order: readonly unknown[], mergeKey: string): unknown[] {
  return list
    .map((element, index) => ({ element, index, place: elementOrder(order, element, mergeKey) }))
    .sort((a, b) => (a.place >= 0 && b.place >= 0 ? a.place - b.place : 0) || a.index - b.index)
    .map(({ element }) => element);
}

/**
 * One list of `patchItems` in the order of `patchOrder` and `serverItems` in the order of `serverOrder`. A server item
 * goes before the first patch item that stood behind it on the server.
 */
export function orderMerged(
  patchItems: readonly unknown[],
  serverItems: readonly unknown[],
  patchOrder: readonly unknown[],
  serverOrder: readonly unknown[],
  mergeKey: string,
): unknown[] {
  const right = sortBy(patchItems, patchOrder, mergeKey);
  const left = sortBy(serverItems, serverOrder, mergeKey);
  const merged: unknown[] = [];
  let i = 0;
  let j = 0;
  while (i < left.length && j < right.length) {
    const l = elementOrder(serverOrder, left[i], mergeKey);
    const r = elementOrder(serverOrder, right[j], mergeKey);
    merged.push(l >= 0 && r >= 0 && l < r ? left[i++] : right[j++]);
  }
  return merged.concat(left.slice(i), right.slice(j));
}
