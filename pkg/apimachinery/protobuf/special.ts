/**
 * Messages whose JSON form is not an object with their fields: quantities, times, int-or-string, raw data, and lists in
 * disguise.
 */
import { DecodeError, decodeJson } from "../json.ts";
import type { Codec, DecodeBinary } from "./codec.ts";
import { assertTag, BYTES, expectWireType, ProtobufError, type Reader, VARINT } from "./reader.ts";
import type { ReverseWriter } from "./writer.ts";

const META = "k8s.io.apimachinery.pkg.apis.meta.v1";
const APIEXTENSIONS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1";

/** Reads one field. Fields are listed in the order of their numbers, from 1. */
type FieldReader = readonly [name: string, wireType: number, read: (reader: Reader) => void];

/** Reads the fields up to the reader's end; those that are not listed are skipped. */
function readFields(reader: Reader, message: string, fields: readonly FieldReader[]): void {
  while (reader.position < reader.end) {
    const tag = reader.varint();
    assertTag(tag, message);
    const field = fields[Math.floor(tag / 8) - 1];
    if (field === undefined) {
      reader.skip(tag & 7);
      continue;
    }
    const [name, wireType, read] = field;
    expectWireType(name, tag & 7, wireType);
    read(reader);
  }
}

const TAG_1_VARINT = (1 << 3) | VARINT;
const TAG_2_VARINT = (2 << 3) | VARINT;
const TAG_1_BYTES = (1 << 3) | BYTES;
const TAG_2_BYTES = (2 << 3) | BYTES;
const TAG_3_BYTES = (3 << 3) | BYTES;

/** {string: 1}: the wire form of Quantity. */
const quantity: Codec = {
  encode(value, writer) {
    writer.string(String(value));
    writer.byte(TAG_1_BYTES);
  },
  decode(reader) {
    let text = "";
    readFields(reader, "Quantity", [["String_", BYTES, () => (text = reader.string())]]);
    return text === "" ? "0" : text;
  },
};

interface Time {
  readonly seconds: number;
  readonly nanos: number;
}
/** Memo: most of an object's times are the same. */
let last: { readonly text: string; readonly time: Time } | undefined;

function parseTime(value: unknown): Time {
  if (last !== undefined && value === last.text) return last.time;
  const text = String(value);
  const epochMs = Date.parse(text);
  if (Number.isNaN(epochMs)) throw new ProtobufError(`parsing time ${JSON.stringify(text)}: not in RFC 3339`);
  const fraction = /\.(\d+)/.exec(text)?.[1] ?? "";
  const time = { seconds: Math.floor(epochMs / 1000), nanos: Number(fraction.padEnd(9, "0").slice(0, 9)) };
  last = { text, time };
  return time;
}
/** RFC 3339 has four digits for the year. */
const FIRST_SECOND = -62_167_219_200;
const LAST_SECOND = 253_402_300_799;
function formatSeconds(seconds: number): string {
  if (!(seconds >= FIRST_SECOND && seconds <= LAST_SECOND)) throw new ProtobufError("time out of range");
  return new Date(seconds * 1000).toISOString().slice(0, 19);
}

/** Timestamp {seconds: 1, nanos: 2}; an empty message is no time at all. */
function timeCodec(micro: boolean): Codec {
  return {
    encode(value, writer) {
      const { seconds, nanos } = parseTime(value);
      writer.varint(micro ? nanos - (nanos % 1000) : 0);
      writer.byte(TAG_2_VARINT);
      writer.signed(seconds);
      writer.byte(TAG_1_VARINT);
    },
    decode(reader) {
      if (reader.position === reader.end) return undefined;
      let seconds = 0;
      let nanos = 0;
      readFields(reader, "Timestamp", [
        ["Seconds", VARINT, () => (seconds = Number(reader.int64()))],
        ["Nanos", VARINT, () => (nanos = reader.int32())],
      ]);
      if (nanos < 0 || nanos > 999_999_999) throw new ProtobufError("time out of range");
      if (!micro) return `${formatSeconds(seconds)}Z`;
      return `${formatSeconds(seconds)}.${String(Math.floor(nanos / 1000)).padStart(6, "0")}Z`;
    },
  };
}

const UNITS: readonly (readonly [string, number])[] = [
  ["h", 3_600_000_000_000],
  ["m", 60_000_000_000],
  ["s", 1_000_000_000],
  ["ms", 1_000_000],
  ["us", 1000],
  ["µs", 1000],
  ["ns", 1],
];
function parseDuration(text: string): number {
  let nanos = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9.]+)(h|ms|m|s|us|µs|ns)/g)) {
    nanos += Number(amount) * UNITS.find(([name]) => name === unit)![1];
  }
  return Math.round(text.startsWith("-") ? -nanos : nanos);
}
function formatDuration(nanos: number): string {
  if (nanos === 0) return "0s";
  const sign = nanos < 0 ? "-" : "";
  const total = Math.abs(nanos);
  if (total < 1000) return `${sign}${total}ns`;
  if (total < 1_000_000) return `${sign}${total / 1000}µs`;
  if (total < 1_000_000_000) return `${sign}${total / 1_000_000}ms`;
  const hours = Math.floor(total / 3_600_000_000_000);
  const minutes = Math.floor((total / 60_000_000_000) % 60);
  const seconds = (total % 60_000_000_000) / 1_000_000_000;
  return `${sign}${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${seconds}s`;
}
/** Nanoseconds in protobuf, Go's notation ("1m30s") in JSON. */
const duration: Codec = {
  encode(value, writer) {
    writer.signed(parseDuration(String(value)));
    writer.byte(TAG_1_VARINT);
  },
  decode(reader) {
    let nanos = 0;
    readFields(reader, "Duration", [["Duration", VARINT, () => (nanos = Number(reader.int64()))]]);
    return formatDuration(nanos);
  },
};

/** {type: 1, intVal: 2, strVal: 3}, type 1 being the string. */
const intOrString: Codec = {
  encode(value, writer) {
    const isString = typeof value === "string";
    writer.string(isString ? value : "");
    writer.byte(TAG_3_BYTES);
    writer.signed(isString ? 0 : Number(value));
    writer.byte(TAG_2_VARINT);
    writer.byte(isString ? 1 : 0);
    writer.byte(TAG_1_VARINT);
  },
  decode(reader) {
    let type = 0;
    let number = 0;
    let text = "";
    readFields(reader, "IntOrString", [
      ["Type", VARINT, () => (type = Number(reader.int64()))],
      ["IntVal", VARINT, () => (number = reader.int32())],
      ["StrVal", BYTES, () => (text = reader.string())],
    ]);
    return type === 1 ? text : number;
  },
};

function readRaw(reader: Reader): Buffer | undefined {
  let raw: Buffer | undefined;
  readFields(reader, "RawExtension", [["Raw", BYTES, () => (raw = reader.bytes())]]);
  return raw;
}
function parseRaw(raw: Buffer): unknown {
  try {
    return decodeJson(raw, { duplicates: false }).value;
  } catch (error) {
    if (error instanceof DecodeError) throw new ProtobufError(`raw extension: ${error.message}`);
    throw error;
  }
}

/** Memo: the texts of sets of fields. One set is shared, and frozen, by all objects of one shape. */
const fieldTexts = new WeakMap<object, Buffer>();

function textOfFields(fields: unknown): Buffer {
  if (!Object.isFrozen(fields) || typeof fields !== "object" || fields === null) return textOf(fields);
  let text = fieldTexts.get(fields);
  if (text === undefined) fieldTexts.set(fields, (text = textOf(fields)));
  return text;
}
function textOf(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value), "utf8");
}

/** {raw: 1}, the bytes being JSON; `decodeBinary` reads what starts with the protobuf magic instead. */
function rawCodec(decodeBinary?: DecodeBinary, text = textOf): Codec {
  return {
    encode(value, writer) {
      writer.bytes(text(value));
      writer.byte(TAG_1_BYTES);
    },
    decode(reader) {
      const raw = readRaw(reader);
      if (raw === undefined || raw.length === 0) return undefined;
      if (decodeBinary !== undefined && raw[0] === 0x6b) return decodeBinary(raw, reader.depth);
      return parseRaw(raw);
    },
  };
}

/** {items: 1, repeated string}: a JSON array. */
const stringList: Codec = {
  encode(value, writer) {
    const items = value as readonly string[];
    for (let i = items.length - 1; i >= 0; i--) {
      writer.string(items[i]!);
      writer.byte(TAG_1_BYTES);
    }
  },
  decode(reader) {
    const items: string[] = [];
    readFields(reader, "Items", [["Items", BYTES, () => items.push(reader.string())]]);
    return items;
  },
};

function writeNested(codec: Codec, value: unknown, tag: number, writer: ReverseWriter): void {
  const mark = writer.written;
  codec.encode(value, writer);
  writer.varint(writer.written - mark);
  writer.byte(tag);
}
function readNested(codec: Codec, reader: Reader): unknown {
  const end = reader.end;
  reader.end = reader.length();
  const value = codec.decode(reader);
  reader.end = end;
  return value;
}

/** {schema: 1, jSONSchemas: 2}: one schema or an array of them. */
const schemaOrArray = (schema: () => Codec): Codec => ({
  encode(value, writer) {
    if (!Array.isArray(value)) return writeNested(schema(), value, TAG_1_BYTES, writer);
    for (let i = value.length - 1; i >= 0; i--) writeNested(schema(), value[i], TAG_2_BYTES, writer);
  },
  decode(reader) {
    let single: unknown;
    const several: unknown[] = [];
    readFields(reader, "JSONSchemaPropsOrArray", [
      ["Schema", BYTES, () => (single = readNested(schema(), reader))],
      ["JSONSchemas", BYTES, () => several.push(readNested(schema(), reader))],
    ]);
    return single ?? several;
  },
});
/** {allows: 1, schema: 2}: a boolean or a schema. */
const schemaOrBool = (schema: () => Codec): Codec => ({
  encode(value, writer) {
    if (typeof value === "object") writeNested(schema(), value, TAG_2_BYTES, writer);
    writer.byte(value === false ? 0 : 1);
    writer.byte(TAG_1_VARINT);
  },
  decode(reader) {
    let allows = false;
    let nested: unknown;
    readFields(reader, "JSONSchemaPropsOrBool", [
      ["Allows", VARINT, () => (allows = reader.bool())],
      ["Schema", BYTES, () => (nested = readNested(schema(), reader))],
    ]);
    return nested ?? allows;
  },
});
/** {schema: 1, property: 2}: a schema or an array of names. */
const schemaOrStrings = (schema: () => Codec): Codec => ({
  encode(value, writer) {
    if (!Array.isArray(value)) return writeNested(schema(), value, TAG_1_BYTES, writer);
    for (let i = value.length - 1; i >= 0; i--) {
      writer.string(value[i] as string);
      writer.byte(TAG_2_BYTES);
    }
  },
  decode(reader) {
    let nested: unknown;
    const names: string[] = [];
    readFields(reader, "JSONSchemaPropsOrStringArray", [
      ["Schema", BYTES, () => (nested = readNested(schema(), reader))],
      ["Property", BYTES, () => names.push(reader.string())],
    ]);
    return nested ?? names;
  },
});

/**
 * The special codec of a message, or undefined for ordinary ones.
 * @param codecOf gives other messages' codecs; @param decodeBinary reads protobuf inside raw extensions.
 */
export function specialCodec(
  message: string,
  codecOf: (message: string) => Codec,
  decodeBinary: DecodeBinary,
): Codec | undefined {
  const schema = () => codecOf(`${APIEXTENSIONS}.JSONSchemaProps`);
  switch (message) {
    case "k8s.io.apimachinery.pkg.api.resource.Quantity":
    case "k8s.io.apimachinery.pkg.api.resource.QuantityValue":
      return quantity;
    case `${META}.Time`:
      return timeCodec(false);
    case `${META}.MicroTime`:
      return timeCodec(true);
    case `${META}.Duration`:
      return duration;
    case "k8s.io.apimachinery.pkg.util.intstr.IntOrString":
      return intOrString;
    case "k8s.io.apimachinery.pkg.runtime.RawExtension":
      return rawCodec(decodeBinary);
    case `${META}.FieldsV1`:
      return rawCodec(undefined, textOfFields);
    case `${APIEXTENSIONS}.JSON`:
      return rawCodec();
    case `${META}.Verbs`:
      return stringList;
    case `${APIEXTENSIONS}.JSONSchemaPropsOrArray`:
      return schemaOrArray(schema);
    case `${APIEXTENSIONS}.JSONSchemaPropsOrBool`:
      return schemaOrBool(schema);
    case `${APIEXTENSIONS}.JSONSchemaPropsOrStringArray`:
      return schemaOrStrings(schema);
    default:
      return message.endsWith(".ExtraValue") ? stringList : undefined;
  }
}
