import { parseQuantity, Quantity, QuantityError } from "../../quantity.ts";
import { CelError } from "../errors.ts";
import { declare, type Overload } from "../functions.ts";
import { Opaque } from "../values.ts";

class QuantityValue extends Opaque {
  readonly typeName = "kubernetes.Quantity";
  readonly quantity: Quantity;
  constructor(quantity: Quantity) {
    super();
    this.quantity = quantity;
  }
  equals(other: Opaque): boolean {
    return other instanceof QuantityValue && other.quantity.equals(this.quantity);
  }
  override toString(): string {
    return this.quantity.toString();
  }
}

function quantity(text: string): QuantityValue {
  try {
    return new QuantityValue(parseQuantity(text));
  } catch (error) {
    if (error instanceof QuantityError) throw new CelError(error.message);
    throw error;
  }
}
function isQuantity(text: string): boolean {
  try {
    parseQuantity(text);
    return true;
  } catch (error) {
    if (error instanceof QuantityError) return false;
    throw error;
  }
}
function asInteger({ quantity: value }: QuantityValue): bigint {
  if (!fitsInt(value)) throw new CelError("cannot convert value to integer");
  return value.bigValue();
}
const fitsInt = (value: Quantity): boolean =>
  value.isInteger() && BigInt.asIntN(64, value.bigValue()) === value.bigValue();
const fromInt = (value: bigint): Quantity => Quantity.fromNumber(value);

type Q = QuantityValue;
const T = "kubernetes.Quantity";

/** Kubernetes' quantity functions (apiserver/pkg/cel/library/quantity.go). */
export const quantityLibrary: readonly Overload[] = [
  declare("quantity", `(string) -> ${T}`, quantity, { traverses: [0] }),
  declare("isQuantity", "(string) -> bool", isQuantity, { traverses: [0] }),
  declare("sign", `(${T}) -> int`, (a: Q) => BigInt(a.quantity.sign)),
  declare("isInteger", `${T}.() -> bool`, (a: Q) => fitsInt(a.quantity)),
  declare("asInteger", `${T}.() -> int`, asInteger),
  declare("asApproximateFloat", `${T}.() -> double`, (a: Q) => a.quantity.toNumber()),
  declare("isLessThan", `${T}.(${T}) -> bool`, (a: Q, b: Q) => a.quantity.cmp(b.quantity) < 0),
  declare("isGreaterThan", `${T}.(${T}) -> bool`, (a: Q, b: Q) => a.quantity.cmp(b.quantity) > 0),
  declare("compareTo", `${T}.(${T}) -> int`, (a: Q, b: Q) => BigInt(a.quantity.cmp(b.quantity))),
  declare("add", `${T}.(${T}) -> ${T}`, (a: Q, b: Q) => new QuantityValue(a.quantity.add(b.quantity))),
  declare("add", `${T}.(int) -> ${T}`, (a: Q, b: bigint) => new QuantityValue(a.quantity.add(fromInt(b)))),
  declare("sub", `${T}.(${T}) -> ${T}`, (a: Q, b: Q) => new QuantityValue(a.quantity.sub(b.quantity))),
  declare("sub", `${T}.(int) -> ${T}`, (a: Q, b: bigint) => new QuantityValue(a.quantity.sub(fromInt(b)))),
];
