import { isUtf8 } from "node:buffer";

/**
 * The text of UTF-8 as Go reads it: every byte that belongs to no character stands for U+FFFD of its own, also those of
 * a character that is cut short, for which other decoders have one together.
 */
export function decodeUtf8(bytes: Buffer): string {
  const text = bytes.toString("utf8");
  // Nearly always it was valid.
  return text.includes("\uFFFD") && !isUtf8(bytes) ? decodeByteByByte(bytes) : text;
}

function decodeByteByByte(bytes: Buffer): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at]!;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const character = bytes.subarray(at, at + length);
    const valid = character.length === length && isUtf8(character);
    text += valid ? character.toString("utf8") : "\uFFFD";
    at += valid ? length : 1;
  }
  return text;
}
