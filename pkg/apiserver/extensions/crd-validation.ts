import { approvalErrors } from "./approval.ts";
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
  fieldTooMany,
  IMMUTABLE_DETAIL,
  isDns1035Label,
  isDns1123Subdomain,
} from "#pkg/apimachinery/index.ts";
import { FieldPathError, findFieldPath } from "./field-path.ts";
import { compileRules } from "./rules.ts";
import { validateProperties } from "./schema-properties.ts";
import { canBeStructural, validateStructure } from "./schema-structure.ts";
import { validateDefaults } from "./schema-defaults.ts";
import { rootSchema, validateReviewVersions, validateWebhookService, validateWebhookUrl } from "#pkg/api/index.ts";

type Raw = Record<string, unknown>;

const COLUMN_TYPES = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE_FIELDS = 8;

/** Everything that is wrong with a CustomResourceDefinition. */
export function validateDefinition(
  crd: CustomResourceDefinition,
  old: CustomResourceDefinition | undefined,
): FieldError[] {
  const { spec } = crd;
  if (spec === undefined) return [fieldRequired("spec")];
  return [
    ...approvalErrors(crd, old),
    ...validateNames(spec),
    ...validateScope(spec),
    ...missingSchemas(spec),
    ...validateVersions(spec, old?.spec),
    ...validateConversion(spec),
    ...(old === undefined ? firstStoredVersion(spec) : []),
  ];
}

/** What is stored first is stored in the first version that is for storing. */
function firstStoredVersion({ versions }: CustomResourceDefinitionSpec): FieldError[] {
  const [first, ...more] = (versions ?? []).filter(({ storage }) => storage).map(({ name }) => name);
  const refuse = (why: string): FieldError =>
    fieldInvalid("status.storedVersions", first === undefined ? null : [first], why);
  if (first === undefined) return [refuse("must have at least one stored version")];
  return more.filter((name) => name !== first).map((name) => refuse(`must have the storage version ${name}`));
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
  errors.push(...storedVersionErrors(crd));
  return errors;
}

/** What may still lie in the store in some version needs that version to be read. */
function storedVersionErrors({ spec, status }: CustomResourceDefinition): FieldError[] {
  const stored = status?.storedVersions ?? [];
  const path = "status.storedVersions";
  if (stored.length === 0) return [fieldInvalid(path, stored, "must have at least one stored version")];
  const versions = new Set((spec.versions ?? []).map(({ name }) => name));
  return [
    ...(spec.versions ?? [])
      .filter(({ name, storage }) => storage && !stored.includes(name))
      .map(({ name }) => fieldInvalid(path, stored, `must have the storage version ${name}`)),
    ...stored.flatMap((version, index) => {
      const why = `missing from spec.versions; ${version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${version} and removes ${version} from status.storedVersions`;
      return versions.has(version) ? [] : [fieldInvalid(`${path}[${index}]`, version, why)];
    }),
  ];
}

function validateNames({ group, names }: CustomResourceDefinitionSpec): FieldError[] {
  const errors: FieldError[] = [];
  if (!group) errors.push(fieldRequired("spec.group"));
  else {
    const problems = isDns1123Subdomain(group);
    if (problems.length > 0) errors.push(fieldInvalid("spec.group", group, problems.join(",")));
    else if (!group.includes("."))
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

function missingSchemas({ versions }: CustomResourceDefinitionSpec): FieldError[] {
  return (versions ?? []).flatMap(({ schema }, i) =>
    schema?.openAPIV3Schema === undefined ? [fieldRequired(`spec.versions[${i}].schema.openAPIV3Schema`)] : [],
  );
}

function validateVersions(
  spec: CustomResourceDefinitionSpec,
  old: CustomResourceDefinitionSpec | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const versions = spec.versions ?? [];
  const seen = new Set<string>();
  let repeated = false;
  const before = new Map((old?.versions ?? []).map((version) => [version.name, version]));
  let changed: CustomResourceDefinitionVersion | undefined;
  let shared: ReadonlySet<Part> = new Set();
  for (const [index, version] of versions.entries()) {
    const path = `spec.versions[${index}]`;
    const problems = isDns1035Label(version.name ?? "").join(",");
    if (problems !== "") {
      errors.push(fieldInvalid(`${path}.name`, version.name ?? "", problems));
      // The first one is known by the older field, too.
      if (index === 0 && version.name) errors.push(fieldInvalid("spec.version", version.name ?? "", problems));
    }
    if (seen.has(version.name)) repeated = true;
    seen.add(version.name);
    // What has been accepted once stays acceptable.
    if (deepEqual(version, before.get(version.name))) continue;
    if (changed === undefined) shared = sharedFields(versions);
    changed ??= version;
    errors.push(...deprecationErrors(version, path));
    for (const [field, validate] of PARTS) if (!shared.has(field)) errors.push(...validate(version, path));
  }
  if (changed !== undefined)
    for (const [field, validate] of PARTS) if (shared.has(field)) errors.push(...validate(changed, "spec"));
  const refuse = (why: string): void =>
    void errors.push(fieldInvalid("spec.versions", shownVersions(spec.versions), why));
  if (repeated) refuse("must contain unique version names");
  if (versions.filter((version) => version.storage).length !== 1)
    refuse("must have exactly one version marked as storage version");
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

/** Under the names that the fields have within upstream's server; what all versions share has gone from them there. */
function shownVersions(versions: readonly CustomResourceDefinitionVersion[] | undefined): unknown {
  if (versions === undefined) return null;
  return versions.map(({ name, served, storage, deprecated, deprecationWarning }) => ({
    Name: name,
    Served: served,
    Storage: storage,
    Deprecated: deprecated ?? false,
    DeprecationWarning: deprecationWarning ?? null,
    Schema: null,
    Subresources: null,
    AdditionalPrinterColumns: null,
    SelectableFields: null,
  }));
}

const MAX_WARNING_LENGTH = 256;

function deprecationErrors(
  { deprecated, deprecationWarning: warning }: CustomResourceDefinitionVersion,
  path: string,
): FieldError[] {
  if (warning === undefined || warning === null) return [];
  const refuse = (why: string): FieldError => fieldInvalid(`${path}.deprecationWarning`, warning, why);
  if (deprecated !== true) return [refuse("can only be set for deprecated versions")];
  const errors: FieldError[] = [];
  if (Buffer.byteLength(warning) > MAX_WARNING_LENGTH)
    errors.push(refuse(`must be <= ${MAX_WARNING_LENGTH} characters long`));
  if (warning === "") errors.push(refuse("must not be an empty string"));
  const unprintable = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.exec(warning);
  if (unprintable !== null) {
    const index = Buffer.byteLength(warning.slice(0, unprintable.index));
    errors.push(
      refuse(`must only contain printable UTF-8 characters; non-printable character found at index ${index}`),
    );
  }
  return errors;
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
    errors.push(
      ...(column.jsonPath ? simplePath(column.jsonPath, `${at}.JSONPath`) : [fieldRequired(`${at}.JSONPath`)]),
    );
  }
  return errors;
}

function validateSelectableFields(
  { selectableFields = [], schema }: CustomResourceDefinitionVersion,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const root = schema?.openAPIV3Schema as Raw | undefined;
  if (selectableFields.length === 0) return errors;
  if (root === undefined)
    return [fieldInvalid(`${path}.selectableFields`, "", "may only be set when validations.schema is included")];
  const seen = new Set<string>();
  for (const [index, { jsonPath }] of selectableFields.entries()) {
    const at = `${path}.selectableFields[${index}].jsonPath`;
    if (!jsonPath) errors.push(fieldRequired(at));
    else errors.push(...selectableField(jsonPath, root, at, seen));
  }
  if (seen.size > MAX_SELECTABLE_FIELDS)
    errors.push(fieldTooMany(`${path}.selectableFields`, seen.size, MAX_SELECTABLE_FIELDS));
  return errors;
}

const SELECTABLE_TYPES = ["string", "boolean", "integer"];

function selectableField(jsonPath: string, root: Raw, at: string, seen: Set<string>): FieldError[] {
  const errors: FieldError[] = [];
  try {
    const found = findFieldPath(jsonPath, root, false);
    if (/^metadata(?:$|[.[])/.test(found.path))
      errors.push(fieldInvalid(at, jsonPath, "must not point to fields in metadata"));
    if (!SELECTABLE_TYPES.includes(String(found.schema["type"]))) {
      const why =
        "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
      errors.push(fieldInvalid(at, jsonPath, why));
    }
    if (seen.has(found.path)) errors.push(fieldDuplicate(at, jsonPath));
    seen.add(found.path);
  } catch (error) {
    if (!(error instanceof FieldPathError)) throw error;
    errors.push(fieldInvalid(at, jsonPath, `is an invalid path: ${error.message}`));
  }
  return errors;
}

function simplePath(jsonPath: string, path: string): FieldError[] {
  return jsonPath.startsWith(".") ? [] : [fieldInvalid(path, jsonPath, "must be a simple json path starting with .")];
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
    } else if (!value.startsWith(".")) errors.push(...simplePath(value, `${at}.${field}`));
    else if (!roots.some((root) => value.startsWith(root))) {
      const where = roots.map((root) => root.slice(0, -1)).join(" or ");
      const either = roots.length > 1 ? "either " : "";
      errors.push(fieldInvalid(`${at}.${field}`, value, `should be a json path under ${either}${where}`));
    }
  };
  check("specReplicasPath", [".spec."]);
  check("statusReplicasPath", [".status."]);
  check("labelSelectorPath", [".spec.", ".status."]);
  return errors;
}

/** Structure, what may be said where, defaults, and CEL of one schema. */
function validateSchema(raw: Raw, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (raw["nullable"] === true) errors.push(fieldForbidden(`${path}.nullable`, "nullable cannot be true at the root"));
  const structural = canBeStructural(raw);
  const structure = structural ? validateStructure(raw, path) : [];
  if (structural && structure.length === 0) structure.push(...validateDefaults(raw, path));
  errors.push(...structure, ...validateProperties(raw, path));
  return errors.length > 0 ? errors : compileRules(rootSchema(raw), path).errors;
}

function validateConversion({ conversion }: CustomResourceDefinitionSpec): FieldError[] {
  if (conversion === undefined) return [];
  const { strategy, webhook } = conversion;
  const at = { config: "spec.conversion.webhookClientConfig", versions: "spec.conversion.conversionReviewVersions" };
  const config = webhook?.clientConfig;
  const review = webhook?.conversionReviewVersions ?? [];
  if (strategy !== "Webhook") {
    const alone = "should not be set when strategy is not set to Webhook";
    return [
      ...strategyErrors(strategy),
      ...(config === undefined ? [] : [fieldForbidden(at.config, alone)]),
      ...(review.length === 0 ? [] : [fieldForbidden(at.versions, alone)]),
    ];
  }
  const errors: FieldError[] = [];
  if (config === undefined) errors.push(fieldRequired(at.config, "required when strategy is set to Webhook"));
  else if ((config.url === undefined) === (config.service === undefined)) {
    errors.push(fieldRequired(at.config, "exactly one of url or service is required"));
  } else if (config.url !== undefined) errors.push(...validateWebhookUrl(config.url, `${at.config}.url`));
  else errors.push(...validateWebhookService(config.service!, `${at.config}.service`));
  return [...errors, ...validateReviewVersions(review, at.versions)];
}

function strategyErrors(strategy: string | undefined): FieldError[] {
  const path = "spec.conversion.strategy";
  if (!strategy) return [fieldRequired(path)];
  return strategy === "None" ? [] : [fieldNotSupported(path, strategy, ["None", "Webhook"])];
}
