/**
 * Resource quantities: exact decimal numbers with SI, binary or exponent suffixes.
 * Source: apimachinery pkg/api/resource. A value is mantissa × 10^scale; mantissas beyond 2^53 are BigInts.
 */

export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent";

/** A text that is no quantity; the message is upstream's. */
export class QuantityError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "QuantityError";
  }
}
/** Refuses what does not look like a quantity. */
export const FORMAT_WRONG =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const SUFFIX_WRONG = "unable to parse quantity's suffix";

const DECIMAL_SUFFIXES = new Map([
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
]);
const DECIMAL_NAMES = new Map([...DECIMAL_SUFFIXES].map(([suffix, exponent]) => [exponent, suffix]));
const BINARY_SUFFIXES = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const BINARY_FACTORS = new Map(BINARY_SUFFIXES.map((suffix, power) => [suffix, 1024 ** power]));
/** Largest power of ten a suffix may ask for: a hostile "1e999999999" must not fill the memory. */
const MAX_EXPONENT = 400;
const NANO = -9;
const MAX_INT64 = 2n ** 63n - 1n;
const PARTS = /^([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/;

type Mantissa = number | bigint;
const narrow = (value: bigint): Mantissa =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= -BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
const pow10 = (exponent: number): bigint => 10n ** BigInt(exponent);

/** value / 10^digits, rounded away from zero. */
function divideRoundingUp(value: Mantissa, digits: number): Mantissa {
  if (digits <= 0) return value;
  if (typeof value === "number" && digits <= 15) {
    const divisor = 10 ** digits;
    const remainder = value % divisor;
    const quotient = (value - remainder) / divisor;
    return remainder === 0 ? quotient : quotient + Math.sign(value);
  }
  const big = BigInt(value);
  const divisor = pow10(digits);
  const quotient = big / divisor;
  if (big % divisor === 0n) return narrow(quotient);
  return narrow(quotient + (big < 0n ? -1n : 1n));
}

/** value × 10^digits. */
function multiply(value: Mantissa, digits: number): Mantissa {
  if (digits === 0) return value;
  if (typeof value === "number" && digits <= 15) {
    const product = value * 10 ** digits;
    if (Number.isSafeInteger(product)) return product;
  }
  return narrow(BigInt(value) * pow10(digits));
}

/** Immutable; all arithmetic is exact. */
export class Quantity {
  readonly #mantissa: Mantissa;
  readonly #scale: number;
  readonly format: QuantityFormat;
  #text: string | undefined;

  /** The number `mantissa` × 10^`scale`. */
  constructor(mantissa: Mantissa, scale = 0, format: QuantityFormat = "DecimalSI", text?: string) {
    this.#mantissa = typeof mantissa === "bigint" ? narrow(mantissa) : mantissa;
    this.#scale = scale;
    this.format = format;
    this.#text = text;
  }

  static readonly zero = new Quantity(0, 0, "DecimalSI", "0");
  static fromNumber(value: number | bigint, format: QuantityFormat = "DecimalSI"): Quantity {
    return new Quantity(value, 0, format);
  }

  /** Nearest floating point number; exact for integers below 2^53. */
  toNumber(): number {
    if (this.#scale === 0) return Number(this.#mantissa);
    if (this.#scale > 0) return Number(multiply(this.#mantissa, this.#scale));
    return Number(`${this.#mantissa}e${this.#scale}`);
  }
  /** In units of 10^scale, rounded away from zero. */
  scaledValue(scale: number): number {
    return Number(this.#scaled(scale));
  }
  /** Whole units, rounded away from zero. */
  value(): number {
    return this.scaledValue(0);
  }
  /** Whole units, rounded away from zero, for values beyond 2^53. */
  bigValue(): bigint {
    return BigInt(this.#scaled(0));
  }
  /** Thousandths, rounded away from zero. */
  milliValue(): number {
    return this.scaledValue(-3);
  }
  #scaled(scale: number): Mantissa {
    const digits = this.#scale - scale;
    return digits >= 0 ? multiply(this.#mantissa, digits) : divideRoundingUp(this.#mantissa, -digits);
  }

  get sign(): -1 | 0 | 1 {
    return this.#mantissa > 0 ? 1 : this.#mantissa < 0 ? -1 : 0;
  }
  isZero(): boolean {
    return this.sign === 0;
  }
  /** A whole number that fits a signed 64-bit integer? */
  isInteger(): boolean {
    if (this.#scale >= 0) return true;
    return BigInt(this.#mantissa) % pow10(-this.#scale) === 0n;
  }
  cmp(other: Quantity): -1 | 0 | 1 {
    const scale = Math.min(this.#scale, other.#scale);
    const left = multiply(this.#mantissa, this.#scale - scale);
    const right = multiply(other.#mantissa, other.#scale - scale);
    return left < right ? -1 : left > right ? 1 : 0;
  }
  equals(other: Quantity): boolean {
    return this.cmp(other) === 0;
  }
  /** Keeps this quantity's format; a zero takes the other's. */
  add(other: Quantity): Quantity {
    return this.#sum(other, 1);
  }
  sub(other: Quantity): Quantity {
    return this.#sum(other, -1);
  }
  #sum(other: Quantity, sign: 1 | -1): Quantity {
    const scale = Math.min(this.#scale, other.#scale);
    const left = multiply(this.#mantissa, this.#scale - scale);
    const right = multiply(other.#mantissa, other.#scale - scale);
    const format = this.isZero() ? other.format : this.format;
    if (typeof left === "number" && typeof right === "number") {
      const sum = left + sign * right;
      if (Number.isSafeInteger(sum)) return new Quantity(sum, scale, format);
    }
    return new Quantity(BigInt(left) + BigInt(sign) * BigInt(right), scale, format);
  }
  neg(): Quantity {
    return new Quantity(this.isZero() ? 0 : -this.#mantissa, this.#scale, this.format);
  }
  /** Rounded away from zero to a multiple of 10^scale: roundUp(-3) leaves whole milli-units. */
  roundUp(scale: number): Quantity {
    if (this.#scale >= scale) return this;
    return new Quantity(divideRoundingUp(this.#mantissa, scale - this.#scale), scale, this.format);
  }

  /** The canonical text, as the API server writes it. */
  toString(): string {
    return (this.#text ??= this.#canonical());
  }
  toJSON(): string {
    return this.toString();
  }

  #canonical(): string {
    if (this.isZero()) return "0";
    if (this.format === "BinarySI" && this.isInteger()) {
      let amount = this.bigValue();
      if (amount >= 1024n || amount <= -1024n) {
        let power = 0;
        for (; amount % 1024n === 0n && power < BINARY_SUFFIXES.length - 1; power++) amount /= 1024n;
        return `${amount}${BINARY_SUFFIXES[power]}`;
      }
    }
    let digits = String(this.#mantissa);
    let exponent = this.#scale;
    const zeros = /0*$/.exec(digits)![0].length;
    digits = digits.slice(0, digits.length - zeros);
    exponent += zeros;
    const exponential = this.format === "DecimalExponent";
    // Suffixes exist for multiples of three; SI ends at E.
    const excess = exponential ? ((exponent % 3) + 3) % 3 : Math.max(((exponent % 3) + 3) % 3, exponent - 18);
    digits += "0".repeat(excess);
    exponent -= excess;
    if (exponential) return exponent === 0 ? digits : `${digits}e${exponent}`;
    return `${digits}${DECIMAL_NAMES.get(exponent) ?? `e${exponent}`}`;
  }
}

interface Suffix {
  readonly base: 10 | 2;
  readonly exponent: number;
  readonly format: QuantityFormat;
}
function interpretSuffix(suffix: string): Suffix {
  const decimal = DECIMAL_SUFFIXES.get(suffix);
  if (decimal !== undefined) return { base: 10, exponent: decimal, format: "DecimalSI" };
  const binary = BINARY_SUFFIXES.indexOf(suffix);
  if (binary > 0) return { base: 2, exponent: binary * 10, format: "BinarySI" };
  if (!/^[eE][-+]?[0-9]+$/.test(suffix)) throw new QuantityError(SUFFIX_WRONG);
  const exponent = Number(suffix.slice(1));
  if (Math.abs(exponent) > MAX_EXPONENT) throw new QuantityError(SUFFIX_WRONG);
  return { base: 10, exponent, format: "DecimalExponent" };
}

/** Up to 15 digits and a suffix, which nearly all quantities are: no regular expression, no BigInt. */
function parseSimple(text: string): Quantity | undefined {
  let value = 0;
  let at = 0;
  for (; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  if (at === 0 || at > 15 || text.charCodeAt(0) === 0x30) return undefined;
  const suffix = text.slice(at);
  const exponent = DECIMAL_SUFFIXES.get(suffix);
  if (exponent !== undefined) {
    return new Quantity(value, exponent, "DecimalSI", value % 1000 === 0 ? undefined : text);
  }
  const factor = BINARY_FACTORS.get(suffix);
  if (factor === undefined) return undefined;
  const product = value * factor;
  if (!Number.isSafeInteger(product)) return undefined;
  return new Quantity(product, 0, "BinarySI", value % 8 === 0 ? undefined : text);
}

/**
 * Reads a quantity: a string such as "100m", "1.5Gi", "1e3", or a JSON number. Digits below 10^-9 round up; binary
 * quantities are capped at 2^63-1.
 * @throws QuantityError
 */
export function parseQuantity(quantity: string | number): Quantity {
  const simple = typeof quantity === "string" ? parseSimple(quantity) : undefined;
  if (simple !== undefined) return simple;
  const text = String(quantity).trim();
  if (text === "") throw new QuantityError(FORMAT_WRONG);
  const match = PARTS.exec(text);
  if (match === null) throw new QuantityError(FORMAT_WRONG);
  const [, sign, integer = "", fraction = "", suffix = ""] = match;
  const { base, exponent, format } = interpretSuffix(suffix);
  const digits = integer + fraction;
  if (digits === "" && !/[0-9]/.test(text.slice(0, text.length - suffix.length))) throw new QuantityError(FORMAT_WRONG);
  if (digits.length > 1000) throw new QuantityError("unable to parse numeric part of quantity");
  const negative = sign === "-";

  let scale = (base === 10 ? exponent : 0) - fraction.length;
  let mantissa: Mantissa = digits.length <= 15 ? Number(digits) : narrow(BigInt(digits));
  if (mantissa === 0) return new Quantity(0, 0, format, "0");
  const given = keepsItsText(base, integer, fraction, scale) ? text : undefined;
  let outFormat = format;
  if (base === 2) {
    const product = Number(mantissa) * 2 ** exponent;
    mantissa =
      typeof mantissa === "number" && Number.isSafeInteger(product)
        ? product
        : narrow(BigInt(mantissa) << BigInt(exponent));
    if (scale <= 0 && BigInt(mantissa) > MAX_INT64 * pow10(-scale)) {
      mantissa = MAX_INT64;
      scale = 0;
    }
  }
  if (scale < NANO) {
    mantissa = divideRoundingUp(mantissa, NANO - scale);
    scale = NANO;
  }
  if (base === 2 && scale < 0 && BigInt(mantissa) < pow10(-scale)) outFormat = "DecimalSI";
  return new Quantity(negative ? -mantissa : mantissa, scale, outFormat, given);
}

/** Upstream takes these texts for canonical and writes them back as they came ("1.500" stays "1.500"). */
function keepsItsText(base: 10 | 2, integer: string, fraction: string, scale: number): boolean {
  if (integer === "" || integer.length + fraction.length > 15) return false;
  if (base === 2) return fraction === "" && Number(integer) % 8 !== 0;
  return scale >= NANO && scale % 3 === 0 && !`${integer}${fraction}`.endsWith("000");
}

/** The canonical text of a quantity in wire form. @throws QuantityError */
export function canonicalQuantity(quantity: string | number): string {
  return parseQuantity(quantity).toString();
}
