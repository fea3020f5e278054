/** The definition tables of the built-in kinds, typed. Data only; `schema-of.ts` gives them meaning. */
import data from "../data/definitions.json" with { type: "json" };

/** How lists and maps of a field are merged, by the markers of upstream's types. */
export interface FieldMarkers {
  readonly "list-type"?: "atomic" | "set" | "map";
  readonly "list-map-keys"?: readonly string[];
  readonly "map-type"?: "atomic" | "granular";
  readonly "patch-strategy"?: string;
  readonly "patch-merge-key"?: string;
}
/** One type of the API, with what its OpenAPI definition does not say by itself. */
export interface Definition {
  /** "group/version/kind" of each kind this definition describes; "many" for the ones every group has. */
  readonly gvk?: readonly string[] | string;
  readonly required?: readonly string[];
  readonly fields?: Readonly<Record<string, FieldMarkers>>;
  readonly "map-type"?: "atomic" | "granular";
  readonly defaults?: Readonly<Record<string, unknown>>;
  readonly unions?: readonly unknown[];
  readonly types?: Readonly<Record<string, string>>;
  /** Wire form of a definition that is no object with named fields. */
  readonly scalar?: string;
}

/** All definitions, by their OpenAPI names. */
export const definitions = data.definitions as unknown as Readonly<Record<string, Definition>>;

const byGvk: ReadonlyMap<string, string> = new Map(
  Object.entries(definitions).flatMap(([name, { gvk }]) =>
    Array.isArray(gvk) ? gvk.map((key: string) => [key, name] as const) : [],
  ),
);

/** Name of the definition of a kind, e.g. io.k8s.api.core.v1.Pod. */
export function definitionNameOf(group: string, version: string, kind: string): string | undefined {
  return byGvk.get(`${group}/${version}/${kind}`);
}

/** k8s.io.api.core.v1.Pod for io.k8s.api.core.v1.Pod: the reversed domain is turned round, dashes become underscores. */
export function protobufMessageOf(definition: string): string {
  return `k8s.io.${definition.slice("io.k8s.".length)}`.replaceAll("-", "_");
}
