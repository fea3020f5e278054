import type {
  CustomResourceDefinition,
  CustomResourceDefinitionSpec,
  CustomResourceDefinitionVersion,
} from "#pkg/api/types/apiextensions-v1.ts";
import {
  deepEqual,
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  IMMUTABLE_DETAIL,
  isDns1035Label,
  isDns1123Subdomain,
  isRecord,
} from "#pkg/apimachinery/index.ts";
import { compilePattern } from "./formats.ts";
import { compileJsonPath, JsonPathError } from "./json-path.ts";
import { compileRules } from "./rules.ts";
import { rootSchema } from "./structural.ts";
import { compileValues } from "./value-validation.ts";

type Raw = Record<string, unknown>;

const COLUMN_TYPES = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS = ["int32", "int64", "float", "double", "byte", "date", "date-time", "password"];
const MAX_SELECTABLE_FIELDS = 8;

/** Everything that is wrong with a CustomResourceDefinition. */
export function validateDefinition(
  crd: CustomResourceDefinition,
  old: CustomResourceDefinition | undefined,
): FieldError[] {
  const { spec } = crd;
  if (spec === undefined) return [fieldRequired("spec")];
  return [
    ...validateNames(spec),
    ...validateScope(spec),
    ...validateVersions(spec, old?.spec),
    ...validateConversion(spec),
  ];
}

/** What an established definition may not change any more, and all of the above. */
export function validateDefinitionUpdate(crd: CustomResourceDefinition, old: CustomResourceDefinition): FieldError[] {
  const errors = validateDefinition(crd, old);
  const immutable = (field: string, value: unknown, before: unknown): void => {
    if (!deepEqual(value, before)) errors.push(fieldInvalid(field, value, IMMUTABLE_DETAIL));
  };
  immutable("spec.group", crd.spec.group, old.spec.group);
  immutable("spec.names.plural", crd.spec.names.plural, old.spec.names.plural);
  const established = old.status?.conditions?.some(({ type, status }) => type === "Established" && status === "True");
  if (established === true) {
    immutable("spec.scope", crd.spec.scope, old.spec.scope);
    immutable("spec.names.kind", crd.spec.names.kind, old.spec.names.kind);
  }
  const versions = new Set(crd.spec.versions.map(({ name }) => name));
  for (const [index, version] of (crd.status?.storedVersions ?? []).entries()) {
    if (versions.has(version)) continue;
    errors.push(
      fieldInvalid(
        `status.storedVersions[${index}]`,
        version,
        `missing from spec.versions; ${version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${version} and removes ${version} from status.storedVersions`,
      ),
    );
  }
  return errors;
}

function validateNames({ group, names }: CustomResourceDefinitionSpec): FieldError[] {
  const errors: FieldError[] = [];
  if (!group) errors.push(fieldRequired("spec.group"));
  else {
    for (const message of isDns1123Subdomain(group)) errors.push(fieldInvalid("spec.group", group, message));
    if (!group.includes("."))
      errors.push(fieldInvalid("spec.group", group, "should be a domain with at least one dot"));
  }
  const label = (field: string, value: string | undefined, lower: boolean): void => {
    if (value === undefined || value === "") {
      errors.push(fieldRequired(`spec.names.${field}`));
      return;
    }
    const text = lower ? value : value.toLowerCase();
    const detail = lower ? "" : "may have mixed case, but should otherwise match: ";
    for (const message of isDns1035Label(text))
      errors.push(fieldInvalid(`spec.names.${field}`, value, detail + message));
  };
  if (names === undefined) return [...errors, fieldRequired("spec.names")];
  label("plural", names.plural, true);
  label("singular", names.singular, true);
  label("kind", names.kind, false);
  label("listKind", names.listKind, false);
  if (names.kind !== "" && names.kind === names.listKind) {
    errors.push(fieldInvalid("spec.names.listKind", names.listKind, "kind and listKind may not be the same"));
  }
  for (const list of ["shortNames", "categories"] as const) {
    for (const [index, name] of (names[list] ?? []).entries()) {
      for (const message of isDns1035Label(name))
        errors.push(fieldInvalid(`spec.names.${list}[${index}]`, name, message));
    }
  }
  return errors;
}

function validateScope({ scope, preserveUnknownFields }: CustomResourceDefinitionSpec): FieldError[] {
  const errors: FieldError[] = [];
  if (!scope) errors.push(fieldRequired("spec.scope"));
  else if (scope !== "Cluster" && scope !== "Namespaced") {
    errors.push(fieldNotSupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  }
  if (preserveUnknownFields === true) {
    errors.push(
      fieldInvalid(
        "spec.preserveUnknownFields",
        true,
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
      ),
    );
  }
  return errors;
}

function validateVersions(
  spec: CustomResourceDefinitionSpec,
  old: CustomResourceDefinitionSpec | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const versions = spec.versions ?? [];
  const seen = new Set<string>();
  const before = new Map((old?.versions ?? []).map((version) => [version.name, version]));
  let changed: CustomResourceDefinitionVersion | undefined;
  let shared: ReadonlySet<Part> = new Set();
  for (const [index, version] of versions.entries()) {
    const path = `spec.versions[${index}]`;
    for (const message of isDns1035Label(version.name ?? ""))
      errors.push(fieldInvalid(`${path}.name`, version.name ?? "", message));
    if (seen.has(version.name)) errors.push(fieldDuplicate(`${path}.name`, version.name));
    seen.add(version.name);
    // What has been accepted once stays acceptable.
    if (deepEqual(version, before.get(version.name))) continue;
    if (changed === undefined) shared = sharedFields(versions);
    changed ??= version;
    if (version.schema?.openAPIV3Schema === undefined)
      errors.push(fieldRequired(`${path}.schema.openAPIV3Schema`, "schemas are required"));
    for (const [field, validate] of PARTS) if (!shared.has(field)) errors.push(...validate(version, path));
  }
  if (changed !== undefined)
    for (const [field, validate] of PARTS) if (shared.has(field)) errors.push(...validate(changed, "spec"));
  const storage = versions.filter((version) => version.storage).length;
  if (storage !== 1) {
    errors.push(
      fieldInvalid("spec.versions", shownVersions(versions), "must have exactly one version marked as storage version"),
    );
  }
  return errors;
}

type Part = "schema" | "additionalPrinterColumns" | "subresources" | "selectableFields";

/** What is the same in all versions is judged once, and found under `spec` by those who read the errors. */
function sharedFields(versions: readonly CustomResourceDefinitionVersion[]): ReadonlySet<Part> {
  const [first] = versions;
  return new Set(
    [...PARTS.keys()].filter((field) => versions.every((version) => deepEqual(version[field], first![field]))),
  );
}

const PARTS: ReadonlyMap<Part, (version: CustomResourceDefinitionVersion, path: string) => FieldError[]> = new Map([
  ["schema", validateVersionSchema],
  ["additionalPrinterColumns", validateColumns],
  ["subresources", validateSubresources],
  ["selectableFields", validateSelectableFields],
]);

function shownVersions(versions: readonly CustomResourceDefinitionVersion[]): unknown {
  return versions.map(({ name, served, storage }) => ({ name, served, storage }));
}

function validateVersionSchema({ schema }: CustomResourceDefinitionVersion, path: string): FieldError[] {
  const raw = schema?.openAPIV3Schema as Raw | undefined;
  if (raw === undefined) return [];
  return validateSchema(raw, `${path}.${path === "spec" ? "validation" : "schema"}.openAPIV3Schema`);
}

function validateColumns(version: CustomResourceDefinitionVersion, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, column] of (version.additionalPrinterColumns ?? []).entries()) {
    const at = `${path}.additionalPrinterColumns[${index}]`;
    if (!column.name) errors.push(fieldRequired(`${at}.name`));
    if (!column.type) errors.push(fieldRequired(`${at}.type`, `must be one of ${COLUMN_TYPES.join(",")}`));
    else if (!COLUMN_TYPES.includes(column.type)) {
      errors.push(fieldInvalid(`${at}.type`, column.type, `must be one of ${COLUMN_TYPES.join(",")}`));
    }
    if (column.format && !COLUMN_FORMATS.includes(column.format)) {
      errors.push(fieldInvalid(`${at}.format`, column.format, `must be one of ${COLUMN_FORMATS.join(",")}`));
    }
    errors.push(...validateJsonPath(column.jsonPath, `${at}.jsonPath`));
  }
  return errors;
}

function validateSelectableFields(version: CustomResourceDefinitionVersion, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const selectable = version.selectableFields ?? [];
  if (selectable.length > MAX_SELECTABLE_FIELDS) {
    errors.push({
      type: "FieldValueTooMany",
      field: `${path}.selectableFields`,
      message: `Too many: ${selectable.length}: must have at most ${MAX_SELECTABLE_FIELDS} items`,
    });
  }
  for (const [index, { jsonPath }] of selectable.entries()) {
    errors.push(...validateJsonPath(jsonPath, `${path}.selectableFields[${index}].jsonPath`));
  }
  return errors;
}

function validateJsonPath(jsonPath: string | undefined, path: string): FieldError[] {
  if (!jsonPath) return [fieldRequired(path)];
  if (!jsonPath.startsWith(".")) return [fieldInvalid(path, jsonPath, "must be a simple json path starting with .")];
  try {
    compileJsonPath(jsonPath);
    return [];
  } catch (error) {
    if (!(error instanceof JsonPathError)) throw error;
    return [fieldInvalid(path, jsonPath, error.message)];
  }
}

function validateSubresources({ subresources }: CustomResourceDefinitionVersion, path: string): FieldError[] {
  const scale = subresources?.scale;
  if (scale === undefined) return [];
  const errors: FieldError[] = [];
  const at = `${path}.subresources.scale`;
  const check = (
    field: "specReplicasPath" | "statusReplicasPath" | "labelSelectorPath",
    roots: readonly string[],
  ): void => {
    const value = scale[field];
    if (!value) {
      if (field !== "labelSelectorPath") errors.push(fieldRequired(`${at}.${field}`));
    } else if (!roots.some((root) => value.startsWith(root))) {
      const where = roots.map((root) => `a json path under ${root.slice(0, -1)}`).join(" or ");
      errors.push(fieldInvalid(`${at}.${field}`, value, `should be ${where}`));
    }
  };
  check("specReplicasPath", [".spec."]);
  check("statusReplicasPath", [".status."]);
  check("labelSelectorPath", [".spec.", ".status."]);
  return errors;
}

const TYPES = ["array", "boolean", "integer", "number", "object", "string"];

/** Structural rules, patterns, defaults and CEL of one schema. */
function validateSchema(raw: Raw, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (raw["type"] !== "object") {
    if (raw["type"] === undefined) errors.push(fieldRequired(`${path}.type`, "must not be empty at the root"));
    else errors.push(fieldInvalid(`${path}.type`, raw["type"], "must be object at the root"));
  }
  walk(raw, path, errors, true);
  if (errors.length > 0) return errors;
  validateDefaults(raw, path, errors);
  if (errors.length > 0) return errors;
  return compileRules(rootSchema(raw), path).errors;
}

function walk(raw: Raw, path: string, errors: FieldError[], root: boolean): void {
  const type = raw["type"];
  const free = raw["x-kubernetes-preserve-unknown-fields"] === true || raw["x-kubernetes-int-or-string"] === true;
  if (!root && type === undefined && !free)
    errors.push(fieldRequired(`${path}.type`, "must not be empty for specified object fields"));
  if (type !== undefined && !TYPES.includes(String(type))) errors.push(fieldNotSupported(`${path}.type`, type, TYPES));
  if (raw["uniqueItems"] === true) {
    errors.push(
      fieldForbidden(
        `${path}.uniqueItems`,
        "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
      ),
    );
  }
  if (raw["$ref"] !== undefined) errors.push(fieldForbidden(`${path}.$ref`, "$ref is not supported"));
  if (
    isRecord(raw["properties"]) &&
    raw["additionalProperties"] !== undefined &&
    raw["additionalProperties"] !== false
  ) {
    errors.push(
      fieldForbidden(`${path}.additionalProperties`, "additionalProperties and properties are mutual exclusive"),
    );
  }
  if (raw["additionalProperties"] === false) {
    errors.push(fieldForbidden(`${path}.additionalProperties`, "additionalProperties cannot be set to false"));
  }
  if (type === "array" && raw["items"] === undefined) errors.push(fieldRequired(`${path}.items`, "must be specified"));
  validatePattern(raw, path, errors);
  validateList(raw, path, errors);
  if (isRecord(raw["properties"])) {
    for (const [name, member] of Object.entries(raw["properties"])) {
      if (isRecord(member) && !(root && name === "metadata"))
        walk(member, `${path}.properties[${name}]`, errors, false);
    }
  }
  if (isRecord(raw["items"])) walk(raw["items"], `${path}.items`, errors, false);
  if (isRecord(raw["additionalProperties"]))
    walk(raw["additionalProperties"], `${path}.additionalProperties`, errors, false);
}

function validatePattern(raw: Raw, path: string, errors: FieldError[]): void {
  const { pattern } = raw;
  if (typeof pattern !== "string") return;
  try {
    compilePattern(pattern);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    errors.push(fieldInvalid(`${path}.pattern`, pattern, `must be a valid regular expression, but isn't: ${why}`));
  }
}

function validateList(raw: Raw, path: string, errors: FieldError[]): void {
  const listType = raw["x-kubernetes-list-type"];
  if (listType === undefined) return;
  if (listType !== "atomic" && listType !== "set" && listType !== "map") {
    errors.push(fieldNotSupported(`${path}.x-kubernetes-list-type`, listType, ["atomic", "map", "set"]));
    return;
  }
  if (raw["type"] !== "array")
    errors.push(
      fieldInvalid(`${path}.type`, raw["type"] ?? "", "must be array if x-kubernetes-list-type is specified"),
    );
  if (listType !== "map") return;
  const keys = raw["x-kubernetes-list-map-keys"];
  if (!Array.isArray(keys) || keys.length === 0) {
    errors.push(
      fieldRequired(`${path}.x-kubernetes-list-map-keys`, "must not be empty if x-kubernetes-list-type is map"),
    );
    return;
  }
  const items = isRecord(raw["items"]) ? raw["items"] : {};
  const members = isRecord(items["properties"]) ? items["properties"] : {};
  const required = Array.isArray(items["required"]) ? (items["required"] as unknown[]) : [];
  for (const [index, key] of (keys as string[]).entries()) {
    const member = members[key];
    if (!isRecord(member)) {
      errors.push(
        fieldInvalid(
          `${path}.x-kubernetes-list-map-keys[${index}]`,
          key,
          "entries must all be names of item properties",
        ),
      );
    } else if (!required.includes(key) && member["default"] === undefined) {
      errors.push(
        fieldRequired(
          `${path}.items.properties[${key}].default`,
          "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
      );
    }
  }
}

/** A default must be a value its own schema accepts. */
function validateDefaults(raw: Raw, path: string, errors: FieldError[]): void {
  if (raw["default"] !== undefined) errors.push(...compileValues(raw)(raw["default"], `${path}.default`, undefined));
  if (isRecord(raw["properties"])) {
    for (const [name, member] of Object.entries(raw["properties"])) {
      if (isRecord(member)) validateDefaults(member, `${path}.properties[${name}]`, errors);
    }
  }
  if (isRecord(raw["items"])) validateDefaults(raw["items"], `${path}.items`, errors);
  if (isRecord(raw["additionalProperties"]))
    validateDefaults(raw["additionalProperties"], `${path}.additionalProperties`, errors);
}

function validateConversion({ conversion }: CustomResourceDefinitionSpec): FieldError[] {
  if (conversion === undefined) return [];
  const { strategy, webhook } = conversion;
  if (strategy === "None") {
    return webhook === undefined
      ? []
      : [fieldForbidden("spec.conversion.webhook", "should not be set when strategy is not set to Webhook")];
  }
  if (strategy !== "Webhook") return [fieldNotSupported("spec.conversion.strategy", strategy, ["None", "Webhook"])];
  const errors: FieldError[] = [];
  const config = webhook?.clientConfig;
  if (config === undefined) {
    errors.push(fieldRequired("spec.conversion.webhook.clientConfig", "required when strategy is set to Webhook"));
  } else if ((config.url === undefined) === (config.service === undefined)) {
    errors.push(fieldRequired("spec.conversion.webhook.clientConfig", "exactly one of url or service is required"));
  }
  const review = webhook?.conversionReviewVersions ?? [];
  if (review.length === 0) errors.push(fieldRequired("spec.conversion.webhook.conversionReviewVersions"));
  else if (!review.some((version) => version === "v1" || version === "v1beta1")) {
    errors.push(
      fieldInvalid(
        "spec.conversion.webhook.conversionReviewVersions",
        review,
        `must include at least one of v1, v1beta1`,
      ),
    );
  }
  return errors;
}
