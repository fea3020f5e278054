import type { KubeObject, ObjectMeta } from "#pkg/apimachinery/index.ts";
import { encodeProtobuf, wrapUnknown } from "#pkg/apimachinery/protobuf/index.ts";
import { badRequest, encodeYaml, goQuote, notAcceptable } from "#pkg/apimachinery/index.ts";
import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import type { Encoding, Negotiated, Offers } from "../http/negotiate.ts";
import { encodeObject, sendBytes } from "../http/reply.ts";
import type { Call } from "./call.ts";
import type { InstalledResource } from "./installed.ts";
import { tableOf } from "./table.ts";

const META_VERSION = "meta.k8s.io/v1";
const META_PACKAGE = "k8s.io.apimachinery.pkg.apis.meta.v1";

function offersOf(installed: InstalledResource): Offers {
  return { protobuf: installed.definition.protobufMessage !== undefined, transforms: true };
}

/** What the client wants the answer to look like. @throws StatusError 406 */
export function negotiate(call: Call): Negotiated {
  return call.services.negotiator.negotiate(call.request.headers["accept"], offersOf(call.installed));
}

/** Answers with a stored object, from its ready-made bytes where possible. */
export function sendEntry(call: Call, code: number, entry: CacheEntry): void | Promise<void> {
  const { encoding, transform } = negotiate(call);
  if (transform === "none") return sendBytes(call, code, encoding, encodeEntry(call.installed, entry, encoding));
  if (transform === "PartialObjectMetadata" && encoding === "json") {
    return sendBytes(call, code, encoding, partialJson(call.installed, entry));
  }
  return sendTransformed(call, code, encoding, transform, call.installed.object(entry));
}

/** Answers with an object that is not (or not yet) stored. */
export function sendObject(call: Call, code: number, object: Readonly<KubeObject>): void | Promise<void> {
  const { encoding, transform } = negotiate(call);
  if (transform !== "none") return sendTransformed(call, code, encoding, transform, object);
  return sendBytes(call, code, encoding, encodeObject(encoding, object, call.installed.definition.protobufMessage));
}

const PARTIAL_HEAD = Buffer.from(`{"kind":"PartialObjectMetadata","apiVersion":"${META_VERSION}","metadata":`);
const OBJECT_END = Buffer.from("}");

/** A stored object's PartialObjectMetadata as JSON, around its own bytes. */
export function partialJson(installed: InstalledResource, entry: CacheEntry): Buffer[] {
  return [PARTIAL_HEAD, installed.metadataJson(entry), OBJECT_END];
}

/** One stored object in an encoding; made once and kept with the entry. */
export function encodeEntry(installed: InstalledResource, entry: CacheEntry, encoding: Encoding): Buffer {
  switch (encoding) {
    case "json":
      return installed.json(entry);
    case "yaml":
      return Buffer.from(encodeYaml(installed.object(entry)));
    case "protobuf":
      return wrapUnknown({
        apiVersion: installed.apiVersion,
        kind: installed.definition.kind,
        raw: protobufOf(installed, entry),
      });
  }
}

/** The entry's bare protobuf message, as lists hold it. */
export function protobufOf(installed: InstalledResource, entry: CacheEntry): Buffer {
  return entry.variant(`${installed.variant}:protobuf`, () =>
    encodeProtobuf(installed.definition.protobufMessage!, installed.object(entry)),
  );
}

function sendTransformed(
  call: Call,
  code: number,
  encoding: Encoding,
  transform: Negotiated["transform"],
  object: Readonly<KubeObject>,
): void | Promise<void> {
  if (transform === "Table") {
    if (encoding === "protobuf") throw notAcceptable("Table is served as application/json or application/yaml");
    const metadata = { resourceVersion: object.metadata.resourceVersion };
    const table = tableOf(call.installed, metadata, [object], includeObjectOf(call), call.now);
    return sendBytes(call, code, encoding, encodeObject(encoding, table));
  }
  if (transform === "PartialObjectMetadataList") {
    throw notAcceptable("PartialObjectMetadataList is served for lists only");
  }
  return sendBytes(call, code, encoding, encodePartial(encoding, partialOf(object)));
}

export type IncludeObject = "None" | "Metadata" | "Object";

/** How much of each object the rows of a Table carry. @throws StatusError 400 */
export function includeObjectOf(call: Call): IncludeObject {
  const value = call.target.query.get("includeObject") ?? "";
  if (value === "None" || value === "Object" || value === "Metadata") return value;
  if (value === "") return "Metadata";
  const why = `Invalid value: ${goQuote(value)}: must be 'Metadata', 'Object', 'None', or empty`;
  throw badRequest(`Unable to convert to Table as requested: includeObject: ${why}`);
}

/** An object's metadata as a kind of its own. */
export function partialOf(object: Readonly<KubeObject>): {
  kind: string;
  apiVersion: string;
  metadata: Readonly<ObjectMeta>;
} {
  return { kind: "PartialObjectMetadata", apiVersion: META_VERSION, metadata: object.metadata };
}

export function encodePartial(encoding: Encoding, partial: { kind: string }): Buffer {
  return encodeObject(encoding, partial, `${META_PACKAGE}.${partial.kind}`);
}
