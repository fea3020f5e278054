import { canonicalQuantity, type FieldSchema, isRecord, isShared } from "#pkg/apimachinery/index.ts";
import { checkFields } from "./check-fields.ts";
import { isZero } from "./plain-fields.ts";
import { plainFields } from "./prune.ts";
import { isWireTime } from "./times.ts";

/** Is there nothing to report of a value, and nothing to prune? */
type Test = (value: unknown) => boolean;

/** Memo: a test depends on its schema alone. */
const tests = new WeakMap<FieldSchema, Test>();

/** No kind has more members: with more doubtful ones, the object is not worth taking apart. */
const MAX_DOUBTFUL = 64;

/**
 * The members of an object of which `checkFields` may have something to report or that `prune` may change; undefined
 * when there are none, as in nearly every body, and the object itself when there are very many. Finding that out needs neither paths nor messages.
 */
export function doubtfulMembers(
  schema: FieldSchema,
  object: Readonly<Record<string, unknown>>,
): Record<string, unknown> | undefined {
  const members = membersOf(schema);
  let doubtful: Record<string, unknown> | undefined;
  let count = 0;
  for (const name in object) {
    if (isShared(object[name]) || members.get(name)?.(object[name]) === true) continue;
    if (++count > MAX_DOUBTFUL) return object;
    (doubtful ??= {})[name] = object[name];
  }
  return doubtful;
}

const roots = new WeakMap<FieldSchema, ReadonlyMap<string, Test>>();

function membersOf(schema: FieldSchema): ReadonlyMap<string, Test> {
  let members = roots.get(schema);
  if (members === undefined) roots.set(schema, (members = memberTests(schema)));
  return members;
}

function compile(schema: FieldSchema): Test {
  const known = tests.get(schema);
  if (known !== undefined) return known;
  let compiled: Test | undefined;
  const test: Test = (value) => (compiled ??= build(schema))(value);
  tests.set(schema, test);
  return test;
}

const never: Test = () => false;

function build(schema: FieldSchema): Test {
  switch (schema.type) {
    case "object":
      return objectTest(schema);
    case "array": {
      if (schema.items === undefined) return never;
      const element = compile(schema.items);
      return (value) => Array.isArray(value) && value.every((item) => item !== null && element(item));
    }
    case "map":
      return mapTest(schema, true);
    case "string":
      return (value) => typeof value === "string";
    case "boolean":
      return (value) => typeof value === "boolean";
    case "integer":
      return (value) => typeof value === "number" && (value | 0) === value;
    case "int-or-string":
      return (value) => typeof value === "string" || (typeof value === "number" && (value | 0) === value);
    case "quantity":
      return isCanonical;
    case "time":
      return (value) => typeof value === "string" && isWireTime(value);
    case "any":
      return (value) => value !== null && value !== undefined;
    default:
      // Rare: whatever the checker says. The pruner changes nothing of these but nulls.
      return (value) => value !== null && value !== undefined && checkFields(schema, value).errors.length === 0;
  }
}

function memberTests(schema: FieldSchema): ReadonlyMap<string, Test> {
  const members = new Map<string, Test>();
  const { properties } = schema;
  if (properties === undefined || schema.items !== undefined || schema.embeddedResource === true) return members;
  if (schema.preserveUnknownFields === true || schema.raw !== undefined) return members;
  const { dropped, nullable, emptyIsNull } = plainFields(schema);
  for (const [name, member] of properties) {
    const test = dropped.has(name) || emptyIsNull.has(name) ? fullTest(member) : compile(member);
    members.set(name, nullable.has(name) ? (value) => value === null || test(value) : test);
  }
  return members;
}

/** Of what is dropped, or null, when it is empty. */
function fullTest(schema: FieldSchema): Test {
  if (schema.type === "map") return mapTest(schema, false);
  const test = compile(schema);
  return (value) => !isZero(value) && test(value);
}

/** In one pass: to look for its first member alone costs nearly as much in a map of a hundred thousand. */
function mapTest(schema: FieldSchema, mayBeEmpty: boolean): Test {
  if (schema.items === undefined) return never;
  const element = compile(schema.items);
  return (value) => {
    if (!isRecord(value)) return false;
    let empty = true;
    for (const key in value) {
      empty = false;
      if (!element(value[key])) return false;
    }
    return mayBeEmpty || !empty;
  };
}

function objectTest(schema: FieldSchema): Test {
  if (schema.properties === undefined && schema.items === undefined && schema.embeddedResource !== true)
    return isRecord;
  const members = memberTests(schema);
  return (value) => {
    if (!isRecord(value)) return false;
    for (const name in value) if (members.get(name)?.(value[name]) !== true) return false;
    return true;
  };
}

/** Amounts found canonical. There are few, and they come again and again. */
const MAX_CANONICAL = 256;
const canonical = new Set<string>();

const isCanonical: Test = (value) => {
  if (typeof value !== "string") return false;
  if (canonical.has(value)) return true;
  try {
    if (canonicalQuantity(value) !== value) return false;
  } catch {
    return false; // The checker has the words for it.
  }
  if (canonical.size < MAX_CANONICAL) canonical.add(value);
  return true;
};
