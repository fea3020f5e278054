import { isRecord } from "#pkg/apimachinery/index.ts";
import type { JSONSchemaProps } from "../types/apiextensions-v1.ts";
import {
  duplicate,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  notSupported,
  required,
} from "../validation/rules.ts";

/** Where a schema node stands: the rules differ a little. */
type Place = "root" | "field" | "item" | "value";

const TYPES = ["array", "boolean", "integer", "number", "object", "string"];
const REQUIRED_WORDS: Readonly<Record<Place, string>> = {
  root: "must not be empty at the root",
  field: "must not be empty for specified object fields",
  item: "must not be empty for specified array items",
  value: "must not be empty for specified map values",
};
/** JSON schema's words that structural schemas do not speak. */
const UNSUPPORTED = ["$ref", "definitions", "dependencies", "id", "patternProperties", "additionalItems"] as const;

function validateType(schema: JSONSchemaProps, path: string, place: Place): FieldError[] {
  const { type = "" } = schema;
  const intOrString = schema["x-kubernetes-int-or-string"] === true;
  if (place === "root" && type !== "" && type !== "object")
    return [invalid(`${path}.type`, type, "must be object at the root")];
  if (type === "") {
    const free = intOrString || schema["x-kubernetes-preserve-unknown-fields"] === true;
    return free && place !== "root" ? [] : [required(`${path}.type`, REQUIRED_WORDS[place])];
  }
  if (!TYPES.includes(type)) return [notSupported(`${path}.type`, type, TYPES)];
  if (intOrString) return [invalid(`${path}.type`, type, "must be empty if x-kubernetes-int-or-string is true")];
  if (schema["x-kubernetes-embedded-resource"] === true && type !== "object") {
    return [invalid(`${path}.type`, type, "must be object if x-kubernetes-embedded-resource is true")];
  }
  return [];
}

function validateList(schema: JSONSchemaProps, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const listType = schema["x-kubernetes-list-type"];
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  if (listType !== undefined) {
    if (schema.type !== "array") {
      errors.push(invalid(`${path}.type`, schema.type ?? "", "must be array if x-kubernetes-list-type is specified"));
    }
    if (!["atomic", "map", "set"].includes(listType)) {
      errors.push(notSupported(`${path}.x-kubernetes-list-type`, listType, ["atomic", "map", "set"]));
    }
  }
  if (keys.length > 0 && listType !== "map") {
    errors.push(
      invalid(
        `${path}.x-kubernetes-list-type`,
        listType ?? "",
        "must be map if x-kubernetes-list-map-keys is non-empty",
      ),
    );
  }
  if (listType !== "map") return errors;
  if (keys.length === 0) {
    errors.push(required(`${path}.x-kubernetes-list-map-keys`, "must not be empty if x-kubernetes-list-type is map"));
  }
  const items = isRecord(schema.items) ? (schema.items as JSONSchemaProps) : undefined;
  const seen = new Set<string>();
  for (const [index, key] of keys.entries()) {
    const at = `${path}.x-kubernetes-list-map-keys[${index}]`;
    if (seen.has(key)) errors.push(duplicate(at, key));
    seen.add(key);
    const property = items?.properties?.[key];
    if (property === undefined) errors.push(invalid(at, key, "entries must all be names of item properties"));
    else if (items?.required?.includes(key) !== true && property.default === undefined) {
      const why = `this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property`;
      errors.push(required(`${path}.items.properties[${key}].default`, why));
    }
  }
  return errors;
}

function validateExtensions(schema: JSONSchemaProps, path: string): FieldError[] {
  const errors = validateList(schema, path);
  const mapType = schema["x-kubernetes-map-type"];
  if (mapType !== undefined && mapType !== "atomic" && mapType !== "granular") {
    errors.push(notSupported(`${path}.x-kubernetes-map-type`, mapType, ["atomic", "granular"]));
  }
  if (schema["x-kubernetes-preserve-unknown-fields"] === false) {
    errors.push(invalid(`${path}.x-kubernetes-preserve-unknown-fields`, false, "must be true or undefined"));
  }
  if (
    schema["x-kubernetes-embedded-resource"] === true &&
    schema["x-kubernetes-preserve-unknown-fields"] !== true &&
    schema.properties === undefined
  ) {
    errors.push(
      required(
        `${path}.properties`,
        "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
      ),
    );
  }
  for (const word of UNSUPPORTED) {
    if (schema[word] !== undefined) errors.push(forbidden(`${path}.${word}`, `${word} is not supported`));
  }
  if (schema.uniqueItems === true) {
    const why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
    errors.push(forbidden(`${path}.uniqueItems`, why));
  }
  for (const [index, rule] of (schema["x-kubernetes-validations"] ?? []).entries()) {
    const at = `${path}.x-kubernetes-validations[${index}]`;
    if (isEmpty(rule.rule?.trim())) errors.push(required(`${at}.rule`, "rule is not specified"));
    if (rule.message !== undefined && rule.message.trim() === "") {
      errors.push(invalid(`${at}.message`, rule.message, "message must be non-empty if specified"));
    } else if (isEmpty(rule.message) && rule.rule?.includes("\n") === true) {
      errors.push(required(`${at}.message`, "message must be specified if rule contains line breaks"));
    }
  }
  return errors;
}

/** Only values may be restricted inside allOf, anyOf, oneOf and not; the structure is given outside. */
const STRUCTURE_WORDS = [
  "type",
  "description",
  "default",
  "title",
  "nullable",
  "additionalProperties",
  "x-kubernetes-preserve-unknown-fields",
  "x-kubernetes-embedded-resource",
  "x-kubernetes-int-or-string",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-list-type",
  "x-kubernetes-map-type",
] as const;

/** The two ways in which int-or-string may be spelt out. */
function isIntOrStringAlternative(schema: JSONSchemaProps): boolean {
  return (schema.type === "integer" || schema.type === "string") && Object.keys(schema).length === 1;
}

function validateNested(schema: JSONSchemaProps, path: string, intOrString: boolean): FieldError[] {
  if (!isRecord(schema)) return [];
  const errors: FieldError[] = [];
  for (const word of STRUCTURE_WORDS) {
    if (schema[word] === undefined || (word === "type" && intOrString && isIntOrStringAlternative(schema))) continue;
    if (word === "nullable" && schema.nullable === false) continue;
    errors.push(forbidden(`${path}.${word}`, "must be empty to be structural"));
  }
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    errors.push(...validateNested(property, `${path}.properties[${name}]`, false));
  }
  if (isRecord(schema.items)) errors.push(...validateNested(schema.items as JSONSchemaProps, `${path}.items`, false));
  return [...errors, ...validateCombinations(schema, path, intOrString)];
}

function validateCombinations(schema: JSONSchemaProps, path: string, intOrString: boolean): FieldError[] {
  const errors: FieldError[] = [];
  for (const word of ["allOf", "anyOf", "oneOf"] as const) {
    for (const [index, member] of (schema[word] ?? []).entries()) {
      errors.push(...validateNested(member, `${path}.${word}[${index}]`, intOrString && word !== "oneOf"));
    }
  }
  if (schema.not !== undefined) errors.push(...validateNested(schema.not, `${path}.not`, false));
  return errors;
}

/** Deeper nesting than any real schema has; the recursion below must end. */
const MAX_DEPTH = 128;

function validateNode(schema: JSONSchemaProps, path: string, place: Place, depth: number): FieldError[] {
  if (!isRecord(schema)) return [];
  if (depth > MAX_DEPTH) return [invalid(path, "", "schema is nested too deeply")];
  const errors = [...validateType(schema, path, place), ...validateExtensions(schema, path)];
  const { properties, additionalProperties, items } = schema;
  if (properties !== undefined && additionalProperties !== undefined && additionalProperties !== false) {
    errors.push(forbidden(`${path}.additionalProperties`, "additionalProperties and properties are mutual exclusive"));
  }
  if (additionalProperties === false) {
    errors.push(forbidden(`${path}.additionalProperties`, "additionalProperties cannot be set to false"));
  }
  for (const [name, property] of Object.entries(properties ?? {})) {
    const at = `${path}.properties[${name}]`;
    if (place === "root" && name === "metadata") errors.push(...validateMetadata(property, at));
    errors.push(...validateNode(property, at, "field", depth + 1));
  }
  if (isRecord(additionalProperties)) {
    errors.push(
      ...validateNode(additionalProperties as JSONSchemaProps, `${path}.additionalProperties`, "value", depth + 1),
    );
  }
  if (Array.isArray(items)) {
    errors.push(forbidden(`${path}.items`, "items must be a schema object and not an array"));
  } else if (isRecord(items))
    errors.push(...validateNode(items as JSONSchemaProps, `${path}.items`, "item", depth + 1));
  else if (schema.type === "array") errors.push(required(`${path}.items`, "must be specified"));
  return [...errors, ...validateCombinations(schema, path, schema["x-kubernetes-int-or-string"] === true)];
}

/** Metadata is the same for all kinds; a schema may only restrict names. */
function validateMetadata(schema: JSONSchemaProps, path: string): FieldError[] {
  const named = Object.keys(schema.properties ?? {}).every((name) => name === "name" || name === "generateName");
  const others = Object.keys(schema).every(
    (word) => word === "type" || word === "properties" || word === "description",
  );
  if (named && others) return [];
  return [
    forbidden(path, "must not specify anything other than name and generateName, but metadata is implicitly specified"),
  ];
}

/** Errors of a CustomResourceDefinition's schema against the rules of structural schemas. */
export function validateStructuralSchema(schema: JSONSchemaProps, path: string): FieldError[] {
  return validateNode(schema, path, "root", 0);
}
