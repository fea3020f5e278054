import { appendField, appendInteger } from "./hpack-fields.ts";
import { STATIC_TABLE } from "./hpack-tables.ts";

/** Pseudo-fields first. An object that is used again is encoded again only when the table has changed. */
export type Fields = readonly (readonly [name: string, value: string])[];

const ENTRY_OVERHEAD = 32;
const DEFAULT_TABLE_BYTES = 4096;
const INDEXED = 0x80;
/** "The dynamic table has no room." */
const EMPTY_TABLE = 0x20;
const WHOLE = new Map(STATIC_TABLE.map(([name, value], at) => [keyOf(name, value), at + 1]));

function keyOf(name: string, value: string): string {
  return `${name}\0${value}`;
}

/**
 * Encodes the heads of one connection's requests. They are few and come again and again, so the peer is told to remember
 * each field, which from then on is one octet; nothing is ever evicted.
 */
export class FieldEncoder {
  /** What the peer remembers, in the order in which it was told. */
  readonly #remembered = new Map<string, number>();
  #room = DEFAULT_TABLE_BYTES;
  #limited = false;
  #tableEmptied = false;
  #blocks = new WeakMap<Fields, Buffer>();
  readonly #common: Fields;

  /** `common`: what every head begins with. */
  constructor(common: Fields) {
    this.#common = common;
  }
  /** The peer's bound for the table. One below the default is not made use of. */
  limitTable(bytes: number): void {
    if (bytes >= DEFAULT_TABLE_BYTES || this.#limited) return;
    this.#limited = true;
    this.#room = 0;
    this.#remembered.clear();
    this.#tableEmptied = true;
    this.#blocks = new WeakMap();
  }
  encode(fields: Fields): Buffer {
    const known = this.#blocks.get(fields);
    if (known !== undefined) return known;
    const out: number[] = [];
    const lasting = !this.#tableEmptied;
    if (this.#tableEmptied) out.push(EMPTY_TABLE);
    this.#tableEmptied = false;
    const before = this.#remembered.size;
    for (const [name, value] of this.#common) this.#append(out, name, value);
    for (const [name, value] of fields) this.#append(out, name, value);
    const block = Buffer.from(out);
    // A new entry moves all others.
    if (this.#remembered.size !== before) this.#blocks = new WeakMap();
    else if (lasting) this.#blocks.set(fields, block);
    return block;
  }

  #append(out: number[], name: string, value: string): void {
    const key = keyOf(name, value);
    const fixed = WHOLE.get(key);
    const at = this.#remembered.get(key);
    if (fixed !== undefined) appendInteger(out, fixed, 7, INDEXED);
    else if (at !== undefined) appendInteger(out, STATIC_TABLE.length + this.#remembered.size - at, 7, INDEXED);
    else {
      const size = name.length + value.length + ENTRY_OVERHEAD;
      const remember = size <= this.#room;
      appendField(out, name, value, remember);
      if (!remember) return;
      this.#room -= size;
      this.#remembered.set(key, this.#remembered.size);
    }
  }
}
