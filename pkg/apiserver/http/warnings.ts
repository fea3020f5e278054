/** Characters of all warnings together, beyond which each is cut. */
const TOTAL_LENGTH = 4096;
const CUT_LENGTH = 256;

/**
 * The value of the Warning header (RFC 7234, code 299, no agent). Repeated and empty texts and those with control
 * characters are left out; when all together are too long, each is cut, and the last ones are left out.
 */
export function warningHeader(texts: readonly string[]): string {
  const shown = [...new Set(texts)].filter((text) => text !== "" && !/\p{Cc}/u.test(text));
  const whole = shown.map((text) => [...text]);
  const isLong = whole.reduce((sum, { length }) => sum + length, 0) > TOTAL_LENGTH;
  let left = TOTAL_LENGTH;
  const values: string[] = [];
  for (const characters of whole) {
    if (left <= 0) break;
    const text = isLong ? characters.slice(0, CUT_LENGTH) : characters;
    left -= text.length;
    values.push(`299 - "${text.join("").replaceAll(/["\\]/g, "\\$&")}"`);
  }
  // Go's clients read UTF-8; the transport writes a byte for each character.
  return Buffer.from(values.join(", ")).toString("latin1");
}
