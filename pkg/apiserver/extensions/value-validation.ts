import {
  deepEqual,
  type FieldError,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooMany,
  fieldTypeInvalid,
  goQuote,
  isRecord,
} from "#pkg/apimachinery/index.ts";
import { compilePattern, formatCheck, isKnownFormat } from "./formats.ts";

type Raw = Record<string, unknown>;
/** `old` is the value that was stored before: what an update leaves alone is not judged again (ratcheting). */
type Check = (value: unknown, path: string, old: unknown, errors: FieldError[]) => void;

/** Errors reported for one object. */
const MAX_ERRORS = 100;

/** Compiles the value validations of a structural schema, with upstream's messages. */
export function compileValues(raw: Raw): (value: unknown, path: string, old: unknown) => FieldError[] {
  const check = compile(raw);
  return (value, path, old) => {
    const errors: FieldError[] = [];
    check(value, path, old, errors);
    return errors.slice(0, MAX_ERRORS);
  };
}

function compile(raw: Raw): Check {
  const checks: Check[] = [];
  const typeCheck = checkType(raw);
  const junctors = checkJunctors(raw);
  const words = checkEnum(raw);
  for (const made of [junctors, checkStrings(raw), checkNumbers(raw), checkArray(raw), words, checkObject(raw)]) {
    if (made !== undefined) checks.push(made);
  }
  const nullable = raw["nullable"] === true;
  const range = checkRange(raw);
  return (value, path, old, errors) => {
    if (old !== undefined && deepEqual(value, old)) return;
    if (value === null && nullable) {
      words?.(value, path, old, errors);
      return;
    }
    if (typeCheck !== undefined && !typeCheck(value, path, errors)) {
      // What does not depend on the type is judged all the same.
      if (value !== null) junctors?.(value, path, old, errors);
      const misfit = typeof value === "number" ? range?.(value, path) : undefined;
      if (misfit !== undefined) errors.push(misfit);
      words?.(value, path, old, errors);
      return;
    }
    for (const check of checks) check(value, path, old, errors);
  };
}

/** "spec.replicas in body", as kube-openapi names a place. */
function inBody(path: string): string {
  return `${path} in body`;
}

function jsonType(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "bigint") return "integer";
  if (typeof value === "number") return Number.isSafeInteger(value) ? "integer" : "number";
  return typeof value;
}

/** Types whose values are never told by the format that is wanted. */
const FORMATTED = new Set(["string", "array", "null"]);

function numberFormat({ type, format }: Raw): string | undefined {
  return (type === "integer" || type === "number") && typeof format === "string" && isKnownFormat(format, type)
    ? format
    : undefined;
}

/** Returns false when the value is of another type, which makes most other checks moot. */
function checkType(raw: Raw): ((value: unknown, path: string, errors: FieldError[]) => boolean) | undefined {
  const intOrString = raw["x-kubernetes-int-or-string"] === true;
  const type = raw["type"];
  if (!intOrString && typeof type !== "string") return undefined;
  return (value, path, errors) => {
    const has = jsonType(value);
    const fits = intOrString
      ? has === "integer" || has === "string"
      : has === type || (type === "number" && has === "integer");
    if (fits) return true;
    const format = FORMATTED.has(has) ? undefined : numberFormat(raw);
    if (format !== undefined) {
      // Both are told by their formats then; other values than numbers have none.
      const found = has === "number" ? "float64" : has === "integer" ? "int64" : "";
      errors.push(fieldTypeInvalid(path, found, `${inBody(path)} must be of type ${format}: ${goQuote(found)}`));
      return false;
    }
    const wanted = intOrString ? "integer,string" : String(type);
    errors.push(fieldTypeInvalid(path, has, `${inBody(path)} must be of type ${wanted}: ${goQuote(has)}`));
    return false;
  };
}

function checkEnum(raw: Raw): Check | undefined {
  const allowed = raw["enum"];
  if (!Array.isArray(allowed)) return undefined;
  const shown = allowed.map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
  return (value, path, _old, errors) => {
    // Upstream never finds null among the words.
    if (!allowed.some((each) => each !== null && deepEqual(each, value)))
      errors.push(fieldNotSupported(path, value, shown));
  };
}

function checkStrings(raw: Raw): Check | undefined {
  const { minLength, maxLength, pattern, format } = raw;
  const matches = typeof pattern === "string" ? compilePattern(pattern) : undefined;
  const isFormat = typeof format === "string" ? formatCheck(format) : undefined;
  if (minLength === undefined && maxLength === undefined && matches === undefined && isFormat === undefined)
    return undefined;
  return (value, path, _old, errors) => {
    if (typeof value !== "string") return;
    const length = minLength === undefined && maxLength === undefined ? 0 : Array.from(value).length;
    if (typeof maxLength === "number" && length > maxLength) {
      errors.push({
        type: "FieldValueTooLong",
        field: path,
        message: `Too long: may not be more than ${maxLength} bytes`,
      });
    }
    if (typeof minLength === "number" && length < minLength) {
      errors.push(fieldInvalid(path, value, `${inBody(path)} should be at least ${minLength} chars long`));
    }
    if (matches !== undefined && !matches(value)) {
      errors.push(fieldInvalid(path, value, `${inBody(path)} should match '${String(pattern)}'`));
    }
    if (isFormat !== undefined && !isFormat(value)) {
      errors.push(
        fieldTypeInvalid(path, value, `${inBody(path)} must be of type ${String(format)}: ${goQuote(value)}`),
      );
    }
  };
}

const INT32_LIMIT = 2 ** 31;
const FLOAT_LIMIT = (2 - 2 ** -23) * 2 ** 127;

/** What is wrong as a whole, and not at a place of its own. */
const overall = (message: string): FieldError => fieldInvalid("<nil>", "", message);

/** Numbers where integers are wanted are named a second time. */
function checkRange(raw: Raw): ((value: number | bigint, path: string) => FieldError | undefined) | undefined {
  const format = typeof raw["format"] === "string" ? raw["format"] : "";
  if (raw["type"] === "number" && format === "float") {
    const message = (path: string): string => `Checked value must be of type number with format float in ${path}`;
    return (value, path) => (Math.abs(Number(value)) > FLOAT_LIMIT ? overall(message(path)) : undefined);
  }
  if (raw["type"] !== "integer") return undefined;
  return (value, path) => {
    const fits =
      (typeof value === "bigint" || Number.isSafeInteger(value)) &&
      (format !== "int32" || (value >= -INT32_LIMIT && value < INT32_LIMIT));
    if (fits) return undefined;
    return overall(notInteger("Checked", format, path));
  };
}

const notInteger = (what: string, format: string, path: string): string =>
  `${what} value must be of type integer ${format === "" ? "(default format)" : `with format ${format}`} in ${path}`;

/** Upstream divides integers by the integer part of the factor, unless the schema wants integers and the factor is none. */
function checkMultiple(raw: Raw): Check | undefined {
  const { multipleOf, type, format = "" } = raw;
  if (typeof multipleOf !== "number") return undefined;
  const misfit = type === "integer" && !Number.isInteger(multipleOf);
  return (value, path, _old, errors) => {
    const number = Number(value);
    if (misfit) errors.push(overall(notInteger("MultipleOf", String(format), path)));
    const factor = !misfit && Number.isInteger(number) ? Math.trunc(multipleOf) : multipleOf;
    const quotient = number / factor;
    if (factor <= 0)
      errors.push(fieldInvalid(path, factor, `factor MultipleOf declared for ${path} must be positive: ${factor}`));
    else if (Math.abs(quotient - Math.round(quotient)) > 1e-9)
      errors.push(fieldInvalid(path, value, `${inBody(path)} should be a multiple of ${factor}`));
  };
}

function checkNumbers(raw: Raw): Check | undefined {
  const { minimum, maximum } = raw;
  const range = checkRange(raw);
  const multiple = checkMultiple(raw);
  if (minimum === undefined && maximum === undefined && multiple === undefined && range === undefined) return undefined;
  const aboveOnly = raw["exclusiveMinimum"] === true;
  const belowOnly = raw["exclusiveMaximum"] === true;
  return (value, path, old, errors) => {
    if (typeof value !== "number" && typeof value !== "bigint") return;
    const misfit = range?.(value, path);
    if (misfit !== undefined) {
      errors.push(misfit);
      return;
    }
    multiple?.(value, path, old, errors);
    if (typeof maximum === "number" && (belowOnly ? value >= maximum : value > maximum)) {
      const bound = belowOnly ? "less than" : "less than or equal to";
      errors.push(fieldInvalid(path, value, `${inBody(path)} should be ${bound} ${maximum}`));
    }
    if (typeof minimum === "number" && (aboveOnly ? value <= minimum : value < minimum)) {
      const bound = aboveOnly ? "greater than" : "greater than or equal to";
      errors.push(fieldInvalid(path, value, `${inBody(path)} should be ${bound} ${minimum}`));
    }
  };
}

function checkArray(raw: Raw): Check | undefined {
  const { minItems, maxItems, uniqueItems } = raw;
  const items = isRecord(raw["items"]) ? compile(raw["items"]) : undefined;
  const listType = raw["x-kubernetes-list-type"];
  const keys = (raw["x-kubernetes-list-map-keys"] as string[] | undefined) ?? [];
  if (raw["type"] !== "array" && items === undefined && minItems === undefined && maxItems === undefined)
    return undefined;
  const keyOf = (element: unknown): string =>
    JSON.stringify(keys.map((key) => (isRecord(element) ? element[key] : undefined)));
  return (value, path, old, errors) => {
    if (!Array.isArray(value)) return;
    if (typeof maxItems === "number" && value.length > maxItems) {
      errors.push(fieldTooMany(path, value.length, maxItems));
    }
    if (typeof minItems === "number" && value.length < minItems) {
      errors.push(fieldInvalid(path, value.length, `${inBody(path)} should have at least ${minItems} items`));
    }
    if (uniqueItems === true && hasDuplicates(value)) {
      errors.push(fieldInvalid(path, value, `${inBody(path)} shouldn't contain duplicates`));
    }
    if (listType === "set" || listType === "map") reportDuplicates(value, path, listType, keys, errors);
    if (items === undefined) return;
    const before = new Map<string, unknown>();
    if (listType === "map" && Array.isArray(old)) for (const element of old) before.set(keyOf(element), element);
    for (const [index, element] of value.entries()) {
      items(element, `${path}[${index}]`, listType === "map" ? before.get(keyOf(element)) : undefined, errors);
    }
  };
}

function hasDuplicates(values: readonly unknown[]): boolean {
  return new Set(values.map((value) => canonical(value))).size < values.length;
}

/** JSON text with sorted keys: equal values have equal text. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    isRecord(part) ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1))) : part,
  );
}

function reportDuplicates(
  values: readonly unknown[],
  path: string,
  type: string,
  keys: readonly string[],
  errors: FieldError[],
): void {
  const seen = new Set<string>();
  const reported = new Set<string>();
  for (const [index, value] of values.entries()) {
    const identity =
      type === "set"
        ? value
        : Object.fromEntries(keys.toSorted().map((key) => [key, isRecord(value) ? value[key] : undefined]));
    const text = canonical(identity);
    // Once is enough for each value.
    if (seen.has(text) && !reported.has(text)) {
      errors.push(fieldDuplicate(`${path}[${index}]`, identity));
      reported.add(text);
    }
    seen.add(text);
  }
}

function checkObject(raw: Raw): Check | undefined {
  const properties = isRecord(raw["properties"]) ? Object.entries(raw["properties"]) : [];
  const members = new Map(properties.map(([name, member]) => [name, compile(member as Raw)]));
  const additional = isRecord(raw["additionalProperties"]) ? compile(raw["additionalProperties"]) : undefined;
  const required = Array.isArray(raw["required"]) ? (raw["required"] as string[]) : [];
  const { minProperties, maxProperties } = raw;
  if (
    members.size + required.length === 0 &&
    additional === undefined &&
    minProperties === undefined &&
    maxProperties === undefined
  ) {
    return undefined;
  }
  return (value, path, old, errors) => {
    if (!isRecord(value)) return;
    const before = isRecord(old) ? old : {};
    const count = Object.keys(value).length;
    if (typeof minProperties === "number" && count < minProperties) {
      errors.push(fieldInvalid(path, count, `${inBody(path)} should have at least ${minProperties} properties`));
    }
    if (typeof maxProperties === "number" && count > maxProperties) {
      errors.push(fieldTooMany(path, count, maxProperties));
    }
    // Work grows with the object, not with what the schema would allow.
    for (const [name, member] of Object.entries(value)) {
      if (member !== undefined) (members.get(name) ?? additional)?.(member, child(path, name), before[name], errors);
    }
    for (const name of required) {
      if (value[name] === undefined) errors.push(fieldRequired(child(path, name)));
    }
  };
}

function child(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function checkJunctors(raw: Raw): Check | undefined {
  const all = compileAll(raw["allOf"]);
  const any = compileAll(raw["anyOf"]);
  const one = compileAll(raw["oneOf"]);
  const not = isRecord(raw["not"]) ? compile(raw["not"]) : undefined;
  if (all.length + any.length + one.length === 0 && not === undefined) return undefined;
  const failures = (check: Check, value: unknown, path: string): FieldError[] => {
    const errors: FieldError[] = [];
    check(value, path, undefined, errors);
    return errors;
  };
  return (value, path, _old, errors) => {
    const refuse = (why: string): void => void errors.push(overall(`${goQuote(path)} ${why}`));
    const tried = (checks: readonly Check[]): FieldError[][] => checks.map((check) => failures(check, value, path));
    const valid = (results: readonly FieldError[][]): number => results.filter((each) => each.length === 0).length;
    const anyResults = tried(any);
    if (any.length > 0 && valid(anyResults) === 0) {
      refuse("must validate at least one schema (anyOf)");
      errors.push(...anyResults[0]!);
    }
    const oneResults = tried(one);
    if (one.length > 0 && valid(oneResults) !== 1) {
      const found = valid(oneResults) === 0 ? "none valid" : `${valid(oneResults)} valid alternatives`;
      refuse(`must validate one and only one schema (oneOf). Found ${found}`);
      if (valid(oneResults) === 0) errors.push(...oneResults[0]!);
    }
    const allResults = tried(all);
    errors.push(...allResults.flat());
    if (valid(allResults) < all.length)
      refuse(`must validate all the schemas (allOf)${valid(allResults) === 0 ? ". None validated" : ""}`);
    if (not !== undefined && failures(not, value, path).length === 0) refuse("must not validate the schema (not)");
  };
}

function compileAll(schemas: unknown): Check[] {
  return Array.isArray(schemas) ? schemas.filter((each) => isRecord(each)).map((each) => compile(each)) : [];
}
