import { constants, crc32, deflateRaw } from "node:zlib";

/**
 * A piece of a gzip body, compressed by itself: deflate blocks that end at a whole byte and refer to nothing outside, so
 * that pieces can follow one another in any body, however often they are used.
 */
export interface GzipSegment {
  readonly deflated: Buffer;
  readonly crc: number;
  /** Uncompressed length. */
  readonly bytes: number;
}

const MAX_STORED_BYTES = 0xffff;
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
const STORED_HEAD_BYTES = 5;

/** Compresses off the main thread. */
export function deflateSegment(parts: readonly Buffer[]): Promise<GzipSegment> {
  const whole = Buffer.concat(parts);
  return new Promise((resolve, reject) =>
    deflateRaw(whole, { level: 1, finishFlush: constants.Z_SYNC_FLUSH }, (error, deflated) => {
      if (error === null) resolve({ deflated, crc: crc32(whole), bytes: whole.length });
      else reject(error);
    }),
  );
}

/** A segment of a few bytes, which are not worth compressing. */
export function storedSegment(bytes: Buffer): GzipSegment {
  const blocks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += MAX_STORED_BYTES) {
    const part = bytes.subarray(at, at + MAX_STORED_BYTES);
    blocks.push(storedHead(part.length, false), part);
  }
  return { deflated: Buffer.concat(blocks), crc: crc32(bytes), bytes: bytes.length };
}

/** The gzip member (RFC 1952) that the segments make. */
export function gzipBody(segments: readonly GzipSegment[]): Buffer[] {
  const body: Buffer[] = [HEADER];
  let crc = 0;
  let bytes = 0;
  for (const segment of segments) {
    body.push(segment.deflated);
    crc = combineCrc(crc, segment.crc, segment.bytes);
    bytes += segment.bytes;
  }
  const end = Buffer.concat([storedHead(0, true), Buffer.alloc(8)]);
  end.writeUInt32LE(crc, STORED_HEAD_BYTES);
  end.writeUInt32LE(bytes % 2 ** 32, STORED_HEAD_BYTES + 4);
  body.push(end);
  return body;
}

function storedHead(length: number, last: boolean): Buffer {
  const head = Buffer.alloc(STORED_HEAD_BYTES);
  head[0] = last ? 1 : 0;
  head.writeUInt16LE(length, 1);
  head.writeUInt16LE(length ^ MAX_STORED_BYTES, 3);
  return head;
}

/** CRC-32's polynomial with its bits reversed, as all remainders here: the highest bit is the factor of x^0. */
const POLYNOMIAL = 0xedb88320;
const ONE = 0x80000000;

/** Product of two remainders. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= b;
    b = (b & 1) === 0 ? b >>> 1 : (b >>> 1) ^ POLYNOMIAL;
  }
  return product;
}

/** x^8, x^16, x^32…: what one byte, two, four… behind a text multiply its remainder with. */
const SHIFTS: readonly number[] = (() => {
  const shifts = [ONE >>> 8];
  while (shifts.length < 53) shifts.push(multiply(shifts.at(-1)!, shifts.at(-1)!));
  return shifts;
})();

/** The CRC-32 of two texts in a row, from theirs and the second one's length. */
export function combineCrc(first: number, second: number, secondBytes: number): number {
  let shifted = first;
  for (let rest = secondBytes, bit = 0; rest > 0; rest = Math.floor(rest / 2), bit++) {
    if (rest % 2 === 1) shifted = multiply(shifted, SHIFTS[bit]!);
  }
  return (shifted ^ second) >>> 0;
}
