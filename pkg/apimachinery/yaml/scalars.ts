import { DecodeError, exactInteger } from "../json.ts";
import type { ScalarNode } from "./parser.ts";

const TAG = "tag:yaml.org,2002:";

const NULLS = new Set(["", "~", "null", "Null", "NULL"]);
const TRUE = new Set(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"]);
const FALSE = new Set(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"]);
const NUMERIC = /^[-+.0-9]/;
const INTEGER = /^([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]([0-7]+)|0([0-7]+)|(0|[1-9][0-9]*))$/;
/** With all digits that 64 bits have, a sign, and a base. Zeros in front of more are nobody's number. */
const LONGEST_INTEGER = 67;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
const INFINITE = /^([-+]?)\.(?:inf|Inf|INF)$/;
const NAN = /^\.(?:nan|NaN|NAN)$/;
const TIME =
  /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[Tt](\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,]\d+)?(?:Z|[-+](\d\d):(\d\d))| (\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,]\d+)?)?$/;

/** What a scalar is, under YAML 1.1's rules, and of which type: 1 and 1.0 are different keys. */
export interface Resolved {
  readonly type: "null" | "bool" | "int" | "float" | "str" | "timestamp" | "binary" | "other";
  readonly value: string | number | bigint | boolean | null;
}

/** @throws DecodeError for what is not of the type that its tag says */
export function resolveScalar({ tag, text, plain }: ScalarNode): Resolved {
  if (tag === "") return plain ? resolvePlain(text) : { type: "str", value: text };
  const name = tag.startsWith(TAG) ? tag.slice(TAG.length) : "";
  switch (name) {
    case "str":
      return { type: "str", value: text };
    case "binary":
      return { type: "binary", value: binary(text) };
    case "null":
    case "bool":
    case "int":
    case "float":
    case "timestamp":
      return resolveAs(name, text);
    default:
      return { type: "other", value: text };
  }
}

function resolveAs(type: Resolved["type"], text: string): Resolved {
  const found = resolvePlain(text);
  if (found.type === type) return found;
  // Dates in quotes or with a tag of another type are what the rest of the rules makes of them.
  const actual = found.type === "timestamp" ? "str" : found.type;
  if (type === "float" && actual === "int" && !isUnsigned(found)) return { type, value: Number(found.value) };
  throw new DecodeError(`yaml: cannot decode !!${actual} \`${text}\` as a !!${type}`);
}

function resolvePlain(text: string): Resolved {
  if (NUMERIC.test(text)) return resolveNumber(text) ?? { type: "str", value: text };
  if (NULLS.has(text)) return { type: "null", value: null };
  if (TRUE.has(text)) return { type: "bool", value: true };
  if (FALSE.has(text)) return { type: "bool", value: false };
  return { type: "str", value: text };
}

function resolveNumber(text: string): Resolved | undefined {
  const infinite = INFINITE.exec(text);
  if (infinite !== null) return { type: "float", value: infinite[1] === "-" ? -Infinity : Infinity };
  if (NAN.test(text)) return { type: "float", value: NaN };
  if (isTimestamp(text)) return { type: "timestamp", value: text };
  // Underscores may stand anywhere in a number that does not begin with a point.
  const digits = text.startsWith(".") ? text : text.replaceAll("_", "");
  const integer = parseInteger(digits);
  if (integer !== undefined) return { type: "int", value: integer };
  const float = FLOAT.test(digits) ? Number(digits) : Infinity;
  return Number.isFinite(float) ? { type: "float", value: float || 0 } : undefined;
}

/** A whole number of at most 64 bits in any of Go's bases. */
function parseInteger(text: string): number | bigint | undefined {
  const match = text.length > LONGEST_INTEGER ? null : INTEGER.exec(text);
  if (match === null) return undefined;
  const [, sign = "", hex, binaryDigits, octal, legacyOctal, decimal] = match;
  if (decimal !== undefined && decimal.length < 16) return Number(sign + decimal) || 0;
  const magnitude =
    hex !== undefined
      ? BigInt(`0x${hex}`)
      : binaryDigits !== undefined
        ? BigInt(`0b${binaryDigits}`)
        : decimal !== undefined
          ? BigInt(decimal)
          : BigInt(`0o${octal ?? legacyOctal}`);
  const value = sign === "-" ? -magnitude : magnitude;
  const fits = BigInt.asIntN(64, value) === value || (sign === "" && BigInt.asUintN(64, value) === value);
  return fits ? exactInteger(String(value)) : undefined;
}

function isTimestamp(text: string): boolean {
  const match = TIME.exec(text);
  if (match === null) return false;
  const numbers = match.slice(1).map((part) => Number(part ?? 0));
  const [year, month, day, hourT, minuteT, secondT, zoneHours, zoneMinutes, hour, minute, second] = numbers;
  const days = new Date(Date.UTC(2000 + (year! % 400), month!, 0)).getUTCDate();
  if (month! < 1 || month! > 12 || day! < 1 || day! > days) return false;
  return (
    Math.max(hourT!, hour!) < 24 &&
    [minuteT, secondT, minute, second, zoneMinutes].every((n) => n! < 60) &&
    zoneHours! <= 24
  );
}

function binary(text: string): string {
  const base64 = text.replaceAll(/[\r\n]/g, "");
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64)) {
    throw new DecodeError("yaml: !!binary value contains invalid base64 data");
  }
  return Buffer.from(base64, "base64").toString("utf8");
}

/** Whether an integer is too large for 64 bits with a sign. */
export function isUnsigned({ type, value }: Resolved): boolean {
  return type === "int" && (typeof value === "bigint" ? value >= 2n ** 63n : Number(value) >= 2 ** 63);
}

/** A number as a key, as sigs.k8s.io/yaml writes it: with a fraction in single precision. */
export function numericKey({ type, value }: Resolved): string {
  if (type !== "float") return String(value);
  if (Number.isNaN(value)) return ".nan";
  if (value === Infinity) return ".inf";
  return value === -Infinity ? "-.inf" : goFloat(singlePrecision(value as number));
}

/** The number with the fewest digits that is the same in single precision. */
function singlePrecision(value: number): number {
  const single = Math.fround(value);
  for (let digits = 1; digits < 10; digits++) {
    const short = Number(single.toPrecision(digits));
    if (Math.fround(short) === single) return short;
  }
  return single;
}

/** Go's %g: with an exponent below 10^-4 and from 10^6. */
export function goFloat(value: number): string {
  const exponent = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  if (exponent >= -4 && exponent < 6) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}
