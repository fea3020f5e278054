import type { Sizes } from "./costs.ts";
import { isList, isMap, Opaque, Optional, type Value } from "./values.ts";

function sizeOf(value: Value): number {
  if (value instanceof Optional) return value.value === undefined ? 1 : sizeOf(value.value);
  if (typeof value === "string") return characters(value);
  if (isText(value)) return value.length;
  if (value instanceof Opaque) return value.size;
  if (isList(value)) return value.length;
  return isMap(value) ? value.size : 1;
}
/** Sizes of the values that a function is called with. */
export class ActualSizes implements Sizes {
  readonly estimated = false;
  readonly #values: readonly Value[];
  constructor(values: readonly Value[]) {
    this.#values = values;
  }
  of(argument: number): number {
    return sizeOf(this.#values[argument]!);
  }
  traversed(argument: number): number {
    return this.#sum(argument, (value) => (isText(value) ? Math.floor(value.length / 10) : 1));
  }
  value(argument: number): number {
    return Number(this.#values[argument]);
  }
  characters(argument: number): number {
    return this.#sum(argument, (value) => (isText(value) ? value.length : 0));
  }
  #sum(argument: number, measure: (value: Value) => number): number {
    const list = this.#values[argument]!;
    if (!isList(list)) return measure(list);
    let total = 0;
    for (let i = 0; i < list.length; i++) total += measure(list.at(i));
    return total;
  }
}
/** Surrogates come in pairs for one character. */
function characters(text: string): number {
  let count = text.length;
  for (let i = 1; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xdc00 && unit < 0xe000) count--;
  }
  return count;
}
const isText = (value: Value): value is string | Uint8Array => typeof value === "string" || value instanceof Uint8Array;
