/** Code units that sort differently in UTF-16 and UTF-8: surrogates and what lies behind them. */
const BEYOND_SURROGATES = /[\ud800-\uffff]/;

/** Orders keys by their UTF-8 bytes, as every store does. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  if (BEYOND_SURROGATES.test(a) && BEYOND_SURROGATES.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a < b ? -1 : 1;
}

/** The first key behind every key with `prefix`; undefined when there is none (the empty prefix). */
export function prefixEnd(prefix: string): string | undefined {
  const characters = Array.from(prefix);
  for (let i = characters.length - 1; i >= 0; i--) {
    const code = characters[i]!.codePointAt(0)!;
    if (code === 0x10ffff) continue;
    // The code points between 0xd7ff and 0xe000 are not characters.
    const next = code === 0xd7ff ? 0xe000 : code + 1;
    return characters.slice(0, i).join("") + String.fromCodePoint(next);
  }
  return undefined;
}
