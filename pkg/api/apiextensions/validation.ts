import { deepEqual, isDns1035Label } from "#pkg/apimachinery/index.ts";
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionVersion,
} from "../types/apiextensions-v1.ts";
import {
  allInvalid,
  dns1035Label,
  dnsSubdomain,
  each,
  type FieldError,
  forbidden,
  immutable,
  invalid,
  isEmpty,
  oneOf,
  required,
} from "../validation/rules.ts";
import { validateReviewVersions, validateWebhookService, validateWebhookUrl } from "../validation/webhook-client.ts";
import { validateStructuralSchema } from "./structural.ts";

const APPROVED = "api-approved.kubernetes.io";

function validateGroup({ spec, metadata }: CustomResourceDefinition): FieldError[] {
  const { group = "" } = spec;
  if (group === "") return [required("spec.group")];
  const errors = dnsSubdomain(group, "spec.group");
  if (errors.length === 0 && !group.includes(".")) {
    errors.push(invalid("spec.group", group, "should be a domain with at least one dot"));
  }
  const isProtected = /(?:^|\.)(?:k8s|kubernetes)\.io$/.test(group);
  const approval = metadata.annotations?.[APPROVED] ?? "";
  const at = `metadata.annotations[${APPROVED}]`;
  if (isProtected && approval === "") {
    const why = `protected groups must have approval annotation "${APPROVED}", see https://github.com/kubernetes/enhancements/pull/1111`;
    errors.push(required(at, why));
  } else if (isProtected && !/^(?:https?:\/\/|unapproved)/.test(approval)) {
    errors.push(
      invalid(
        at,
        approval,
        'protected groups must have approval annotation with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111',
      ),
    );
  }
  return errors;
}

function validateNames(names: CustomResourceDefinitionNames | undefined, path: string): FieldError[] {
  const {
    plural = "",
    singular = "",
    kind = "",
    listKind = "",
    shortNames,
    categories,
  } = names ?? { plural: "", kind: "" };
  const errors: FieldError[] = [];
  const mixedCase = (name: string, field: string) => {
    for (const message of isDns1035Label(name.toLowerCase())) {
      errors.push(invalid(`${path}.${field}`, name, `may have mixed case, but should otherwise match: ${message}`));
    }
  };
  if (plural === "") errors.push(required(`${path}.plural`));
  else errors.push(...dns1035Label(plural, `${path}.plural`));
  if (singular === "") errors.push(required(`${path}.singular`));
  else errors.push(...dns1035Label(singular, `${path}.singular`));
  if (kind === "") errors.push(required(`${path}.kind`));
  else mixedCase(kind, "kind");
  if (listKind === "") errors.push(required(`${path}.listKind`));
  else mixedCase(listKind, "listKind");
  errors.push(...each(shortNames, `${path}.shortNames`, (name, at) => dns1035Label(name, at)));
  errors.push(...each(categories, `${path}.categories`, (name, at) => allInvalid(at, name, isDns1035Label(name))));
  if (kind !== "" && kind === listKind) {
    errors.push(invalid(`${path}.listKind`, listKind, "kind and listKind may not be the same"));
  }
  return errors;
}

function schemaPath(definition: CustomResourceDefinition, index: number): string {
  const versions = definition.spec.versions ?? [];
  // One schema for all versions is reported where it used to be written.
  const shared = versions.every(({ schema }) => deepEqual(schema, versions[0]?.schema));
  return shared ? "spec.validation.openAPIV3Schema" : `spec.versions[${index}].schema.openAPIV3Schema`;
}

const COLUMN_TYPES = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE = 8;

function validateSubresources({ subresources }: CustomResourceDefinitionVersion, path: string): FieldError[] {
  const scale = subresources?.scale;
  if (scale === undefined) return [];
  const errors: FieldError[] = [];
  const at = `${path}.subresources.scale`;
  const below = (value: string | undefined, field: string, parents: readonly string[], needed: boolean) => {
    if (isEmpty(value)) {
      if (needed) errors.push(required(`${at}.${field}`));
      return;
    }
    if (!parents.some((parent) => value!.startsWith(parent))) {
      const why = `should be a json path under ${parents.join(" or ")}`;
      errors.push(invalid(`${at}.${field}`, value, why));
    }
  };
  below(scale.specReplicasPath, "specReplicasPath", [".spec."], true);
  below(scale.statusReplicasPath, "statusReplicasPath", [".status."], true);
  below(scale.labelSelectorPath, "labelSelectorPath", [".spec.", ".status."], false);
  return errors;
}

function validateVersion(version: CustomResourceDefinitionVersion, path: string): FieldError[] {
  const errors = allInvalid(`${path}.name`, version.name ?? "", isDns1035Label(version.name ?? ""));
  if (version.deprecationWarning !== undefined && version.deprecated !== true) {
    errors.push(
      invalid(`${path}.deprecationWarning`, version.deprecationWarning, "can only be set for deprecated versions"),
    );
  }
  if (version.schema?.openAPIV3Schema === undefined) {
    errors.push(required(`${path}.schema.openAPIV3Schema`, "schemas are required"));
  }
  errors.push(
    ...validateSubresources(version, path),
    ...each(version.additionalPrinterColumns, `${path}.additionalPrinterColumns`, (column, at) => [
      ...(isEmpty(column.name) ? [required(`${at}.name`)] : []),
      ...oneOf(column.type, COLUMN_TYPES, `${at}.type`),
      ...oneOf(column.format, COLUMN_FORMATS, `${at}.format`, true),
      ...(isEmpty(column.jsonPath)
        ? [required(`${at}.jsonPath`)]
        : column.jsonPath.startsWith(".")
          ? []
          : [invalid(`${at}.jsonPath`, column.jsonPath, "must be a simple json path starting with .")]),
    ]),
  );
  const selectable = version.selectableFields ?? [];
  if (selectable.length > MAX_SELECTABLE) {
    errors.push(invalid(`${path}.selectableFields`, selectable.length, `must have at most ${MAX_SELECTABLE} items`));
  }
  const seen = new Set<string>();
  return [
    ...errors,
    ...each(selectable, `${path}.selectableFields`, ({ jsonPath }, at) => {
      if (isEmpty(jsonPath)) return [required(`${at}.jsonPath`)];
      if (!/^(?:\.[A-Za-z_][\w-]*)+$/.test(jsonPath))
        return [invalid(`${at}.jsonPath`, jsonPath, "is an invalid path: must be a simple path to a field")];
      if (jsonPath.startsWith(".metadata."))
        return [invalid(`${at}.jsonPath`, jsonPath, "must not point to fields in metadata")];
      if (seen.has(jsonPath)) return [invalid(`${at}.jsonPath`, jsonPath, "must be unique")];
      seen.add(jsonPath);
      return [];
    }),
  ];
}

function validateVersions(definition: CustomResourceDefinition): FieldError[] {
  const versions = definition.spec.versions ?? [];
  const errors: FieldError[] = [];
  errors.push(...each(versions, "spec.versions", validateVersion));
  const names = versions.map(({ name }) => name);
  if (new Set(names).size < names.length) {
    errors.push(invalid("spec.versions", names, "must contain unique version names"));
  }
  if (versions.filter(({ storage }) => storage).length !== 1) {
    errors.push(invalid("spec.versions", names, "must have exactly one version marked as storage version"));
  }
  if (names.length === 0) errors.push(required("spec.versions", "must have at least one version"));
  return errors;
}

function validateSchemas(definition: CustomResourceDefinition): FieldError[] {
  const seen = new Set<string>();
  return (definition.spec.versions ?? []).flatMap(({ schema }, index) => {
    const path = schemaPath(definition, index);
    if (schema?.openAPIV3Schema === undefined || seen.has(path)) return [];
    seen.add(path);
    return validateStructuralSchema(schema.openAPIV3Schema, path);
  });
}

/** Errors name the fields as they are called inside upstream's server, where there is no `webhook` around them. */
function validateConversion({ spec }: CustomResourceDefinition): FieldError[] {
  const { conversion } = spec;
  if (conversion === undefined) return [];
  const errors = oneOf(conversion.strategy, ["None", "Webhook"], "spec.conversion.strategy");
  const config = conversion.webhook?.clientConfig;
  const reviews = conversion.webhook?.conversionReviewVersions ?? [];
  const [at, reviewsAt] = ["spec.conversion.webhookClientConfig", "spec.conversion.conversionReviewVersions"];
  if (conversion.strategy !== "Webhook") {
    const why = "should not be set when strategy is not set to Webhook";
    if (config !== undefined) errors.push(forbidden(at, why));
    if (reviews.length > 0) errors.push(forbidden(reviewsAt, why));
    return errors;
  }
  if (config === undefined) errors.push(required(at, "required when strategy is set to Webhook"));
  else if ((config.url === undefined) === (config.service === undefined)) {
    errors.push(required(at, "exactly one of url or service is required"));
  } else if (config.url !== undefined) errors.push(...validateWebhookUrl(config.url, `${at}.url`));
  else errors.push(...validateWebhookService(config.service!, `${at}.service`));
  return [...errors, ...validateReviewVersions(reviews, reviewsAt)];
}

function validateSpec(definition: CustomResourceDefinition): FieldError[] {
  const { spec } = definition;
  const errors = validateGroup(definition);
  errors.push(...oneOf(spec.scope, ["Cluster", "Namespaced"], "spec.scope"), ...validateVersions(definition));
  if (spec.preserveUnknownFields === true) {
    const why =
      "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    errors.push(invalid("spec.preserveUnknownFields", true, why));
  }
  return [
    ...errors,
    ...validateNames(spec.names, "spec.names"),
    ...validateSchemas(definition),
    ...validateConversion(definition),
  ];
}

function validateName({ metadata, spec }: CustomResourceDefinition): FieldError[] {
  const wanted = `${spec.names?.plural ?? ""}.${spec.group ?? ""}`;
  if (metadata.name === wanted || isEmpty(metadata.name)) return [];
  return [invalid("metadata.name", metadata.name, 'must be spec.names.plural+"."+spec.group')];
}

export function validateCustomResourceDefinition(definition: CustomResourceDefinition): FieldError[] {
  return [...validateName(definition), ...validateSpec(definition)];
}

export function validateCustomResourceDefinitionUpdate(
  definition: CustomResourceDefinition,
  old: Readonly<CustomResourceDefinition>,
): FieldError[] {
  const errors = validateSpec(definition);
  const established = old.status?.conditions?.some(({ type, status }) => type === "Established" && status === "True");
  if (established === true) {
    errors.push(
      ...immutable(definition.spec.scope, old.spec.scope, "spec.scope"),
      ...immutable(definition.spec.names?.kind, old.spec.names?.kind, "spec.names.kind"),
    );
  }
  errors.push(
    ...immutable(definition.spec.group, old.spec.group, "spec.group"),
    ...immutable(definition.spec.names?.plural, old.spec.names?.plural, "spec.names.plural"),
  );
  return [...errors, ...validateStoredVersions(definition)];
}

export function validateStoredVersions({ spec, status }: CustomResourceDefinition): FieldError[] {
  const stored = status?.storedVersions ?? [];
  if (stored.length === 0) return [invalid("status.storedVersions", stored, "must have at least one stored version")];
  const names = new Set((spec.versions ?? []).map(({ name }) => name));
  const errors = stored.flatMap((name, index) =>
    names.has(name)
      ? []
      : [invalid(`status.storedVersions[${index}]`, name, "missing from spec.versions; must be added back")],
  );
  const storage = (spec.versions ?? []).find(({ storage }) => storage)?.name;
  if (storage !== undefined && !stored.includes(storage)) {
    errors.push(invalid("status.storedVersions", stored, `must have the storage version ${storage}`));
  }
  return errors;
}
