/** Reading from values: fields, keys, elements, and what that costs. */
import type { Expr } from "./ast.ts";
import { CelError } from "./errors.ts";
import type { Step } from "./plan.ts";
import { isList, isMap, isStruct, Optional, typeNameOf, Uint, type Value } from "./values.ts";

const noSuchKey = (key: string): CelError => new CelError(`no such key: ${key}`);

/** undefined: there is no such field, or there are no fields. */
function fieldOf(operand: Value, field: string): Value | undefined {
  if (isStruct(operand)) return operand.field(field);
  if (isMap(operand)) return operand.get(field);
  if (isList(operand)) throw new CelError("unsupported index type 'string' in list");
  return undefined;
}

export function planSelect(source: Step, field: string, optional: boolean): Step {
  return (frame) => {
    const value = source(frame);
    if (value instanceof Optional || optional) {
      if (value instanceof Optional && value.value === undefined) return value;
      const operand = value instanceof Optional ? value.value! : value;
      if (!optional && !isMap(operand) && !isStruct(operand)) throw noSuchKey(field);
      const found = asOptional(fieldOf(operand, field));
      // What is not there is not read.
      if (found.value !== undefined) frame.spend(1);
      return found;
    }
    frame.spend(1);
    const found = fieldOf(value, field);
    if (found === undefined) throw noSuchKey(field);
    return found;
  };
}
/** Optionals do not nest by selection. */
const asOptional = (value: Value | undefined): Optional => (value instanceof Optional ? value : new Optional(value));

export function planTest(operand: Step, field: string): Step {
  return (frame) => {
    // Asking whether a field is there costs nothing.
    const value = operand(frame);
    if (value instanceof Optional) return value.value !== undefined && fieldOf(value.value, field) !== undefined;
    return fieldOf(value, field) !== undefined;
  };
}

function element(operand: Value, index: Value): Value | undefined {
  if (isMap(operand)) return operand.get(index);
  if (isStruct(operand)) return typeof index === "string" ? operand.field(index) : undefined;
  if (!isList(operand)) return undefined;
  const position = typeof index === "number" ? index : index instanceof Uint ? Number(index.value) : Number(index);
  if (typeof index === "string" || !Number.isInteger(position))
    throw new CelError(`unsupported index type '${typeNameOf(index)}' in list`);
  return position >= 0 && position < operand.length ? operand.at(position) : undefined;
}
/** Where data says which element is read, only reading that counts. */
export const indexCost = (index: Expr): number => (isPartOfVariable(index) ? 0 : 1);

/** A variable, or something in it. */
export const isPartOfVariable = (expr: Expr): boolean =>
  expr.kind === "ident" ||
  expr.kind === "select" ||
  (expr.kind === "call" && (expr.name === "_[_]" || expr.name === "_[?_]"));

export function planIndex(operand: Step, index: Step, optional: boolean, cost: number): Step {
  return (frame) => {
    const value = operand(frame);
    const key = index(frame);
    if (value instanceof Optional || optional) {
      if (value instanceof Optional && value.value === undefined) return value;
      const found = asOptional(element(value instanceof Optional ? value.value! : value, key));
      if (found.value !== undefined) frame.spend(cost);
      return found;
    }
    frame.spend(cost);
    const found = element(value, key);
    if (found !== undefined) return found;
    throw isList(value)
      ? new CelError(`index out of bounds: ${String(key instanceof Uint ? key.value : key)}`)
      : noSuchKey(String(key instanceof Uint ? key.value : key));
  };
}
