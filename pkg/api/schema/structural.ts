import { schemaOf } from "./schema-of.ts";
import { isRecord } from "#pkg/apimachinery/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";

type Raw = Record<string, unknown>;

const OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/** The root schema of a custom resource: its own fields, and those every object has. */
export function rootSchema(raw: Raw): FieldSchema {
  const own = structuralSchema(raw);
  const properties = new Map(own.properties);
  addTypeFields(properties);
  return { ...own, type: "object", properties, items: undefined };
}

/** What every object has, also one inside another. */
function addTypeFields(properties: Map<string, FieldSchema>): void {
  properties.set("apiVersion", { type: "string" });
  properties.set("kind", { type: "string" });
  properties.set("metadata", schemaOf(OBJECT_META));
}

/** One node of a structural OpenAPI v3 schema as a FieldSchema. */
export function structuralSchema(raw: Raw): FieldSchema {
  const common = {
    raw,
    ...(raw["nullable"] === true ? { nullable: true } : {}),
    ...(raw["default"] === undefined ? {} : { default: raw["default"] }),
    ...(Array.isArray(raw["enum"]) ? { enum: raw["enum"] as unknown[] } : {}),
    ...(typeof raw["format"] === "string" ? { format: raw["format"] } : {}),
    ...(raw["x-kubernetes-preserve-unknown-fields"] === true ? { preserveUnknownFields: true } : {}),
    ...(raw["x-kubernetes-embedded-resource"] === true ? { embeddedResource: true } : {}),
  };
  if (raw["x-kubernetes-int-or-string"] === true) return { ...common, type: "int-or-string" };
  switch (raw["type"]) {
    case "object":
      return { ...common, ...objectShape(raw) };
    case "array":
      return {
        ...common,
        type: "array",
        items: isRecord(raw["items"]) ? structuralSchema(raw["items"]) : { type: "any" },
        ...listMarkers(raw),
      };
    case "string":
      return { ...common, type: "string" };
    case "integer":
    case "number":
    case "boolean":
      return { ...common, type: raw["type"] };
    default:
      return { ...common, type: "any", preserveUnknownFields: true };
  }
}

function objectShape(raw: Raw): Pick<FieldSchema, "type" | "properties" | "items" | "required" | "mapType"> {
  const mapType = raw["x-kubernetes-map-type"];
  const granularity: Pick<FieldSchema, "mapType"> = mapType === "atomic" || mapType === "granular" ? { mapType } : {};
  const additional = raw["additionalProperties"];
  if (additional !== undefined && additional !== false && !isRecord(raw["properties"])) {
    const items: FieldSchema = isRecord(additional)
      ? structuralSchema(additional)
      : { type: "any", preserveUnknownFields: true };
    return { type: "map", items, ...granularity };
  }
  const members = isRecord(raw["properties"]) ? raw["properties"] : {};
  const properties = new Map(Object.entries(members).map(([name, member]) => [name, structuralSchema(member as Raw)]));
  if (raw["x-kubernetes-embedded-resource"] === true) addTypeFields(properties);
  const required = Array.isArray(raw["required"]) ? { required: raw["required"] as string[] } : {};
  return { type: "object", properties, ...required, ...granularity };
}

function listMarkers(raw: Raw): Pick<FieldSchema, "listType" | "listMapKeys"> {
  const listType = raw["x-kubernetes-list-type"];
  if (listType !== "atomic" && listType !== "set" && listType !== "map") return {};
  const keys = raw["x-kubernetes-list-map-keys"];
  return { listType, ...(Array.isArray(keys) ? { listMapKeys: keys as string[] } : {}) };
}
