import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { CustomResourceDefinition, CustomResourceDefinitionCondition } from "#pkg/api/types/apiextensions-v1.ts";
import { fieldInvalid, goQuote, isRecord, type KubeObject } from "#pkg/apimachinery/index.ts";
import { validateDefinition, validateDefinitionUpdate } from "./crd-validation.ts";
import { isKnownFormat } from "./formats.ts";

/** Held by a definition that is being deleted until its instances are gone. */
export const CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io";

/** The kind CustomResourceDefinition with the rules that need schemas, patterns and CEL to be compiled. */
export function withDefinitionRules(definition: ResourceDefinition): ResourceDefinition {
  return {
    ...definition,
    strategy: {
      ...definition.strategy,
      deletionFinalizers: [CLEANUP_FINALIZER],
      markedForDeletion: (marked, object) => terminating(marked, asDefinition(object)),
      validate: (object) => [...nameErrors(object), ...validateDefinition(asDefinition(object), undefined)],
      validateUpdate: (object, old) => validateDefinitionUpdate(asDefinition(object), asDefinition(old)),
      warnings: (object, old) => formatWarnings(asDefinition(object), old && asDefinition(old)),
    },
  };
}

/** Formats that mean nothing here and were not there before. */
function formatWarnings(crd: CustomResourceDefinition, old: CustomResourceDefinition | undefined): string[] {
  const before = new Set(old === undefined ? [] : unknownFormats(old));
  return unknownFormats(crd)
    .filter((format) => !before.has(format))
    .map((format) => `unrecognized format ${goQuote(format)}`);
}

function unknownFormats({ spec }: CustomResourceDefinition): string[] {
  const found: string[] = [];
  const visit = (schema: unknown): void => {
    if (!isRecord(schema)) return;
    const { format, type } = schema;
    if (typeof format === "string" && format !== "" && !isKnownFormat(format, type)) found.push(format);
    for (const word of ["items", "not", "additionalProperties"]) visit(schema[word]);
    for (const word of ["allOf", "anyOf", "oneOf"]) if (Array.isArray(schema[word])) schema[word].forEach(visit);
    if (isRecord(schema["properties"])) Object.values(schema["properties"]).forEach(visit);
  };
  for (const { schema } of spec?.versions ?? []) visit(schema?.openAPIV3Schema);
  return found;
}

/** A definition on its way out says so; its spec, and so its generation, is what it was. */
function terminating(marked: KubeObject, { metadata, status }: CustomResourceDefinition): KubeObject {
  const { deletionGracePeriodSeconds: _grace, generation: _generation, ...rest } = marked.metadata;
  const conditions = withCondition(
    status?.conditions ?? [],
    {
      type: "Terminating",
      status: "True",
      reason: "InstanceDeletionPending",
      message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    },
    rest.deletionTimestamp!,
  );
  const { generation } = metadata;
  return {
    ...marked,
    metadata: { ...rest, ...(generation === undefined ? {} : { generation }) },
    status: { ...status, conditions },
  };
}

/** The conditions with one of them as it is now. */
export function withCondition(
  conditions: readonly CustomResourceDefinitionCondition[],
  condition: CustomResourceDefinitionCondition,
  now: string,
): CustomResourceDefinitionCondition[] {
  const index = conditions.findIndex(({ type }) => type === condition.type);
  const before = conditions[index];
  if (before === undefined) return [...conditions, { ...condition, lastTransitionTime: now }];
  const lastTransitionTime = before.status === condition.status ? (before.lastTransitionTime ?? now) : now;
  return conditions.with(index, { ...before, ...condition, lastTransitionTime });
}

/** Decoding has made sure of the shape; missing parts are reported by validation. */
function asDefinition(object: Readonly<KubeObject>): CustomResourceDefinition {
  return object as unknown as CustomResourceDefinition;
}

function nameErrors(object: Readonly<KubeObject>) {
  const { spec } = asDefinition(object);
  const wanted = `${spec?.names?.plural ?? ""}.${spec?.group ?? ""}`;
  return (["generateName", "name"] as const).flatMap((field) => {
    const name = object.metadata[field] ?? "";
    const fine = name === wanted || (field === "generateName" && name === "");
    return fine ? [] : [fieldInvalid(`metadata.${field}`, name, `must be spec.names.plural+"."+spec.group`)];
  });
}
