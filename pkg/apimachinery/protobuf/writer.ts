/** A buffer beyond this size is given back after use. */
const MAX_KEPT_BYTES = 8 * 1024 * 1024;

/**
 * Writes a protobuf message from its end to its beginning: by the time a nested message's length has to be written,
 * its bytes are there, so no length is computed twice.
 */
export class ReverseWriter {
  readonly #initialSize: number;
  #buffer: Buffer;
  /** Index of the first byte written so far. */
  position: number;
  /** Messages around the one that is being written. */
  depth = 0;

  constructor(size = 4096) {
    this.#initialSize = size;
    this.#buffer = Buffer.allocUnsafeSlow(size);
    this.position = size;
  }

  /** Bytes written so far; used as a mark for lengths. */
  get written(): number {
    return this.#buffer.length - this.position;
  }
  /** A copy of everything written; the writer may be used again. */
  finish(): Buffer {
    const result = Buffer.allocUnsafe(this.written);
    this.#buffer.copy(result, 0, this.position);
    // One huge list must not hold its memory for ever.
    if (this.#buffer.length > MAX_KEPT_BYTES) this.#buffer = Buffer.allocUnsafeSlow(this.#initialSize);
    this.position = this.#buffer.length;
    return result;
  }
  /** Bytes the writer holds on to. */
  get capacity(): number {
    return this.#buffer.length;
  }
  reset(): void {
    this.position = this.#buffer.length;
    this.depth = 0;
  }
  /** Takes back everything written since `written` was `mark`, as bytes of their own. */
  cut(mark: number): Buffer {
    const end = this.#buffer.length - mark;
    const bytes = Buffer.allocUnsafeSlow(end - this.position);
    this.#buffer.copy(bytes, 0, this.position, end);
    this.position = end;
    return bytes;
  }

  #reserve(bytes: number): void {
    if (this.position >= bytes) return;
    const written = this.written;
    let size = this.#buffer.length * 2;
    while (size < written + bytes) size *= 2;
    const grown = Buffer.allocUnsafeSlow(size);
    this.#buffer.copy(grown, size - written, this.position);
    this.#buffer = grown;
    this.position = size - written;
  }

  byte(value: number): void {
    if (this.position === 0) this.#reserve(1);
    this.#buffer[--this.position] = value;
  }
  /** An unsigned whole number below 2^53. */
  varint(value: number): void {
    if (value < 0x80) {
      this.byte(value);
      return;
    }
    this.#reserve(8);
    let size = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
    this.position -= size;
    let at = this.position;
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#buffer[at++] = (rest & 0x7f) | 0x80;
    this.#buffer[at] = rest;
  }
  /** A signed whole number as int32 or int64: negative ones take ten bytes. */
  signed(value: number | bigint): void {
    if (typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER) {
      this.varint(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    const bytes: number[] = [];
    for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
    bytes.push(Number(rest));
    for (let i = bytes.length - 1; i >= 0; i--) this.byte(bytes[i]!);
  }
  double(value: number): void {
    this.#reserve(8);
    this.position -= 8;
    this.#buffer.writeDoubleLE(value, this.position);
  }
  /** The text and, before it, its length. */
  string(text: string): void {
    const length = text.length;
    if (length <= 64) {
      // Short ASCII text is the rule, and a loop beats the call into C++ there.
      this.#reserve(length + 2);
      let at = this.position;
      let i = length - 1;
      for (; i >= 0; i--) {
        const code = text.charCodeAt(i);
        if (code >= 0x80) break;
        this.#buffer[--at] = code;
      }
      if (i < 0) {
        this.position = at;
        this.byte(length);
        return;
      }
    }
    const bytes = Buffer.byteLength(text, "utf8");
    this.#reserve(bytes + 5);
    this.position -= bytes;
    this.#buffer.write(text, this.position, bytes, "utf8");
    this.varint(bytes);
  }
  /** What has been encoded before. */
  raw(data: Uint8Array): void {
    this.#reserve(data.length + 5);
    this.position -= data.length;
    this.#buffer.set(data, this.position);
  }
  /** The data and, before it, its length. */
  bytes(data: Uint8Array): void {
    this.raw(data);
    this.varint(data.length);
  }
}
