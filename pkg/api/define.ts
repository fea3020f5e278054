import { apiVersionOf, type KubeObject } from "#pkg/apimachinery/object.ts";
import columnData from "./data/columns.json" with { type: "json" };
import resourceData from "./data/resources.json" with { type: "json" };
import { compileDefaults, type Defaulter } from "./defaults/compile.ts";
import { defaultRows } from "./defaults/tables.ts";
import { printGeneric } from "./printers/cells.ts";
import type {
  PrinterColumn,
  ResourceDefinition,
  Strategy,
  SubresourceDefinition,
  SubresourceKind,
  Verb,
} from "./resource.ts";
import { definitionNameOf } from "./schema/definitions.ts";
import { schemaOf } from "./schema/schema-of.ts";
import { selectableFieldsOf } from "./selectable-fields.ts";

/** One row of the table of served resources. */
export interface ResourceRow {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly verbs: readonly Verb[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly subresources?: Readonly<
    Record<string, { kind: string; verbs: readonly Verb[]; group?: string; version?: string }>
  >;
  readonly storageVersionHash?: string;
  readonly storage?: { readonly group: string; readonly version: string };
  readonly etcdPrefix?: string;
}

export const resourceRows = resourceData.resources as unknown as readonly ResourceRow[];
export const offByDefaultRows = resourceData.offByDefault as unknown as readonly ResourceRow[];
/** API groups in the order discovery lists them; the core group is not among them. */
export const groupOrder: readonly string[] = resourceData.groupOrder;
/** Versions of each group, the preferred one first. */
export const groupVersions: Readonly<Record<string, readonly string[]>> = resourceData.groupVersionsInPreferenceOrder;

/** What the tables cannot say about a kind. Everything absent has the obvious default. */
export interface KindDeclaration {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly strategy?: Strategy;
  /** Rules of writes to /status, where there are any. */
  readonly status?: Strategy;
  /** Rules of the other subresources that write a view of the object, by name. */
  readonly updates?: Readonly<Record<string, Strategy>>;
  /** Version objects are stored in, when it is not the one whose hash discovery shows. */
  readonly storage?: { readonly group: string; readonly version: string };
  readonly printRow?: (object: Readonly<KubeObject>, now: number) => unknown[];
  readonly toStorage?: (object: Readonly<KubeObject>) => KubeObject;
  readonly fromStorage?: (object: Readonly<KubeObject>) => KubeObject;
}

/** Checks a declaration's names against the table at load time: a typing error must not become a missing rule. */
export function defineResource(declaration: KindDeclaration): KindDeclaration {
  const { group, version, kind } = declaration;
  const known = [...resourceRows, ...offByDefaultRows].some(
    (row) => row.group === group && row.version === version && row.kind === kind,
  );
  if (!known) throw new Error(`No resource is called ${kind} in ${apiVersionOf({ group, version })}`);
  return declaration;
}

const SCALE: SubresourceKind = {
  type: "scale",
  specReplicasPath: ".spec.replicas",
  statusReplicasPath: ".status.replicas",
  labelSelectorPath: ".spec.selector",
};

function implementationOf(name: string, declaration: KindDeclaration): SubresourceKind {
  if (name === "status") return { type: "status", strategy: declaration.status };
  if (name === "scale") return SCALE;
  const strategy = declaration.updates?.[name];
  return strategy === undefined ? { type: "connect" } : { type: "update", strategy };
}

function subresourcesOf(row: ResourceRow, declaration: KindDeclaration): SubresourceDefinition[] {
  return Object.entries(row.subresources ?? {}).map(([name, { kind, verbs, group, version }]) => ({
    name,
    kind,
    verbs,
    ...(group === undefined ? {} : { group }),
    ...(version === undefined ? {} : { version }),
    implementation: implementationOf(name, declaration),
  }));
}

const columnTable = columnData.kinds as unknown as Readonly<
  Record<string, readonly [string, string, string, number][]>
>;
const defaultColumns = columnData.default as unknown as readonly [string, string, string, number][];

function describeColumn(name: string, kind: string): string {
  if (name === "Name") return `Name of the ${kind}.`;
  if (name === "Age" || name === "Created At") return `When the ${kind} was created.`;
  return `${name} of the ${kind}.`;
}

function columnsOf({ group, kind }: ResourceRow): PrinterColumn[] {
  const table =
    columnTable[group === "" ? kind : `${group}/${kind}`] ??
    // The two Event groups show the same object the same way.
    (kind === "Event" ? columnTable["Event"] : undefined) ??
    defaultColumns;
  return table.map(([name, type, format, priority]) => ({
    name,
    type,
    format,
    priority,
    description: describeColumn(name, kind),
  }));
}

/** k8s.io.api.core.v1.Pod for io.k8s.api.core.v1.Pod: the reversed domain is turned round, dashes become underscores. */
function protobufMessageOf(definition: string): string {
  return `k8s.io.${definition.slice("io.k8s.".length)}`.replaceAll("-", "_");
}

/** A definition from its row of the table and its declaration. */
export function buildDefinition(row: ResourceRow, declaration: KindDeclaration): ResourceDefinition {
  const { group, version, kind } = row;
  const strategy = declaration.strategy ?? {};
  const definition = definitionNameOf(group, version, kind);
  if (definition === undefined) throw new Error(`No definition describes ${kind} in ${apiVersionOf(row)}`);
  const columns = columnsOf(row);
  let applyRows: Defaulter | undefined;
  return {
    group,
    version,
    kind,
    listKind: `${kind}List`,
    plural: row.plural,
    singular: row.singular,
    shortNames: row.shortNames ?? [],
    categories: row.categories ?? [],
    namespaced: row.namespaced,
    verbs: row.verbs,
    storageVersionHash: row.storageVersionHash,
    storage: declaration.storage ?? row.storage ?? { group, version },
    etcdPrefix: row.etcdPrefix,
    schema: schemaOf(definition),
    strategy,
    subresources: subresourcesOf(row, declaration),
    selectableFields: selectableFieldsOf(group, version, kind),
    columns,
    printRow: declaration.printRow ?? ((object) => printGeneric(columns, object)),
    applyDefaults(object) {
      applyRows ??= compileDefaults(defaultRows(group, version, kind));
      applyRows(object);
      strategy.defaults?.(object);
    },
    toStorage: declaration.toStorage,
    fromStorage: declaration.fromStorage,
    protobufMessage: protobufMessageOf(definition),
    custom: false,
  };
}
