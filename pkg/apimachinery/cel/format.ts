/** string.format(list), as version 2 of cel-go's strings library has it: numbers are shown as in English texts. */
import { CelError } from "./errors.ts";
import { goQuote } from "../field-errors.ts";
import { decodeUtf8, showDouble } from "./text.ts";
import { formatDuration, formatTimestamp } from "./time.ts";
import {
  type CelList,
  Duration,
  isList,
  isMap,
  isStruct,
  Timestamp,
  TypeValue,
  typeNameOf,
  Uint,
  type Value,
} from "./values.ts";

interface Clause {
  readonly verb: string;
  readonly precision: number;
}
/** What a clause makes of the argument at its position. */
type Show = (clause: Clause, position: number) => string;

const DEFAULT_PRECISION = 6;
const MAX_PRECISION = 100;
const VERBS = "sdfexXob";

/** Replaces the clauses of a pattern, one argument each. @throws CelError */
export function replaceClauses(pattern: string, count: number, show: Show): string {
  let text = "";
  let next = 0;
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] !== "%") {
      text += pattern[i];
      continue;
    }
    if (pattern[i + 1] === "%") {
      text += pattern[++i];
      continue;
    }
    if (i + 1 < pattern.length || next >= count) checkIndex(next, count);
    if (i + 1 >= pattern.length) throw new CelError("unexpected end of string");
    const [clause, end] = readClause(pattern, i + 1);
    text += show(clause, next++);
    i = end;
  }
  return text;
}

function checkIndex(index: number, count: number): void {
  if (index >= count) throw new CelError(`index ${index} out of range`);
}

function readClause(pattern: string, at: number): [Clause, number] {
  let end = at;
  let precision = DEFAULT_PRECISION;
  if (pattern[at] === ".") {
    const digits = /\d*/.exec(pattern.slice(at + 1))![0];
    if (digits === "") {
      throw new CelError(
        'could not parse formatting clause: error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing "": invalid syntax',
      );
    }
    precision = Number(digits);
    end += digits.length + 1;
  }
  const verb = pattern[end];
  if (verb === undefined) throw new CelError("could not parse formatting clause: unexpected end of string");
  if (!VERBS.includes(verb)) {
    throw new CelError(`could not parse formatting clause: unrecognized formatting clause "${verb}"`);
  }
  return [{ verb, precision }, end];
}

export function formatText(pattern: string, args: CelList): string {
  return replaceClauses(pattern, args.length, (clause, position) => formatOne(clause, args.at(position)));
}

/** Which kinds of values a clause takes, and what it says about others. */
const ACCEPTS: Readonly<Record<string, { readonly kinds: readonly string[]; readonly otherwise: string }>> = {
  s: {
    kinds: "string bool bytes int uint double map list type duration timestamp null".split(" "),
    otherwise:
      "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps",
  },
  d: { kinds: ["int", "uint"], otherwise: "decimal clause can only be used on integers" },
  f: { kinds: ["double", "string"], otherwise: "fixed-point clause can only be used on doubles" },
  e: { kinds: ["double", "string"], otherwise: "scientific clause can only be used on doubles" },
  b: { kinds: ["int", "uint", "bool"], otherwise: "only integers and bools can be formatted as binary" },
  o: { kinds: ["int", "uint"], otherwise: "octal clause can only be used on integers" },
  x: {
    kinds: ["int", "uint", "string", "bytes"],
    otherwise: "only integers, byte buffers, and strings can be formatted as hex",
  },
};
export const acceptsOf = (verb: string): (typeof ACCEPTS)[string] => ACCEPTS[verb.toLowerCase()]!;

function formatOne({ verb, precision }: Clause, value: Value): string {
  switch (verb) {
    case "s":
      return showValue(value);
    case "f":
      return fixed(double("f", value), Math.min(precision, MAX_PRECISION));
    case "e":
      return scientific(double("e", value)).padStart(precision);
    case "d":
      return radix("d", value, 10);
    case "b":
      if (typeof value === "boolean") return value ? "1" : "0";
      return radix("b", value, 2);
    case "o":
      return radix("o", value, 8);
    default:
      return hexadecimal(verb, value);
  }
}

const fail = (verb: string, value: Value): never => {
  throw new CelError(`error during formatting: ${acceptsOf(verb).otherwise}, was given ${typeNameOf(value)}`);
};

const NAMED: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
};
function double(verb: string, value: Value): number {
  if (typeof value === "number") return value;
  if (typeof value === "string" && Object.hasOwn(NAMED, value)) return NAMED[value]!;
  return fail(verb, value);
}
function special(value: number): string | undefined {
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? undefined : value > 0 ? "∞" : "-∞";
}

/** Thousands are grouped. */
function fixed(number: number, digits: number): string {
  const name = special(number);
  if (name !== undefined) return name;
  const [whole, fraction] = toFixed(number, digits).split(".") as [string, string?];
  const grouped = whole.replaceAll(/\B(?=(?:\d{3})+$)/g, ",");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}
/** Enough to show every digit of a double below 10^21. */
const ALL_PLACES = 100;
/** Ties round to the even digit, as in Go. */
function toFixed(number: number, digits: number): string {
  const exact = Math.abs(number) < 1e21 ? number.toFixed(ALL_PLACES) : "";
  const cut = exact.length - ALL_PLACES + digits;
  const kept = exact.slice(0, digits === 0 ? Math.max(cut - 1, 0) : cut);
  const isTie = /^50*$/.test(exact.slice(cut));
  return isTie && "02468".includes(kept.at(-1) ?? "1") ? kept : number.toFixed(digits);
}

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
/** Always six places: the precision of this clause is a width. */
function scientific(number: number): string {
  const name = special(number);
  if (name !== undefined) return name;
  const [digits, exponent] = number.toExponential(DEFAULT_PRECISION).split("e") as [string, string];
  const power = exponent.slice(1).padStart(2, "0");
  return `${digits}×10${exponent.startsWith("-") ? "⁻" : ""}${Array.from(power, (digit) => RAISED[Number(digit)]).join("")}`;
}

function radix(verb: string, value: Value, base: number): string {
  if (typeof value === "bigint") return value.toString(base);
  return value instanceof Uint ? value.value.toString(base) : fail(verb, value);
}
function hexadecimal(verb: string, value: Value): string {
  let text: string;
  if (typeof value === "string") text = Buffer.from(value).toString("hex");
  else if (value instanceof Uint8Array) text = Buffer.from(value).toString("hex");
  else text = radix("x", value, 16);
  return verb === "X" ? text.toUpperCase() : text;
}

/** What %s shows. */
function showValue(value: Value): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return showDouble(value);
  if (value instanceof Timestamp) return formatTimestamp(value);
  if (value instanceof Duration) return formatDuration(value);
  if (value instanceof Uint8Array) return decodeBytes(value);
  return showInside(value);
}

function decodeBytes(bytes: Uint8Array): string {
  try {
    return decodeUtf8(bytes);
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    throw new CelError(`error during formatting: could not convert argument ${goQuote(error.message)} to string`);
  }
}

/** In lists and maps, values look like literals. */
function showInside(value: Value): string {
  if (typeof value === "string") return goQuote(value);
  if (typeof value === "number") {
    return Number.isFinite(value) ? toFixed(value, DEFAULT_PRECISION) : goQuote(showDouble(value));
  }
  if (typeof value === "bigint" || typeof value === "boolean" || value === null) return String(value);
  if (value instanceof Uint) return String(value.value);
  if (value instanceof Uint8Array) return `b${goQuote(decodeBytes(value))}`;
  if (value instanceof Timestamp) return `timestamp(${goQuote(formatTimestamp(value))})`;
  if (value instanceof Duration) return `duration(${goQuote(formatDuration(value))})`;
  if (value instanceof TypeValue) return value.name;
  if (isList(value)) return `[${Array.from({ length: value.length }, (_, i) => showInside(value.at(i))).join(", ")}]`;
  if (isMap(value)) return showEntries([...value.keys()].map((key) => [key, value.get(key)!]));
  if (isStruct(value)) return showEntries([...value.fieldNames()].map((name) => [name, value.field(name)!]));
  return fail("s", value);
}
function showEntries(entries: readonly (readonly [Value, Value])[]): string {
  const shown = entries.map(([key, value]) => [showInside(key), showInside(value)] as const);
  return `{${shown
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}:${value}`)
    .join(", ")}}`;
}
