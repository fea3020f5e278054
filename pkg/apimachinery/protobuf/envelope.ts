/**
 * What surrounds a message on the wire and in stores: the magic, runtime.Unknown, and the frames of a watch.
 * Content type application/vnd.kubernetes.protobuf, and the same with ;stream=watch.
 */
import { assertTag, BYTES, expectWireType, ProtobufError, Reader } from "./reader.ts";
import { ReverseWriter } from "./writer.ts";

const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0x00]);

/** A typed envelope around encoded data. */
export interface Unknown {
  readonly apiVersion: string;
  readonly kind: string;
  /** The encoded message, or JSON when `contentType` says so. */
  readonly raw: Uint8Array;
  readonly contentEncoding?: string;
  /** "" stands for protobuf. */
  readonly contentType?: string;
}

const tag = (field: number): number => field * 8 + BYTES;

/** Magic and runtime.Unknown around `raw`. */
export function wrapUnknown({ apiVersion, kind, raw, contentEncoding = "", contentType = "" }: Unknown): Buffer {
  return Buffer.concat([envelopeHead(apiVersion, kind, raw.length), raw, envelopeTail(contentEncoding, contentType)]);
}

/** What comes before and behind a message of that length that is written elsewhere. */
export function envelopeAround(apiVersion: string, kind: string, length: number): { head: Buffer; tail: Buffer } {
  return { head: envelopeHead(apiVersion, kind, length), tail: envelopeTail("", "") };
}

/** Everything up to the raw message. */
function envelopeHead(apiVersion: string, kind: string, rawLength: number): Buffer {
  const writer = new ReverseWriter(apiVersion.length + kind.length + 64);
  writer.varint(rawLength);
  writer.byte(tag(2));
  const mark = writer.written;
  writer.string(kind);
  writer.byte(tag(2));
  writer.string(apiVersion);
  writer.byte(tag(1));
  writer.varint(writer.written - mark);
  writer.byte(tag(1));
  for (let i = MAGIC.length - 1; i >= 0; i--) writer.byte(MAGIC[i]!);
  return writer.finish();
}
function envelopeTail(contentEncoding: string, contentType: string): Buffer {
  const writer = new ReverseWriter(contentEncoding.length + contentType.length + 64);
  writer.string(contentType);
  writer.byte(tag(4));
  writer.string(contentEncoding);
  writer.byte(tag(3));
  return writer.finish();
}

/** Do the bytes begin as Kubernetes' protobuf does ("k8s\0")? */
export function hasProtobufMagic(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, index) => bytes[index] === byte);
}

/** The envelope that starts with the magic; `raw` is a view on `bytes`. @throws ProtobufError */
export function unwrapUnknown(bytes: Uint8Array): Required<Unknown> {
  if (bytes.length === 0) throw new ProtobufError("empty data");
  if (!hasProtobufMagic(bytes)) {
    throw new ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  }
  if (bytes.length === MAGIC.length) throw new ProtobufError("empty body");
  const reader = new Reader(bytes);
  reader.position = MAGIC.length;
  let apiVersion = "";
  let kind = "";
  let raw: Uint8Array = new Uint8Array();
  let contentEncoding = "";
  let contentType = "";
  const fields: readonly (readonly [name: string, read: () => void])[] = [
    [
      "TypeMeta",
      () => {
        const { end } = reader;
        reader.end = reader.length();
        while (reader.position < reader.end) {
          const member = reader.varint();
          assertTag(member, "TypeMeta");
          if (member === tag(1)) apiVersion = reader.string();
          else if (member === tag(2)) kind = reader.string();
          else reader.skip(member & 7);
        }
        reader.end = end;
      },
    ],
    ["Raw", () => (raw = reader.bytes())],
    ["ContentEncoding", () => (contentEncoding = reader.string())],
    ["ContentType", () => (contentType = reader.string())],
  ];
  while (reader.position < reader.end) {
    const next = reader.varint();
    assertTag(next, "Unknown");
    const field = fields[Math.floor(next / 8) - 1];
    if (field === undefined) reader.skip(next & 7);
    else {
      expectWireType(field[0], next & 7, BYTES);
      field[1]();
    }
  }
  return { apiVersion, kind, raw, contentEncoding, contentType };
}

/**
 * One frame of a protobuf watch: a four-byte big-endian length and a bare WatchEvent whose object is `object`, an
 * envelope with magic.
 */
export function encodeWatchFrame(type: string, object: Uint8Array): Buffer {
  const writer = new ReverseWriter(object.length + type.length + 32);
  const mark = writer.written;
  writer.bytes(object);
  writer.byte(tag(1));
  writer.varint(writer.written - mark);
  writer.byte(tag(2));
  writer.string(type);
  writer.byte(tag(1));
  const length = writer.written;
  for (let shift = 0; shift < 32; shift += 8) writer.byte((length >>> shift) & 0xff);
  return writer.finish();
}

/** The body of one watch frame (without its length): type and envelope. @throws ProtobufError */
export function decodeWatchEvent(frame: Uint8Array): { type: string; object: Uint8Array } {
  const reader = new Reader(frame);
  let type = "";
  let object: Uint8Array = new Uint8Array();
  while (reader.position < reader.end) {
    const next = reader.varint();
    if (next === tag(1)) type = reader.string();
    else if (next === tag(2)) {
      const { end } = reader;
      reader.end = reader.length();
      while (reader.position < reader.end) {
        const member = reader.varint();
        if (member === tag(1)) object = reader.bytes();
        else reader.skip(member & 7);
      }
      reader.end = end;
    } else reader.skip(next & 7);
  }
  return { type, object };
}
