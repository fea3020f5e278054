import type { DerElement } from "#pkg/util/index.ts";

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
