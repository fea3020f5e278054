/**
 * Kubernetes' protobuf encoding of the built-in kinds, both ways between wire bytes and the JSON form of objects.
 * Decoded objects carry no apiVersion and kind unless they come from an envelope: the envelope has them.
 */
import { parseApiVersion } from "../object.ts";
import { decodeJson } from "../json.ts";
import { CodecSet } from "./codec.ts";
import { unwrapUnknown, wrapUnknown } from "./envelope.ts";
import { ProtobufError } from "./reader.ts";
import { protobufMessageFor } from "./tables.ts";

export {
  decodeWatchEvent,
  encodeWatchFrame,
  hasProtobufMagic,
  type Unknown,
  unwrapUnknown,
  envelopeAround,
  wrapUnknown,
} from "./envelope.ts";
export { BYTES, ProtobufError, Reader, VARINT } from "./reader.ts";
export { ReverseWriter } from "./writer.ts";
export { type FieldEntry, hasMessage, jsonFields, messageFields, messageNames, protobufMessageFor } from "./tables.ts";

const codecs = new CodecSet(decodeAtDepth);

/** Encodes an object in its JSON form. Members the message does not have are left out. @throws ProtobufError */
export function encodeProtobuf(message: string, object: unknown): Buffer {
  return codecs.encode(message, object);
}

/** Decodes a bare message. @throws ProtobufError for malformed bytes. */
export function decodeProtobuf(message: string, bytes: Uint8Array): Record<string, unknown> {
  return codecs.decode(message, bytes);
}

/** An object as magic + envelope + message; its apiVersion and kind go into the envelope. @throws ProtobufError */
export function encodeEnvelope(
  message: string,
  object: { readonly apiVersion?: string; readonly kind?: string },
): Buffer {
  const { apiVersion = "", kind = "" } = object;
  return wrapUnknown({ apiVersion, kind, raw: encodeProtobuf(message, object) });
}

/** The object inside magic + envelope, with apiVersion and kind. @throws ProtobufError, DecodeError */
export function decodeEnvelope(bytes: Uint8Array): Record<string, unknown> {
  return decodeAtDepth(bytes, 0);
}

function decodeAtDepth(bytes: Uint8Array, depth: number): Record<string, unknown> {
  const { apiVersion, kind, raw, contentType } = unwrapUnknown(bytes);
  if (contentType === "application/json") return decodeJson(raw).value as Record<string, unknown>;
  const message = protobufMessageFor({ ...parseApiVersion(apiVersion), kind });
  if (message === undefined) {
    throw new ProtobufError(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`);
  }
  return { apiVersion, kind, ...codecs.decode(message, raw, depth) };
}
