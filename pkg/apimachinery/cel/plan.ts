/** Turns checked expressions into closures over a frame of slots, counting cost as cel-go's run-time tracker does. */
import { indexCost, isPartOfVariable, planIndex, planSelect, planTest } from "./access.ts";
import type { Comprehension, Expr } from "./ast.ts";
import type { Checked, ResolvedCall } from "./checker.ts";
import { planComprehension } from "./comprehensions.ts";
import { CelCostError, CelError, CelProgramError, noSuchOverload } from "./errors.ts";
import type { Overload } from "./functions.ts";
import { compilePattern } from "./regex.ts";
import { ActualSizes } from "./sizes.ts";
import { type CelType, isConcrete } from "./types.ts";
import {
  ArrayList,
  type CelStruct,
  Composite,
  EntryMap,
  isList,
  keyText,
  kindOf,
  Optional,
  Opaque,
  TypeValue,
  Uint,
  type Value,
} from "./values.ts";

/** One evaluation: values of variables, and what it has cost so far. */
export class Frame {
  readonly slots: (Value | undefined)[];
  readonly limit: number;
  cost = 0;
  constructor(slots: number, limit: number) {
    this.slots = Array.from<Value | undefined>({ length: slots });
    this.limit = limit;
  }
  spend(cost: number): void {
    this.cost += cost;
    if (this.cost > this.limit) throw new CelCostError();
  }
}
export type Step = (frame: Frame) => Value;

/** What these make of a constant is a constant. */
const CONVERSIONS = new Set([
  "bool",
  "bytes",
  "double",
  "duration",
  "dyn",
  "int",
  "string",
  "timestamp",
  "type",
  "uint",
]);
/** Which argument is a pattern. */
const PATTERN_ARGUMENTS: Readonly<Record<string, number>> = { matches: 1, find: 1, findAll: 1 };

const LIST_COST = 10;
const MAP_COST = 30;
const STRUCT_COST = 40;

export class Planner {
  readonly #checked: Checked;
  readonly #globals: ReadonlyMap<string, number>;
  readonly #locals: { name: string; slot: number }[] = [];
  readonly #constants = new Map<Step, Value>();
  /** Constants are evaluated, and fail, when it is their turn. */
  readonly #lenient: boolean;
  readonly #objectType: ((name: string) => CelType | undefined) | undefined;
  #slots: number;

  /** @param globals slot of each variable. */
  constructor(
    checked: Checked,
    globals: ReadonlyMap<string, number>,
    objectType: ((name: string) => CelType | undefined) | undefined,
    lenient: boolean,
  ) {
    this.#lenient = lenient;
    this.#checked = checked;
    this.#globals = globals;
    this.#objectType = objectType;
    this.#slots = globals.size;
  }
  get slots(): number {
    return this.#slots;
  }

  /** Plans `body` with new local variables; `use` gets their slots. */
  scoped<T>(names: readonly string[], use: (slots: number[]) => T): T {
    const slots = names.map((name) => {
      const slot = this.#slots++;
      this.#locals.push({ name, slot });
      return slot;
    });
    const result = use(slots);
    this.#locals.length -= names.length;
    return result;
  }

  plan(expr: Expr): Step {
    switch (expr.kind) {
      case "const":
        return this.#constant(expr.value.type === "uint" ? new Uint(expr.value.value) : expr.value.value);
      case "ident":
        return this.#variable(expr);
      case "select":
        if (this.#checked.variables.has(expr) || this.#checked.typeNames.has(expr)) return this.#variable(expr);
        return planSelect(this.#reading(expr.operand), expr.field, expr.optional);
      case "test":
        if (this.#checked.variables.has(expr)) return this.#isBound(expr);
        return planTest(this.plan(expr.operand), expr.field);
      case "call":
        return this.#call(expr);
      case "list":
        return this.#list(expr);
      case "map":
        return this.#map(expr);
      case "struct":
        return this.#struct(expr);
      case "comprehension":
        return planComprehension(this, expr as Comprehension);
      case "optMap":
        return this.#optMap(expr);
    }
  }

  /** A value that is there before the expression is evaluated, and costs nothing. */
  #constant(value: Value): Step {
    const step: Step = () => value;
    this.#constants.set(step, value);
    return step;
  }

  /** Evaluates at once what does not depend on variables. @throws CelProgramError when that fails */
  #fold(step: Step, parts: readonly Step[]): Step {
    if (this.#lenient || !parts.every((part) => this.#constants.has(part))) return step;
    try {
      return this.#constant(step(new Frame(0, Number.POSITIVE_INFINITY)));
    } catch (error) {
      if (error instanceof CelError) throw new CelProgramError(error.message);
      throw error;
    }
  }

  #variable(expr: Expr): Step {
    const name = this.#checked.variables.get(expr);
    if (name === undefined) {
      return this.#constant(new TypeValue(this.#checked.typeNames.get(expr)!));
    }
    const local = this.#locals.findLast((candidate) => candidate.name === name);
    const slot = local?.slot ?? this.#globals.get(name.slice(1));
    if (slot === undefined) throw new Error(`Variable ${name} was checked, but has no slot`);
    const shown = name.replace(/^\./, "");
    return (frame) => {
      frame.spend(1);
      const value = frame.slots[slot];
      if (value === undefined) throw new CelError(`no such attribute(s): ${shown}`);
      return value;
    };
  }

  /** Reading from what is no variable, nor part of one, costs a step of its own. */
  #reading(expr: Expr): Step {
    const step = this.plan(expr);
    if (isPartOfVariable(expr) && !this.#constants.has(step)) return step;
    return (frame) => {
      const value = step(frame);
      frame.spend(1);
      return value;
    };
  }

  #isBound(expr: Expr): Step {
    const slot = this.#globals.get(this.#checked.variables.get(expr)!.slice(1))!;
    return (frame) => {
      frame.spend(1);
      return frame.slots[slot] !== undefined;
    };
  }

  #call(expr: Expr & { kind: "call" }): Step {
    const args = expr.args;
    switch (expr.name) {
      case "_&&_":
        return planLogical(this.plan(args[0]!), this.plan(args[1]!), false);
      case "_||_":
        return planLogical(this.plan(args[0]!), this.plan(args[1]!), true);
      case "_?_:_": {
        const [condition, whenTrue, whenFalse] = args.map((arg) => this.plan(arg)) as [Step, Step, Step];
        return (frame) => (asBool(condition(frame)) ? whenTrue(frame) : whenFalse(frame));
      }
      case "_[_]":
        return planIndex(this.#reading(args[0]!), this.plan(args[1]!), false, indexCost(args[1]!));
      case "_[?_]":
        return planIndex(this.#reading(args[0]!), this.plan(args[1]!), true, indexCost(args[1]!));
      case "or":
      case "orValue":
        if (args.length === 1 && expr.target !== undefined) return this.#orValue(expr, expr.name === "orValue");
    }
    return this.#function(expr.name, this.#checked.calls.get(expr)!);
  }

  /** The alternative is evaluated only when it is needed. */
  #orValue(expr: Expr & { kind: "call" }, unwrap: boolean): Step {
    const target = this.plan(expr.target!);
    const alternative = this.plan(expr.args[0]!);
    return (frame) => {
      const value = target(frame);
      if (!(value instanceof Optional)) throw noSuchOverload();
      if (value.value === undefined) return alternative(frame);
      return unwrap ? value.value : value;
    };
  }

  #function(name: string, { overloads, args }: ResolvedCall): Step {
    const steps = args.map((arg) => this.plan(arg));
    if (name === "@in") {
      const member = this.#membership(steps[0]!, steps[1]!);
      if (member !== undefined) return member;
    }
    const patternAt = PATTERN_ARGUMENTS[name];
    if (patternAt !== undefined && !this.#lenient) this.#checkPattern(steps[patternAt]);
    const step: Step = (frame) => {
      const values = steps.map((argument) => argument(frame));
      // Data may break its schema, so even a call that type-checks is matched against what it gets.
      const overload = overloads.find((candidate) => accepts(candidate, values));
      if (overload === undefined) throw noSuchOverload();
      frame.spend(overload.cost(new ActualSizes(values)));
      return overload.call(values);
    };
    return CONVERSIONS.has(name) && steps.length === 1 ? this.#fold(step, steps) : step;
  }

  /** Looking something up among constants costs nothing. */
  #membership(item: Step, list: Step): Step | undefined {
    const values = this.#constants.get(list);
    if (values === undefined || !isList(values)) return undefined;
    const keys = new Set<string>();
    for (let i = 0; i < values.length; i++) {
      const key = keyText(values.at(i));
      if (key === undefined) return undefined;
      keys.add(key);
    }
    if (keys.size === 0) return this.#constant(false);
    return (frame) => {
      const key = keyText(item(frame));
      return key !== undefined && keys.has(key);
    };
  }

  #checkPattern(pattern: Step | undefined): void {
    const text = pattern === undefined ? undefined : this.#constants.get(pattern);
    if (typeof text !== "string") return;
    try {
      compilePattern(text);
    } catch (error) {
      if (error instanceof CelError) throw new CelProgramError(error.message);
      throw error;
    }
  }

  #list({ items }: Expr & { kind: "list" }): Step {
    const steps = items.map(({ value, optional }) => ({ step: this.plan(value), optional }));
    if (items.every(({ optional }) => !optional)) {
      const parts = steps.map(({ step }) => step);
      const making: Step = (frame) => {
        frame.spend(LIST_COST);
        return new ArrayList(parts.map((part) => part(frame)));
      };
      return this.#fold(making, parts);
    }
    return (frame) => {
      frame.spend(LIST_COST);
      const values: Value[] = [];
      for (const { step, optional } of steps) {
        const value = step(frame);
        if (!optional) values.push(value);
        else if (!(value instanceof Optional)) throw noSuchOverload();
        else if (value.value !== undefined) values.push(value.value);
      }
      return new ArrayList(values);
    };
  }

  #map({ entries }: Expr & { kind: "map" }): Step {
    const steps = entries.map(({ key, value, optional }) => ({
      key: this.plan(key),
      value: this.plan(value),
      optional,
    }));
    const making: Step = (frame) => {
      frame.spend(MAP_COST);
      const map = new Map<string, readonly [Value, Value]>();
      for (const { key, value, optional } of steps) {
        const k = key(frame);
        const v = value(frame);
        if (optional && !(v instanceof Optional)) throw noSuchOverload();
        const entry = optional ? (v as Optional).value : v;
        if (entry !== undefined) addEntry(map, k, entry);
      }
      return new EntryMap(map);
    };
    return this.#fold(
      making,
      steps.flatMap(({ key, value }) => [key, value]),
    );
  }

  #struct({ name, fields }: Expr & { kind: "struct" }): Step {
    const type = this.#objectType?.(name);
    const steps = fields.map((field) => ({ name: field.name, step: this.plan(field.value), optional: field.optional }));
    return (frame) => {
      frame.spend(STRUCT_COST);
      const values = new Map<string, Value>();
      for (const { name: field, step, optional } of steps) {
        const value = step(frame);
        if (!optional) values.set(field, value);
        else if (value instanceof Optional && value.value !== undefined) values.set(field, value.value);
      }
      return new LiteralStruct(type?.kind === "object" ? type.name : name, values);
    };
  }

  #optMap({ target, name, body, flat }: Expr & { kind: "optMap" }): Step {
    const source = this.plan(target);
    return this.scoped([name], ([slot]) => {
      const made = this.plan(body);
      return (frame) => {
        const value = source(frame);
        if (!(value instanceof Optional)) throw noSuchOverload();
        if (value.value === undefined) return value;
        frame.slots[slot!] = value.value;
        const result = made(frame);
        return flat ? result : new Optional(result);
      };
    });
  }
}

/** A struct that an expression made. */
class LiteralStruct extends Composite implements CelStruct {
  readonly celKind = "object";
  readonly typeName: string;
  readonly #fields: ReadonlyMap<string, Value>;
  constructor(name: string, fields: ReadonlyMap<string, Value>) {
    super();
    this.typeName = name;
    this.#fields = fields;
  }
  field(name: string): Value | undefined {
    return this.#fields.get(name);
  }
  fieldNames(): Iterable<string> {
    return this.#fields.keys();
  }
}

export function addEntry(map: Map<string, readonly [Value, Value]>, key: Value, value: Value): void {
  const text = keyText(key);
  if (text === undefined || typeof key === "number") throw new CelError("unsupported key type");
  if (map.has(text))
    throw new CelError(`insert failed: key ${String(key instanceof Uint ? key.value : key)} already exists`);
  map.set(text, [key, value]);
}

export function asBool(value: Value): boolean {
  if (typeof value !== "boolean") throw noSuchOverload();
  return value;
}

/** `decisive` settles the outcome from either side, even when the other fails. */
function planLogical(left: Step, right: Step, decisive: boolean): Step {
  return (frame) => {
    let failure: CelError;
    try {
      if (asBool(left(frame)) === decisive) return decisive;
      return asBool(right(frame));
    } catch (error) {
      if (!(error instanceof CelError)) throw error;
      failure = error;
    }
    if (asBool(right(frame)) === decisive) return decisive;
    throw failure;
  };
}

function accepts({ params }: Overload, values: readonly Value[]): boolean {
  for (let i = 0; i < values.length; i++) if (!fits(values[i]!, params[i]!)) return false;
  return true;
}
function fits(value: Value, type: CelType): boolean {
  if (!isConcrete(type)) return type.kind !== "null" || value === null;
  const kind = kindOf(value);
  if (kind === "null") return false;
  if (type.kind === "opaque") return kind === "opaque" && (value as Opaque).typeName === type.name;
  return kind === type.kind;
}
