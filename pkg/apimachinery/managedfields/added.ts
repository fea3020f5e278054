/**
 * What a new object brings with it, found as the text of FieldsV1. Creating is what servers do most, and a text written in
 * one walk costs a fraction of a tree that is built, stripped, stored and then written.
 */
import { deepEqual, isRecord } from "../deep.ts";
import { findOnce, isShared } from "../shared.ts";
import { type Fields, LEAF } from "./fields.ts";
import { type KnownFields, knownFields } from "./known-fields.ts";
import { DEDUCED, type Node, type StructField } from "./nodes.ts";
import { UNTRACKED_METADATA, UNTRACKED_ROOT } from "./strip.ts";

const LEAF_TEXT = "{}";
const ITSELF = '".":{}';

/**
 * The fields that the maker of `object` owns: what `trackedFields(compareObjects(node, {}, object).changed, resetFields)`
 * says. undefined when there are none. `resetFields` are names of members of the object.
 */
export function fieldsOfNew(
  node: Node,
  object: Readonly<Record<string, unknown>>,
  resetFields: readonly string[],
): KnownFields | undefined {
  let text = "";
  let around = "";
  let shared: SharedMember | undefined;
  for (const key in object) {
    if (UNTRACKED_ROOT.has(key) || resetFields.includes(key)) continue;
    const value = object[key];
    const field = node.kind === "struct" ? node.field(key) : undefined;
    const isMetadata = key === "metadata" && field !== undefined;
    const one = isMetadata || shared !== undefined ? undefined : sharedMember(field, value);
    const member = one?.text ?? (isMetadata ? withoutUntracked(field, value) : memberOf(node, field, value, true));
    if (member === "") continue;
    const element = (text === "" ? "" : ",") + elementText(field, key);
    text += element + member;
    around += one === undefined ? element + member : element;
    shared ??= one;
  }
  if (text === "") return undefined;
  const found = shared?.sets.get(around);
  if (found !== undefined) return found;
  const known = knownFields(`{${text}}`);
  if (shared !== undefined && shared.sets.size < MAX_SETS) shared.sets.set(around, known);
  return known;
}

/** What a shared value brings with it each time. */
interface SharedMember {
  readonly text: string;
  /** The sets it is part of, by what stands around it: that is short, and finding a set by its whole text is not free. */
  readonly sets: Map<string, KnownFields>;
}
/** Objects made from one template have the same labels, by their keys. */
const MAX_SETS = 8;

function sharedMember(field: StructField | undefined, value: unknown): SharedMember | undefined {
  if (field === undefined || !isShared(value)) return undefined;
  return findOnce(value as object, field, () => ({
    text: added(field.node, value, field.empty),
    sets: new Map(),
  }));
}

/** Nobody owns metadata itself. */
function withoutUntracked({ node, empty }: StructField, metadata: unknown): string {
  if (!isRecord(metadata)) return "";
  let text = "";
  for (const key in metadata) {
    if (UNTRACKED_METADATA.has(key)) continue;
    const field = node.kind === "struct" ? node.field(key) : undefined;
    const member = memberOf(node, field, metadata[key], empty !== undefined);
    if (member !== "") text += (text === "" ? "" : ",") + elementText(field, key) + member;
  }
  return text === "" ? "" : `{${text}}`;
}

const PLAIN = /^[\w./-]*$/;

/** The path element of a member as the key of a JSON object, colon included. */
function elementText(field: StructField | undefined, key: string): string {
  if (field !== undefined) return field.elementText;
  return PLAIN.test(key) ? `"f:${key}":` : `${JSON.stringify(`f:${key}`)}:`;
}

/**
 * The fields of a value that was not there before, as a tree. Most values of one kind have the same fields: the tree is
 * found by its text, and building it would cost several times what writing that does.
 */
export function treeOfAdded(node: Node, value: unknown): Fields {
  const text = added(node, value, undefined);
  return text === LEAF_TEXT ? LEAF : knownFields(text).tree;
}

/** "" when the member is not there, or adds nothing to what a Go struct holds anyway (`parentThere`). */
function memberOf(node: Node, field: StructField | undefined, value: unknown, parentThere: boolean): string {
  if (value === undefined) return "";
  if (node.kind === "map") return added(node.items, value, undefined);
  return field === undefined
    ? added(DEDUCED, value, undefined)
    : added(field.node, value, parentThere ? field.empty : undefined);
}

const isNothing = (value: unknown): boolean => value === null || (Array.isArray(value) && value.length === 0);

/** `empty`: what has stood there before, if anything has. */
function added(node: Node, value: unknown, empty: unknown): string {
  const there = empty !== undefined;
  if (there && (value === null || value === empty)) return "";
  switch (node.kind) {
    case "leaf":
      return there && deepEqual(empty, value) ? "" : LEAF_TEXT;
    case "struct":
    case "map":
    case "deduced":
      return isRecord(value) ? addedMembers(node, value, there) : LEAF_TEXT;
    case "set":
    case "list":
      if (isNothing(value)) return LEAF_TEXT;
      return Array.isArray(value) ? addedItems(node, value, there) : LEAF_TEXT;
  }
}

function addedMembers(
  node: Node & { kind: "struct" | "map" | "deduced" },
  object: Readonly<Record<string, unknown>>,
  there: boolean,
): string {
  let text = there ? "" : ITSELF;
  // To ask first whether there are members would cost as much as to go through them.
  let empty = true;
  for (const key in object) {
    empty = false;
    const field = node.kind === "struct" ? node.field(key) : undefined;
    const member = memberOf(node, field, object[key], there);
    if (member !== "") text += (text === "" ? "" : ",") + elementText(field, key) + member;
  }
  if (empty) return there && node.kind === "struct" ? "" : LEAF_TEXT;
  return text === "" ? "" : `{${text}}`;
}

function addedItems(node: Node & { kind: "set" | "list" }, list: readonly unknown[], there: boolean): string {
  const keys = list.map((item) =>
    node.kind === "list" ? node.keyTextOf(item) : `${JSON.stringify(`v:${JSON.stringify(item)}`)}:`,
  );
  const distinct = keys.length === 1 ? keys : new Set(keys);
  // Items that share a key cannot be told apart, so they are owned together.
  const repeated = (distinct instanceof Set ? distinct.size : 1) < keys.length;
  let text = there ? "" : ITSELF;
  let index = 0;
  for (const key of distinct) {
    if (text !== "") text += ",";
    if (node.kind === "set") text += key + LEAF_TEXT;
    else if (!repeated) text += key + added(node.items, list[index], undefined);
    else {
      const first = keys.indexOf(key);
      text += key + (keys.includes(key, first + 1) ? LEAF_TEXT : added(node.items, list[first], undefined));
    }
    index++;
  }
  return `{${text}}`;
}
