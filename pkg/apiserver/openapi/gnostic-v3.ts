/** OpenAPI v3 as protobuf (openapi.v3 of google/gnostic). Only the parts that our documents use. */
import type { Json } from "./schemas.ts";
import { any, extensions, Message, named } from "./wire.ts";

type Encode = (object: Json) => Buffer;

const one = (field: number, value: Buffer): Buffer => new Message().bytes(field, value).finish();
const listOf = (value: unknown): Json[] => (value as Json[] | undefined) ?? [];

/** A message whose only field is a list of named entries. */
function namedAll(entries: unknown, encode: Encode): Buffer {
  const message = new Message();
  for (const [name, value] of Object.entries((entries as Json | undefined) ?? {}))
    message.bytes(1, named(name, encode(value as Json)));
  return message.finish();
}

/** XOrReference: the message itself in field 1, or where it is. */
const orReference =
  (encode: Encode): Encode =>
  (object) =>
    object["$ref"] === undefined
      ? one(1, encode(object))
      : one(2, new Message().text(1, object["$ref"]).text(3, object["description"]).finish());

/** DefaultType: its value where it is a scalar; that there is one, where not. */
function defaultType(value: unknown): Buffer | undefined {
  if (value === undefined) return undefined;
  const message = new Message();
  if (typeof value === "number") return message.present(1, value).finish();
  if (typeof value === "boolean") return message.present(2, value).finish();
  return (typeof value === "string" ? message.bytes(3, Buffer.from(value)) : message).finish();
}

function schema(object: Json): Buffer {
  const message = new Message().flag(1, object["nullable"]);
  if (object["example"] !== undefined) message.bytes(7, any(object["example"]));
  message
    .text(9, object["title"])
    .double(10, object["multipleOf"])
    .double(11, object["maximum"])
    .flag(12, object["exclusiveMaximum"])
    .double(13, object["minimum"])
    .flag(14, object["exclusiveMinimum"])
    .integer(15, object["maxLength"])
    .integer(16, object["minLength"])
    .text(17, object["pattern"])
    .integer(18, object["maxItems"])
    .integer(19, object["minItems"])
    .flag(20, object["uniqueItems"])
    .integer(21, object["maxProperties"])
    .integer(22, object["minProperties"])
    .texts(23, object["required"]);
  for (const value of listOf(object["enum"])) message.bytes(24, any(value));
  message.text(25, object["type"]);
  for (const [word, field] of [
    ["allOf", 26],
    ["oneOf", 27],
    ["anyOf", 28],
  ] as const)
    for (const part of listOf(object[word])) message.bytes(field, schemaOrReference(part));
  const { not, items, properties, additionalProperties: additional } = object;
  if (not !== undefined) message.bytes(29, schema(not as Json));
  if (items !== undefined) message.bytes(30, one(1, schemaOrReference(items as Json)));
  if (properties !== undefined) message.bytes(31, namedAll(properties, schemaOrReference));
  if (typeof additional === "boolean") message.bytes(32, new Message().present(2, additional).finish());
  else if (additional !== undefined) message.bytes(32, one(1, schemaOrReference(additional as Json)));
  const initial = defaultType(object["default"]);
  if (initial !== undefined) message.bytes(33, initial);
  message.text(34, object["description"]).text(35, object["format"]);
  extensions(message, 36, object);
  return message.finish();
}
const schemaOrReference = orReference(schema);

/** MediaTypes: what bodies are in each of their forms. */
function content(types: unknown): Buffer {
  return namedAll(types, ({ schema: described }) =>
    described === undefined ? Buffer.alloc(0) : one(1, schemaOrReference(described as Json)),
  );
}

const parameter = orReference((object) => {
  const message = new Message()
    .text(1, object["name"])
    .text(2, object["in"])
    .text(3, object["description"])
    .flag(4, object["required"]);
  if (object["schema"] !== undefined) message.bytes(10, schemaOrReference(object["schema"] as Json));
  return message.finish();
});

const requestBody = orReference((object) =>
  new Message()
    .text(1, object["description"])
    .bytes(2, content(object["content"]))
    .flag(3, object["required"])
    .finish(),
);

const response = orReference((object) => {
  const message = new Message().text(1, object["description"]);
  if (object["content"] !== undefined) message.bytes(3, content(object["content"]));
  return message.finish();
});

function operation(object: Json): Buffer {
  const message = new Message().texts(1, object["tags"]).text(3, object["description"]).text(5, object["operationId"]);
  for (const each of listOf(object["parameters"])) message.bytes(6, parameter(each));
  if (object["requestBody"] !== undefined) message.bytes(7, requestBody(object["requestBody"] as Json));
  const responses = new Message();
  for (const [code, value] of Object.entries((object["responses"] as Json | undefined) ?? {}))
    responses.bytes(2, named(code, response(value as Json)));
  message.bytes(8, responses.finish());
  extensions(message, 13, object);
  return message.finish();
}

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch"];
const FIRST_METHOD = 4;

function pathItem(object: Json): Buffer {
  const message = new Message();
  for (const [index, method] of METHODS.entries())
    if (object[method] !== undefined) message.bytes(FIRST_METHOD + index, operation(object[method] as Json));
  for (const each of listOf(object["parameters"])) message.bytes(13, parameter(each));
  return message.finish();
}

const securityScheme = orReference((object) =>
  new Message()
    .text(1, object["type"])
    .text(2, object["description"])
    .text(3, object["name"])
    .text(4, object["in"])
    .finish(),
);

/** openapi.v3.Document */
export function encodeVersion3(document: Json): Buffer {
  const { title, version } = document["info"] as Json;
  const components = (document["components"] as Json | undefined) ?? {};
  const parts = new Message();
  if (components["schemas"] !== undefined) parts.bytes(1, namedAll(components["schemas"], schemaOrReference));
  if (components["securitySchemes"] !== undefined)
    parts.bytes(7, namedAll(components["securitySchemes"], securityScheme));
  return new Message()
    .text(1, document["openapi"])
    .bytes(2, new Message().text(1, title).text(6, version).finish())
    .bytes(4, namedAll(document["paths"], pathItem))
    .bytes(5, parts.finish())
    .finish();
}
