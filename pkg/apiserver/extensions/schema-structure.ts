/** Is a schema structural: is it clear for every value which type it has, whatever the value validations say? */
import {
  deepEqual,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  isRecord,
} from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { compilePattern } from "./formats.ts";

type Raw = Record<string, unknown>;
type Level = "root" | "item" | "field";

const INT_OR_STRING = [{ type: "integer" }, { type: "string" }];
const MISSING_TYPE: Readonly<Record<Level, string>> = {
  root: "must not be empty at the root",
  item: "must not be empty for specified array items",
  field: "must not be empty for specified object fields",
};
/** What schemas of definitions may never have, so that nothing more can be said about them. */
const UNSUPPORTED = ["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"];
const JUNCTORS = ["allOf", "anyOf", "oneOf"] as const;

const listOf = (value: unknown): Raw[] => (Array.isArray(value) ? value.filter((each) => isRecord(each)) : []);
const membersOf = (value: unknown): [string, Raw][] =>
  isRecord(value) ? Object.entries(value).filter((entry): entry is [string, Raw] => isRecord(entry[1])) : [];

/** All schemas directly below one. */
function subschemas(raw: Raw): Raw[] {
  return [
    ...membersOf(raw["properties"]).map(([, member]) => member),
    ...["items", "additionalProperties", "not"].flatMap((name) => (isRecord(raw[name]) ? [raw[name]] : [])),
    ...JUNCTORS.flatMap((name) => listOf(raw[name])),
  ];
}

export function canBeStructural(raw: Raw): boolean {
  if (Array.isArray(raw["items"])) return false;
  return UNSUPPORTED.every((name) => raw[name] === undefined) && subschemas(raw).every((each) => canBeStructural(each));
}

export function validateStructure(raw: Raw, path: string): FieldError[] {
  const errors: FieldError[] = [];
  invariants(raw, "root", path, errors);
  completeness(raw, raw, path, path, errors);
  const textOf = ({ field, message }: FieldError): string => `${field}: ${message}`;
  return errors.sort((a, b) => (textOf(a) < textOf(b) ? -1 : 1));
}

function invariants(raw: Raw, level: Level, path: string, errors: FieldError[]): void {
  if (raw["type"] === "array" && raw["items"] === undefined)
    errors.push(fieldRequired(`${path}.items`, "must be specified"));
  if (isRecord(raw["items"])) invariants(raw["items"], "item", `${path}.items`, errors);
  for (const [name, member] of membersOf(raw["properties"]))
    invariants(member, "field", `${path}.properties[${name}]`, errors);
  if (raw["additionalProperties"] !== undefined && level === "root")
    errors.push(fieldForbidden(`${path}.additionalProperties`, "must not be used at the root"));
  if (isRecord(raw["additionalProperties"]))
    invariants(raw["additionalProperties"], "field", `${path}.additionalProperties`, errors);
  intOrStringAlone(raw, path, errors);
  valueValidation(raw, path, errors, deepEqual(raw["anyOf"], INT_OR_STRING), listOf(raw["allOf"])[0]);
  typeAndEmbedding(raw, level, path, errors);
  ownNames(raw, level, path, errors);
}

function intOrStringAlone(raw: Raw, path: string, errors: FieldError[]): void {
  if (raw["x-kubernetes-int-or-string"] !== true) return;
  for (const extension of ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"]) {
    if (raw[extension] !== true) continue;
    errors.push(fieldInvalid(`${path}.${extension}`, true, "must be false if x-kubernetes-int-or-string is true"));
  }
}

function typeAndEmbedding(raw: Raw, level: Level, path: string, errors: FieldError[]): void {
  const type = typeof raw["type"] === "string" ? raw["type"] : "";
  const embedded = raw["x-kubernetes-embedded-resource"] === true;
  const open = raw["x-kubernetes-preserve-unknown-fields"] === true;
  if (embedded && type !== "object") {
    const why = "must be object if x-kubernetes-embedded-resource is true";
    errors.push(type === "" ? fieldRequired(`${path}.type`, why) : fieldInvalid(`${path}.type`, type, why));
  } else if (type === "" && raw["x-kubernetes-int-or-string"] !== true && !open) {
    errors.push(fieldRequired(`${path}.type`, MISSING_TYPE[level]));
  }
  if (embedded && raw["additionalProperties"] !== undefined)
    errors.push(
      fieldForbidden(`${path}.additionalProperties`, "must not be used if x-kubernetes-embedded-resource is set"),
    );
  if (level === "root" && type !== "" && type !== "object")
    errors.push(fieldInvalid(`${path}.type`, type, "must be object at the root"));
  if (embedded && !open && membersOf(raw["properties"]).length === 0) {
    const why =
      "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
    errors.push(fieldRequired(`${path}.properties`, why));
  }
}

/** What every object has is described already; only its names may be narrowed. */
function ownNames(raw: Raw, level: Level, path: string, errors: FieldError[]): void {
  const properties = isRecord(raw["properties"]) ? raw["properties"] : {};
  const isObject = level === "root" || raw["x-kubernetes-embedded-resource"] === true;
  for (const name of ["kind", "apiVersion"]) {
    const member = properties[name];
    if (isObject && isRecord(member) && member["type"] !== "string")
      errors.push(fieldInvalid(`${path}.properties[${name}].type`, member["type"] ?? "", "must be string"));
  }
  const { metadata } = properties;
  if (!isRecord(metadata)) return;
  const at = `${path}.properties[metadata]`;
  if (isObject && metadata["type"] !== "object")
    errors.push(fieldInvalid(`${at}.type`, metadata["type"] ?? "", "must be object"));
  if (level !== "root") return;
  const named = Object.keys(isRecord(metadata["properties"]) ? metadata["properties"] : {});
  const others = Object.entries(metadata).filter(
    ([name, value]) => !["type", "default", "properties"].includes(name) && value !== undefined && value !== false,
  );
  if (others.length === 0 && named.every((name) => name === "name" || name === "generateName")) return;
  errors.push(
    fieldForbidden(
      at,
      "must not specify anything other than name and generateName, but metadata is implicitly specified",
    ),
  );
}

/** @param firstAll the first of allOf, which may tell integers and strings apart too */
function valueValidation(raw: Raw, path: string, errors: FieldError[], skipAnyOf: boolean, firstAll?: Raw): void {
  if (!skipAnyOf) listOf(raw["anyOf"]).forEach((each, i) => nested(each, `${path}.anyOf[${i}]`, errors, false));
  listOf(raw["allOf"]).forEach((each, i) =>
    nested(each, `${path}.allOf[${i}]`, errors, each === firstAll && deepEqual(each["anyOf"], INT_OR_STRING)),
  );
  listOf(raw["oneOf"]).forEach((each, i) => nested(each, `${path}.oneOf[${i}]`, errors, false));
  if (isRecord(raw["not"])) nested(raw["not"], `${path}.not`, errors, false);
  if (typeof raw["pattern"] !== "string") return;
  try {
    compilePattern(raw["pattern"]);
  } catch (error) {
    const why = errorMessage(error);
    errors.push(
      fieldInvalid(`${path}.pattern`, raw["pattern"], `must be a valid regular expression, but isn't: ${why}`),
    );
  }
}

/** What says how data looks has no place where data is only judged. */
const FORBIDDEN_BELOW: readonly (readonly [string, string])[] = [
  ["type", "must be empty to be structural"],
  ["additionalProperties", "must be undefined to be structural"],
  ["default", "must be undefined to be structural"],
  ["title", "must be empty to be structural"],
  ["description", "must be empty to be structural"],
  ["nullable", "must be false to be structural"],
  ["x-kubernetes-preserve-unknown-fields", "must be false to be structural"],
  ["x-kubernetes-embedded-resource", "must be false to be structural"],
  ["x-kubernetes-int-or-string", "must be false to be structural"],
  ["x-kubernetes-list-map-keys", "must be empty to be structural"],
  ["x-kubernetes-list-type", "must be undefined to be structural"],
  ["x-kubernetes-map-type", "must be undefined to be structural"],
  ["x-kubernetes-validations", "must be empty to be structural"],
];

function nested(raw: Raw, path: string, errors: FieldError[], skipAnyOf: boolean): void {
  valueValidation(raw, path, errors, skipAnyOf);
  if (isRecord(raw["items"])) nested(raw["items"], `${path}.items`, errors, false);
  for (const [name, member] of membersOf(raw["properties"]))
    nested(member, `${path}.properties[${name}]`, errors, false);
  for (const [name, why] of FORBIDDEN_BELOW) {
    const value = raw[name];
    const isUnset =
      value === undefined || value === "" || value === false || (Array.isArray(value) && value.length === 0);
    if (!isUnset || (name === "additionalProperties" && value === false))
      errors.push(fieldForbidden(`${path}.${name}`, why));
  }
  if (isRecord(raw["properties"]) && raw["properties"]["metadata"] !== undefined)
    errors.push(fieldForbidden(`${path}.properties[metadata]`, "must not be specified in a nested context"));
}

/** What is judged somewhere must be described where the data is. */
function completeness(raw: Raw, described: Raw, at: string, judged: string, errors: FieldError[]): void {
  if (isRecord(raw["not"])) complete(raw["not"], described, at, `${judged}.not`, errors);
  for (const junctor of JUNCTORS) {
    listOf(raw[junctor]).forEach((each, i) => complete(each, described, at, `${judged}.${junctor}[${i}]`, errors));
  }
}

function complete(raw: Raw, described: Raw | undefined, at: string, judged: string, errors: FieldError[]): void {
  if (described === undefined) {
    errors.push(fieldRequired(at, `because it is defined in ${judged}`));
    return;
  }
  completeness(raw, described, at, judged, errors);
  if (isRecord(raw["items"])) {
    const items = isRecord(described["items"]) ? described["items"] : undefined;
    complete(raw["items"], items, `${at}.items`, `${judged}.items`, errors);
  }
  const members = isRecord(described["properties"]) ? described["properties"] : {};
  for (const [name, member] of membersOf(raw["properties"])) {
    const own = members[name];
    const key = `properties[${name}]`;
    complete(member, isRecord(own) ? own : undefined, `${at}.${key}`, `${judged}.${key}`, errors);
  }
}
