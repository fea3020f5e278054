import { HUFFMAN_LENGTHS } from "./hpack-tables.ts";

/** Entries of a table of 256: nothing, a symbol (with the bits of the octet that belong to it), or another table. */
const LEAF = 0x10000;
const BRANCH = 0x20000;

const TABLES = buildTables();
const ROOT = TABLES[0]!;

/** One table per octet of a code: what eight more bits lead to. */
function buildTables(): readonly Int32Array[] {
  const tables = [new Int32Array(256)];
  const symbols = HUFFMAN_LENGTHS.map((length, symbol) => ({ length, symbol }));
  symbols.sort((a, b) => a.length - b.length || a.symbol - b.symbol);
  let code = 0;
  let bits = 0;
  for (const { length, symbol } of symbols) {
    code *= 2 ** (length - bits);
    bits = length;
    insert(tables, code, length, symbol);
    code++;
  }
  return tables;
}

function insert(tables: Int32Array[], code: number, length: number, symbol: number): void {
  let table = tables[0]!;
  let left = length;
  for (; left > 8; left -= 8) {
    const octet = (code >>> (left - 8)) & 0xff;
    if (table[octet] === 0) {
      table[octet] = BRANCH | tables.length;
      tables.push(new Int32Array(256));
    }
    table = tables[table[octet]! & 0xffff]!;
  }
  const first = (code << (8 - left)) & 0xff;
  table.fill(LEAF | (left << 8) | symbol, first, first + (1 << (8 - left)));
}

let scratch = Buffer.allocUnsafeSlow(1024);

/** Decodes a Huffman-coded string; undefined when it is malformed. */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string | undefined {
  // The shortest code has five bits.
  const most = Math.ceil(((end - start) * 8) / 5);
  if (scratch.length < most) scratch = Buffer.allocUnsafeSlow(most * 2);
  const out = scratch;
  let at = 0;
  let table = ROOT;
  let bits = 0;
  /** Bits not decoded yet, and bits since the last whole symbol. */
  let pending = 0;
  let partial = 0;
  for (let i = start; i < end; i++) {
    bits = ((bits & 0xff) << 8) | bytes[i]!;
    pending += 8;
    partial += 8;
    while (pending >= 8) {
      const entry = table[(bits >>> (pending - 8)) & 0xff]!;
      if (entry === 0) return undefined;
      if ((entry & LEAF) === 0) {
        pending -= 8;
        table = TABLES[entry & 0xffff]!;
        continue;
      }
      out[at++] = entry & 0xff;
      pending -= (entry >>> 8) & 0xf;
      partial = pending;
      table = ROOT;
    }
  }
  while (pending > 0) {
    const entry = table[(bits << (8 - pending)) & 0xff]!;
    const length = (entry >>> 8) & 0xf;
    if ((entry & LEAF) === 0 || length > pending) break;
    out[at++] = entry & 0xff;
    pending -= length;
    partial = pending;
    table = ROOT;
  }
  // What is left over is padding: less than an octet, and all ones.
  const mask = (1 << pending) - 1;
  if (partial > 7 || (bits & mask) !== mask) return undefined;
  return out.toString("latin1", 0, at);
}
