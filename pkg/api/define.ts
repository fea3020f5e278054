import {
  type AnyObject,
  apiVersionOf,
  deepCopy,
  type FieldError,
  isShared,
  type KubeObject,
} from "#pkg/apimachinery/index.ts";
import descriptionData from "./data/column-descriptions.json" with { type: "json" };
import columnData from "./data/columns.json" with { type: "json" };
import resourceData from "./data/resources.json" with { type: "json" };
import { compileDefaults, type Defaulter } from "./defaults/compile.ts";
import { defaultRows } from "./defaults/tables.ts";
import { printGeneric } from "./printers/cells.ts";
import type {
  PrinterColumn,
  RequestInfo,
  ResourceDefinition,
  Strategy,
  SubresourceDefinition,
  SubresourceKind,
  TableRowCondition,
  Verb,
} from "./resource.ts";
import { definitionNameOf, protobufMessageOf } from "./schema/definitions.ts";
import { type DisabledFields, disabledFieldsOf } from "./schema/disabled-fields.ts";
import { fillerOf } from "./schema/fill.ts";
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

/** A strategy whose functions see the kind's own type. */
export interface TypedStrategy<T extends AnyObject> extends Omit<
  Strategy,
  | "defaults"
  | "prepareForAllocation"
  | "prepareForCreate"
  | "prepareForUpdate"
  | "validate"
  | "validateUpdate"
  | "warnings"
  | "gracePeriodSeconds"
> {
  defaults?(object: T): void;
  prepareForAllocation?(object: T, old: Readonly<T> | undefined): FieldError[];
  prepareForCreate?(object: T, info: RequestInfo): void;
  prepareForUpdate?(object: T, old: Readonly<T>, info: RequestInfo): void;
  validate?(object: T): FieldError[];
  validateUpdate?(object: T, old: Readonly<T>): FieldError[];
  warnings?(object: T, old?: Readonly<T>): string[];
  gracePeriodSeconds?(object: Readonly<T>, requested: number | undefined): number;
}

/** What the tables cannot say about a kind. Everything absent has the obvious default. */
export interface TypedDeclaration<T extends AnyObject> {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly strategy?: TypedStrategy<T>;
  /** Rules of writes to /status, where there are any. */
  readonly status?: TypedStrategy<T>;
  /** Rules of the other subresources that write a view of the object, by name. */
  readonly updates?: Readonly<Record<string, TypedStrategy<T>>>;
  /** Version objects are stored in, when it is not the one whose hash discovery shows. */
  readonly storage?: { readonly group: string; readonly version: string };
  /** Sent with every answer of a kind that is on its way out. */
  readonly deprecationWarning?: string;
  /** Status of a new object; "keep" leaves what the client sent. Default: {} where there is a status subresource. */
  readonly initialStatus?: Readonly<Record<string, unknown>> | "keep";
  readonly printRow?: (object: Readonly<T>, now: number) => unknown[];
  readonly rowConditions?: (object: Readonly<T>) => readonly TableRowCondition[];
  readonly toStorage?: (object: Readonly<T>) => KubeObject;
  readonly fromStorage?: (object: Readonly<KubeObject>) => T;
}

/** A declaration of some kind, its type forgotten: the registry treats all kinds alike. */
export interface KindDeclaration {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly strategy?: Strategy;
  readonly status?: Strategy;
  readonly updates?: Readonly<Record<string, Strategy>>;
  readonly storage?: { readonly group: string; readonly version: string };
  /** Sent with every answer of a kind that is on its way out. */
  readonly deprecationWarning?: string;
  /** Status of a new object; "keep" leaves what the client sent. Default: {} where there is a status subresource. */
  readonly initialStatus?: Readonly<Record<string, unknown>> | "keep";
  readonly printRow?: (object: Readonly<KubeObject>, now: number) => unknown[];
  readonly rowConditions?: (object: Readonly<KubeObject>) => readonly TableRowCondition[];
  readonly toStorage?: (object: Readonly<KubeObject>) => KubeObject;
  readonly fromStorage?: (object: Readonly<KubeObject>) => KubeObject;
}

/**
 * Declares a kind. The registry hands a declaration only objects of its own kind, which is why the type may be forgotten.
 * Checks the names against the table at load time: a typing error must not become a missing rule.
 */
export function defineResource<T extends AnyObject>(declaration: TypedDeclaration<T>): KindDeclaration {
  const { group, version, kind } = declaration;
  const known = [...resourceRows, ...offByDefaultRows].some(
    (row) => row.group === group && row.version === version && row.kind === kind,
  );
  if (!known) throw new Error(`No resource is called ${kind} in ${apiVersionOf({ group, version })}`);
  return declaration as unknown as KindDeclaration;
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

function subresourcesOf(
  row: ResourceRow,
  declaration: KindDeclaration,
  disabled: DisabledFields | undefined,
): SubresourceDefinition[] {
  return Object.entries(row.subresources ?? {}).map(([name, { kind, verbs, group, version }]) => ({
    name,
    kind,
    verbs,
    ...(group === undefined ? {} : { group }),
    ...(version === undefined ? {} : { version }),
    implementation: forgetting(implementationOf(name, declaration), disabled),
  }));
}

function forgetting(implementation: SubresourceKind, disabled: DisabledFields | undefined): SubresourceKind {
  if (implementation.type === "status")
    return { ...implementation, strategy: withoutDisabled(implementation.strategy ?? {}, disabled) };
  if (implementation.type === "update")
    return { ...implementation, strategy: withoutDisabled(implementation.strategy, disabled) };
  return implementation;
}

/** Forgets the fields of gates that are off before anything else looks at what was sent. */
function withoutDisabled(strategy: Strategy, disabled: DisabledFields | undefined): Strategy {
  if (disabled === undefined) return strategy;
  return {
    ...strategy,
    prepareForCreate(object, info) {
      disabled.drop(object);
      strategy.prepareForCreate?.(object, info);
    },
    prepareForUpdate(object, old, info) {
      disabled.drop(object, old);
      strategy.prepareForUpdate?.(object, old, info);
    },
  };
}

const columnTable = columnData.kinds as unknown as Readonly<
  Record<string, readonly [string, string, string, number][]>
>;
const defaultColumns = columnData.default as unknown as readonly [string, string, string, number][];

const descriptions: {
  readonly common: Readonly<Record<string, string>>;
  readonly kinds: Readonly<Record<string, Readonly<Record<string, string>>>>;
} = descriptionData;

/** The columns of a kind as kubectl gets them, or those of kinds that have none of their own. */
export function columnsOf({ group, kind }: Pick<ResourceRow, "group" | "kind">): PrinterColumn[] {
  // The two Event groups show the same object the same way.
  const key = group === "" || kind === "Event" ? kind : `${group}/${kind}`;
  return (columnTable[key] ?? defaultColumns).map(([name, type, format, priority]) => ({
    name,
    type,
    format,
    priority,
    description: descriptions.kinds[key]?.[name] ?? descriptions.common[name] ?? `${name} of the ${kind}.`,
  }));
}

/** A client cannot set the status of a new object where status has a subresource of its own. */
function withInitialStatus(
  row: ResourceRow,
  { strategy = {}, initialStatus = {} }: KindDeclaration,
  fill: (object: Record<string, unknown>) => void,
): Strategy {
  if (row.subresources?.["status"] === undefined || initialStatus === "keep") return strategy;
  return {
    ...strategy,
    prepareForCreate(object, info) {
      object["status"] = deepCopy(initialStatus);
      strategy.prepareForCreate?.(object, info);
      fill(object);
    },
  };
}

type Convert = (object: Readonly<KubeObject>) => KubeObject;

/** Versions of one shape differ in the apiVersion they carry and in nothing else. */
const relabel =
  (to: { readonly group: string; readonly version: string }): Convert =>
  (object) => ({ ...object, apiVersion: apiVersionOf(to) });

function conversions(
  row: ResourceRow,
  declaration: KindDeclaration,
  storage: { readonly group: string; readonly version: string },
): { toStorage?: Convert; fromStorage?: Convert } {
  if (declaration.toStorage !== undefined || declaration.fromStorage !== undefined) {
    return { toStorage: declaration.toStorage, fromStorage: declaration.fromStorage };
  }
  if (storage.group === row.group && storage.version === row.version) return {};
  return { toStorage: relabel(storage), fromStorage: relabel(row) };
}

/** A definition from its row of the table and its declaration; `gates` names those that are on against their default. */
export function buildDefinition(
  row: ResourceRow,
  declaration: KindDeclaration,
  gates: ReadonlySet<string> = new Set(),
): ResourceDefinition {
  const { group, version, kind } = row;
  const definition = definitionNameOf(group, version, kind);
  if (definition === undefined) throw new Error(`No definition describes ${kind} in ${apiVersionOf(row)}`);
  const fill = fillerOf(definition);
  const disabled = disabledFieldsOf(definition, gates);
  const strategy = withoutDisabled(withInitialStatus(row, declaration, fill), disabled);
  const columns = columnsOf(row);
  const storage = declaration.storage ?? row.storage ?? { group, version };
  const schema = schemaOf(definition);
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
    storage,
    etcdPrefix: row.etcdPrefix,
    schema,
    strategy,
    subresources: subresourcesOf(row, declaration, disabled),
    selectableFields: selectableFieldsOf(group, version, kind),
    columns,
    printRow: declaration.printRow ?? ((object) => printGeneric(columns, object)),
    rowConditions: declaration.rowConditions,
    applyDefaults(object) {
      object.metadata ??= {};
      // First: defaults go into structs that are always there.
      fill(object);
      // Where a spec may be shared nothing else has defaults, and those of a shared one have been filled in.
      if (!isShared(object["spec"])) {
        applyRows ??= compileDefaults(defaultRows(group, version, kind));
        applyRows(object);
        strategy.defaults?.(object);
      }
    },
    ...conversions(row, declaration, storage),
    ...(declaration.deprecationWarning === undefined ? {} : { deprecationWarning: declaration.deprecationWarning }),
    protobufMessage: protobufMessageOf(definition),
    ...(disabled === undefined ? {} : { usesDisabled: disabled.usedBy }),
    custom: false,
  };
}
