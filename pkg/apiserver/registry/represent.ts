import type { KubeObject, ObjectMeta } from "#pkg/apimachinery/index.ts";
import { encodeProtobuf, wrapUnknown } from "#pkg/apimachinery/protobuf/index.ts";
import type { Printer } from "#pkg/api/index.ts";
import { badRequest, encodeYaml, goQuote, notAcceptable } from "#pkg/apimachinery/index.ts";
import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import type { Encoding, MetaVersion, Negotiated, Offers } from "../http/negotiate.ts";
import { encodeObject, sendBytes } from "../http/reply.ts";
import type { Call } from "./call.ts";
import type { InstalledResource } from "./installed.ts";
import { tableOf } from "./table.ts";

const META_PACKAGE = "k8s.io.apimachinery.pkg.apis.meta.v1";

function offersOf({ target }: Call, protobufMessage: string | undefined): Offers {
  const streams = target.verb === "list" || target.verb === "watch";
  return { protobuf: protobufMessage !== undefined, transforms: true, streams };
}

/** What the client wants the answer to look like. @throws StatusError 406 */
export function negotiate(call: Call, protobufMessage = call.installed.definition.protobufMessage): Negotiated {
  return call.services.negotiator.negotiate(call.request.headers["accept"], offersOf(call, protobufMessage));
}

/** Answers with a stored object, from its ready-made bytes where possible. */
export function sendEntry(call: Call, code: number, entry: CacheEntry): void | Promise<void> {
  const negotiated = negotiate(call);
  const { encoding, transform, metaVersion } = negotiated;
  if (transform === "none") return sendBytes(call, code, encoding, encodeEntry(call.installed, entry, encoding));
  if (transform === "PartialObjectMetadata" && encoding === "json") {
    return sendBytes(call, code, encoding, partialJson(call.installed, entry, metaVersion));
  }
  return sendTransformed(call, code, negotiated, call.installed.object(entry));
}

/** Answers with an object that is not (or not yet) stored. */
export function sendObject(call: Call, code: number, object: Readonly<KubeObject>): void | Promise<void> {
  return sendAs(call, code, object, call.installed.definition);
}

/** Answers with an object of another kind than the request's resource, such as the Scale of one. */
export function sendAs(
  call: Call,
  code: number,
  object: Readonly<KubeObject>,
  kind: Printer & { readonly protobufMessage?: string },
): void | Promise<void> {
  const negotiated = negotiate(call, kind.protobufMessage);
  const { encoding, transform } = negotiated;
  if (transform !== "none") return sendTransformed(call, code, negotiated, object, kind);
  return sendBytes(call, code, encoding, encodeObject(encoding, object, kind.protobufMessage));
}

const partialHead = (version: MetaVersion) =>
  Buffer.from(`{"kind":"PartialObjectMetadata","apiVersion":"${version}","metadata":`);
const PARTIAL_HEAD: Readonly<Record<MetaVersion, Buffer>> = {
  "meta.k8s.io/v1": partialHead("meta.k8s.io/v1"),
  "meta.k8s.io/v1beta1": partialHead("meta.k8s.io/v1beta1"),
};
const OBJECT_END = Buffer.from("}");

/** A stored object's PartialObjectMetadata as JSON, around its own bytes. */
export function partialJson(installed: InstalledResource, entry: CacheEntry, version: MetaVersion): Buffer[] {
  return [PARTIAL_HEAD[version], installed.metadataJson(entry), OBJECT_END];
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
  { encoding, transform, metaVersion }: Negotiated,
  object: Readonly<KubeObject>,
  printer: Printer = call.installed.definition,
): void | Promise<void> {
  if (transform === "Table") {
    if (encoding === "protobuf") throw notAcceptable("Table is served as application/json or application/yaml");
    const metadata = { resourceVersion: object.metadata.resourceVersion };
    const table = tableOf(printer, metadata, [object], includeObjectOf(call), call.now, metaVersion);
    return sendBytes(call, code, encoding, encodeObject(encoding, table));
  }
  if (transform === "PartialObjectMetadataList") {
    throw notAcceptable("PartialObjectMetadataList is served for lists only");
  }
  return sendBytes(call, code, encoding, encodePartial(encoding, partialOf(object, metaVersion)));
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
export function partialOf(
  object: Readonly<KubeObject>,
  version: MetaVersion,
): {
  kind: string;
  apiVersion: string;
  metadata: Readonly<ObjectMeta>;
} {
  return { kind: "PartialObjectMetadata", apiVersion: version, metadata: object.metadata };
}

export function encodePartial(encoding: Encoding, partial: { kind: string }): Buffer {
  return encodeObject(encoding, partial, `${META_PACKAGE}.${partial.kind}`);
}
