import { decodeUtf8 } from "./utf8.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { goQuote } from "./field-errors.ts";

/**
 * JSON bodies: JSON.parse for the value, a scan for what it loses (repeated members, digits of large integers) and for
 * what would hurt later (nesting). Error texts are those of Go's encoding/json, which clients and tests know.
 *
 * An integer of 64 bits that a double cannot hold is a BigInt here, and JSON.stringify writes it as the number it is.
 */

/** Deeper documents are refused: everything after this walks objects recursively. */
const MAX_JSON_DEPTH = 1000;
/** At most this many repeated fields are reported for one document. */
const MAX_DUPLICATES = 100;

/** Integers with fewer digits fit into a double. */
const LONG_INTEGER_DIGITS = 16;
const LONG_INTEGER = /[0-9]{16}/;

Object.defineProperty(BigInt.prototype, "toJSON", {
  value(this: bigint): unknown {
    return (JSON as typeof JSON & { rawJSON(text: string): unknown }).rawJSON(this.toString());
  },
  configurable: true,
});

/** JSON.parse for objects of the API, whose integers keep all their digits. */
export function parseJson(text: string): unknown {
  return LONG_INTEGER.test(text) ? parseExactly(text) : JSON.parse(text);
}

const exactNumber = (_name: string, value: unknown, context?: { source?: string }): unknown =>
  typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
    ? exactInteger(context!.source!)
    : value;

function parseExactly(text: string): unknown {
  return JSON.parse(text, exactNumber);
}

/** The value of decimal digits: a number where that is exact or 64 bits are too few for it, as Go's decoders have it. */
export function exactInteger(digits: string): number | bigint {
  const number = Number(digits);
  if (Number.isSafeInteger(number)) return number;
  const exact = BigInt(digits);
  // A double is printed with the fewest digits that tell it from others, which may be another integer's.
  if (String(number) === digits && BigInt(number) === exact) return number;
  return fitsInt64(digits) ? exact : number;
}
function fitsInt64(digits: string): boolean {
  const exact = BigInt(digits);
  return BigInt.asIntN(64, exact) === exact;
}

/** Bytes that are no acceptable JSON or YAML. */
export class DecodeError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "DecodeError";
  }
}

/** What was read, and what a strict reader would have refused. */
export interface Decoded {
  readonly value: unknown;
  /** Paths of repeated fields in the order of the text, e.g. `spec.containers[0].image`. */
  readonly duplicates: readonly string[];
  /** Has it numbers that may not be written like integers of 64 bits (1.0, 1e3)? */
  readonly fractions: boolean;
}

export interface DecodeOptions {
  /** false saves the search for repeated members. */
  readonly duplicates?: boolean;
  /** true leaves it to the caller to judge numbers by how they are written, also those beyond all bounds. */
  readonly judgesNumbers?: boolean;
}

/**
 * Decodes one JSON document. The last of repeated members wins.
 * @throws DecodeError
 */
export function decodeJson(bytes: Uint8Array | string, options: DecodeOptions = {}): Decoded {
  const buffer =
    typeof bytes === "string" ? Buffer.from(bytes) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = typeof bytes === "string" ? bytes : decodeUtf8(buffer);
  const { keys, longIntegers, fractions, surrogates } = survey(buffer);
  if (surrogates) text = withoutLoneSurrogates(text);
  let value: unknown;
  try {
    value = longIntegers ? parseExactly(text) : JSON.parse(text);
  } catch (cause) {
    new JsonScanner(text).scan(); // throws the better message
    throw new DecodeError(`invalid JSON: ${errorMessage(cause)}`, { cause });
  }
  const decoded = { value, fractions: fractions || longIntegers };
  if (decoded.fractions && options.judgesNumbers !== true) assertFinite(value);
  if (options.duplicates === false || countMembers(value) === keys) return { ...decoded, duplicates: [] };
  const duplicates = new Set<string>();
  new JsonScanner(text, (path, repeated) => {
    if (repeated && duplicates.size < MAX_DUPLICATES) duplicates.add(path);
  }).scan();
  return { ...decoded, duplicates: [...duplicates] };
}

/** Is it written like an integer of 64 bits? */
function isInteger(literal: string): boolean {
  if (literal.length < LONG_INTEGER_DIGITS) return !/[.eE]/.test(literal);
  return /^-?\d+$/.test(literal) && fitsInt64(literal);
}

/** Numbers of a valid JSON text that are not written like integers of 64 bits, by their paths, in the order of the text. */
export function fractionsOf(text: string): ReadonlyMap<string, string> {
  const fractions = new Map<string, string>();
  new JsonScanner(text, undefined, (path, number) => {
    if (!isInteger(number)) fractions.set(path, number);
  }).scan();
  return fractions;
}

/** A valid JSON text with `mark`, a JSON text itself, in the place of each of these numbers. */
export function markFractions(text: string, mark: string): string {
  const parts: string[] = [];
  let copied = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) {
      for (at++; text.charCodeAt(at) !== 0x22; at++) if (text.charCodeAt(at) === 0x5c) at++;
    } else if (code === 0x2d || isDigit(code)) {
      const start = at;
      while (isOfNumber(text.charCodeAt(at + 1))) at++;
      if (isInteger(text.slice(start, at + 1))) continue;
      parts.push(text.slice(copied, start), mark);
      copied = at + 1;
    }
  }
  return parts.join("") + text.slice(copied);
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}
/** Of what follows a number's first character: digits, signs, points and exponents. */
function isOfNumber(code: number): boolean {
  return isDigit(code) || code === 0x2e || code === 0x2b || code === 0x2d || (code | 0x20) === 0x65;
}

/** @throws DecodeError for a number that was out of the range of doubles */
export function assertFinite(value: unknown): void {
  if (Array.isArray(value)) {
    for (const item of value) assertFinite(item);
  } else if (typeof value === "object" && value !== null) {
    for (const name in value) assertFinite((value as Record<string, unknown>)[name]);
  } else if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) {
    throw new DecodeError("json: cannot unmarshal number into Go value of type float64: value out of range");
  }
}

/** Half of a pair that stands for one character, escaped, without its other half; Go reads the replacement character. */
function withoutLoneSurrogates(text: string): string {
  const escapes = /\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|[^])/g;
  return text.replaceAll(escapes, (escape) => (escape.length === 6 ? "\\ufffd" : escape));
}

/**
 * The fields of a valid JSON text that are in `unknown` and those that are repeated, in the order of the text, each once.
 * Nothing is said about what is inside an unknown field.
 */
export function fieldsInTextOrder(text: string, unknown: ReadonlySet<string>): { path: string; repeated: boolean }[] {
  const found: { path: string; repeated: boolean }[] = [];
  const seen = new Set<string>();
  let inside: string | undefined;
  const scanner = new JsonScanner(text, (path, repeated) => {
    if (inside !== undefined && (path.startsWith(`${inside}.`) || path.startsWith(`${inside}[`))) return;
    const isUnknown = unknown.has(path);
    inside = isUnknown ? path : undefined;
    if ((!isUnknown && !repeated) || seen.has(path)) return;
    seen.add(path);
    found.push({ path, repeated: !isUnknown });
  });
  scanner.scan();
  return found;
}

/**
 * Number of members in all objects of the text, whether a double may not hold all of its integers, and whether it has
 * numbers with fractions or exponents or escapes of surrogates.
 * @throws DecodeError when it is nested too deeply.
 */
function survey(bytes: Buffer): { keys: number; longIntegers: boolean; fractions: boolean; surrogates: boolean } {
  let keys = 0;
  let fractions = false;
  let surrogates = false;
  let depth = 0;
  let digits = 0;
  let longest = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    switch (byte) {
      case 0x22:
        for (i++; i < bytes.length && bytes[i] !== 0x22; i++) {
          if (bytes[i] !== 0x5c) continue;
          i++;
          // \\ud8 to \\udf
          if (bytes[i] === 0x75 && (bytes[i + 1]! | 0x20) === 0x64) surrogates = true;
        }
        break;
      case 0x2e:
        fractions = true;
        digits = 0;
        break;
      case 0x3a:
        keys++;
        break;
      case 0x7b:
      case 0x5b:
        if (++depth > MAX_JSON_DEPTH) throw new DecodeError("exceeded max depth");
        break;
      case 0x7d:
      case 0x5d:
        depth--;
        break;
      default:
        if (byte < 0x30 || byte > 0x39) {
          if (digits > 0 && (byte | 0x20) === 0x65) fractions = true;
          digits = 0;
        } else if (++digits > longest) longest = digits;
    }
  }
  return { keys, longIntegers: longest >= LONG_INTEGER_DIGITS, fractions, surrogates };
}

/** How Go's decoder names a JSON value. */
export function jsonKind(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "bigint") return "number";
  return typeof value === "boolean" ? "bool" : typeof value;
}

/** Where the object of a valid JSON text that opens at `start` ends. */
export function endOfObject(json: Uint8Array, start: number): number {
  let depth = 0;
  for (let at = start; at < json.length; at++) {
    const byte = json[at];
    if (byte === 0x22) {
      for (at++; json[at] !== 0x22; at++) if (json[at] === 0x5c) at++;
    } else if (byte === 0x7b) depth++;
    else if (byte === 0x7d && --depth === 0) return at + 1;
  }
  throw new Error("the object has no end");
}

/** Is `at` inside of the outermost object of a JSON text and nothing else, so that a key found there is one of its own? */
export function isTopLevel(json: Uint8Array, at: number): boolean {
  let depth = 0;
  let i = 0;
  for (; i < at; i++) {
    const byte = json[i];
    if (byte === 0x22) {
      for (i++; i < at && json[i] !== 0x22; i++) if (json[i] === 0x5c) i++;
    } else if (byte === 0x7b || byte === 0x5b) depth++;
    else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  // Behind it when `at` is inside of a string.
  return i === at && depth === 1;
}

function countMembers(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === "object" && item !== null) count += countMembers(item);
    return count;
  }
  const object = value as Record<string, unknown>;
  for (const key in object) {
    count++;
    const member = object[key];
    if (typeof member === "object" && member !== null) count += countMembers(member);
  }
  return count;
}

/** Appends a member's name to a path, as duplicate and unknown fields are reported. */
function memberPath(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** A character as Go shows it in errors: of one outside of ASCII, the first byte. */
const show = (text: string, at: number): string => {
  const [byte] = Buffer.from(String.fromCodePoint(text.codePointAt(at)!));
  const character = String.fromCharCode(byte!);
  if (character === "'") return `'\\''`;
  return character === '"' ? `'"'` : `'${goQuote(character).slice(1, -1)}'`;
};

type OnMember = (path: string, repeated: boolean) => void;
type OnNumber = (path: string, literal: string) => void;

/** Reads tokens and tells of every member; the slow path behind `decodeJson`. */
class JsonScanner {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  readonly #onMember: OnMember;
  readonly #onNumber: OnNumber;

  constructor(text: string, onMember: OnMember = () => undefined, onNumber: OnNumber = () => undefined) {
    this.#text = text;
    this.#onMember = onMember;
    this.#onNumber = onNumber;
  }

  scan(): void {
    this.#value("");
    this.#space();
    if (this.#at < this.#text.length) this.#fail("after top-level value");
  }

  #fail(where: string): never {
    if (this.#at >= this.#text.length) throw new DecodeError("unexpected end of JSON input");
    throw new DecodeError(`invalid character ${show(this.#text, this.#at)} ${where}`);
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #value(path: string): void {
    this.#space();
    switch (this.#text[this.#at]) {
      case "{":
        return this.#nested(() => this.#object(path));
      case "[":
        return this.#nested(() => this.#array(path));
      case '"':
        this.#string();
        return;
      case "t":
        return this.#literal("true");
      case "f":
        return this.#literal("false");
      case "n":
        return this.#literal("null");
      default: {
        const start = this.#at;
        this.#number();
        this.#onNumber(path, this.#text.slice(start, this.#at));
      }
    }
  }

  #nested(read: () => void): void {
    if (++this.#depth > MAX_JSON_DEPTH) throw new DecodeError("exceeded max depth");
    this.#at++;
    read();
    this.#depth--;
  }

  #object(path: string): void {
    const seen = new Set<string>();
    this.#space();
    if (this.#text[this.#at] === "}") {
      this.#at++;
      return;
    }
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') this.#fail("looking for beginning of object key string");
      const key = this.#string();
      const memberAt = memberPath(path, key);
      this.#onMember(memberAt, seen.has(key));
      seen.add(key);
      this.#space();
      if (this.#text[this.#at] !== ":") this.#fail("after object key");
      this.#at++;
      this.#value(memberAt);
      this.#space();
      const next = this.#text[this.#at];
      if (next !== "," && next !== "}") this.#fail("after object key:value pair");
      this.#at++;
      if (next === "}") return;
    }
  }

  #array(path: string): void {
    this.#space();
    if (this.#text[this.#at] === "]") {
      this.#at++;
      return;
    }
    for (let index = 0; ; index++) {
      this.#value(`${path}[${index}]`);
      this.#space();
      const next = this.#text[this.#at];
      if (next !== "," && next !== "]") this.#fail("after array element");
      this.#at++;
      if (next === "]") return;
    }
  }

  #string(): string {
    const start = this.#at++;
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === 0x22) break;
      if (Number.isNaN(code) || code < 0x20) this.#fail("in string literal");
      this.#at++;
      if (code === 0x5c) this.#escape();
    }
    this.#at++;
    return JSON.parse(this.#text.slice(start, this.#at)) as string;
  }

  #escape(): void {
    const escaped = this.#text[this.#at];
    if (escaped === undefined || !'"\\/bfnrtu'.includes(escaped)) this.#fail("in string escape code");
    this.#at++;
    if (escaped !== "u") return;
    for (let digit = 0; digit < 4; digit++) {
      if (!/[0-9a-fA-F]/.test(this.#text[this.#at] ?? "")) this.#fail("in \\u hexadecimal character escape");
      this.#at++;
    }
  }

  #literal(literal: string): void {
    for (let i = 0; i < literal.length; i++, this.#at++) {
      if (this.#text[this.#at] !== literal[i]) this.#fail(`in literal ${literal} (expecting '${literal[i]}')`);
    }
  }

  #number(): void {
    const start = this.#at;
    if (this.#text[this.#at] === "-") this.#at++;
    if (this.#text[this.#at] === "0") this.#at++;
    else this.#digits(this.#at === start ? "looking for beginning of value" : "in numeric literal");
    if (this.#text[this.#at] === ".") {
      this.#at++;
      this.#digits("after decimal point in numeric literal");
    }
    if (this.#text[this.#at] === "e" || this.#text[this.#at] === "E") {
      this.#at++;
      if (this.#text[this.#at] === "+" || this.#text[this.#at] === "-") this.#at++;
      this.#digits("in exponent of numeric literal");
    }
  }

  #digits(where: string): void {
    if (!/[0-9]/.test(this.#text[this.#at] ?? "")) this.#fail(where);
    while (/[0-9]/.test(this.#text[this.#at] ?? "")) this.#at++;
  }
}
