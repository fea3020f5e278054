import type { PrinterColumn } from "#pkg/api/index.ts";
import { age } from "#pkg/api/index.ts";
import type { CustomResourceColumnDefinition } from "#pkg/api/types/apiextensions-v1.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { compileJsonPath, JsonPathError } from "./json-path.ts";

const NAME: PrinterColumn = {
  name: "Name",
  type: "string",
  format: "name",
  priority: 0,
  description:
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
};
const AGE: CustomResourceColumnDefinition = {
  name: "Age",
  type: "date",
  jsonPath: ".metadata.creationTimestamp",
  description:
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.",
};

const RFC_3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:\d{2})$/;

/** Definitions are not refused for a path that cannot be read: its column is empty. */
function finderOf(jsonPath: string): (object: unknown) => unknown[] {
  try {
    return compileJsonPath(jsonPath);
  } catch (error) {
    if (error instanceof JsonPathError) return () => [];
    throw error;
  }
}

/** Table columns of a custom resource, and how a row is printed. */
export function customColumns(declared: readonly CustomResourceColumnDefinition[] | undefined): {
  columns: PrinterColumn[];
  printRow(object: Readonly<KubeObject>, now: number): unknown[];
} {
  const extra = declared === undefined || declared.length === 0 ? [AGE] : declared;
  const cells = extra.map(({ jsonPath, type }) => ({ find: finderOf(jsonPath), type }));
  const columns = extra.map(({ name, type, format = "", priority = 0, description, jsonPath }) => ({
    name,
    type,
    format,
    priority,
    description: description ?? `Custom resource definition column (in JSONPath format): ${jsonPath}`,
  }));
  return {
    columns: [NAME, ...columns],
    printRow: (object, now) => [object.metadata.name, ...cells.map(({ find, type }) => cell(find(object), type, now))],
  };
}

function cell(found: readonly unknown[], type: string, now: number): unknown {
  const [first] = found;
  if (first === undefined || first === null) return null;
  switch (type) {
    case "integer":
      return typeof first === "number" ? Math.trunc(first) : typeof first === "bigint" ? first : null;
    case "number":
      return typeof first === "number" || typeof first === "bigint" ? first : null;
    case "boolean":
      return typeof first === "boolean" ? first : null;
    case "date":
      return typeof first === "string" ? (RFC_3339.test(first) ? age(first, now) : "<invalid>") : null;
    default:
      return typeof first === "string" ? first : JSON.stringify(first);
  }
}
