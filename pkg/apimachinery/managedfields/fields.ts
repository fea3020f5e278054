import { parseJson } from "../json.ts";

/**
 * Sets of field paths in their wire form (FieldsV1): a tree whose members are path elements (`f:name`, `k:{…}`, `v:…`,
 * `i:0`). An empty node is a member of the set; a node with children is one if it has the member ".". Trees are values:
 * every operation returns its argument itself when nothing changes, and never modifies it.
 */
export interface Fields {
  readonly [element: string]: Fields;
}
/** A tree while it is being built. */
export interface MutableFields {
  [element: string]: Fields;
}

/** A member without children. */
export const LEAF: Fields = Object.freeze({});

export function isEmpty(fields: Fields): boolean {
  for (const _ in fields) return false;
  return true;
}

/** Is the path that leads to this node in the set? */
export function isMember(node: Fields): boolean {
  return node["."] !== undefined || isEmpty(node);
}

function node(member: boolean, children: MutableFields | undefined): Fields | undefined {
  if (children === undefined || isEmpty(children)) return member ? LEAF : undefined;
  return member ? { ".": LEAF, ...children } : children;
}

function childrenOf(fields: Fields): MutableFields {
  const children: MutableFields = {};
  for (const key in fields) if (key !== ".") children[key] = fields[key]!;
  return children;
}

/** Paths in either set. */
export function union(a: Fields, b: Fields): Fields {
  let result: MutableFields | undefined;
  for (const key in b) {
    if (key === ".") continue;
    const left = a[key];
    const merged = left === undefined ? b[key]! : unionNode(left, b[key]!);
    if (merged !== left) (result ??= { ...a })[key] = merged;
  }
  return result ?? a;
}
function unionNode(a: Fields, b: Fields): Fields {
  if (a === b) return a;
  const member = isMember(a) || isMember(b);
  const merged = union(a, b);
  if (merged === a && isMember(a) === member) return a;
  return node(member, childrenOf(merged)) ?? LEAF;
}

/** Paths of `a` that are not in `b`. */
export function difference(a: Fields, b: Fields): Fields {
  let result: MutableFields | undefined;
  for (const key in b) {
    if (key === ".") continue;
    const left = a[key];
    if (left === undefined) continue;
    const rest = differenceNode(left, b[key]!);
    if (rest === left) continue;
    result ??= { ...a };
    if (rest === undefined) delete result[key];
    else result[key] = rest;
  }
  return result ?? a;
}
function differenceNode(a: Fields, b: Fields): Fields | undefined {
  const rest = difference(a, b);
  const member = isMember(a);
  const remains = member && !isMember(b);
  if (rest === a && member === remains) return a;
  return node(remains, childrenOf(rest));
}

/** Paths of `a` outside of every subtree whose root is in `b`: what lies below a member of `b` goes too. */
export function recursiveDifference(a: Fields, b: Fields): Fields {
  let result: MutableFields | undefined;
  for (const key in b) {
    const left = a[key];
    if (key === "." || left === undefined) continue;
    const gone = b[key]!;
    const rest = isMember(gone) ? undefined : recursiveDifference(left, gone);
    if (rest === left) continue;
    result ??= { ...a };
    // A node that lost its last child was no member itself, so nothing of it remains.
    if (rest === undefined || isEmpty(rest)) delete result[key];
    else result[key] = rest;
  }
  return result ?? a;
}

/** Paths in both sets. */
export function intersection(a: Fields, b: Fields): Fields {
  const result: MutableFields = {};
  for (const key in b) {
    const left = a[key];
    if (key === "." || left === undefined) continue;
    const right = b[key]!;
    const common = node(isMember(left) && isMember(right), intersection(left, right) as MutableFields);
    if (common !== undefined) result[key] = common;
  }
  return result;
}

/** Text of one path element as conflicts show it: `.name`, `[name="a"]`, `[="v"]`, `[0]`. */
function elementText(element: string): string {
  const body = element.slice(2);
  switch (element[0]) {
    case "f":
      return `.${body}`;
    case "k": {
      const key = parseJson(body) as Record<string, unknown>;
      return `[${Object.keys(key)
        .sort()
        .map((name) => `${name}=${JSON.stringify(key[name])}`)
        .join(",")}]`;
    }
    case "v":
      return `[=${body}]`;
    default:
      return `[${body}]`;
  }
}

/** Texts of all paths of the set, e.g. `.spec.containers[name="a"].image`: those of a level in order, then what is below. */
export function pathTexts(fields: Fields, prefix = ""): string[] {
  const keys = Object.keys(fields)
    .filter((key) => key !== ".")
    .sort();
  return [
    ...keys.filter((key) => isMember(fields[key]!)).map((key) => prefix + elementText(key)),
    ...keys.flatMap((key) => pathTexts(fields[key]!, prefix + elementText(key))),
  ];
}

/** The set of the named fields of dotted paths such as "status" or "metadata.finalizers". */
export function fieldsOfPaths(paths: readonly string[]): Fields {
  return paths.reduce<Fields>((all, path) => {
    const tree = path.split(".").reduceRight<Fields>((child, name) => ({ [`f:${name}`]: child }), LEAF);
    return union(all, tree);
  }, {});
}
