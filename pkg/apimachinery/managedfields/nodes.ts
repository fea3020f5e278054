/**
 * What field management needs of a schema, compiled once per schema object: how each value is divided into owned parts.
 */
import type { FieldSchema } from "../schema.ts";

/** A named member of a struct. */
export interface StructField {
  readonly element: string;
  /** The element as the key of a JSON object, colon included. */
  readonly elementText: string;
  readonly node: Node;
  /** What it is in an empty struct, where it always is: so nobody adds or removes it. undefined: it can be missing. */
  readonly empty: unknown;
  /** Not of the schema, which lets anything else in: a key like those of maps. */
  readonly undeclared?: boolean;
}

export type Node =
  /** Owned as one: scalars, atomic lists and maps. */
  | { readonly kind: "leaf"; readonly schema: FieldSchema }
  | { readonly kind: "struct"; readonly schema: FieldSchema; field(name: string): StructField | undefined }
  | { readonly kind: "map"; readonly schema: FieldSchema; readonly items: Node }
  | { readonly kind: "set"; readonly schema: FieldSchema }
  | {
      readonly kind: "list";
      readonly schema: FieldSchema;
      readonly items: Node;
      /** The path element of an item. */
      keyOf(item: unknown): string;
      /** The element as the key of a JSON object, colon included. */
      keyTextOf(item: unknown): string;
    }
  /** No schema: maps are divided, lists are atomic. */
  | { readonly kind: "deduced"; readonly schema: FieldSchema };

const ANY: FieldSchema = { type: "any" };
export const DEDUCED: Node = { kind: "deduced", schema: ANY };

const compiled = new WeakMap<FieldSchema, Node>();

export function nodeOf(schema: FieldSchema): Node {
  let node = compiled.get(schema);
  if (node === undefined) {
    node = compile(schema);
    compiled.set(schema, node);
  }
  return node;
}

function compile(schema: FieldSchema): Node {
  switch (schema.type) {
    case "object":
      return compileObject(schema);
    case "map":
      if (schema.mapType === "atomic" || schema.items === undefined) return { kind: "leaf", schema };
      return { kind: "map", schema, items: nodeOf(schema.items) };
    case "array":
      return compileList(schema);
    case "any":
      // Definitions of built-in kinds that hold anything are atomic; in custom resources, structure is deduced.
      return schema.definition === undefined ? { kind: "deduced", schema } : { kind: "leaf", schema };
    default:
      return { kind: "leaf", schema };
  }
}

function fieldOf(name: string, node: Node, empty: unknown): StructField {
  const element = `f:${name}`;
  return { element, elementText: `${JSON.stringify(element)}:`, node, empty };
}

function compileObject(schema: FieldSchema): Node {
  if (schema.mapType === "atomic") return { kind: "leaf", schema };
  if (schema.properties === undefined) {
    return schema.definition === undefined ? { kind: "deduced", schema } : { kind: "leaf", schema };
  }
  const { properties } = schema;
  const open = schema.preserveUnknownFields === true && schema.definition === undefined;
  const fields = new Map<string, StructField>();
  const field = (name: string): StructField | undefined => {
    let known = fields.get(name);
    if (known === undefined) {
      const property = properties.get(name);
      if (property === undefined) return open ? { ...fieldOf(name, DEDUCED, undefined), undeclared: true } : undefined;
      known = fieldOf(name, nodeOf(property), schema.emptyMembers?.get(name));
      fields.set(name, known);
    }
    return known;
  };
  return { kind: "struct", schema, field };
}

function compileList(schema: FieldSchema): Node {
  const { items, listMapKeys } = schema;
  if (schema.listType === "set") return { kind: "set", schema };
  if (schema.listType !== "map" || items === undefined || listMapKeys === undefined) return { kind: "leaf", schema };
  // Keys stand in the order of their names, as upstream writes them.
  const keys = listMapKeys.toSorted().map((name) => ({
    name,
    prefix: `${JSON.stringify(name)}:`,
    fallback: items.properties?.get(name)?.default,
  }));
  const elementOf = (item: unknown): string => {
    let text = "k:{";
    for (const { name, prefix, fallback } of keys) {
      // A null that nothing stands in for is the key's value: validation refuses it later, by the field's name.
      const given = (item as Record<string, unknown> | null)?.[name];
      const value = given ?? fallback ?? given;
      if (value === undefined) continue;
      if (text.length > 3) text += ",";
      text += prefix + JSON.stringify(value);
    }
    return `${text}}`;
  };
  const textOf = (item: unknown): string => `${JSON.stringify(elementOf(item))}:`;
  const single = listMapKeys.length === 1 ? listMapKeys[0]! : undefined;
  const keyOf = single === undefined ? elementOf : remembered(single, elementOf);
  const keyTextOf = single === undefined ? textOf : remembered(single, textOf);
  return { kind: "list", schema, items: nodeOf(items), keyOf, keyTextOf };
}

/** Names of containers, ports, variables and volumes are the same in most objects. */
const MAX_REMEMBERED = 256;

function remembered(name: string, textOf: (item: unknown) => string): (item: unknown) => string {
  const texts = new Map<unknown, string>();
  return (item) => {
    const key = (item as Record<string, unknown> | null)?.[name];
    if (typeof key !== "string") return textOf(item);
    let text = texts.get(key);
    if (text !== undefined) return text;
    text = textOf(item);
    if (texts.size < MAX_REMEMBERED) texts.set(key, text);
    return text;
  };
}

/** What describes a member of an object that `node` describes. */
export function memberNode(node: Node, key: string): Node {
  if (node.kind === "map") return node.items;
  return (node.kind === "struct" ? node.field(key)?.node : undefined) ?? DEDUCED;
}
