import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { NameOf } from "./paths.ts";
import { type Dialect, type Json, ref } from "./schemas.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const API_VERSION_ABOUT =
  "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND_ABOUT =
  "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA_ABOUT =
  "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA_ABOUT =
  "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/** com.example.stable.v1.CronTab for CronTab in stable.example.com/v1. */
export function customDefinitionName({ group, version }: ResourceDefinition, kind: string): string {
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

/** Definitions of a custom kind and its list, published like built-in ones. */
export function customDefinitions(dialect: Dialect, definition: ResourceDefinition): Json {
  const { group, version, kind, listKind, schema } = definition;
  const raw = schema.raw ?? { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const published = dialect === "v2" ? downgrade(raw) : structuredClone(raw);
  const gvk = (of: string): Json[] => [{ group, kind: of, version }];
  // A kind whose fields are unknown is published without any, so that clients do not check them.
  const open = dialect === "v2" && raw["x-kubernetes-preserve-unknown-fields"] === true;
  const properties = open
    ? {}
    : {
        ...(published["properties"] as Json | undefined),
        apiVersion: { type: "string", description: API_VERSION_ABOUT },
        kind: { type: "string", description: KIND_ABOUT },
        metadata: aboutMetadata(dialect, "ObjectMeta", METADATA_ABOUT),
      };
  const name = customDefinitionName(definition, kind);
  const list: Json = {
    description: `${listKind} is a list of ${kind}`,
    type: "object",
    required: ["items"],
    properties: {
      apiVersion: { type: "string", description: API_VERSION_ABOUT },
      kind: { type: "string", description: KIND_ABOUT },
      items: {
        description: `List of ${definition.plural}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md`,
        type: "array",
        items: ref(dialect, name),
      },
      metadata: aboutMetadata(dialect, "ListMeta", LIST_METADATA_ABOUT),
    },
    "x-kubernetes-group-version-kind": gvk(listKind),
  };
  return {
    [name]: {
      ...published,
      type: "object",
      ...(Object.keys(properties).length === 0 ? {} : { properties }),
      "x-kubernetes-group-version-kind": gvk(kind),
    },
    [customDefinitionName(definition, listKind)]: list,
  };
}

/** Words of version 3 that version 2 does not know, or that old clients misread. */
const DROPPED = ["oneOf", "anyOf", "allOf", "not", "nullable", "example"];

/** A structural schema as version 2 can say it: rather too little than something clients would refuse good objects for. */
function downgrade(node: unknown): Json {
  const result: Json = { ...(node as Json) };
  if (result["nullable"] === true || result["x-kubernetes-preserve-unknown-fields"] === true) {
    if (result["nullable"] === true) delete result["type"];
    delete result["properties"];
    delete result["items"];
    delete result["additionalProperties"];
    delete result["required"];
  }
  if (result["x-kubernetes-int-or-string"] === true) delete result["type"];
  for (const word of DROPPED) delete result[word];
  delete result["x-kubernetes-validations"];
  if (result["items"] !== undefined) result["items"] = downgrade(result["items"]);
  const additional = result["additionalProperties"];
  if (typeof additional === "object" && additional !== null) result["additionalProperties"] = downgrade(additional);
  const properties = result["properties"];
  if (typeof properties === "object" && properties !== null) {
    result["properties"] = Object.fromEntries(
      Object.entries(properties).map(([name, value]) => [name, downgrade(value)]),
    );
  }
  return result;
}
