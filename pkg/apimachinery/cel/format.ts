import { CelError } from "./errors.ts";
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

const CLAUSE = /%(?:%|(?:\.(\d+))?([a-zA-Z]))|%/g;

/** string.format(list): %s %d %f %e %x %X %o %b, with precision for %f and %e. @throws CelError */
export function formatText(pattern: string, args: CelList): string {
  let next = 0;
  return pattern.replaceAll(CLAUSE, (clause, precision: string | undefined, verb: string | undefined) => {
    if (clause === "%%") return "%";
    if (verb === undefined) throw new CelError("could not parse formatting clause: unexpected end of string");
    if (!"sdfexXob".includes(verb))
      throw new CelError(`could not parse formatting clause: unrecognized formatting clause "${verb}"`);
    if (next >= args.length) throw new CelError(`index ${next} out of range`);
    return formatOne(verb, args.at(next++), precision === undefined ? 6 : Number(precision));
  });
}

function formatOne(verb: string, value: Value, precision: number): string {
  switch (verb) {
    case "s":
      return showValue(value);
    case "d":
      return decimal(value);
    case "f":
    case "e":
      return floating(verb, value, precision);
    case "b":
      if (typeof value === "boolean") return value ? "1" : "0";
      return radix(value, 2, "binary clause can only be used on integers and bools");
    case "o":
      return radix(value, 8, "octal clause can only be used on integers");
    default:
      return hexadecimal(verb, value);
  }
}

const fail = (what: string, value: Value): never => {
  throw new CelError(`error during formatting: ${what}, was given ${typeNameOf(value)}`);
};

function special(value: number): string | undefined {
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? undefined : value > 0 ? "Infinity" : "-Infinity";
}
function decimal(value: Value): string {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint) return String(value.value);
  if (typeof value === "number") {
    const name = special(value);
    if (name !== undefined) return name;
  }
  return fail("decimal clause can only be used on integers", value);
}
function floating(verb: "f" | "e" | string, value: Value, precision: number): string {
  if (value === "NaN" || value === "Infinity" || value === "-Infinity") return value;
  const number = value instanceof Uint ? Number(value.value) : typeof value === "bigint" ? Number(value) : value;
  const what =
    verb === "f" ? "fixed-point clause can only be used on doubles" : "scientific clause can only be used on doubles";
  if (typeof number !== "number") return fail(what, value);
  const name = special(number);
  if (name !== undefined) return name;
  const digits = Math.min(precision, 100);
  if (verb === "f") return toFixed(number, digits);
  return number.toExponential(digits).replace(/e([+-])(\d)$/, "e$10$2");
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
function radix(value: Value, base: number, what: string): string {
  if (typeof value === "bigint") return value.toString(base);
  return value instanceof Uint ? value.value.toString(base) : fail(what, value);
}
function hexadecimal(verb: string, value: Value): string {
  let text: string;
  if (typeof value === "string") text = Buffer.from(value).toString("hex");
  else if (value instanceof Uint8Array) text = Buffer.from(value).toString("hex");
  else text = radix(value, 16, "only integers, byte buffers, and strings can be formatted as hex");
  return verb === "X" ? text.toUpperCase() : text;
}

/** What %s shows. */
function showValue(value: Value): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return special(value) ?? String(value);
  if (typeof value === "bigint" || typeof value === "boolean" || value === null) return String(value);
  if (value instanceof Uint) return String(value.value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("utf8");
  if (value instanceof Timestamp) return formatTimestamp(value);
  if (value instanceof Duration) return formatDuration(value);
  if (value instanceof TypeValue) return value.name;
  if (isList(value)) return `[${Array.from({ length: value.length }, (_, i) => showValue(value.at(i))).join(", ")}]`;
  if (isMap(value)) {
    const entries = [...value.keys()].map((key) => [showValue(key), showValue(value.get(key)!)] as const);
    return `{${entries
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, shown]) => `${key}: ${shown}`)
      .join(", ")}}`;
  }
  if (isStruct(value))
    return fail(
      "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps",
      value,
    );
  return String(value);
}
