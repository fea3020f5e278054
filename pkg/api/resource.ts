import type { FieldError } from "#pkg/apimachinery/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";

export type { FieldSchema };

/** Verbs of RBAC and discovery. */
export type Verb = "create" | "get" | "list" | "watch" | "update" | "patch" | "delete" | "deletecollection";

/** What a strategy may look at besides the object. */
export interface RequestInfo {
  readonly user: UserInfo;
  readonly namespace: string;
  readonly dryRun: boolean;
  /** Epoch milliseconds of this request. */
  readonly now: number;
  /** What the client is told beside the answer; strategies add to it. */
  readonly warnings: string[];
}

/** What clients may write of the metadata. */
export type MetadataField = "labels" | "annotations" | "finalizers" | "ownerReferences";

/** For views that write no metadata at all. */
export const ALL_METADATA: readonly MetadataField[] = ["labels", "annotations", "finalizers", "ownerReferences"];

/**
 * What is special about one kind: small pure functions, run by the one generic registry in this order:
 * create: default → (admission) → prepareForAllocation → prepareForCreate → validate → store;
 * update: default → (admission) → prepareForAllocation → prepareForUpdate → validateUpdate → store.
 * They may change `object` in place (it is the request's own copy), never `old`.
 */
export interface Strategy {
  /** Kind-specific defaults beyond the tables (they depend on other fields). Idempotent. */
  defaults?(object: KubeObject): void;
  /**
   * For kinds that take of the cluster's pools (addresses, ports), which happens before all else: puts the fields that
   * ask for something into one form, and says what is wrong with them.
   */
  prepareForAllocation?(object: KubeObject, old: Readonly<KubeObject> | undefined): FieldError[];
  /** Clears what a client may not set (status), fills in what the server decides (generation is set generically). */
  prepareForCreate?(object: KubeObject, info: RequestInfo): void;
  prepareForUpdate?(object: KubeObject, old: Readonly<KubeObject>, info: RequestInfo): void;
  /** All field errors, in upstream's order, paths and wording. Metadata is validated generically. */
  validate?(object: KubeObject): FieldError[];
  /** Errors of an update, including immutability; also runs `validate` unless it says otherwise. */
  validateUpdate?(object: KubeObject, old: Readonly<KubeObject>): FieldError[];
  /** Warnings for the `Warning:` response header. */
  warnings?(object: KubeObject, old?: Readonly<KubeObject>): string[];
  /** Extra name rule; default is DNS-1123 subdomain. Returns messages, e.g. "must be no more than 63 characters". */
  validateName?(name: string, prefix: boolean): string[];
  /** May a PUT create the object? (upstream AllowCreateOnUpdate) */
  readonly allowCreateOnUpdate?: boolean;
  /** May an update come without a resourceVersion? Default true. */
  readonly allowUnconditionalUpdate?: boolean;
  /**
   * Graceful deletion: seconds the object stays with deletionTimestamp set. With zero it goes at once, but is seen to be
   * deleted first. `requested` is what the client asked for. Kinds without it go without notice.
   */
  gracePeriodSeconds?(object: Readonly<KubeObject>, requested: number | undefined): number;
  /** Finalizer a delete adds when none of the propagation options says otherwise ("orphan" for legacy kinds). */
  readonly defaultGarbageCollection?: "background" | "orphan";
  /** Finalizers that a delete adds, for kinds that leave something to clean up. */
  readonly deletionFinalizers?: readonly string[];
  /** What else the deletion that has just marked an object says in it. */
  markedForDeletion?(marked: KubeObject, object: Readonly<KubeObject>): KubeObject;
  /** Why nothing new of the kind can be made any more. */
  readonly refusesNew?: string;
  /** Does the generic registry keep metadata.generation? Default: yes when the kind has a `status` subresource. */
  readonly generation?: boolean;
  /** Does an update to the main resource count as a new generation although the spec is the same? */
  bumpsGeneration?(object: Readonly<KubeObject>, old: Readonly<KubeObject>): boolean;
  /** Fields left alone by a write to the main resource when the kind has `status`; default ["status"]. */
  readonly resetFields?: readonly string[];
  /** What a write through this view leaves alone of the metadata; default nothing. */
  readonly resetMetadata?: readonly MetadataField[];
  /**
   * On an update, a field that is the old object's own (`===`) has not changed, and neither `prepareForUpdate` nor
   * anything in `defaults` looks across fields or writes into it. Spares copies and checks of all that stays the same.
   */
  readonly sharesUnchanged?: boolean;
  /**
   * Most objects come from templates, so that the same specs are met again and again, and those are shared (see `share`):
   * `defaults` writes to the spec alone and depends on nothing else, and the other functions leave a shared one alone.
   */
  readonly fromTemplates?: boolean;
  /** TTL in seconds for stored objects (Events). */
  readonly ttlSeconds?: number;
}

/** A column of Table output; `priority` 0 always shows, 1 needs -o wide. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly priority: number;
  readonly description: string;
}

/** What a client may want to know of a row without reading its cells. */
export interface TableRowCondition {
  readonly type: "Completed";
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
}

export type SubresourceKind =
  /** Writes only `status`; reads the whole object. */
  | { readonly type: "status"; readonly strategy?: Strategy }
  /** autoscaling/v1 Scale, mapped by these paths. */
  | {
      readonly type: "scale";
      readonly specReplicasPath: string;
      readonly statusReplicasPath: string;
      readonly labelSelectorPath?: string;
    }
  /** A view on the same object with its own update rules (ephemeralcontainers, resize, approval, finalize). */
  | { readonly type: "update"; readonly strategy: Strategy }
  /** Served by a handler that the API server wires in by name (binding, eviction, log, exec, attach, portforward, proxy, token). */
  | { readonly type: "connect" };

export interface SubresourceDefinition {
  readonly name: string;
  readonly kind: string;
  /** Group and version of `kind` where they differ from the parent's (Scale, Eviction, TokenRequest). */
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly Verb[];
  readonly implementation: SubresourceKind;
}

/** How objects are shown in a Table. */
export interface Printer {
  readonly columns: readonly PrinterColumn[];
  /** Cells in the order of `columns`; `now` for ages is epoch milliseconds. */
  printRow(object: Readonly<KubeObject>, now: number): unknown[];
  rowConditions?(object: Readonly<KubeObject>): readonly TableRowCondition[];
}

/** Everything the system knows about one kind in one version. Built-in kinds and CRDs produce the same object. */
export interface ResourceDefinition extends Printer {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly Verb[];
  /** Those that discovery advises, where it does not advise all. */
  readonly shownVerbs?: readonly Verb[];
  readonly storageVersionHash?: string;
  /** Version objects are stored in; `convert` maps when this version is another. */
  readonly storage: { readonly group: string; readonly version: string };
  /** Key segment after /registry/, e.g. "services/specs"; absent for resources that are not stored (reviews). */
  readonly etcdPrefix?: string;
  readonly schema: FieldSchema;
  readonly strategy: Strategy;
  readonly subresources: readonly SubresourceDefinition[];
  /** Field-selector labels beyond metadata.name and metadata.namespace, with how to read each from an object. */
  readonly selectableFields: ReadonlyMap<string, (object: Readonly<KubeObject>) => string>;
  /**
   * Applies table defaults and strategy.defaults in place. Compiled once. With `keepsNulls` a custom resource's nulls
   * where none is allowed stay, for validation to refuse: only what a decoder has read is rid of them.
   */
  applyDefaults(object: KubeObject, keepsNulls?: boolean): void;
  /** Between this version and the storage version; identity when they are equal. Never changes its argument. */
  toStorage?(object: Readonly<KubeObject>): KubeObject;
  fromStorage?(object: Readonly<KubeObject>): KubeObject;
  /** The two halves of `fromStorage` where a webhook converts in between: before it, and (in place) after it. */
  readStored?(object: Readonly<KubeObject>): KubeObject;
  fromConverted?(object: KubeObject): KubeObject;
  /** Protobuf message name, e.g. k8s.io.api.core.v1.Pod; absent where protobuf is not served (CRDs). */
  readonly protobufMessage?: string;
  /** Sent as a warning with every answer of a version that is on its way out. */
  readonly deprecationWarning?: string;
  /** Does the object have a field of a feature that is off, which a write would forget? */
  usesDisabled?(object: Readonly<KubeObject>): boolean;
  /** True for custom resources. */
  readonly custom: boolean;
}
