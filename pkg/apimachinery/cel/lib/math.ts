import { celCompare } from "../equality.ts";
import { CelError } from "../errors.ts";
import { declare, type Overload } from "../functions.ts";
import { int, uint } from "../std.ts";
import { type CelList, Uint, type Value } from "../values.ts";

type Pick = (...values: Value[]) => Value;
function extreme(sign: 1 | -1): Pick {
  return (...values) => values.reduce((best, value) => (celCompare(value, best) * sign > 0 ? value : best));
}
function ofList(name: string, pick: Pick): (list: CelList) => Value {
  return (list) => {
    if (list.length === 0) throw new CelError(`math.@${name}(list) argument must not be empty`);
    return pick(...Array.from({ length: list.length }, (_, i) => list.at(i)));
  };
}
const extremes = (["greatest", "least"] as const).flatMap((short) => {
  const pick = extreme(short === "greatest" ? 1 : -1);
  const name = `math.${short}`;
  const numbers = ["int", "uint", "double"];
  return [
    ...numbers.map((type) => declare(name, `(${type}) -> ${type}`, (value: Value) => value)),
    ...numbers.flatMap((a) => numbers.map((b) => declare(name, `(${a}, ${b}) -> ${a === b ? a : "dyn"}`, pick))),
    // Longer argument lists are checked as lists of dyn would be.
    ...[3, 4, 5, 6, 7, 8].map((length) =>
      declare(name, `(${Array.from({ length }, () => "dyn").join(", ")}) -> dyn`, pick as (...args: never[]) => Value),
    ),
    ...numbers.map((type) => declare(name, `(list<${type}>) -> ${type}`, ofList(short, pick), { visits: [0] })),
  ];
});

const round = (value: number): number => (value < 0 ? -Math.round(-value) : Math.round(value));
function shift(value: bigint, by: bigint, left: boolean, unsigned: boolean): bigint {
  if (by < 0n) throw new CelError("math.bitShift offset must not be negative");
  if (by >= 64n) return 0n;
  const bits = BigInt.asUintN(64, value);
  const shifted = left ? BigInt.asUintN(64, bits << by) : bits >> by;
  return unsigned ? shifted : BigInt.asIntN(64, shifted);
}

/** cel-go's ext.Math, version 2. */
export const mathLibrary: readonly Overload[] = [
  ...extremes,
  declare("math.ceil", "(double) -> double", Math.ceil),
  declare("math.floor", "(double) -> double", Math.floor),
  declare("math.round", "(double) -> double", round),
  declare("math.trunc", "(double) -> double", Math.trunc),
  declare("math.abs", "(double) -> double", Math.abs),
  declare("math.abs", "(int) -> int", (a: bigint) => int(a < 0n ? -a : a)),
  declare("math.abs", "(uint) -> uint", (a: Uint) => a),
  declare("math.sign", "(double) -> double", Math.sign),
  declare("math.sign", "(int) -> int", (a: bigint) => (a > 0n ? 1n : a < 0n ? -1n : 0n)),
  declare("math.sign", "(uint) -> uint", (a: Uint) => new Uint(a.value > 0n ? 1n : 0n)),
  declare("math.sqrt", "(double) -> double", Math.sqrt),
  declare("math.sqrt", "(int) -> double", (a: bigint) => Math.sqrt(Number(a))),
  declare("math.sqrt", "(uint) -> double", (a: Uint) => Math.sqrt(Number(a.value))),
  declare(
    "math.isInf",
    "(double) -> bool",
    (a: number) => a === Number.POSITIVE_INFINITY || a === Number.NEGATIVE_INFINITY,
  ),
  declare("math.isNaN", "(double) -> bool", Number.isNaN),
  declare("math.isFinite", "(double) -> bool", Number.isFinite),
  declare("math.bitAnd", "(int, int) -> int", (a: bigint, b: bigint) => a & b),
  declare("math.bitAnd", "(uint, uint) -> uint", (a: Uint, b: Uint) => uint(a.value & b.value)),
  declare("math.bitOr", "(int, int) -> int", (a: bigint, b: bigint) => a | b),
  declare("math.bitOr", "(uint, uint) -> uint", (a: Uint, b: Uint) => uint(a.value | b.value)),
  declare("math.bitXor", "(int, int) -> int", (a: bigint, b: bigint) => a ^ b),
  declare("math.bitXor", "(uint, uint) -> uint", (a: Uint, b: Uint) => uint(a.value ^ b.value)),
  declare("math.bitNot", "(int) -> int", (a: bigint) => ~a),
  declare("math.bitNot", "(uint) -> uint", (a: Uint) => new Uint(BigInt.asUintN(64, ~a.value))),
  declare("math.bitShiftLeft", "(int, int) -> int", (a: bigint, b: bigint) => shift(a, b, true, false)),
  declare("math.bitShiftLeft", "(uint, int) -> uint", (a: Uint, b: bigint) => new Uint(shift(a.value, b, true, true))),
  declare("math.bitShiftRight", "(int, int) -> int", (a: bigint, b: bigint) => shift(a, b, false, false)),
  declare(
    "math.bitShiftRight",
    "(uint, int) -> uint",
    (a: Uint, b: bigint) => new Uint(shift(a.value, b, false, true)),
  ),
];
