import type { CostRule } from "../costs.ts";
import { celCompare, celEquals } from "../equality.ts";
import { CelError } from "../errors.ts";
import { declare, type Overload } from "../functions.ts";
import { duration } from "../time.ts";
import { int, uint } from "../std.ts";
import { COMPARABLE } from "./list-operations.ts";
import { type CelList, Duration, Uint, type Value } from "../values.ts";

const visits: CostRule = (sizes) => sizes.traversed(0);

function isSorted(list: CelList): boolean {
  for (let i = 1; i < list.length; i++) if (celCompare(list.at(i - 1), list.at(i)) > 0) return false;
  return true;
}
function extreme(name: string, sign: 1 | -1): (list: CelList) => Value {
  return (list) => {
    if (list.length === 0) throw new CelError(`${name} called on empty list`);
    let best = list.at(0);
    for (let i = 1; i < list.length; i++) if (celCompare(list.at(i), best) * sign > 0) best = list.at(i);
    return best;
  };
}
function fold<T extends Value>(zero: T, plus: (a: T, b: T) => T): (list: CelList) => Value {
  return (list) => {
    let total = zero;
    for (let i = 0; i < list.length; i++) total = plus(total, list.at(i) as T);
    return total;
  };
}
function position(list: CelList, value: Value, last: boolean): bigint {
  for (let n = 0; n < list.length; n++) {
    const i = last ? list.length - 1 - n : n;
    if (celEquals(list.at(i), value)) return BigInt(i);
  }
  return -1n;
}

/** Kubernetes' list functions (apiserver/pkg/cel/library/lists.go). */
export const listsLibrary: readonly Overload[] = [
  ...COMPARABLE.flatMap((type) => [
    declare("isSorted", `list<${type}>.() -> bool`, isSorted, visits),
    declare("min", `list<${type}>.() -> ${type}`, extreme("min", -1), visits),
    declare("max", `list<${type}>.() -> ${type}`, extreme("max", 1), visits),
  ]),
  declare(
    "sum",
    "list<int>.() -> int",
    fold(0n, (a: bigint, b: bigint) => int(a + b)),
    visits,
  ),
  declare(
    "sum",
    "list<uint>.() -> uint",
    fold(new Uint(0n), (a: Uint, b: Uint) => uint(a.value + b.value)),
    visits,
  ),
  declare(
    "sum",
    "list<double>.() -> double",
    fold(0, (a: number, b: number) => a + b),
    visits,
  ),
  declare(
    "sum",
    "list<duration>.() -> duration",
    fold(new Duration(0n), (a: Duration, b: Duration) => duration(a.nanos + b.nanos)),
    visits,
  ),
  declare("indexOf", "list<A>.(A) -> int", (list: CelList, value: Value) => position(list, value, false), visits),
  declare("lastIndexOf", "list<A>.(A) -> int", (list: CelList, value: Value) => position(list, value, true), visits),
];
