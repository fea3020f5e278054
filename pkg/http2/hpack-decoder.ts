import { STATIC_TABLE } from "./hpack-tables.ts";
import { decodeHuffman } from "./huffman.ts";
import { ErrorCode, Http2Error } from "./protocol.ts";

/** A decoded field. Those of the tables are the same object each time, so that a reader can keep what it found out. */
export interface Field {
  readonly name: string;
  readonly value: string;
  /** Whether the reader takes it, once it has looked. */
  fit: boolean | undefined;
  /** As RFC 7541 counts it. */
  readonly size: number;
}

const ENTRY_OVERHEAD = 32;
const STATIC: readonly Field[] = STATIC_TABLE.map(([name, value]) => fieldOf(name, value));

function fieldOf(name: string, value: string): Field {
  return { name, value, fit: undefined, size: name.length + value.length + ENTRY_OVERHEAD };
}

function compressionError(what: string): Http2Error {
  return new Http2Error(ErrorCode.Compression, `malformed header block: ${what}`);
}

/** Reads the header blocks of one connection (RFC 7541). */
export class HpackDecoder {
  /** The largest table that the peer may ask for: the default, which we do not change. */
  static readonly MAX_TABLE_BYTES = 4096;
  readonly #maxListBytes: number;
  /** Dynamic table, oldest first; those before `#oldest` have been evicted. */
  #table: Field[] = [];
  #oldest = 0;
  #tableBytes = 0;
  #tableLimit = HpackDecoder.MAX_TABLE_BYTES;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  /** `maxListBytes` bounds what one block may expand to. */
  constructor(maxListBytes: number) {
    this.#maxListBytes = maxListBytes;
  }
  /**
   * Visits the fields of one whole block in order, as far as they do not exceed the bound; returns whether that was all.
   * @throws Http2Error, after which the connection is unusable
   */
  decode(block: Buffer, visit: (name: string, value: string, field: Field) => void): boolean {
    this.#block = block;
    this.#at = 0;
    let size = 0;
    while (this.#at < block.length) {
      const first = block[this.#at]!;
      if ((first & 0xe0) === 0x20) {
        if (size > 0) throw compressionError("a table size behind the first field");
        this.#resize(this.#integer(5));
        continue;
      }
      const field = (first & 0x80) === 0 ? this.#literal(first) : this.#indexed(this.#integer(7));
      size += field.size;
      // The rest has to be read nevertheless, because later blocks may refer to it.
      if (size <= this.#maxListBytes) visit(field.name, field.value, field);
    }
    return size <= this.#maxListBytes;
  }

  #literal(first: number): Field {
    const remembered = (first & 0x40) !== 0;
    const index = this.#integer(remembered ? 6 : 4);
    const name = index === 0 ? this.#string() : this.#indexed(index).name;
    const field = fieldOf(name, this.#string());
    if (remembered) this.#remember(field);
    return field;
  }
  #indexed(index: number): Field {
    const field =
      index <= STATIC.length ? STATIC[index - 1] : this.#table[this.#table.length - (index - STATIC.length)];
    // Evicted fields stay in the array for a while.
    if (field === undefined || index - STATIC.length > this.#table.length - this.#oldest) {
      throw compressionError(`there is no field ${index}`);
    }
    return field;
  }
  #remember(field: Field): void {
    this.#evict(this.#tableLimit - field.size);
    if (field.size > this.#tableLimit) return;
    this.#table.push(field);
    this.#tableBytes += field.size;
  }
  #resize(limit: number): void {
    if (limit > HpackDecoder.MAX_TABLE_BYTES) throw compressionError("the table would be too large");
    this.#tableLimit = limit;
    this.#evict(limit);
  }
  /** Forgets the oldest fields until the others take at most `bytes`. */
  #evict(bytes: number): void {
    while (this.#tableBytes > bytes && this.#oldest < this.#table.length) {
      this.#tableBytes -= this.#table[this.#oldest++]!.size;
    }
    if (this.#oldest > 128) {
      this.#table = this.#table.slice(this.#oldest);
      this.#oldest = 0;
    }
  }
  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#block[this.#at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; ; shift += 7) {
      if (this.#at >= this.#block.length || shift > 21) throw compressionError("an integer has no end");
      const octet = this.#block[this.#at++]!;
      value += (octet & 0x7f) << shift;
      if ((octet & 0x80) === 0) return value;
    }
  }
  #string(): string {
    if (this.#at >= this.#block.length) throw compressionError("a string is missing");
    const huffman = (this.#block[this.#at]! & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (end > this.#block.length) throw compressionError("a string is cut off");
    this.#at = end;
    if (!huffman) return this.#block.toString("latin1", start, end);
    const text = decodeHuffman(this.#block, start, end);
    if (text === undefined) throw compressionError("a string is not Huffman code");
    return text;
  }
}
