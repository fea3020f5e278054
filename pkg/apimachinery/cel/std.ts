/** The standard functions and operators (cel-spec doc/langdef.md#list-of-standard-definitions). */
import { comparing, matching, reading } from "./costs.ts";
import { celCompare, celEquals, concatLists, containsItem } from "./equality.ts";
import { CelError } from "./errors.ts";
import { declare, type LinearCost, type Overload, type SizeEstimates } from "./functions.ts";
import { add, atMost, type Range } from "./ranges.ts";
import { compilePattern } from "./regex.ts";
import { decodeUtf8, showDouble } from "./text.ts";
import {
  calendarTime,
  duration,
  formatDuration,
  formatTimestamp,
  parseDuration,
  parseTimestamp,
  timestamp,
} from "./time.ts";
import {
  ArrayList,
  type CelList,
  type CelMap,
  Duration,
  Timestamp,
  TypeValue,
  typeNameOf,
  Uint,
  type Value,
} from "./values.ts";

const MAX_INT = 2n ** 63n - 1n;
const MIN_INT = -(2n ** 63n);
const MAX_UINT = 2n ** 64n - 1n;

export function int(value: bigint): bigint {
  if (value > MAX_INT || value < MIN_INT) throw new CelError("integer overflow");
  return value;
}
export function uint(value: bigint): Uint {
  if (value > MAX_UINT || value < 0n) throw new CelError("unsigned integer overflow");
  return new Uint(value);
}
const byZero = (divisor: bigint, what: string): bigint => {
  if (divisor === 0n) throw new CelError(`${what} by zero`);
  return divisor;
};
function fromDouble(value: number, unsigned: boolean): bigint {
  const limit = unsigned ? 2 ** 64 : 2 ** 63;
  if (!Number.isFinite(value) || value >= limit || value < (unsigned ? 0 : -limit) || (!unsigned && value === -limit)) {
    throw new CelError(unsigned ? "unsigned integer overflow" : "integer overflow");
  }
  return BigInt(Math.trunc(value));
}
const later = (time: Timestamp, nanos: bigint): Timestamp => timestamp(time.nanos + nanos, time.offsetMinutes);
const bothSizes = (sizes: SizeEstimates): Range => add(sizes.of(0), sizes.of(1));
const joining: LinearCost = { rule: (sizes) => reading(sizes.of(0) + sizes.of(1)), resultSize: bothSizes };
/** One unit at least, unless one side is known to be empty. */
const comparingTexts: LinearCost = {
  rule: comparing,
  estimate: (sizes) => {
    const max = Math.min(sizes.of(0).max, sizes.of(1).max);
    return { min: max > 0 ? 1 : 0, max: reading(max) };
  },
};

const arithmetic: readonly Overload[] = [
  declare("_+_", "(int, int) -> int", (a: bigint, b: bigint) => int(a + b)),
  declare("_+_", "(uint, uint) -> uint", (a: Uint, b: Uint) => uint(a.value + b.value)),
  declare("_+_", "(double, double) -> double", (a: number, b: number) => a + b),
  declare("_+_", "(string, string) -> string", (a: string, b: string) => a + b, joining),
  declare(
    "_+_",
    "(bytes, bytes) -> bytes",
    (a: Uint8Array, b: Uint8Array) => Uint8Array.from(Buffer.concat([a, b])),
    joining,
  ),
  declare("_+_", "(list<A>, list<A>) -> list<A>", (a: CelList, b: CelList) => new ArrayList(concatLists(a, b).items), {
    resultSize: bothSizes,
  }),
  declare("_+_", "(timestamp, duration) -> timestamp", (a: Timestamp, b: Duration) => later(a, b.nanos)),
  declare("_+_", "(duration, timestamp) -> timestamp", (a: Duration, b: Timestamp) => later(b, a.nanos)),
  declare("_+_", "(duration, duration) -> duration", (a: Duration, b: Duration) => duration(a.nanos + b.nanos)),
  declare("_-_", "(int, int) -> int", (a: bigint, b: bigint) => int(a - b)),
  declare("_-_", "(uint, uint) -> uint", (a: Uint, b: Uint) => uint(a.value - b.value)),
  declare("_-_", "(double, double) -> double", (a: number, b: number) => a - b),
  declare("_-_", "(timestamp, timestamp) -> duration", (a: Timestamp, b: Timestamp) => duration(a.nanos - b.nanos)),
  declare("_-_", "(timestamp, duration) -> timestamp", (a: Timestamp, b: Duration) => later(a, -b.nanos)),
  declare("_-_", "(duration, duration) -> duration", (a: Duration, b: Duration) => duration(a.nanos - b.nanos)),
  declare("_*_", "(int, int) -> int", (a: bigint, b: bigint) => int(a * b)),
  declare("_*_", "(uint, uint) -> uint", (a: Uint, b: Uint) => uint(a.value * b.value)),
  declare("_*_", "(double, double) -> double", (a: number, b: number) => a * b),
  declare("_/_", "(int, int) -> int", (a: bigint, b: bigint) => int(a / byZero(b, "division"))),
  declare("_/_", "(uint, uint) -> uint", (a: Uint, b: Uint) => uint(a.value / byZero(b.value, "division"))),
  declare("_/_", "(double, double) -> double", (a: number, b: number) => a / b),
  declare("_%_", "(int, int) -> int", (a: bigint, b: bigint) => a % byZero(b, "modulus")),
  declare("_%_", "(uint, uint) -> uint", (a: Uint, b: Uint) => uint(a.value % byZero(b.value, "modulus"))),
  declare("-_", "(int) -> int", (a: bigint) => int(-a)),
  declare("-_", "(double) -> double", (a: number) => -a),
  declare("!_", "(bool) -> bool", (a: boolean) => !a),
];

const ORDERED = ["bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration"];
const NUMERIC_PAIRS = ["int, uint", "int, double", "uint, int", "uint, double", "double, int", "double, uint"];
const comparisons: readonly Overload[] = (
  [
    ["_<_", (order: number) => order < 0],
    ["_<=_", (order: number) => order <= 0],
    ["_>_", (order: number) => order > 0],
    ["_>=_", (order: number) => order >= 0],
  ] as const
).flatMap(([name, holds]) =>
  [...ORDERED.map((type) => `${type}, ${type}`), ...NUMERIC_PAIRS].map((types) =>
    declare(
      name,
      `(${types}) -> bool`,
      (a: Value, b: Value) => holds(celCompare(a, b)),
      types === "string, string" || types === "bytes, bytes" ? comparingTexts : {},
    ),
  ),
);

const equality: readonly Overload[] = [
  declare("_==_", "(A, A) -> bool", (a: Value, b: Value) => celEquals(a, b), comparingTexts),
  declare("_!=_", "(A, A) -> bool", (a: Value, b: Value) => !celEquals(a, b), comparingTexts),
  declare("@in", "(A, list<A>) -> bool", (a: Value, list: CelList) => containsItem(list, a), { visits: [1] }),
  declare("@in", "(A, map<A, B>) -> bool", (a: Value, map: CelMap) => map.get(a) !== undefined),
];

const codePoints = (text: string): bigint => {
  let count = 0;
  for (const _ of text) count++;
  return BigInt(count);
};

const strings: readonly Overload[] = [
  ...["size"].flatMap((name) => [
    declare(name, "(string) -> int", (text: string) => codePoints(text)),
    declare(name, "string.() -> int", (text: string) => codePoints(text)),
    declare(name, "(bytes) -> int", (bytes: Uint8Array) => BigInt(bytes.length)),
    declare(name, "bytes.() -> int", (bytes: Uint8Array) => BigInt(bytes.length)),
    declare(name, "(list<A>) -> int", (list: CelList) => BigInt(list.length)),
    declare(name, "list<A>.() -> int", (list: CelList) => BigInt(list.length)),
    declare(name, "(map<A, B>) -> int", (map: CelMap) => BigInt(map.size)),
    declare(name, "map<A, B>.() -> int", (map: CelMap) => BigInt(map.size)),
  ]),
  declare(
    "contains",
    "string.(string) -> bool",
    (text: string, part: string) => text.includes(part),
    (sizes) => reading(sizes.of(0)) * reading(sizes.of(1)),
  ),
  declare("startsWith", "string.(string) -> bool", (text: string, part: string) => text.startsWith(part), {
    traverses: [1],
  }),
  declare("endsWith", "string.(string) -> bool", (text: string, part: string) => text.endsWith(part), {
    traverses: [1],
  }),
  declare(
    "matches",
    "string.(string) -> bool",
    (text: string, pattern: string) => compilePattern(pattern).matcher(text).find(),
    matching,
  ),
  declare(
    "matches",
    "(string, string) -> bool",
    (text: string, pattern: string) => compilePattern(pattern).matcher(text).find(),
    matching,
  ),
];

const notConvertible = (type: string): CelError => new CelError(`type conversion error from 'string' to '${type}'`);

function parseNumber(text: string, pattern: RegExp, type: string, least: bigint, most: bigint): bigint {
  if (!pattern.test(text)) throw notConvertible(type);
  const number = BigInt(text.replace(/^\+/, ""));
  if (number < least || number > most) throw notConvertible(type);
  return number;
}
function parseDouble(text: string): number {
  if (/^[+-]?(?:inf|infinity)$/i.test(text))
    return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (/^[+-]?nan$/i.test(text)) return Number.NaN;
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) throw notConvertible("double");
  return Number(text);
}
const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "F", "false", "FALSE", "False"]);
function parseBool(text: string): boolean {
  if (TRUE.has(text)) return true;
  if (FALSE.has(text)) return false;
  throw notConvertible("bool");
}
const seconds = (nanos: bigint): bigint =>
  nanos >= 0n ? nanos / 1_000_000_000n : -((-nanos + 999_999_999n) / 1_000_000_000n);

const conversions: readonly Overload[] = [
  declare("int", "(int) -> int", (a: bigint) => a),
  declare("int", "(uint) -> int", (a: Uint) => int(a.value)),
  declare("int", "(double) -> int", (a: number) => fromDouble(a, false)),
  declare("int", "(string) -> int", (a: string) => parseNumber(a, /^[+-]?\d+$/, "int", MIN_INT, MAX_INT)),
  declare("int", "(timestamp) -> int", (a: Timestamp) => seconds(a.nanos)),
  declare("int", "(duration) -> int", (a: Duration) => a.nanos),
  declare("uint", "(uint) -> uint", (a: Uint) => a),
  declare("uint", "(int) -> uint", (a: bigint) => uint(a)),
  declare("uint", "(double) -> uint", (a: number) => new Uint(fromDouble(a, true))),
  declare("uint", "(string) -> uint", (a: string) => new Uint(parseNumber(a, /^\d+$/, "uint", 0n, MAX_UINT))),
  declare("double", "(double) -> double", (a: number) => a),
  declare("double", "(int) -> double", (a: bigint) => Number(a)),
  declare("double", "(uint) -> double", (a: Uint) => Number(a.value)),
  declare("double", "(string) -> double", (a: string) => parseDouble(a)),
  declare("string", "(string) -> string", (a: string) => a),
  declare("string", "(bool) -> string", (a: boolean) => String(a)),
  declare("string", "(int) -> string", (a: bigint) => String(a)),
  declare("string", "(uint) -> string", (a: Uint) => String(a.value)),
  declare("string", "(double) -> string", (a: number) => showDouble(a)),
  declare("string", "(bytes) -> string", (a: Uint8Array) => decodeUtf8(a), {
    traverses: [0],
    resultSize: (sizes) => ({ min: Math.floor(sizes.of(0).min / 4), max: sizes.of(0).max }),
  }),
  declare("string", "(timestamp) -> string", (a: Timestamp) => formatTimestamp(a)),
  declare("string", "(duration) -> string", (a: Duration) => formatDuration(a)),
  declare("bytes", "(bytes) -> bytes", (a: Uint8Array) => a),
  declare("bytes", "(string) -> bytes", (a: string) => Uint8Array.from(Buffer.from(a, "utf8")), {
    traverses: [0],
    resultSize: (sizes) => ({ min: sizes.of(0).min, max: atMost(sizes.of(0).max * 4) }),
  }),
  declare("bool", "(bool) -> bool", (a: boolean) => a),
  declare("bool", "(string) -> bool", (a: string) => parseBool(a)),
  declare("timestamp", "(timestamp) -> timestamp", (a: Timestamp) => a),
  declare("timestamp", "(string) -> timestamp", (a: string) => parseTimestamp(a, true)),
  declare("timestamp", "(int) -> timestamp", (a: bigint) => timestamp(a * 1_000_000_000n)),
  declare("duration", "(duration) -> duration", (a: Duration) => a),
  declare("duration", "(string) -> duration", (a: string) => parseDuration(a)),
  declare("duration", "(int) -> duration", (a: bigint) => duration(a)),
  declare("dyn", "(A) -> dyn", (a: Value) => a),
  declare("type", "(A) -> type<A>", (a: Value) => new TypeValue(a instanceof TypeValue ? "type" : typeNameOf(a))),
];

const CALENDAR = [
  ["getFullYear", "year", 0],
  ["getMonth", "month", 0],
  ["getDate", "day", 0],
  ["getDayOfMonth", "day", -1],
  ["getDayOfWeek", "weekday", 0],
  ["getDayOfYear", "dayOfYear", 0],
  ["getHours", "hours", 0],
  ["getMinutes", "minutes", 0],
  ["getSeconds", "seconds", 0],
  ["getMilliseconds", "milliseconds", 0],
] as const;
const times: readonly Overload[] = [
  ...CALENDAR.flatMap(([name, part, shift]) => [
    declare(name, "timestamp.() -> int", (time: Timestamp) => BigInt(calendarTime(time, undefined)[part] + shift)),
    declare(name, "timestamp.(string) -> int", (time: Timestamp, zone: string) =>
      BigInt(calendarTime(time, zone)[part] + shift),
    ),
  ]),
  declare("getHours", "duration.() -> int", (a: Duration) => a.nanos / 3_600_000_000_000n),
  declare("getMinutes", "duration.() -> int", (a: Duration) => a.nanos / 60_000_000_000n),
  declare("getSeconds", "duration.() -> int", (a: Duration) => a.nanos / 1_000_000_000n),
  declare("getMilliseconds", "duration.() -> int", (a: Duration) => a.nanos / 1_000_000n),
];

export const standardLibrary: readonly Overload[] = [
  ...arithmetic,
  ...comparisons,
  ...equality,
  ...strings,
  ...conversions,
  ...times,
];
