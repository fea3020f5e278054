import { endOfObject, isTopLevel } from "./json.ts";

/** Members are filed under their first bytes: as many as tell templates apart, mostly. */
const FILE_BYTES = 64;
/** Known at a time, of these in one file, and met once so far; the oldest go first. */
const MAX_KNOWN = 256;
const MAX_PER_FILE = 24;
const MAX_NEW = 8;
/** New ones in a row after which only every one in so many is remembered: these texts do not repeat themselves. */
const MANY_NEW = 32;
const REMEMBERED_OF_MANY = 8;
/** Larger ones are rare and would be most of what is remembered. */
const MAX_BYTES = 16 * 1024;

interface Known<T> {
  readonly file: string;
  readonly bytes: Buffer;
  /** Made when it is met for the second time; null when each one has to be looked at. */
  value: T | null | undefined;
}

/** A member that was recognised, and the text around it, with null in its place. */
export interface Recognised<T> {
  readonly value: T;
  readonly rest: string;
}

/**
 * One member, an object, of many JSON texts that are objects: most of them have it byte for byte alike, and it is most of
 * the text. One that has been met before is recognised by its bytes and not read again.
 */
export class KnownMembers<T extends object> {
  readonly #key: Buffer;
  readonly #prepare: (bytes: Buffer) => T | null;
  readonly #files = new Map<string, Known<T>[]>();
  readonly #known: Known<T>[] = [];
  /** Met once: members that nobody repeats pass through here, and do not drive out those that are. */
  readonly #new: Known<T>[] = [];
  #newInARow = 0;

  /** `prepare` makes of a member's text what all texts that have it are given; null when there is no such thing. */
  constructor(name: string, prepare: (bytes: Buffer) => T | null) {
    this.#key = Buffer.from(`${JSON.stringify(name)}:{`);
    this.#prepare = prepare;
  }

  /** What is known of a text; undefined of one whose member is not known, be it no JSON at all. */
  recognise(text: Buffer): Recognised<T> | undefined {
    const at = text.indexOf(this.#key);
    if (at < 0) return undefined;
    const start = this.#startOf(at);
    const known = this.#find(text, start);
    if (known === undefined || !known.value || !isTopLevel(text, at)) return undefined;
    this.#newInARow = 0;
    // A value in the place of another leaves the text as valid as it was: what is wrong with the rest shows.
    const rest = `${text.toString("utf8", 0, start)}null${text.toString("utf8", start + known.bytes.length)}`;
    return { value: known.value, rest };
  }

  /** Told of every text that was not recognised and has turned out to be JSON. */
  met(text: Buffer): void {
    if (!this.#looks()) return;
    const at = text.indexOf(this.#key);
    if (at < 0 || !isTopLevel(text, at)) return;
    const start = this.#startOf(at);
    const known = this.#find(text, start);
    if (known === undefined) this.#remember(text, start);
    else if (known.value === undefined) this.#know(known);
  }

  /** From the key to the brace of the value. */
  #startOf(at: number): number {
    return at + this.#key.length - 1;
  }

  /** Is the next new one worth a look? */
  #looks(): boolean {
    return ++this.#newInARow < MANY_NEW || this.#newInARow % REMEMBERED_OF_MANY === 0;
  }

  #find(text: Buffer, start: number): Known<T> | undefined {
    const file = this.#files.get(fileOf(text, start));
    if (file === undefined) return undefined;
    return file.find(({ bytes }) => {
      const end = start + bytes.length;
      return end <= text.length && text.compare(bytes, 0, bytes.length, start, end) === 0;
    });
  }

  #remember(text: Buffer, start: number): void {
    const end = endOfObject(text, start);
    if (end - start > MAX_BYTES) return;
    const file = fileOf(text, start);
    const known: Known<T> = { file, bytes: Buffer.from(text.subarray(start, end)), value: undefined };
    const filed = this.#files.get(file);
    if (filed === undefined) this.#files.set(file, [known]);
    else filed.push(known);
    this.#new.push(known);
    if (this.#new.length > MAX_NEW) this.#unfile(this.#new.shift()!);
  }

  #know(known: Known<T>): void {
    this.#new.splice(this.#new.indexOf(known), 1);
    known.value = this.#prepare(known.bytes);
    const filed = this.#files.get(known.file)!;
    const oldest = filed.length > MAX_PER_FILE ? filed.find(({ value }) => value !== undefined)! : this.#known[0];
    this.#known.push(known);
    if (this.#known.length <= MAX_KNOWN && filed.length <= MAX_PER_FILE) return;
    this.#known.splice(this.#known.indexOf(oldest!), 1);
    this.#unfile(oldest!);
  }

  #unfile(known: Known<T>): void {
    const filed = this.#files.get(known.file)!;
    filed.splice(filed.indexOf(known), 1);
    if (filed.length === 0) this.#files.delete(known.file);
  }
}

function fileOf(text: Buffer, start: number): string {
  return text.toString("latin1", start, start + FILE_BYTES);
}
