/** Bytes that are no valid protobuf of the message they are said to be. */
export class ProtobufError extends Error {
  /** What the bytes say they are, once that has been read. */
  of: { readonly apiVersion: string; readonly kind: string } | undefined;

  constructor(message: string) {
    super(message);
    this.name = "ProtobufError";
  }
}

/** Nested messages deeper than this are refused. */
export const MAX_PROTOBUF_DEPTH = 500;

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const FIXED32 = 5;

/** Reads protobuf wire format within `end`; never beyond it, whatever the bytes say. */
export class Reader {
  readonly buffer: Buffer;
  position: number;
  end: number;
  /** Messages around the one that is being read. */
  depth: number;

  constructor(bytes: Uint8Array, depth = 0) {
    this.depth = depth;
    this.buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = 0;
    this.end = this.buffer.length;
  }

  #overrun(): never {
    throw new ProtobufError("unexpected EOF");
  }

  /** A length, tag or enum: exact up to 2^53. */
  varint(): number {
    const { buffer } = this;
    let value = 0;
    let factor = 1;
    for (let i = 0; i < 8; i++) {
      if (this.position >= this.end) this.#overrun();
      const byte = buffer[this.position++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value > Number.MAX_SAFE_INTEGER ? this.#tooLong() : value;
      factor *= 0x80;
    }
    return this.#tooLong();
  }
  #tooLong(): never {
    throw new ProtobufError("proto: integer overflow");
  }

  /** int64 (or int32, which is written the same way). A BigInt where a number would be rounded. */
  int64(): number | bigint {
    const { buffer } = this;
    const start = this.position;
    let value = 0;
    let factor = 1;
    for (let i = 0; i < 7; i++) {
      if (this.position >= this.end) this.#overrun();
      const byte = buffer[this.position++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    this.position = start;
    let big = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.position >= this.end) this.#overrun();
      const byte = buffer[this.position++]!;
      big |= BigInt(byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      const exact = BigInt.asIntN(64, big);
      const number = Number(exact);
      return Number.isSafeInteger(number) ? number : exact;
    }
    return this.#tooLong();
  }
  int32(): number {
    return Number(this.int64()) | 0;
  }
  bool(): boolean {
    return Number(this.int64()) !== 0;
  }
  double(): number {
    if (this.position + 8 > this.end) this.#overrun();
    this.position += 8;
    return this.buffer.readDoubleLE(this.position - 8);
  }

  /** The end index of a length-delimited field that starts here; leaves the position behind the length. */
  length(): number {
    const length = this.varint();
    const end = this.position + length;
    if (end > this.end) this.#overrun();
    return end;
  }
  string(): string {
    const end = this.length();
    const { buffer } = this;
    const start = this.position;
    this.position = end;
    if (end - start <= 16) {
      let text = "";
      let i = start;
      for (; i < end; i++) {
        const byte = buffer[i]!;
        if (byte >= 0x80) break;
        text += String.fromCharCode(byte);
      }
      if (i === end) return text;
    }
    return buffer.toString("utf8", start, end);
  }
  bytes(): Buffer {
    const end = this.length();
    const bytes = this.buffer.subarray(this.position, end);
    this.position = end;
    return bytes;
  }

  skip(wireType: number): void {
    switch (wireType) {
      case VARINT:
        this.int64();
        return;
      case FIXED64:
        this.#advance(8);
        return;
      case BYTES:
        this.position = this.length();
        return;
      case FIXED32:
        this.#advance(4);
        return;
      case START_GROUP:
        this.#skipGroup();
        return;
      default:
        throw new ProtobufError(
          wireType === END_GROUP ? "proto: unexpected end of group" : `proto: illegal wireType ${wireType}`,
        );
    }
  }
  #advance(bytes: number): void {
    if (this.position + bytes > this.end) this.#overrun();
    this.position += bytes;
  }
  /** Groups inside of groups, without recursion: their number is bounded by the bytes alone. */
  #skipGroup(): void {
    for (let open = 1; open > 0;) {
      const wireType = this.varint() & 7;
      if (wireType === START_GROUP) open++;
      else if (wireType === END_GROUP) open--;
      else this.skip(wireType);
    }
  }
}

/** @throws ProtobufError for a tag that no field has; `message` names what is being read */
export function assertTag(tag: number, message: string): void {
  const wireType = tag & 7;
  if (wireType === END_GROUP) throw new ProtobufError(`proto: ${message}: wiretype end group for non-group`);
  if (tag < 8) throw new ProtobufError(`proto: ${message}: illegal tag 0 (wire type ${wireType})`);
}

/** @throws ProtobufError for a field that is not encoded as its type is; `name` is that of its member in JSON */
export function expectWireType(name: string, actual: number, expected: number): void {
  if (actual === expected) return;
  const field = name === "metadata" ? "ObjectMeta" : name.charAt(0).toUpperCase() + name.slice(1);
  throw new ProtobufError(`proto: wrong wireType = ${actual} for field ${field}`);
}
