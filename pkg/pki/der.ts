/** One DER element: where its contents lie inside the buffer. */
export interface DerElement {
  readonly tag: number;
  /** Offset of the tag byte. */
  readonly start: number;
  readonly contents: number;
  readonly end: number;
}

/** Reads the element at `offset`. @throws RangeError when it does not fit into the buffer (definite lengths only). */
export function readElement(der: Uint8Array, offset: number, limit = der.length): DerElement {
  if (offset + 2 > limit) throw new RangeError("truncated DER element");
  const tag = der[offset]!;
  let length = der[offset + 1]!;
  let contents = offset + 2;
  if (length > 0x7f) {
    const lengthBytes = length & 0x7f;
    if (lengthBytes === 0 || lengthBytes > 4 || contents + lengthBytes > limit) throw new RangeError("bad DER length");
    length = 0;
    for (let i = 0; i < lengthBytes; i++) length = length * 256 + der[contents++]!;
  }
  if (contents + length > limit) throw new RangeError("DER element exceeds its container");
  return { tag, start: offset, contents, end: contents + length };
}

/** The direct children of a constructed element. */
export function children(der: Uint8Array, parent: DerElement): DerElement[] {
  const found: DerElement[] = [];
  for (let offset = parent.contents; offset < parent.end;) {
    const child = readElement(der, offset, parent.end);
    found.push(child);
    offset = child.end;
  }
  return found;
}

const TAG_BMP_STRING = 0x1e;
const TAG_T61_STRING = 0x14;

/** Text of a UTF8String, PrintableString, IA5String, T61String or BMPString element. */
export function textOf(der: Uint8Array, element: DerElement): string {
  const bytes = Buffer.from(der.buffer, der.byteOffset + element.contents, element.end - element.contents);
  if (element.tag === TAG_BMP_STRING) return Buffer.from(bytes).swap16().toString("utf16le");
  return bytes.toString(element.tag === TAG_T61_STRING ? "latin1" : "utf8");
}

const TAG_UTC_TIME = 0x17;

/** Epoch milliseconds of a UTCTime or GeneralizedTime element (RFC 5280 4.1.2.5). NaN when malformed. */
export function timeOf(der: Uint8Array, element: DerElement): number {
  const text = textOf(der, element);
  const year = element.tag === TAG_UTC_TIME ? 2 : 4;
  const digits = text.slice(year);
  const written = Number(text.slice(0, year));
  const full = element.tag === TAG_UTC_TIME ? (written < 50 ? 2000 + written : 1900 + written) : written;
  const at = (i: number): number => Number(digits.slice(i, i + 2));
  return Date.UTC(full, at(0) - 1, at(2), at(4), at(6), at(8));
}
