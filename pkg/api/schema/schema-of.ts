import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import { emptyMembersOf } from "./empty-members.ts";
import { type Definition, definitions, type FieldMarkers } from "./definitions.ts";

const SCALARS: Readonly<Record<string, Pick<FieldSchema, "type" | "format" | "preserveUnknownFields">>> = {
  "io.k8s.apimachinery.pkg.api.resource.Quantity": { type: "quantity" },
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString": { type: "int-or-string", format: "int-or-string" },
  "io.k8s.apimachinery.pkg.apis.meta.v1.Time": { type: "time", format: "date-time" },
  "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": { type: "micro-time", format: "date-time" },
};

/** Properties are built when somebody first looks, so that recursive definitions end and unused kinds cost nothing. */
class DefinitionSchema implements FieldSchema {
  readonly type: FieldSchema["type"];
  readonly format?: string;
  readonly definition: string;
  readonly required?: readonly string[];
  readonly preserveUnknownFields?: boolean;
  readonly mapType?: "atomic" | "granular";
  readonly #source: Definition;
  #properties: ReadonlyMap<string, FieldSchema> | undefined;
  #emptyMembers: ReadonlyMap<string, unknown> | undefined;

  constructor(name: string, source: Definition) {
    const scalar = SCALARS[name];
    this.definition = name;
    this.#source = source;
    this.required = source.required;
    this.mapType = source["map-type"];
    if (scalar !== undefined) {
      this.type = scalar.type;
      this.format = scalar.format;
    } else if (source.types !== undefined) {
      this.type = "object";
    } else {
      this.type = source.scalar === "any" || source.scalar === undefined ? "any" : "object";
      this.preserveUnknownFields = true;
    }
  }

  get properties(): ReadonlyMap<string, FieldSchema> | undefined {
    if (this.#source.types === undefined) return undefined;
    this.#properties ??= new Map(
      Object.entries(this.#source.types).map(([field, type]) => [
        field,
        fieldSchema(type, this.#source.fields?.[field], this.#source.defaults?.[field]),
      ]),
    );
    return this.#properties;
  }

  get emptyMembers(): ReadonlyMap<string, unknown> {
    return (this.#emptyMembers ??= emptyMembersOf(this.definition, this));
  }
}

// Memos of pure functions: what a name or a type stands for never changes.
const cache = new Map<string, FieldSchema>();

/**
 * The schema of a definition, e.g. io.k8s.api.core.v1.PodSpec. The same object every time.
 * @throws Error for a name that no table has: a mistake of the caller, never of a request.
 */
export function schemaOf(name: string): FieldSchema {
  let schema = cache.get(name);
  if (schema === undefined) {
    const source = definitions[name];
    if (source === undefined) throw new Error(`No definition is called ${name}`);
    schema = new DefinitionSchema(name, source);
    cache.set(name, schema);
  }
  return schema;
}

/** A schema seen through a field that adds markers of its own. Lazy like the schema it stands for. */
class MarkedSchema implements FieldSchema {
  readonly type: FieldSchema["type"];
  readonly format?: string;
  readonly definition?: string;
  readonly required?: readonly string[];
  readonly preserveUnknownFields?: boolean;
  readonly default?: unknown;
  readonly listType?: "atomic" | "set" | "map";
  readonly listMapKeys?: readonly string[];
  readonly mapType?: "atomic" | "granular";
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;
  readonly items?: FieldSchema;
  readonly #base: FieldSchema;

  constructor(base: FieldSchema, markers: FieldMarkers, defaultValue: unknown) {
    this.#base = base;
    this.type = base.type;
    this.format = base.format;
    this.definition = base.definition;
    this.required = base.required;
    this.preserveUnknownFields = base.preserveUnknownFields;
    this.items = base.items;
    this.default = defaultValue;
    this.listType = markers["list-type"];
    this.listMapKeys = markers["list-map-keys"];
    this.mapType = markers["map-type"] ?? base.mapType;
    this.patchStrategy = markers["patch-strategy"];
    this.patchMergeKey = markers["patch-merge-key"];
  }

  get properties(): ReadonlyMap<string, FieldSchema> | undefined {
    return this.#base.properties;
  }
}

const NO_MARKERS: FieldMarkers = {};

function fieldSchema(type: string, markers: FieldMarkers | undefined, defaultValue: unknown): FieldSchema {
  const base = typeSchema(type);
  return markers === undefined && defaultValue === undefined
    ? base
    : new MarkedSchema(base, markers ?? NO_MARKERS, defaultValue);
}

const types = new Map<string, FieldSchema>();

function typeSchema(type: string): FieldSchema {
  let schema = types.get(type);
  if (schema === undefined) {
    schema = parseType(type);
    types.set(type, schema);
  }
  return schema;
}

/** Reads the type notation of the tables: `[]T`, `map<T>`, `~name`, `integer(int32)`. */
function parseType(type: string): FieldSchema {
  if (type.startsWith("[]")) return { type: "array", items: typeSchema(type.slice(2)) };
  if (type.startsWith("map<")) return { type: "map", items: typeSchema(type.slice(4, -1)) };
  if (type.startsWith("~")) return schemaOf(`io.k8s.${type.slice(1)}`);
  const match = /^(string|integer|number|boolean)(?:\((\S+)\))?$/.exec(type);
  if (match === null) throw new Error(`The definition tables hold an unknown type ${type}`);
  const [, name, format] = match;
  if (format === "byte") return { type: "bytes", format };
  return { type: name as FieldSchema["type"], ...(format === undefined ? {} : { format }) };
}
