import { isRecord } from "#pkg/apimachinery/index.ts";
import type { OpenApiPart } from "./merge.ts";
import type { Json } from "./schemas.ts";

const METHODS = new Set(["get", "put", "post", "delete", "options", "head", "patch"]);
/** Of a version 2 parameter: what describes its value has a place of its own in version 3. */
const OF_THE_VALUE = [
  "type",
  "format",
  "items",
  "default",
  "enum",
  "pattern",
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "uniqueItems",
  "multipleOf",
];
const ANY_TYPE = ["*/*"];
const PARAMETER = "#/parameters/";

/** A version 3 document with what a server says of itself in version 2. */
export function asVersion3({ paths: shared, definitions, parameters }: OpenApiPart, version: string): Json {
  const paths = resolved(shared, parameters) as Json;
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version },
    paths: mapValues(paths, pathItem),
    components: { schemas: mapValues(definitions, relinked) },
  };
}

/** A copy with parameters in the place of references to them: version 3 says bodies elsewhere. */
function resolved(value: unknown, parameters: Json): unknown {
  if (Array.isArray(value)) return value.map((each) => resolved(each, parameters));
  if (!isRecord(value)) return value;
  const { $ref } = value;
  const name = typeof $ref === "string" && $ref.startsWith(PARAMETER) ? $ref.slice(PARAMETER.length) : undefined;
  if (name !== undefined) return parameters[name] ?? value;
  return mapValues(value, (child) => resolved(child, parameters));
}

function mapValues(object: Json, change: (value: unknown) => unknown): Json {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}
/** A copy whose references lead to where version 3 keeps its schemas. */
function relinked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(relinked);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [
      key,
      key === "$ref" && typeof child === "string"
        ? child.replace("#/definitions/", "#/components/schemas/")
        : relinked(child),
    ]),
  );
}

const isBody = (value: unknown): value is Json => isRecord(value) && value["in"] === "body";
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function pathItem(item: unknown): Json {
  if (!isRecord(item)) return {};
  // A body that all operations of a path share has to be said for each of them.
  const shared = listOf(item["parameters"]);
  return Object.fromEntries(
    Object.entries(item).map(([key, value]) => {
      if (key === "parameters") return [key, shared.filter((own) => !isBody(own)).map(parameter)];
      return [key, METHODS.has(key) && isRecord(value) ? operation(value, shared.find(isBody)) : value];
    }),
  );
}

function operation(own: Json, sharedBody: Json | undefined): Json {
  const { consumes, produces, parameters, responses, schemes: _schemes, ...rest } = own;
  const all = listOf(parameters);
  const body = all.find(isBody) ?? sharedBody;
  const others = all.filter((each) => !isBody(each)).map(parameter);
  return {
    ...rest,
    ...(others.length === 0 ? {} : { parameters: others }),
    ...(body === undefined ? {} : { requestBody: requestBody(body, typesOf(consumes)) }),
    responses: mapValues(isRecord(responses) ? responses : {}, (each) => response(each, typesOf(produces))),
  };
}

function typesOf(types: unknown): readonly string[] {
  const listed = listOf(types).map(String);
  return listed.length === 0 ? ANY_TYPE : listed;
}

function contentOf(schema: unknown, types: readonly string[]): Json {
  return Object.fromEntries(types.map((type) => [type, { schema: relinked(schema) }]));
}

function requestBody({ description, required, schema = {} }: Json, types: readonly string[]): Json {
  return {
    ...(description === undefined ? {} : { description }),
    content: contentOf(schema, types),
    ...(required === true ? { required } : {}),
  };
}

function response(value: unknown, types: readonly string[]): Json {
  if (!isRecord(value)) return { description: "" };
  const { schema, headers: _headers, examples: _examples, description = "", ...rest } = value;
  return { ...rest, description, ...(schema === undefined ? {} : { content: contentOf(schema, types) }) };
}

function parameter(value: unknown): unknown {
  if (!isRecord(value) || value["$ref"] !== undefined) return relinked(value);
  const own = Object.entries(value);
  const { collectionFormat: _format, ...about } = Object.fromEntries(
    own.filter(([key]) => !OF_THE_VALUE.includes(key)),
  );
  const schema = Object.fromEntries(own.filter(([key]) => OF_THE_VALUE.includes(key)));
  return { ...about, ...(about["in"] === "path" ? { required: true } : {}), schema: relinked(schema) };
}
