/**
 * Kubernetes' protobuf encoding of the built-in kinds, both ways between wire bytes and the JSON form of objects.
 * Decoded objects carry no apiVersion and kind unless they come from an envelope: the envelope has them.
 */
import { goQuote } from "../field-errors.ts";
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

/** What an envelope holds that does not say it. */
interface Expected {
  readonly apiVersion: string;
  readonly kind: string;
}

/**
 * The object inside magic + envelope, with apiVersion and kind. @throws ProtobufError, DecodeError
 */
export function decodeEnvelope(bytes: Uint8Array, expected?: Expected): Record<string, unknown> {
  return decodeAtDepth(bytes, 0, expected);
}

const SCHEME = "pkg/api/legacyscheme/scheme.go:30";

function decodeAtDepth(bytes: Uint8Array, depth: number, expected?: Expected): Record<string, unknown> {
  const { raw, contentType, ...type } = unwrapUnknown(bytes);
  const of = { apiVersion: type.apiVersion || (expected?.apiVersion ?? ""), kind: type.kind || (expected?.kind ?? "") };
  if (contentType === "application/json") return decodeJson(raw).value as Record<string, unknown>;
  try {
    const message = protobufMessageFor({ ...parseApiVersion(of.apiVersion), kind: of.kind });
    if (message !== undefined) return { ...of, ...codecs.decode(message, raw, depth) };
    const version = goQuote(of.apiVersion);
    throw new ProtobufError(`no kind ${goQuote(of.kind)} is registered for version ${version} in scheme "${SCHEME}"`);
  } catch (error) {
    if (error instanceof ProtobufError) error.of ??= of;
    throw error;
  }
}
