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
import { compilePattern, formatCheck } from "./formats.ts";

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
  for (const make of [checkEnum, checkStrings, checkNumbers, checkArray, checkObject, checkJunctors]) {
    const made = make(raw);
    if (made !== undefined) checks.push(made);
  }
  const nullable = raw["nullable"] === true;
  return (value, path, old, errors) => {
    if (value === null && nullable) return;
    if (old !== undefined && deepEqual(value, old)) return;
    if (typeCheck !== undefined && !typeCheck(value, path, errors)) return;
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
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

/** Returns false when the value is of another type, which makes all other checks moot. */
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
    if (!allowed.some((each) => deepEqual(each, value))) errors.push(fieldNotSupported(path, value, shown));
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
      errors.push(fieldInvalid(path, value, `${inBody(path)} must be of type ${String(format)}: ${goQuote(value)}`));
    }
  };
}

const INTEGER_RANGES: Readonly<Record<string, readonly [number, number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
};

function checkNumbers(raw: Raw): Check | undefined {
  const { minimum, maximum, multipleOf, format } = raw;
  const range = typeof format === "string" && raw["type"] === "integer" ? INTEGER_RANGES[format] : undefined;
  if (minimum === undefined && maximum === undefined && multipleOf === undefined && range === undefined)
    return undefined;
  const aboveOnly = raw["exclusiveMinimum"] === true;
  const belowOnly = raw["exclusiveMaximum"] === true;
  return (value, path, _old, errors) => {
    if (typeof value !== "number" && typeof value !== "bigint") return;
    if (typeof maximum === "number" && (belowOnly ? value >= maximum : value > maximum)) {
      const bound = belowOnly ? "less than" : "less than or equal to";
      errors.push(fieldInvalid(path, value, `${inBody(path)} should be ${bound} ${maximum}`));
    }
    if (typeof minimum === "number" && (aboveOnly ? value <= minimum : value < minimum)) {
      const bound = aboveOnly ? "greater than" : "greater than or equal to";
      errors.push(fieldInvalid(path, value, `${inBody(path)} should be ${bound} ${minimum}`));
    }
    if (typeof multipleOf === "number") {
      const quotient = Number(value) / multipleOf;
      if (Math.abs(quotient - Math.round(quotient)) > 1e-9) {
        errors.push(fieldInvalid(path, value, `${inBody(path)} should be a multiple of ${multipleOf}`));
      }
    }
    if (range !== undefined && (value < range[0] || value > range[1])) {
      errors.push(
        fieldInvalid(path, value, `${inBody(path)} must be of type ${String(format)}: ${goQuote(String(value))}`),
      );
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
  for (const [index, value] of values.entries()) {
    const identity =
      type === "set" ? value : Object.fromEntries(keys.map((key) => [key, isRecord(value) ? value[key] : undefined]));
    const text = canonical(identity);
    if (seen.has(text)) errors.push(fieldDuplicate(`${path}[${index}]`, identity));
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
    for (const name of required) {
      if (value[name] === undefined) errors.push(fieldRequired(child(path, name)));
    }
    const count = Object.keys(value).length;
    if (typeof maxProperties === "number" && count > maxProperties) {
      errors.push(fieldTooMany(path, count, maxProperties));
    }
    if (typeof minProperties === "number" && count < minProperties) {
      errors.push(fieldInvalid(path, count, `${inBody(path)} should have at least ${minProperties} properties`));
    }
    // Work grows with the object, not with what the schema would allow.
    for (const [name, member] of Object.entries(value)) {
      if (member !== undefined) (members.get(name) ?? additional)?.(member, child(path, name), before[name], errors);
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
  const passes = (check: Check, value: unknown, path: string): boolean => {
    const errors: FieldError[] = [];
    check(value, path, undefined, errors);
    return errors.length === 0;
  };
  return (value, path, _old, errors) => {
    const refuse = (why: string): void => void errors.push(fieldInvalid(path, value, `${goQuote(path)} ${why}`));
    for (const check of all) check(value, path, undefined, errors);
    if (any.length > 0 && !any.some((check) => passes(check, value, path))) {
      refuse("must validate at least one schema (anyOf)");
    }
    if (one.length > 0) {
      const valid = one.filter((check) => passes(check, value, path)).length;
      if (valid !== 1) {
        const found = valid === 0 ? "none valid" : `${valid} valid alternatives`;
        refuse(`must validate one and only one schema (oneOf). Found ${found}`);
      }
    }
    if (not !== undefined && passes(not, value, path)) refuse("must not validate the schema (not)");
  };
}

function compileAll(schemas: unknown): Check[] {
  return Array.isArray(schemas) ? schemas.filter((each) => isRecord(each)).map((each) => compile(each)) : [];
}
