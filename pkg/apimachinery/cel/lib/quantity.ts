import { FORMAT_WRONG, parseQuantity, Quantity, QuantityError } from "../../quantity.ts";
import { CelError } from "../errors.ts";
import { declare, type Overload } from "../functions.ts";
import { Opaque } from "../values.ts";

class QuantityValue extends Opaque {
  readonly typeName = "kubernetes.Quantity";
  readonly quantity: Quantity;
  /** Upstream asks only numbers of 64 bits for an integer, and fractions of binary units are never kept as one. */
  readonly isDecimal: boolean;
  constructor(quantity: Quantity, isDecimal: boolean) {
    super();
    this.quantity = quantity;
    this.isDecimal = isDecimal;
  }
  equals(other: Opaque): boolean {
    return other instanceof QuantityValue && other.quantity.equals(this.quantity);
  }
  override toString(): string {
    return this.quantity.toString();
  }
}

function parse(text: string): Quantity {
  // In documents there may be space around it.
  if (text.trim() !== text) throw new QuantityError(FORMAT_WRONG);
  return parseQuantity(text);
}
function quantity(text: string): QuantityValue {
  try {
    return new QuantityValue(parse(text), /\.\d+[A-Z]i$/i.test(text));
  } catch (error) {
    if (error instanceof QuantityError) throw new CelError(error.message);
    throw error;
  }
}
function isQuantity(text: string): boolean {
  try {
    parse(text);
    return true;
  } catch (error) {
    if (error instanceof QuantityError) return false;
    throw error;
  }
}
function asInteger(value: QuantityValue): bigint {
  if (!fitsInt(value)) throw new CelError("cannot convert value to integer");
  return value.quantity.bigValue();
}
const fitsInt = ({ quantity: value, isDecimal }: QuantityValue): boolean =>
  !isDecimal && value.isInteger() && BigInt.asIntN(64, value.bigValue()) === value.bigValue();
const sum = (a: QuantityValue, b: QuantityValue): QuantityValue =>
  new QuantityValue(a.quantity.add(b.quantity), a.isDecimal || b.isDecimal);
const difference = (a: QuantityValue, b: QuantityValue): QuantityValue =>
  new QuantityValue(a.quantity.sub(b.quantity), a.isDecimal || b.isDecimal);
const fromInt = (value: bigint): QuantityValue => new QuantityValue(Quantity.fromNumber(value), false);

type Q = QuantityValue;
const T = "kubernetes.Quantity";

/** Kubernetes' quantity functions (apiserver/pkg/cel/library/quantity.go). */
export const quantityLibrary: readonly Overload[] = [
  declare("quantity", `(string) -> ${T}`, quantity, { traverses: [0] }),
  declare("isQuantity", "(string) -> bool", isQuantity, { traverses: [0] }),
  declare("sign", `(${T}) -> int`, (a: Q) => BigInt(a.quantity.sign)),
  declare("isInteger", `${T}.() -> bool`, fitsInt),
  declare("asInteger", `${T}.() -> int`, asInteger),
  declare("asApproximateFloat", `${T}.() -> double`, (a: Q) => a.quantity.toNumber()),
  declare("isLessThan", `${T}.(${T}) -> bool`, (a: Q, b: Q) => a.quantity.cmp(b.quantity) < 0),
  declare("isGreaterThan", `${T}.(${T}) -> bool`, (a: Q, b: Q) => a.quantity.cmp(b.quantity) > 0),
  declare("compareTo", `${T}.(${T}) -> int`, (a: Q, b: Q) => BigInt(a.quantity.cmp(b.quantity))),
  declare("add", `${T}.(${T}) -> ${T}`, sum),
  declare("add", `${T}.(int) -> ${T}`, (a: Q, b: bigint) => sum(a, fromInt(b))),
  declare("sub", `${T}.(${T}) -> ${T}`, difference),
  declare("sub", `${T}.(int) -> ${T}`, (a: Q, b: bigint) => difference(a, fromInt(b))),
];
