/**
 * OpenAPI v2 as protobuf (openapi.v2 of google/gnostic), which clients of the API ask for first because it decodes
 * faster than JSON. Only the parts that our documents use.
 */
import type { Json } from "./schemas.ts";
import { any, extensions, Message, named } from "./wire.ts";

/** openapi.v2.Schema */
function schema(object: Json): Buffer {
  const message = new Message()
    .text(1, object["$ref"])
    .text(2, object["format"])
    .text(3, object["title"])
    .text(4, object["description"]);
  if (object["default"] !== undefined) message.bytes(5, any(object["default"]));
  message
    .double(6, object["multipleOf"])
    .double(7, object["maximum"])
    .flag(8, object["exclusiveMaximum"])
    .double(9, object["minimum"])
    .flag(10, object["exclusiveMinimum"])
    .integer(11, object["maxLength"])
    .integer(12, object["minLength"])
    .text(13, object["pattern"])
    .integer(14, object["maxItems"])
    .integer(15, object["minItems"])
    .flag(16, object["uniqueItems"])
    .integer(17, object["maxProperties"])
    .integer(18, object["minProperties"])
    .texts(19, object["required"]);
  for (const value of (object["enum"] as unknown[] | undefined) ?? []) message.bytes(20, any(value));
  const additional = object["additionalProperties"];
  if (typeof additional === "boolean") message.bytes(21, new Message().flag(2, additional).finish());
  else if (additional !== undefined) message.bytes(21, new Message().bytes(1, schema(additional as Json)).finish());
  const { type } = object;
  if (type !== undefined) message.bytes(22, new Message().texts(1, Array.isArray(type) ? type : [type]).finish());
  const { items } = object;
  if (items !== undefined) message.bytes(23, new Message().bytes(1, schema(items as Json)).finish());
  for (const part of (object["allOf"] as Json[] | undefined) ?? []) message.bytes(24, schema(part));
  const { properties } = object;
  if (properties !== undefined) {
    const all = new Message();
    for (const [name, value] of Object.entries(properties as Json)) all.bytes(1, named(name, schema(value as Json)));
    message.bytes(25, all.finish());
  }
  if (object["example"] !== undefined) message.bytes(30, any(object["example"]));
  extensions(message, 31, object);
  return message.finish();
}

/** openapi.v2.Parameter */
function parameter(object: Json): Buffer {
  const parameter = new Message();
  if (object["in"] === "body") {
    const body = new Message()
      .text(1, object["description"])
      .text(2, object["name"])
      .text(3, object["in"])
      .flag(4, object["required"])
      .bytes(5, schema(object["schema"] as Json));
    parameter.bytes(1, body.finish());
  } else {
    const query = object["in"] === "query";
    // QueryParameterSubSchema has allow_empty_value in field 5, PathParameterSubSchema has not.
    const shift = query ? 1 : 0;
    const inner = new Message()
      .flag(1, object["required"])
      .text(2, object["in"])
      .text(3, object["description"])
      .text(4, object["name"])
      .text(5 + shift, object["type"])
      .flag(19 + shift, object["uniqueItems"]);
    parameter.bytes(2, new Message().bytes(query ? 3 : 4, inner.finish()).finish());
  }
  return parameter.finish();
}

/** openapi.v2.ParametersItem */
function parametersItem(object: Json): Buffer {
  const { $ref } = object;
  return $ref === undefined
    ? new Message().bytes(1, parameter(object)).finish()
    : new Message().bytes(2, new Message().text(1, $ref).finish()).finish();
}

/** openapi.v2.Operation */
function operation(object: Json): Buffer {
  const message = new Message()
    .texts(1, object["tags"])
    .text(3, object["description"])
    .text(5, object["operationId"])
    .texts(6, object["produces"])
    .texts(7, object["consumes"]);
  for (const each of (object["parameters"] as Json[] | undefined) ?? []) message.bytes(8, parametersItem(each));
  const responses = new Message();
  for (const [code, value] of Object.entries(object["responses"] as Record<string, Json>)) {
    const response = new Message().text(1, value["description"]);
    if (value["schema"] !== undefined) {
      response.bytes(2, new Message().bytes(1, schema(value["schema"] as Json)).finish());
    }
    responses.bytes(1, named(code, new Message().bytes(1, response.finish()).finish()));
  }
  message.bytes(9, responses.finish()).texts(10, object["schemes"]);
  extensions(message, 13, object);
  return message.finish();
}

const METHOD_FIELDS: Readonly<Record<string, number>> = {
  get: 2,
  put: 3,
  post: 4,
  delete: 5,
  options: 6,
  head: 7,
  patch: 8,
};

/** openapi.v2.PathItem */
function pathItem(object: Json): Buffer {
  const message = new Message();
  for (const [method, field] of Object.entries(METHOD_FIELDS)) {
    if (object[method] !== undefined) message.bytes(field, operation(object[method] as Json));
  }
  for (const each of (object["parameters"] as Json[] | undefined) ?? []) message.bytes(9, parametersItem(each));
  return message.finish();
}

/** Entries of the paths of a document, to be joined with others. */
export function encodePaths(paths: Json): Buffer {
  const message = new Message();
  for (const [path, item] of Object.entries(paths)) message.bytes(2, named(path, pathItem(item as Json)));
  return message.finish();
}

/** Entries of the definitions of a document, to be joined with others. */
export function encodeDefinitions(definitions: Json): Buffer {
  const message = new Message();
  for (const [name, value] of Object.entries(definitions)) message.bytes(1, named(name, schema(value as Json)));
  return message.finish();
}

function encodeParameters(parameters: Json): Buffer {
  const message = new Message();
  for (const [name, value] of Object.entries(parameters)) message.bytes(1, named(name, parameter(value as Json)));
  return message.finish();
}

/** openapi.v2.Document around joined entries. */
export function encodeDocument(version: string, paths: Buffer, definitions: Buffer, parameters: Json): Buffer {
  const info = new Message().text(1, "Kubernetes").text(2, version).finish();
  const bearer = new Message()
    .text(1, "apiKey")
    .text(2, "authorization")
    .text(3, "header")
    .text(4, "Bearer Token authentication")
    .finish();
  const security = named("BearerToken", new Message().bytes(2, bearer).finish());
  return new Message()
    .text(1, "2.0")
    .bytes(2, info)
    .bytes(8, paths)
    .bytes(9, definitions)
    .bytes(10, encodeParameters(parameters))
    .bytes(12, new Message().bytes(1, named("BearerToken", Buffer.alloc(0))).finish())
    .bytes(13, new Message().bytes(1, security).finish())
    .finish();
}
