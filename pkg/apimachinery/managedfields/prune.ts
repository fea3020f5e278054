import { isRecord } from "../deep.ts";
import { type Fields, isEmpty, isMember } from "./fields.ts";
import { DEDUCED, type Node } from "./nodes.ts";

type Json = Record<string, unknown>;

/**
 * Removes from `object`, in place, what the applier owned before (`last`) and nobody owns now (`owned`, its own new set
 * included).
 */
export function pruneObject(node: Node, object: unknown, last: Fields, owned: Fields): void {
  if (node.kind === "set" || node.kind === "list") {
    if (Array.isArray(object)) pruneList(node, object, last, owned);
  } else if (node.kind !== "leaf" && isRecord(object)) pruneMembers(node, object, last, owned);
}

/** A named field counts as owned when anything below it is. */
const owns = (fields: Fields | undefined, named: boolean): boolean =>
  fields !== undefined && (named || isMember(fields));

function pruneMembers(node: Node, object: Json, last: Fields, owned: Fields): void {
  for (const element in last) {
    if (!element.startsWith("f:")) continue;
    const key = element.slice(2);
    if (!Object.hasOwn(object, key)) continue;
    const field = node.kind === "struct" ? node.field(key) : undefined;
    const named = field !== undefined;
    const before = last[element]!;
    const now = owned[element];
    if (owns(before, named) && !owns(now, named)) delete object[key];
    else if (!isEmpty(before)) {
      const child = object[key];
      const child0 = isNonEmpty(child);
      pruneObject(field?.node ?? (node.kind === "map" ? node.items : DEDUCED), child, before, now ?? {});
      // What lost its last part goes, as it would have been null.
      if (child0 && !isNonEmpty(child) && !(now !== undefined && isMember(now))) delete object[key];
    }
  }
}

const isNonEmpty = (value: unknown): boolean =>
  typeof value === "object" && value !== null && (Array.isArray(value) ? value.length > 0 : !isEmpty(value as Fields));

function pruneList(node: Node & { kind: "set" | "list" }, list: unknown[], last: Fields, owned: Fields): void {
  let kept = 0;
  for (const item of list) {
    const element = node.kind === "list" ? node.keyOf(item) : `v:${JSON.stringify(item)}`;
    const before = last[element];
    const now = owned[element];
    if (before !== undefined && isMember(before) && !owns(now, false)) continue;
    if (before !== undefined && node.kind === "list") pruneObject(node.items, item, before, now ?? {});
    list[kept++] = item;
  }
  list.length = kept;
}
