import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { CustomResourceDefinition } from "#pkg/api/types/apiextensions-v1.ts";
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
      validate: (object) => [...nameErrors(object), ...validateDefinition(asDefinition(object), undefined)],
      validateUpdate: (object, old) => validateDefinitionUpdate(asDefinition(object), asDefinition(old)),
    },
  };
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
