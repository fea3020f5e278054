import { STATIC_TABLE } from "./hpack-tables.ts";

/** First index of each name. */
const NAMES = new Map<string, number>();
for (const [at, [name]] of STATIC_TABLE.entries()) if (!NAMES.has(name)) NAMES.set(name, at + 1);

/** What the first bits of a field's encoding say (RFC 7541, section 6.2), and how many bits they leave for the index. */
const REMEMBERED = { first: 0x40, prefixBits: 6 };
const FORGOTTEN = { first: 0, prefixBits: 4 };

/** The static table's first entry of this name; 0 when it has none. */
export function fieldIndex(name: string): number {
  return NAMES.get(name) ?? 0;
}

/** An integer behind `first`, whose last `prefixBits` bits are free for it. */
export function appendInteger(out: number[], value: number, prefixBits: number, first: number): void {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) {
    out.push(first | value);
    return;
  }
  out.push(first | mask);
  let rest = value - mask;
  for (; rest > 0x7f; rest >>>= 7) out.push((rest & 0x7f) | 0x80);
  out.push(rest);
}

/** A field written out. One that the peer need not remember shares no state, so that its bytes can be kept. */
export function appendField(out: number[], name: string, value: string, remembered = false): void {
  const { first, prefixBits } = remembered ? REMEMBERED : FORGOTTEN;
  const index = fieldIndex(name);
  appendInteger(out, index, prefixBits, first);
  if (index === 0) appendText(out, name);
  appendText(out, value);
}

function appendText(out: number[], value: string): void {
  appendInteger(out, value.length, 7, 0);
  for (let i = 0; i < value.length; i++) out.push(value.charCodeAt(i) & 0xff);
}
