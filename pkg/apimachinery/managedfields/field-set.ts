import { goQuote } from "../field-errors.ts";
import { isRecord } from "../deep.ts";
import { parseJson } from "../json.ts";
import { type Fields, isEmpty, LEAF, type MutableFields } from "./fields.ts";
import type { FieldSchema } from "../schema.ts";
import { DEDUCED, type Node, nodeOf } from "./nodes.ts";

/** An applied configuration that does not fit its schema; `problems` are in upstream's words. */
export class TypedObjectError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.length === 1 ? problems[0] : `errors:\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
    this.name = "TypedObjectError";
    this.problems = problems;
  }
}

/**
 * The fields a configuration sets, as its applier will own them.
 * @throws TypedObjectError for unknown fields, wrong types, and list items that are repeated or lack their key.
 */
export function fieldSetOf(node: Node, value: unknown): Fields {
  const problems: string[] = [];
  const fields = setOf(node, value, "", problems) ?? {};
  if (problems.length > 0) throw new TypedObjectError(problems);
  return fields;
}

/** Checks an object that is to be merged into one of its kind. @throws TypedObjectError */
export function assertTyped(schema: FieldSchema, object: unknown): void {
  fieldSetOf(nodeOf(schema), object);
}

function nameOfType(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "list";
  if (typeof value === "bigint") return "number";
  return typeof value === "object" ? "map" : typeof value;
}

/** The fields that are in an object, whether it fits its schema or not. */
export function fieldsPresent(node: Node, value: unknown): Fields {
  return setOf(node, value, "", []) ?? {};
}

const shown = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** undefined: the value itself is no member, and has none. */
function setOf(node: Node, value: unknown, path: string, problems: string[]): Fields | undefined {
  if (value === null) return LEAF;
  switch (node.kind) {
    case "leaf":
      checkLeaf(node.schema, value, path, problems);
      return LEAF;
    case "deduced":
      return isRecord(value) ? objectSet(node, value, path, problems) : LEAF;
    case "struct":
    case "map":
      if (isRecord(value)) return objectSet(node, value, path, problems);
      problems.push(`${path}: expected map, got &{${shown(value)}}`);
      return undefined;
    case "set":
    case "list":
      if (Array.isArray(value)) return listSet(node, value, path, problems);
      problems.push(`${path}: expected list, got &{${shown(value)}}`);
      return undefined;
  }
}

function checkLeaf({ type }: Node["schema"], value: unknown, path: string, problems: string[]): void {
  const actual = nameOfType(value);
  const expected =
    type === "string" || type === "bytes" || type === "time" || type === "micro-time"
      ? ["string"]
      : type === "integer" || type === "number"
        ? ["number"]
        : type === "boolean"
          ? ["boolean"]
          : type === "array"
            ? ["list"]
            : type === "map" || type === "object"
              ? ["map"]
              : undefined;
  if (expected === undefined || expected.includes(actual)) return;
  if (expected[0] === "number") {
    problems.push(`${path}: expected numeric (int or float), got ${actual}`);
    return;
  }
  const [wanted] = expected;
  problems.push(`${path}: expected ${wanted}, got &value.valueUnstructured{Value:${JSON.stringify(value)}}`);
}

function objectSet(
  node: Node & { kind: "struct" | "map" | "deduced" },
  object: Record<string, unknown>,
  path: string,
  problems: string[],
): Fields | undefined {
  if (isEmpty(object as Fields)) return LEAF;
  const fields: MutableFields = {};
  for (const key of Object.keys(object)) {
    const value = object[key];
    if (value === undefined) continue;
    const memberPath = `${path}.${key}`;
    const field = node.kind === "struct" ? node.field(key) : undefined;
    if (node.kind === "struct" && field === undefined) {
      problems.push(`${memberPath}: field not declared in schema`);
      continue;
    }
    const member = setOf(field?.node ?? (node.kind === "map" ? node.items : DEDUCED), value, memberPath, problems);
    // Keys of maps are members themselves, named fields are not.
    if (field === undefined || field.undeclared === true) fields[`f:${key}`] = withMembership(member);
    else if (member !== undefined) fields[field.element] = member;
  }
  return isEmpty(fields) ? undefined : fields;
}

function withMembership(member: Fields | undefined): Fields {
  return member === undefined || isEmpty(member) ? LEAF : { ".": LEAF, ...member };
}

function listSet(
  node: Node & { kind: "set" | "list" },
  list: readonly unknown[],
  path: string,
  problems: string[],
): Fields | undefined {
  const fields: MutableFields = {};
  list.forEach((item, position) => {
    if (node.kind === "list") {
      if (item === null) {
        problems.push(`${path}: element ${position}: associative list with keys may not have a null element`);
        return;
      }
      const problem = keyProblem(node, item);
      if (problem !== undefined) {
        problems.push(`${path}: element ${position}: associative list with keys ${problem}`);
        return;
      }
    } else if (isRecord(item)) {
      problems.push(`${path}: element ${position}: associative list without keys has an element that's a map type`);
      return;
    }
    const element = node.kind === "list" ? node.keyOf(item) : `v:${JSON.stringify(item)}`;
    if (fields[element] !== undefined) {
      problems.push(`${path}: duplicate entries for key ${elementKeyText(element)}`);
      return;
    }
    const member =
      node.kind === "list" ? setOf(node.items, item, `${path}${elementKeyText(element)}`, problems) : undefined;
    fields[element] = withMembership(member);
  });
  return isEmpty(fields) ? undefined : fields;
}

/** Why an item has no key to be known by. */
function keyProblem({ schema }: Node & { kind: "list" }, item: unknown): string | undefined {
  if (!isRecord(item)) return "may not have non-map elements";
  const { listMapKeys = [], items } = schema;
  // A null is a key as good as any here; whether the field may be null is for validation to say.
  const known = (name: string) => item[name] !== undefined || items?.properties?.get(name)?.default !== undefined;
  if (listMapKeys.some(known)) return undefined;
  const names = listMapKeys.map(goQuote).join(" ");
  return `has an element that omits all key fields [${names}] (and doesn't have default values for any key fields)`;
}

function elementKeyText(element: string): string {
  if (element.startsWith("v:")) return `[=${element.slice(2)}]`;
  const key = parseJson(element.slice(2)) as Record<string, unknown>;
  return `[${Object.entries(key)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(",")}]`;
}
