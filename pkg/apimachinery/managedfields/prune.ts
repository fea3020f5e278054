import { isRecord, setMember } from "../deep.ts";
import { fieldsPresent } from "./field-set.ts";
import { difference, type Fields, intersection, isEmpty, isMember, LEAF, type MutableFields, union } from "./fields.ts";
import { DEDUCED, memberNode, type Node } from "./nodes.ts";

type Json = Record<string, unknown>;

/**
 * `merged` without what the applier owned before (`last`) and nobody owns now (`owned`, its own new set included).
 * Changes nothing in `merged`, with which the result shares what stays. As upstream has it: first everything goes that
 * the applier owned; what has an owner comes back, then what lay inside of that and never had one.
 */
export function prunedObject(node: Node, merged: Json, last: Fields, owned: Fields): Json {
  if (isEmpty(difference(last, owned))) return merged;
  const before = withNamed(node, last);
  const present = withNamed(node, fieldsPresent(node, merged));
  const left = withNamed(node, fieldsPresent(node, without(node, merged, before)));
  const ownerless = difference(present, union(left, withNamed(node, owned)));
  const kept = withNamed(node, fieldsPresent(node, without(node, merged, ownerless)));
  return without(node, merged, intersection(difference(present, kept), before)) as Json;
}

function isNamed(node: Node, element: string): boolean {
  if (node.kind !== "struct" || !element.startsWith("f:")) return false;
  const field = node.field(element.slice(2));
  return field !== undefined && field.undeclared !== true;
}

/** The same set with every named field in it below which it has anything. */
function withNamed(node: Node, fields: Fields): Fields {
  const named: MutableFields = {};
  for (const element in fields) {
    const part = fields[element]!;
    if (isEmpty(part)) {
      named[element] = part;
      continue;
    }
    const inner = element.startsWith("f:") ? memberNode(node, element.slice(2)) : itemNode(node);
    const below = withNamed(inner, part);
    named[element] = isNamed(node, element) ? { ...below, ".": LEAF } : below;
  }
  return named;
}

function itemNode(node: Node): Node {
  return node.kind === "list" ? node.items : DEDUCED;
}

/** `value` without the members of `gone`. What has no part left, or had none to begin with, becomes null. */
function without(node: Node, value: unknown, gone: Fields): unknown {
  if (Array.isArray(value)) return node.kind === "set" || node.kind === "list" ? listWithout(node, value, gone) : null;
  if (!isRecord(value)) return value;
  if (node.kind === "leaf") return null;
  const rest: Json = {};
  for (const key in value) {
    const part = gone[`f:${key}`];
    if (part === undefined) setMember(rest, key, value[key]);
    else if (!isMember(part)) setMember(rest, key, without(memberNode(node, key), value[key], part));
  }
  return isEmpty(rest as Fields) ? null : rest;
}

function listWithout(node: Node & { kind: "set" | "list" }, list: readonly unknown[], gone: Fields): unknown {
  const rest: unknown[] = [];
  for (const item of list) {
    const part = gone[node.kind === "list" ? node.keyOf(item) : `v:${JSON.stringify(item)}`];
    if (part === undefined) rest.push(item);
    else if (!isMember(part)) rest.push(without(itemNode(node), item, part));
  }
  return rest.length === 0 ? null : rest;
}
