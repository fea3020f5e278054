import { deepCopy, isRecord, setMember } from "../deep.ts";
import { DEDUCED, memberNode, type Node } from "./nodes.ts";

type Json = Record<string, unknown>;

/**
 * `live` with every field that `applied` sets. Shares nothing with its arguments. Null in `applied` is a value like others.
 */
function mergeObjects(node: Node, live: unknown, applied: unknown): unknown {
  if (applied === undefined) return deepCopy(live);
  switch (node.kind) {
    case "leaf":
      break;
    case "struct":
    case "map":
    case "deduced":
      if (isRecord(live) && isRecord(applied)) return mergeMembers(node, live, applied);
      break;
    case "set":
    case "list":
      if (Array.isArray(live) && Array.isArray(applied)) return mergeLists(node, live, applied);
  }
  return deepCopy(applied);
}

/** The same of two objects. Members that `applied` does not have and `keeps` names are not copied. */
export function mergeMembers(
  node: Node,
  live: Readonly<Json>,
  applied: Readonly<Json>,
  keeps: (member: string) => boolean = () => false,
): Json {
  const merged: Json = {};
  for (const key of Object.keys(live)) {
    const value = Object.hasOwn(applied, key)
      ? mergeObjects(memberNode(node, key), live[key], applied[key])
      : keeps(key)
        ? live[key]
        : deepCopy(live[key]);
    if (value !== undefined) setMember(merged, key, value);
  }
  for (const key of Object.keys(applied)) {
    if (Object.hasOwn(live, key)) continue;
    const value = deepCopy(applied[key]);
    if (value !== undefined) setMember(merged, key, value);
  }
  return merged;
}

/**
 * Items of `applied` in their order; items only the live list has keep their place among their neighbours.
 */
function mergeLists(
  node: Node & { kind: "set" | "list" },
  live: readonly unknown[],
  applied: readonly unknown[],
): unknown[] {
  const keyOf = node.kind === "list" ? node.keyOf : (item: unknown) => JSON.stringify(item);
  const itemNode: Node =
    node.kind === "list" ? node.items : { kind: "leaf", schema: node.schema.items ?? DEDUCED.schema };
  const liveKeys = live.map(keyOf);
  const appliedKeys = applied.map(keyOf);
  const liveByKey = new Map<string, unknown>();
  liveKeys.forEach((key, i) => {
    if (!liveByKey.has(key)) liveByKey.set(key, live[i]);
  });
  const appliedByKey = new Map(appliedKeys.map((key, i) => [key, applied[i]]));
  const shared = appliedKeys.filter((key) => liveByKey.has(key));
  const merged: unknown[] = [];
  const done = new Set<string>();
  let nextShared = 0;
  const take = (key: string): void => {
    done.add(key);
    merged.push(mergeObjects(itemNode, liveByKey.get(key), appliedByKey.get(key)));
    if (shared[nextShared] === key) nextShared++;
  };
  let l = 0;
  let r = 0;
  while (l < live.length || r < applied.length) {
    if (l < live.length) {
      const key = liveKeys[l]!;
      if (r < applied.length && key === appliedKeys[r]) {
        take(key);
        l++;
        r++;
        continue;
      }
      if (!appliedByKey.has(key)) {
        merged.push(deepCopy(live[l]));
        l++;
        continue;
      }
      // A shared item whose turn is another, or that has been taken: the applied order decides.
      if (done.has(key) || (r < applied.length && shared[nextShared] !== undefined && shared[nextShared] !== key)) {
        l++;
        continue;
      }
    }
    if (r < applied.length) {
      if (!done.has(appliedKeys[r]!)) take(appliedKeys[r]!);
      r++;
    }
  }
  return merged;
}
