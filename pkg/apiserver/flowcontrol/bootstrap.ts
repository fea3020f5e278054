import { isDeepStrictEqual } from "node:util";
import type { FlowSchemaSpec, PriorityLevelConfigurationSpec } from "#pkg/api/types/flowcontrol-v1.ts";
import type { AnyObject, KubeObject } from "#pkg/apimachinery/index.ts";
import type { BootstrapDeps } from "../bootstrap/index.ts";
import { ensureObject } from "../bootstrap/reconcile.ts";
import table from "./data/flowcontrol.json" with { type: "json" };

type SchemaEntry = { readonly name: string } & FlowSchemaSpec;
type LevelEntry = { readonly name: string } & PriorityLevelConfigurationSpec;

const GROUP = "flowcontrol.apiserver.k8s.io";
const AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec";
const DANGLING = { type: "Dangling", status: "False", reason: "Found" };

function objectOf(kind: string, { name, ...spec }: SchemaEntry | LevelEntry, status: object): AnyObject {
  const object = {
    apiVersion: `${GROUP}/v1`,
    kind,
    metadata: { name, generation: 1, annotations: { [AUTOUPDATE]: "true" } },
    spec,
    status,
  };
  return object;
}

/** Puts the default spec back, where the object is ours to update. Mandatory objects always are. */
function restore(wanted: AnyObject, mandatory: boolean) {
  return (current: KubeObject): KubeObject | undefined => {
    if (!mandatory && current.metadata.annotations?.[AUTOUPDATE] !== "true") return undefined;
    const spec = (wanted as KubeObject)["spec"];
    if (isDeepStrictEqual(current["spec"], spec)) return undefined;
    return { ...current, spec, metadata: { ...current.metadata, generation: (current.metadata.generation ?? 0) + 1 } };
  };
}

/**
 * Creates the default FlowSchemas and PriorityLevelConfigurations and puts their specs back: mandatory ones always,
 * suggested ones unless annotated apf.kubernetes.io/autoupdate-spec=false.
 */
export async function bootstrapFlowControl(deps: BootstrapDeps): Promise<void> {
  const schemas = deps.cache(GROUP, "flowschemas");
  const levels = deps.cache(GROUP, "prioritylevelconfigurations");
  const schema = (mandatory: boolean) => (entry: SchemaEntry) => {
    const { name } = entry.priorityLevelConfiguration;
    const message = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(name)} and it exists`;
    const wanted = objectOf("FlowSchema", entry, { conditions: [{ ...DANGLING, message }] });
    return ensureObject(deps, schemas, wanted, restore(wanted, mandatory));
  };
  const level = (mandatory: boolean) => (entry: LevelEntry) => {
    const wanted = objectOf("PriorityLevelConfiguration", entry, {});
    return ensureObject(deps, levels, wanted, restore(wanted, mandatory));
  };
  await Promise.all([
    ...(table.mandatoryPriorityLevels as LevelEntry[]).map(level(true)),
    ...(table.suggestedPriorityLevels as LevelEntry[]).map(level(false)),
    ...(table.mandatoryFlowSchemas as SchemaEntry[]).map(schema(true)),
    ...(table.suggestedFlowSchemas as SchemaEntry[]).map(schema(false)),
  ]);
}
