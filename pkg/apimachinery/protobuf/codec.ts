/** Compiles message tables into pairs of functions. A message is compiled when it is first used, once per codec set. */
import { setMember } from "../deep.ts";
import { findOnce, isShared } from "../shared.ts";
import {
  assertTag,
  BYTES,
  expectWireType,
  FIXED64,
  MAX_PROTOBUF_DEPTH,
  ProtobufError,
  Reader,
  VARINT,
} from "./reader.ts";
import { specialCodec } from "./special.ts";
import { type FieldEntry, messageFields } from "./tables.ts";
import { ReverseWriter } from "./writer.ts";

/** Both directions of one message, without length prefix. */
export interface Codec {
  /** Writes `value` in front of what the writer holds. */
  encode(value: unknown, writer: ReverseWriter): void;
  /** Reads up to the reader's end. `undefined` means: leave the member out. */
  decode(reader: Reader): unknown;
}

/** Reads protobuf found inside a raw extension, which is `depth` messages deep. */
export type DecodeBinary = (raw: Buffer, depth: number) => unknown;

type Json = Record<string, unknown>;
type WriteField = (object: Json, writer: ReverseWriter) => void;
interface FieldWriter {
  readonly number: number;
  readonly write: WriteField;
}
type ReadField = (reader: Reader, object: Json, wireType: number) => void;

interface Scalar {
  readonly wireType: number;
  write(value: unknown, writer: ReverseWriter): void;
  read(reader: Reader): unknown;
  readonly zero: unknown;
}

function wrongType(name: string, expected: string, value: unknown): never {
  throw new ProtobufError(`${name}: expected ${expected}, got ${JSON.stringify(value)?.slice(0, 100)}`);
}

const SCALARS: Readonly<Record<string, (name: string) => Scalar>> = {
  string: (name) => ({
    wireType: BYTES,
    write: (value, writer) => writer.string(typeof value === "string" ? value : wrongType(name, "a string", value)),
    read: (reader) => reader.string(),
    zero: "",
  }),
  bytes: (name) => ({
    wireType: BYTES,
    write: (value, writer) =>
      writer.bytes(Buffer.from(typeof value === "string" ? value : wrongType(name, "base64 text", value), "base64")),
    read: (reader) => reader.bytes().toString("base64"),
    zero: "",
  }),
  bool: (name) => ({
    wireType: VARINT,
    write: (value, writer) =>
      writer.byte(typeof value === "boolean" ? Number(value) : wrongType(name, "a boolean", value)),
    read: (reader) => reader.bool(),
    zero: false,
  }),
  int32: (name) => ({
    wireType: VARINT,
    write: (value, writer) =>
      writer.signed(Number.isInteger(value) ? (value as number) : wrongType(name, "an integer", value)),
    read: (reader) => reader.int32(),
    zero: 0,
  }),
  int64: (name) => ({
    wireType: VARINT,
    write: (value, writer) =>
      writer.signed(
        typeof value === "bigint" || Number.isInteger(value)
          ? (value as number | bigint)
          : wrongType(name, "an integer", value),
      ),
    read: (reader) => reader.int64(),
    zero: 0,
  }),
  double: (name) => ({
    wireType: FIXED64,
    write: (value, writer) => writer.double(typeof value === "number" ? value : wrongType(name, "a number", value)),
    read: (reader) => reader.double(),
    zero: 0,
  }),
};

/** All messages of the tables; each is compiled on first use. */
export class CodecSet {
  readonly #codecs = new Map<string, Codec>();
  readonly #decodeBinary: DecodeBinary;
  /** One writer for all messages: encoding is synchronous, and its buffer grows to the largest object only once. */
  readonly #writer = new ReverseWriter(64 * 1024);

  constructor(decodeBinary: DecodeBinary) {
    this.#decodeBinary = decodeBinary;
  }

  encode(message: string, value: unknown): Buffer {
    const writer = this.#writer;
    writer.reset();
    this.codec(message).encode(value, writer);
    return writer.finish();
  }

  decode(message: string, bytes: Uint8Array, depth = 0): Json {
    const value = this.codec(message).decode(new Reader(bytes, depth));
    return (value ?? {}) as Json;
  }

  codec(message: string): Codec {
    let codec = this.#codecs.get(message);
    if (codec === undefined) {
      codec = specialCodec(message, (name) => this.codec(name), this.#decodeBinary) ?? this.#compile(message);
      this.#codecs.set(message, codec);
    }
    return codec;
  }

  #compile(message: string): Codec {
    // Filled in on first use, so that messages may contain themselves.
    let writers: ReadonlyMap<string, FieldWriter> | undefined;
    let embedded: readonly FieldWriter[] = [];
    let readers: ReadField[] = [];
    // Memo: members of the last object, and their writers in the order of numbers. The next one mostly has the same.
    let names: string[] = [];
    let order: readonly FieldWriter[] = embedded;
    const prepare = (): ReadonlyMap<string, FieldWriter> => {
      const fields = messageFields(message);
      const all = fields.map((field) => ({ field, writer: { number: field.number, write: this.#writeField(field) } }));
      writers = new Map(all.filter(({ field }) => !field.inline).map(({ field, writer }) => [field.name, writer]));
      embedded = all.filter(({ field }) => field.inline).map(({ writer }) => writer);
      readers = [];
      for (const field of fields) readers[field.number] = this.#readField(field);
      return writers;
    };
    const read = (reader: Reader, object: Json): void => {
      if (writers === undefined) prepare();
      if (++reader.depth > MAX_PROTOBUF_DEPTH) throw new ProtobufError("exceeded max depth");
      while (reader.position < reader.end) {
        const tag = reader.varint();
        assertTag(tag, message.slice(message.lastIndexOf(".") + 1));
        // Numbers of fields are those of 32 bits that there is room for.
        const readField = readers[Math.floor(tag / 8) | 0];
        if (readField === undefined) reader.skip(tag & 7);
        else readField(reader, object, tag & 7);
      }
      reader.depth--;
    };
    const codec: Codec & { readInto: typeof read } = {
      encode(value, writer) {
        if (typeof value !== "object" || value === null || Array.isArray(value)) wrongType(message, "an object", value);
        if (writers === undefined || !hasMembers(value, names)) {
          const byName = writers ?? prepare();
          // An object has far fewer members than its message has fields.
          const present = embedded.slice();
          names = Object.keys(value);
          for (const name of names) {
            const field = byName.get(name);
            if (field !== undefined) insertByNumber(present, field);
          }
          order = present;
        }
        // A message may contain itself, and its inner one leave another order behind.
        const present = order;
        for (let i = present.length - 1; i >= 0; i--) present[i]!.write(value as Json, writer);
      },
      decode(reader) {
        const object: Json = {};
        read(reader, object);
        return object;
      },
      readInto: read,
    };
    return codec;
  }

  #writeField(field: FieldEntry): WriteField {
    const { name } = field;
    const writeTag = tagWriter(field.number, wireTypeOf(field));
    const nested = field.isMessage ? this.#nestedWriter(field.type) : SCALARS[field.type]!(name).write;
    if (field.inline) {
      return (object, writer) => {
        nested(object, writer);
        writeTag(writer);
      };
    }
    switch (field.label) {
      case "optional":
        return (object, writer) => {
          const value = object[name];
          if (value === undefined || value === null) return;
          nested(value, writer);
          writeTag(writer);
        };
      case "repeated": {
        const writeItems = (items: unknown, writer: ReverseWriter) => {
          if (!Array.isArray(items)) wrongType(name, "an array", items);
          for (let i = items.length - 1; i >= 0; i--) {
            nested(items[i], writer);
            writeTag(writer);
          }
        };
        const write = field.isMessage ? sparingShared(writeItems) : writeItems;
        return (object, writer) => {
          const items = object[name];
          if (items !== undefined && items !== null) write(items, writer);
        };
      }
      case "map":
        return mapWriter(field, nested, writeTag);
    }
  }

  #nestedWriter(message: string): (value: unknown, writer: ReverseWriter) => void {
    const codec = this.codec(message);
    const encode = sparingShared((value, writer) => {
      writer.depth++;
      codec.encode(value, writer);
      writer.depth--;
    });
    return (value, writer) => {
      const mark = writer.written;
      encode(value, writer);
      writer.varint(writer.written - mark);
    };
  }

  #readField(field: FieldEntry): ReadField {
    const { name } = field;
    if (field.inline) {
      const { readInto } = this.codec(field.type) as Codec & { readInto: (reader: Reader, object: Json) => void };
      return (reader, object, wireType) => {
        expectWireType(name, wireType, BYTES);
        const { end } = reader;
        reader.end = reader.length();
        readInto(reader, object);
        reader.end = end;
      };
    }
    const scalar = field.isMessage ? undefined : SCALARS[field.type]!(name);
    const expected = scalar?.wireType ?? BYTES;
    const read = scalar?.read ?? this.#nestedReader(field.type);
    switch (field.label) {
      case "optional": {
        const dropped = scalar === undefined || field.keepsZero ? undefined : scalar.zero;
        return (reader, object, wireType) => {
          expectWireType(name, wireType, expected);
          const value = read(reader);
          if (value !== dropped && value !== undefined) object[name] = value;
        };
      }
      case "repeated":
        return (reader, object, wireType) => {
          expectWireType(name, wireType, expected);
          const items = (object[name] ??= []) as unknown[];
          items.push(read(reader) ?? null);
        };
      case "map":
        return mapReader(field, read, expected, scalar?.zero);
    }
  }

  #nestedReader(message: string): (reader: Reader) => unknown {
    const codec = this.codec(message);
    return (reader) => {
      const { end } = reader;
      reader.end = reader.length();
      const value = codec.decode(reader);
      reader.end = end;
      return value;
    };
  }
}

/** Objects share their members, such as the spec of a pod, and members of these; nothing that lies deeper is known to be shared. */
const SHARED_DEPTH = 2;

/** The same, but for what is shared by many objects: that is written once, and copied from then on. */
function sparingShared(
  write: (value: unknown, writer: ReverseWriter) => void,
): (value: unknown, writer: ReverseWriter) => void {
  const sparing = (value: unknown, writer: ReverseWriter): void => {
    if (writer.depth >= SHARED_DEPTH || !isShared(value)) {
      write(value, writer);
      return;
    }
    const bytes = findOnce(value as object, sparing, () => {
      const mark = writer.written;
      write(value, writer);
      return writer.cut(mark);
    });
    writer.raw(bytes);
  };
  return sparing;
}

function hasMembers(object: object, names: readonly string[]): boolean {
  let count = 0;
  for (const name in object) if (names[count++] !== name) return false;
  return count === names.length;
}

function insertByNumber(sorted: FieldWriter[], field: FieldWriter): void {
  let at = sorted.length;
  for (; at > 0 && sorted[at - 1]!.number > field.number; at--) sorted[at] = sorted[at - 1]!;
  sorted[at] = field;
}

function wireTypeOf(field: FieldEntry): number {
  if (field.label === "map" || field.isMessage) return BYTES;
  return SCALARS[field.type]!(field.name).wireType;
}

function tagWriter(number: number, wireType: number): (writer: ReverseWriter) => void {
  const tag = number * 8 + wireType;
  return tag < 0x80 ? (writer) => writer.byte(tag) : (writer) => writer.varint(tag);
}

/** Entries {key: 1, value: 2} in the order of their keys, as Go writes them. */
function mapWriter(
  field: FieldEntry,
  writeValue: (value: unknown, writer: ReverseWriter) => void,
  writeTag: (writer: ReverseWriter) => void,
): WriteField {
  const { name } = field;
  const valueTag = 2 * 8 + (field.isMessage ? BYTES : SCALARS[field.type]!(name).wireType);
  return (object, writer) => {
    const map = object[name];
    if (map === undefined || map === null) return;
    if (typeof map !== "object" || Array.isArray(map)) wrongType(name, "an object", map);
    const keys = Object.keys(map).sort();
    for (let i = keys.length - 1; i >= 0; i--) {
      const key = keys[i]!;
      const value = (map as Json)[key];
      const mark = writer.written;
      if (value !== undefined && value !== null) {
        writeValue(value, writer);
        writer.byte(valueTag);
      }
      writer.string(key);
      writer.byte(1 * 8 + BYTES);
      writer.varint(writer.written - mark);
      writeTag(writer);
    }
  };
}

function mapReader(field: FieldEntry, read: (reader: Reader) => unknown, expected: number, zero: unknown): ReadField {
  const { name } = field;
  return (reader, object, wireType) => {
    expectWireType(name, wireType, BYTES);
    const { end } = reader;
    reader.end = reader.length();
    let key = "";
    let value = zero;
    while (reader.position < reader.end) {
      const tag = reader.varint();
      if (tag === 1 * 8 + BYTES) key = reader.string();
      else if (tag === 2 * 8 + expected) value = read(reader);
      else reader.skip(tag & 7);
    }
    reader.end = end;
    setMember((object[name] ??= {}) as Json, key, value ?? {});
  };
}
