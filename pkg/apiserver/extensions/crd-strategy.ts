import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { CustomResourceDefinition, CustomResourceDefinitionCondition } from "#pkg/api/types/apiextensions-v1.ts";
import { fieldInvalid, type KubeObject } from "#pkg/apimachinery/index.ts";
import { validateDefinition, validateDefinitionUpdate } from "./crd-validation.ts";

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
    },
  };
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
  if (object.metadata.name === wanted) return [];
  return [fieldInvalid("metadata.name", object.metadata.name ?? "", `must be spec.names.plural+"."+spec.group`)];
}
