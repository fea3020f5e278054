/** What a schema may say at all, wherever it says it, and how lists and maps describe their elements. */
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isRecord,
} from "#pkg/apimachinery/index.ts";
import type { ValidationRule } from "#pkg/api/types/apiextensions-v1.ts";
import { FieldPathError, findFieldPath } from "./field-path.ts";

type Raw = Record<string, unknown>;

const TYPES = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
const UNSUPPORTED = ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];
const OWN_FIELDS = new Set(["metadata", "apiVersion", "kind"]);

interface Place {
  readonly root: boolean;
  /** Why there may be no default here. */
  readonly noDefaults?: string;
  /** Inside of metadata, apiVersion or kind of an object. */
  readonly meta?: boolean;
}
const INNER: Place = { root: false };

export function validateProperties(raw: Raw, path: string, place: Place = { root: true }): FieldError[] {
  const errors: FieldError[] = [];
  walk(raw, path, place, errors);
  return errors;
}

function walk(raw: Raw, path: string, place: Place, errors: FieldError[]): void {
  supported(raw, path, place, errors);
  const below: Place = { ...place, root: false };
  const additional = raw["additionalProperties"];
  if (
    additional !== undefined &&
    isRecord(raw["properties"]) &&
    Object.keys(raw["properties"]).length > 0 &&
    additional !== true
  ) {
    errors.push(
      fieldForbidden(`${path}.additionalProperties`, "additionalProperties and properties are mutual exclusive"),
    );
  }
  if (isRecord(additional)) {
    const noDefaults =
      place.meta === true ? "inside additionalProperties applying to object metadata" : place.noDefaults;
    walk(additional, `${path}.additionalProperties`, { ...below, noDefaults }, errors);
  }
  if (isRecord(raw["properties"])) {
    for (const [name, member] of Object.entries(raw["properties"])) {
      if (!isRecord(member)) continue;
      const isOwn = OWN_FIELDS.has(name) && (place.root || raw["x-kubernetes-embedded-resource"] === true);
      const noDefaults = isOwn && place.root ? `in top-level ${name}` : place.noDefaults;
      walk(member, `${path}.properties[${name}]`, { ...below, meta: isOwn || place.meta, noDefaults }, errors);
    }
  }
  for (const name of ["not", "items"]) if (isRecord(raw[name])) walk(raw[name], `${path}.${name}`, below, errors);
  for (const name of ["allOf", "oneOf", "anyOf"]) {
    const list = raw[name];
    if (Array.isArray(list))
      list.forEach((each, i) => isRecord(each) && walk(each, `${path}.${name}[${i}]`, INNER, errors));
  }
  if (raw["x-kubernetes-preserve-unknown-fields"] === false)
    errors.push(fieldInvalid(`${path}.x-kubernetes-preserve-unknown-fields`, false, "must be true or undefined"));
  validateMapType(raw, path, errors);
  validateListType(raw, path, errors);
  validateItems(raw, path, errors);
  validateRules(raw, path, errors);
}

function supported(raw: Raw, path: string, place: Place, errors: FieldError[]): void {
  const { type } = raw;
  if (typeof type === "string" && type !== "" && !TYPES.includes(type))
    errors.push(fieldNotSupported(`${path}.type`, type, TYPES));
  if (raw["default"] !== undefined && place.noDefaults !== undefined)
    errors.push(fieldForbidden(`${path}.default`, `must not be set ${place.noDefaults}`));
  for (const name of UNSUPPORTED)
    if (raw[name] !== undefined) errors.push(fieldForbidden(`${path}.${name}`, `${name} is not supported`));
  // Found at the top, wherever it is.
  if (raw["$schema"])
    errors.push(
      fieldInvalid(path.replace(/(?<=openAPIV3Schema).*/, ""), "", "OpenAPIV3Schema 'schema' is not supported"),
    );
  if (type === "null")
    errors.push(fieldForbidden(`${path}.type`, "type cannot be set to null, use nullable as an alternative"));
  if (Array.isArray(raw["items"]))
    errors.push(fieldForbidden(`${path}.items`, "items must be a schema object and not an array"));
  if (place.meta === true && raw["x-kubernetes-embedded-resource"] === true)
    errors.push(fieldForbidden(`${path}.x-kubernetes-embedded-resource`, "must not be used inside of resource meta"));
  if (raw["uniqueItems"] === true) {
    const why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
    errors.push(fieldForbidden(`${path}.uniqueItems`, why));
  }
}

function typeMustBe(wanted: string, marker: string, raw: Raw, path: string): FieldError {
  const why = `must be ${wanted} if ${marker} is specified`;
  const { type } = raw;
  return type === undefined || type === ""
    ? fieldRequired(`${path}.type`, why)
    : fieldInvalid(`${path}.type`, type, why);
}

function validateMapType(raw: Raw, path: string, errors: FieldError[]): void {
  const mapType = raw["x-kubernetes-map-type"];
  if (mapType === undefined) return;
  if (raw["type"] !== "object") errors.push(typeMustBe("object", "x-kubernetes-map-type", raw, path));
  if (mapType !== "atomic" && mapType !== "granular")
    errors.push(fieldNotSupported(`${path}.x-kubernetes-map-type`, mapType, ["atomic", "granular"]));
}

function validateListType(raw: Raw, path: string, errors: FieldError[]): void {
  const listType = raw["x-kubernetes-list-type"];
  const keys = raw["x-kubernetes-list-map-keys"];
  const at = `${path}.x-kubernetes-list-type`;
  if (listType !== undefined) {
    if (raw["type"] !== "array") errors.push(typeMustBe("array", "x-kubernetes-list-type", raw, path));
    else if (listType === "set" && isRecord(raw["items"])) atomicItems(raw["items"], `${path}.items`, errors);
    if (listType !== "atomic" && listType !== "set" && listType !== "map")
      errors.push(fieldNotSupported(at, listType, ["atomic", "set", "map"]));
  }
  if (!Array.isArray(keys) || keys.length === 0 || listType === "map") return;
  const why = "must be map if x-kubernetes-list-map-keys is non-empty";
  errors.push(listType === undefined ? fieldRequired(at, why) : fieldInvalid(at, listType, why));
}

/** Members of a set are compared as a whole. */
function atomicItems(items: Raw, path: string, errors: FieldError[]): void {
  const why = "must be atomic as item of a list with x-kubernetes-list-type=set";
  const listType = items["x-kubernetes-list-type"];
  if (items["type"] === "array" && listType !== undefined && listType !== "atomic")
    errors.push(fieldInvalid(`${path}.x-kubernetes-list-type`, listType, why));
  if (items["type"] === "object" && items["x-kubernetes-map-type"] !== "atomic")
    errors.push(fieldInvalid(`${path}.x-kubernetes-map-type`, listType ?? null, why));
}

function validateItems(raw: Raw, path: string, errors: FieldError[]): void {
  const listType = raw["x-kubernetes-list-type"];
  if (listType !== "map" && listType !== "set") return;
  const keys = Array.isArray(raw["x-kubernetes-list-map-keys"]) ? (raw["x-kubernetes-list-map-keys"] as string[]) : [];
  const items = isRecord(raw["items"]) ? raw["items"] : undefined;
  if (listType === "map") {
    const at = `${path}.x-kubernetes-list-map-keys`;
    if (keys.length === 0) errors.push(fieldRequired(at, "must not be empty if x-kubernetes-list-type is map"));
    if (raw["items"] === undefined)
      errors.push(fieldRequired(`${path}.items`, "must have a schema if x-kubernetes-list-type is map"));
    if (items !== undefined && items["type"] !== "object") {
      const why = "must be object if parent array's x-kubernetes-list-type is map";
      errors.push(fieldInvalid(`${path}.items.type`, items["type"] ?? "", why));
    }
    if (items?.["type"] === "object") validateKeys(keys, items, path, errors);
  }
  if (items?.["nullable"] === true)
    errors.push(
      fieldForbidden(`${path}.items.nullable`, `cannot be nullable when x-kubernetes-list-type is ${listType}`),
    );
  if (listType === "map" && items !== undefined) keysAreSet(keys, items, path, errors);
}

function validateKeys(keys: readonly string[], items: Raw, path: string, errors: FieldError[]): void {
  const members = isRecord(items["properties"]) ? items["properties"] : {};
  const seen = new Set<string>();
  for (const key of keys) {
    const member = members[key];
    const at = `${path}.x-kubernetes-list-map-keys`;
    if (!isRecord(member)) errors.push(fieldInvalid(at, keys, "entries must all be names of item properties"));
    else if (member["type"] === "array" || member["type"] === "object") {
      const why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
      errors.push(fieldInvalid(`${path}.items.properties[${key}].type`, items["type"], why));
    }
    if (seen.has(key)) errors.push(fieldInvalid(at, keys, "must not contain duplicate entries"));
    seen.add(key);
  }
}

function keysAreSet(keys: readonly string[], items: Raw, path: string, errors: FieldError[]): void {
  const members = isRecord(items["properties"]) ? items["properties"] : {};
  const required = Array.isArray(items["required"]) ? (items["required"] as unknown[]) : [];
  for (const key of keys) {
    const member = members[key];
    if (!isRecord(member)) continue;
    const at = `${path}.items.properties[${key}]`;
    const what = "this property is in x-kubernetes-list-map-keys, so it";
    if (!required.includes(key) && member["default"] === undefined)
      errors.push(fieldRequired(`${at}.default`, `${what} must have a default or be a required property`));
    if (member["nullable"] === true) errors.push(fieldForbidden(`${at}.nullable`, `${what} cannot be nullable`));
  }
}

function validateRules(raw: Raw, path: string, errors: FieldError[]): void {
  const rules = raw["x-kubernetes-validations"];
  if (!Array.isArray(rules)) return;
  (rules as ValidationRule[]).forEach((rule, i) =>
    validateRule(rule, raw, `${path}.x-kubernetes-validations[${i}]`, errors),
  );
}

const hasLineBreak = (text: string): boolean => /[\n\r]/.test(text);

function validateRule(
  { rule, message = "", messageExpression = "", reason, fieldPath = "" }: ValidationRule,
  raw: Raw,
  path: string,
  errors: FieldError[],
): void {
  const text = (rule ?? "").trim();
  const said = message.trim();
  if (text === "") errors.push(fieldRequired(`${path}.rule`, "rule is not specified"));
  else if (message !== "" && said === "")
    errors.push(fieldInvalid(`${path}.message`, message, "must be non-empty if specified"));
  else if (hasLineBreak(said)) errors.push(fieldInvalid(`${path}.message`, message, "must not contain line breaks"));
  else if (hasLineBreak(text) && said === "")
    errors.push(fieldRequired(`${path}.message`, "message must be specified if rule contains line breaks"));
  if (messageExpression !== "" && messageExpression.trim() === "")
    errors.push(fieldRequired(`${path}.messageExpression`, "messageExpression must be non-empty if specified"));
  if (reason !== undefined && reason !== null && !REASONS.includes(reason))
    errors.push(fieldNotSupported(`${path}.reason`, reason, REASONS));
  if (fieldPath === "") return;
  const at = `${path}.fieldPath`;
  if (fieldPath.trim() === "") errors.push(fieldInvalid(at, fieldPath, "must be non-empty if specified"));
  if (hasLineBreak(fieldPath)) errors.push(fieldInvalid(at, fieldPath, "must not contain line breaks"));
  try {
    findFieldPath(fieldPath, raw, true);
  } catch (error) {
    if (!(error instanceof FieldPathError)) throw error;
    errors.push(fieldInvalid(at, fieldPath, "must be a valid path"));
  }
}
