import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { NameOf } from "./paths.ts";
import { type Dialect, type Json, ref } from "./schemas.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const API_VERSION_ABOUT =
  "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND_ABOUT =
  "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const EMBEDDED_API_VERSION_ABOUT =
  "apiVersion defines the versioned schema of this representation of an object. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const EMBEDDED_KIND_ABOUT =
  "kind is a string value representing the type of this object. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA_ABOUT =
  "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA_ABOUT =
  "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/** com.example.stable.v1.CronTab for CronTab in stable.example.com/v1. */
function customDefinitionName({ group, version }: ResourceDefinition, kind: string): string {
  return [...group.split(".").reverse(), version, kind].join(".");
}

/** Names the definitions that operations on a custom resource speak of. */
export function customName(definition: ResourceDefinition): NameOf {
  return (group, version, kind) => {
    if (group === "autoscaling" && kind === "Scale") return `io.k8s.api.autoscaling.${version}.Scale`;
    return customDefinitionName(definition, kind);
  };
}

function aboutMetadata(dialect: Dialect, name: string, description: string): Json {
  const reference = ref(dialect, `${META}.${name}`);
  return dialect === "v2" ? { ...reference, description } : { description, allOf: [reference] };
}

/** The fields that every object has. */
const commonProperties = (dialect: Dialect): Json => ({
  apiVersion: { type: "string", description: API_VERSION_ABOUT },
  kind: { type: "string", description: KIND_ABOUT },
  metadata: aboutMetadata(dialect, "ObjectMeta", METADATA_ABOUT),
});

/** Definitions of a custom kind and its list, published like built-in ones. */
export function customDefinitions(dialect: Dialect, definition: ResourceDefinition): Json {
  const { group, version, kind, listKind, schema } = definition;
  const raw = schema.raw ?? { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const selectable = Array.from(definition.selectableFields.keys(), (fieldPath) => ({ fieldPath }));
  const about = (of: string): Json => ({
    "x-kubernetes-group-version-kind": [{ group, kind: of, version }],
    ...(selectable.length === 0 ? {} : { "x-kubernetes-selectable-fields": selectable }),
  });
  const name = customDefinitionName(definition, kind);
  const list: Json = {
    description: `${listKind} is a list of ${kind}`,
    type: "object",
    required: ["items"],
    properties: {
      ...commonProperties(dialect),
      items: {
        description: `List of ${definition.plural}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md`,
        type: "array",
        items: ref(dialect, name),
      },
      metadata: aboutMetadata(dialect, "ListMeta", LIST_METADATA_ABOUT),
    },
    ...about(listKind),
  };
  return {
    [name]: { ...publishedKind(dialect, raw), ...about(kind) },
    [customDefinitionName(definition, listKind)]: list,
  };
}

function publishedKind(dialect: Dialect, raw: Json): Json {
  // A kind whose fields are unknown is published without any, so that clients of version 2 do not check them.
  if (dialect === "v2" && raw["x-kubernetes-preserve-unknown-fields"] === true) return { type: "object" };
  const published = withEmbedded(dialect, dialect === "v2" ? downgrade(raw) : withAlternatives(raw));
  return {
    ...published,
    type: "object",
    properties: { ...(published["properties"] as Json), ...commonProperties(dialect) },
  };
}

/** Every subschema replaced by what `change` makes of it; the outermost one is left as it is. */
function mapChildren(node: Json, change: (child: Json) => Json): Json {
  const result: Json = { ...node };
  for (const word of ["items", "additionalProperties"]) {
    const child = result[word];
    if (typeof child === "object" && child !== null) result[word] = change(child as Json);
  }
  const { properties } = result;
  if (typeof properties === "object" && properties !== null) {
    const changed = Object.entries(properties).map(([name, child]) => [name, change(child as Json)]);
    result["properties"] = Object.fromEntries(changed);
  }
  return result;
}

/** A schema in which embedded resources have the fields that every object has. */
function withEmbedded(dialect: Dialect, node: Json): Json {
  const mapped = mapChildren(node, (child) => withEmbedded(dialect, child));
  if (mapped["x-kubernetes-embedded-resource"] !== true) return mapped;
  // Clients of version 2 take any property as the end of what is allowed.
  if (dialect === "v2" && mapped["x-kubernetes-preserve-unknown-fields"] === true) return mapped;
  const common: Json = {
    ...commonProperties(dialect),
    apiVersion: { type: "string", description: EMBEDDED_API_VERSION_ABOUT },
    kind: { type: "string", description: EMBEDDED_KIND_ABOUT },
  };
  const required = new Set([...((mapped["required"] as string[] | undefined) ?? []), "kind", "apiVersion"]);
  const properties = { ...(mapped["properties"] as Json | undefined), ...common };
  return { ...mapped, properties, required: [...required] };
}

/** Version 3 says in its own words, too, what an integer or a string is. */
function withAlternatives(node: Json): Json {
  const mapped = mapChildren(node, withAlternatives);
  if (mapped["x-kubernetes-int-or-string"] !== true || mapped["anyOf"] !== undefined) return mapped;
  return { ...mapped, anyOf: [{ type: "integer" }, { type: "string" }] };
}

/** Words of version 3 that version 2 does not know, or that old clients misread. */
const DROPPED = ["oneOf", "anyOf", "allOf", "not", "nullable", "default"];

/** A structural schema as version 2 can say it: rather too little than something clients would refuse good objects for. */
function downgrade(node: Json): Json {
  const result: Json = { ...node };
  if (result["nullable"] === true || result["x-kubernetes-preserve-unknown-fields"] === true) {
    delete result["type"];
    delete result["properties"];
    delete result["items"];
    delete result["additionalProperties"];
    delete result["required"];
  }
  if (result["x-kubernetes-int-or-string"] === true) delete result["type"];
  for (const word of DROPPED) delete result[word];
  const { required, properties = {} } = result as { required?: string[]; properties?: Record<string, Json> };
  if (required !== undefined) {
    const present = required.filter((name) => properties[name]?.["nullable"] !== true);
    if (present.length > 0) result["required"] = present;
    else delete result["required"];
  }
  return mapChildren(result, downgrade);
}
