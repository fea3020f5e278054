import { type Definition, definitions, type FieldMarkers, protobufMessageOf } from "#pkg/api/index.ts";
import { hasMessage, jsonFields } from "#pkg/apimachinery/protobuf/index.ts";

/** A JSON document in the making. */
export type Json = Record<string, unknown>;
export type Dialect = "v2" | "v3";
/** What hack/generate-descriptions.ts finds: nothing that the server itself needs to know. */
export interface Descriptions {
  /**
   * Texts for people: definition → field → text, "" for the definition itself. "parameters" has what operations take beside an
   * object; what only some take is under the kind of these options, e.g. "PodExecOptions".
   */
  readonly texts: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Definition → field → the words that it (or each of its items) may be. */
  readonly enums: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

const REF_PREFIX: Readonly<Record<Dialect, string>> = { v2: "#/definitions/", v3: "#/components/schemas/" };
const OBJECT_META = "apimachinery.pkg.apis.meta.v1.ObjectMeta";
const QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

export function ref(dialect: Dialect, name: string): Json {
  return { $ref: `${REF_PREFIX[dialect]}${name}` };
}

/** The schema of one definition of the tables. */
export function definitionSchema(
  dialect: Dialect,
  name: string,
  descriptions: Descriptions,
  groupVersions: readonly { readonly group: string; readonly version: string }[],
): Json {
  const definition = definitions[name]!;
  const texts = descriptions.texts[name] ?? {};
  const enums = descriptions.enums[name] ?? {};
  const about = texts[""] === undefined ? {} : { description: texts[""] };
  if (definition.types === undefined) return { ...about, ...scalarSchema(dialect, name, definition.scalar) };
  const properties: Json = {};
  const zero = zeroByDefault(name, definition);
  for (const [field, type] of Object.entries(definition.types)) {
    const text = texts[field] ?? aboutReferenced(type, descriptions);
    const description = text === undefined ? {} : { description: text };
    const own = definition.defaults?.[field];
    const defaults = dialect === "v2" ? {} : own !== undefined ? { default: own } : zero.has(field) ? zeroOf(type) : {};
    const shape = property(dialect, type, { ...description, ...defaults, ...markers(definition.fields?.[field]) });
    properties[field] = withEnum(shape, enums[field]);
  }
  return {
    ...about,
    type: "object",
    ...(definition.required === undefined ? {} : { required: definition.required }),
    properties,
    ...(definition["map-type"] === undefined ? {} : { "x-kubernetes-map-type": definition["map-type"] }),
    ...(definition.unions === undefined ? {} : { "x-kubernetes-unions": definition.unions }),
    ...kindExtension(definition, name, groupVersions),
  };
}

/** A field without a text of its own is described by what it holds. */
function aboutReferenced(type: string, { texts }: Descriptions): string | undefined {
  if (type === `~${OBJECT_META}`) return "Standard object's metadata.";
  return type.startsWith("~") ? texts[`io.k8s.${type.slice(1)}`]?.[""] : undefined;
}

function withEnum(shape: Json, words: readonly string[] | undefined): Json {
  if (words === undefined) return shape;
  const items = shape["items"] as Json | undefined;
  return items === undefined ? { ...shape, enum: words } : { ...shape, items: { ...items, enum: words } };
}

/** Optional members of core/v1 whose zero value upstream's types declare as their default; in objects it says nothing. */
const DECLARED_ZERO: ReadonlySet<string> = new Set([
  "AzureDiskVolumeSource.readOnly",
  "ConfigMapEnvSource.name",
  "ConfigMapKeySelector.name",
  "ConfigMapProjection.name",
  "ConfigMapVolumeSource.name",
  "FileKeySelector.optional",
  "GRPCAction.service",
  "LocalObjectReference.name",
  "ReplicationControllerSpec.minReadySeconds",
  "SecretEnvSource.name",
  "SecretKeySelector.name",
  "SecretProjection.name",
]);

/** Fields whose zero value is their default, most of them because upstream's structs cannot be without them. */
function zeroByDefault(name: string, { required = [], types = {} }: Definition): ReadonlySet<string> {
  const message = protobufMessageOf(name);
  const always = hasMessage(message)
    ? jsonFields(message).flatMap((field) => (field.absent === "zero" ? [field.name] : []))
    : required;
  const core = name.startsWith("io.k8s.api.core.v1.") ? name.slice("io.k8s.api.core.v1.".length) : undefined;
  return new Set([...always, ...Object.keys(types).filter((field) => DECLARED_ZERO.has(`${core}.${field}`))]);
}

/** What upstream publishes as the default of a value that is always there: nothing for lists, maps and types of one value. */
function zeroOf(type: string): Json {
  if (type.startsWith("~")) return definitions[`io.k8s.${type.slice(1)}`]?.types === undefined ? {} : { default: {} };
  const zero = { string: "", "integer(int32)": 0, "integer(int64)": 0, boolean: false }[type];
  return zero === undefined ? {} : { default: zero };
}

function markers(marker: FieldMarkers | undefined): Json {
  const extensions: Json = {};
  for (const [name, value] of Object.entries(marker ?? {})) extensions[`x-kubernetes-${name}`] = value;
  return extensions;
}

function scalarSchema(dialect: Dialect, name: string, scalar: string | undefined): Json {
  if (dialect === "v3" && name === QUANTITY) return { oneOf: [{ type: "string" }, { type: "number" }] };
  if (dialect === "v3" && name === INT_OR_STRING) {
    return { format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] };
  }
  return scalar === undefined || scalar === "any" ? {} : primitive(scalar);
}

/** "integer(int32)" as type and format. */
function primitive(notation: string): Json {
  const match = /^(\w+)(?:\((\S+)\))?$/.exec(notation);
  if (match === null) throw new Error(`unknown type notation ${notation}`);
  return { type: match[1], ...(match[2] === undefined ? {} : { format: match[2] }) };
}

/** A property: version 3 does not allow anything beside a $ref, so there the reference is wrapped. */
function property(dialect: Dialect, type: string, extras: Json): Json {
  if (!type.startsWith("~")) return { ...typeSchema(dialect, type), ...extras };
  const reference = typeSchema(dialect, type);
  if (dialect === "v2") return { ...reference, ...extras };
  return Object.keys(extras).length === 0 ? reference : { ...extras, allOf: [reference] };
}

/** Reads the type notation of the tables: `[]T`, `map<T>`, `~name`, `integer(int32)`. */
function typeSchema(dialect: Dialect, type: string): Json {
  if (type.startsWith("[]")) return { type: "array", items: elementSchema(dialect, type.slice(2)) };
  if (type.startsWith("map<"))
    return { type: "object", additionalProperties: elementSchema(dialect, type.slice(4, -1)) };
  if (type.startsWith("~")) return ref(dialect, `io.k8s.${type.slice(1)}`);
  return primitive(type);
}

function elementSchema(dialect: Dialect, type: string): Json {
  return property(dialect, type, dialect === "v3" ? zeroOf(type) : {});
}

function kindExtension(
  { gvk }: Definition,
  name: string,
  groupVersions: readonly { readonly group: string; readonly version: string }[],
): Json {
  if (gvk === undefined) return {};
  const kind = name.slice(name.lastIndexOf(".") + 1);
  const kinds =
    typeof gvk === "string"
      ? groupVersions.map(({ group, version }) => ({ group, kind, version }))
      : gvk.map((key) => {
          const [group = "", version = "", ofKind = ""] = key.split("/");
          return { group, kind: ofKind, version };
        });
  return { "x-kubernetes-group-version-kind": kinds };
}

/** All definitions that a set of them refers to, themselves included. */
export function closure(roots: Iterable<string>): Set<string> {
  const found = new Set<string>();
  const queue = [...roots];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const definition = definitions[name];
    if (definition === undefined || found.has(name)) continue;
    found.add(name);
    for (const type of Object.values(definition.types ?? {})) {
      const inner = /~([^>]+)/.exec(type);
      if (inner !== null) queue.push(`io.k8s.${inner[1]}`);
    }
  }
  return found;
}
