/**
 * What an expression can cost before it has seen any data, from the bounds schemas state (maxLength, maxItems,
 * maxProperties) and, where they state none, from what fits into a request. Estimates decide which definitions are
 * accepted, so they follow cel-go's exactly: also where it knows less than it could.
 */
import type { FieldSchema } from "../schema.ts";
import type { Comprehension, Expr } from "./ast.ts";
import { reading, type Sizes } from "./costs.ts";
import type { Checked } from "./checker.ts";
import type { Overload, SizeEstimates } from "./functions.ts";
import { add, atMost, exactly, factor, plus, type Range, span, times, UNKNOWN } from "./ranges.ts";
import { type Place, below, entriesOf, memberOf, ROOT_OF, sizeAt } from "./places.ts";
import type { CelType } from "./types.ts";

/** The least and the most that an evaluation can cost, in CEL's units. */
export type CostEstimate = Range;
/** Bounds of one rule, and of all rules of a CustomResourceDefinition. */
export const RULE_COST_LIMIT = 10_000_000;
export const CRD_COST_LIMIT = 100_000_000;

interface Estimate {
  readonly cost: CostEstimate;
  /** Number of characters or elements; absent where nothing says. */
  readonly size?: Range;
  /** Size of each element of a list that the expression makes. */
  readonly items?: Range;
  /** And of the keys, where it makes a map. */
  readonly keys?: Range;
  /** Where in the data the value comes from. */
  readonly place?: Place;
}
interface Variables {
  readonly variables: Readonly<Record<string, FieldSchema | CelType>>;
}

const FREE = exactly(0);
const ONE = exactly(1);
const LIST = exactly(10);
const MAP = exactly(30);
const STRUCT = exactly(40);
const SCALARS = new Set(["int", "uint", "double", "bool", "timestamp", "duration"]);

export function estimateCost(expr: Expr, checked: Checked, { variables }: Variables): CostEstimate {
  const [first] = Object.values(variables);
  const schema =
    first === undefined ? undefined : "type" in first ? first : first.kind === "object" ? first.schema : undefined;
  return new Estimator(checked, ROOT_OF(schema)).estimate(expr).cost;
}

const isScalar = (type: CelType | undefined): boolean =>
  type !== undefined && (SCALARS.has(type.kind) || (type.kind === "optional" && isScalar(type.element)));
const known = (size: Range | undefined): Range => size ?? UNKNOWN;
const sum = (parts: readonly Estimate[]): CostEstimate => parts.reduce((total, { cost }) => add(total, cost), FREE);

class Estimator {
  readonly #checked: Checked;
  /** Every path starts here, whatever variable it names. */
  readonly #root: Place;
  readonly #locals: { name: string; estimate: Estimate }[] = [];

  constructor(checked: Checked, root: Place) {
    this.#checked = checked;
    this.#root = root;
  }

  estimate(expr: Expr): Estimate {
    switch (expr.kind) {
      case "const":
        return { cost: FREE, size: exactly(lengthOf(expr.value.value)) };
      case "ident":
        return this.#variable(expr);
      case "select":
        return this.#select(expr);
      case "test":
        return { cost: this.#checked.variables.has(expr) ? ONE : this.estimate(expr.operand).cost, size: ONE };
      case "call":
        return this.#call(expr);
      case "list": {
        const parts = expr.items.map(({ value }) => this.estimate(value));
        const size = exactly(parts.length);
        return { cost: add(sum(parts), LIST), size, items: span(parts.map((part) => known(part.size))) };
      }
      case "map": {
        const keys = expr.entries.map(({ key }) => this.estimate(key));
        const values = expr.entries.map(({ value }) => this.estimate(value));
        return {
          cost: add(sum([...keys, ...values]), MAP),
          size: exactly(expr.entries.length),
          keys: span(keys.map((part) => known(part.size))),
          items: span(values.map((part) => known(part.size))),
        };
      }
      case "struct":
        return { cost: add(sum(expr.fields.map(({ value }) => this.estimate(value))), STRUCT) };
      case "comprehension":
        return expr.macro === "sortBy" ? this.#sortBy(expr) : this.#comprehension(expr);
      case "optMap":
        return this.#optMap(expr);
    }
  }

  #with(names: readonly string[], estimates: readonly Estimate[], body: () => Estimate): Estimate {
    names.forEach((name, i) => this.#locals.push({ name, estimate: { ...estimates[i]!, cost: ONE } }));
    const result = body();
    this.#locals.length -= names.length;
    return result;
  }

  /** A value at a place is as large as its schema allows; elsewhere its type or what it was made of says. */
  #sized(expr: Expr, cost: CostEstimate, place: Place | undefined, made?: Range): Estimate {
    const scalar = isScalar(this.#checked.types.get(expr)) ? ONE : made;
    return { cost, size: (place === undefined ? undefined : sizeAt(place)) ?? scalar, place };
  }

  #variable(expr: Expr): Estimate {
    const name = this.#checked.variables.get(expr);
    const local = name === undefined ? undefined : this.#locals.findLast((candidate) => candidate.name === name);
    // Also for what names a type.
    if (local === undefined) return this.#sized(expr, ONE, this.#root);
    const { place, size, items, keys } = local.estimate;
    return { ...this.#sized(expr, ONE, place, size), items, keys };
  }

  #select(expr: Expr & { kind: "select" }): Estimate {
    if (this.#checked.variables.has(expr) || this.#checked.typeNames.has(expr)) return this.#variable(expr);
    const { cost, place } = this.estimate(expr.operand);
    if (expr.optional) return this.#sized(expr, plus(cost, 1), undefined);
    const kind = this.#checked.types.get(expr.operand)?.kind;
    const own = kind === "map" || kind === "object" ? plus(cost, 1) : cost;
    return this.#sized(expr, own, memberOf(place, expr.field, this.#root));
  }

  #call(expr: Expr & { kind: "call" }): Estimate {
    const { name, args } = expr;
    if (name === "_&&_" || name === "_||_") {
      const [left, right] = args.map((arg) => this.estimate(arg).cost) as [CostEstimate, CostEstimate];
      return { cost: { min: left.min, max: add(left, right).max }, size: ONE };
    }
    if (name === "_?_:_") {
      const [condition, yes, no] = args.map((arg) => this.estimate(arg)) as [Estimate, Estimate, Estimate];
      const cost = add(condition.cost, span([yes.cost, no.cost]));
      return { cost, size: span([known(yes.size), known(no.size)]), ...union(yes, no) };
    }
    if (name === "_[_]" || name === "_[?_]") {
      const [operand, index] = args.map((arg) => this.estimate(arg)) as [Estimate, Estimate];
      const cost = plus(add(operand.cost, index.cost), 1);
      const container = this.#checked.types.get(args[0]!)?.kind;
      const plain = name === "_[_]" && (container === "list" || container === "map" || container === "dyn");
      if (!plain) return this.#sized(expr, cost, undefined);
      const at = this.#sized(expr, cost, below(operand.place, this.#root));
      return { ...at, size: operand.items ?? at.size };
    }
    const call = this.#checked.calls.get(expr);
    const parts = (call?.args ?? args).map((arg) => this.estimate(arg));
    if (name === "dyn") return { ...parts[0]!, cost: plus(parts[0]!.cost, 1), place: undefined };
    if (name === "_==_" && this.#comparesOpaque(args)) return { cost: plus(sum(parts), 1), size: ONE };
    const measured = (call?.args ?? args).map((arg, i) => this.#measured(arg, parts[i]!));
    return { ...this.#function(expr, call?.overloads ?? [], parts, measured), ...joined(name, parts) };
  }

  #function(
    expr: Expr,
    overloads: readonly Overload[],
    parts: readonly Estimate[],
    measured: readonly Measured[],
  ): Estimate {
    const sizes: SizeEstimates = { of: (i) => measured[i]?.size ?? UNKNOWN, literal: (i) => measured[i]?.literal };
    const own = span(
      overloads.map(({ cost, estimate }) =>
        estimate === undefined
          ? {
              min: cost(new EstimatedSizes(measured, "min")),
              max: atMost(cost(new EstimatedSizes(measured, "max"))),
            }
          : estimate(sizes),
      ),
    );
    const results = overloads.map(({ resultSize }) => resultSize?.(sizes)).filter((size) => size !== undefined);
    const size = results.length > 0 ? span(results) : undefined;
    return { cost: add(sum(parts), own), size: size ?? (isScalar(this.#checked.types.get(expr)) ? ONE : undefined) };
  }

  /** Values of a library's own type, which are compared at once. */
  #comparesOpaque([left, right]: readonly Expr[]): boolean {
    const [a, b] = [this.#checked.types.get(left!), this.#checked.types.get(right!)];
    return a?.kind === "opaque" && b?.kind === "opaque" && a.name === b.name;
  }

  /** What rules of functions ask about an argument. */
  #measured(arg: Expr, { size, place }: Estimate): Measured {
    const type = this.#checked.types.get(arg);
    const literal = arg.kind === "const" && typeof arg.value.value === "bigint" ? Number(arg.value.value) : undefined;
    if (type?.kind === "opaque" && type.name === "net.CIDR") return { size: { min: 4, max: 16 }, item: ONE, literal };
    const element = type?.kind === "list" ? type.element.kind : undefined;
    const ofTexts = element === "string" || element === "bytes";
    const inside = place === undefined ? undefined : below(place, this.#root);
    const item = (inside === undefined ? undefined : sizeAt(inside)) ?? UNKNOWN;
    return { size: known(size), item: type?.kind === "list" ? item : FREE, texts: ofTexts, literal };
  }

  #comprehension(expr: Comprehension): Estimate {
    const range = this.estimate(expr.range);
    const isList = this.#checked.types.get(expr.range)?.kind === "list" || (range.items !== undefined && !range.keys);
    const item: Estimate = { cost: ONE, size: range.items, place: below(range.place, this.#root) };
    const key: Estimate = isList
      ? {
          cost: ONE,
          size: range.items === undefined ? undefined : ONE,
          place: entriesOf(range.place, this.#root, true),
        }
      : { cost: ONE, size: range.keys, place: entriesOf(range.place, this.#root, false) };
    const locals = expr.variables.length === 2 ? [key, item] : [isList ? item : key];
    return this.#with(expr.variables, locals, () => {
      const filter = expr.filter === undefined ? undefined : this.estimate(expr.filter).cost;
      const made = expr.transform === undefined ? undefined : this.estimate(expr.transform);
      const { before, round, after } = loop(expr, filter ?? FREE, made?.cost ?? ONE);
      const count = known(range.size);
      const cost = add(add(range.cost, exactly(before + after)), times(count, round));
      if (before === 0) return { cost, size: ONE };
      const items = expr.macro === "filter" ? known(this.#elementSize(locals[0]!)) : known(made?.size);
      return before === 30 ? { cost, size: count } : { cost, size: count, items: span([FREE, items]) };
    });
  }

  #elementSize({ size, place }: Estimate): Range | undefined {
    return (place === undefined ? undefined : sizeAt(place)) ?? size;
  }

  /** A map of the keys, of which the order is computed. */
  #sortBy(expr: Comprehension): Estimate {
    const target = this.estimate(expr.range);
    const item: Estimate = { cost: ONE, size: target.items, place: below(target.place, this.#root) };
    return this.#with(expr.variables, [item], () => {
      const key = this.estimate(expr.transform!);
      const count = known(target.size);
      const keys = add(exactly(12), times(count, plus(key.cost, 12)));
      const text = ["string", "bytes"].includes(this.#checked.types.get(expr.transform!)?.kind ?? "");
      const sorting = plus(factor(times(count, count), text ? 2.1 : 2), 11);
      return { cost: plus(add(add(target.cost, keys), sorting), 11), size: times(count, count) };
    });
  }

  /** `target.hasValue() ? optional.of(body) : optional.none()`, where the body's variable is bound to the value. */
  #optMap({ target, name, body, flat }: Expr & { kind: "optMap" }): Estimate {
    const { cost } = this.estimate(target);
    return this.#with([name], [{ cost: ONE }], () => {
      const made = this.estimate(body);
      const some = plus(add(cost, made.cost), flat ? 11 : 12);
      return { cost: add(plus(cost, 1), span([some, ONE])) };
    });
  }
}

/** Constant cost before and after, and cost per element, of what a macro stands for. */
function loop(expr: Comprehension, filter: Range, made: Range): { before: number; round: Range; after: number } {
  const chosen = (step: Range): Range => (expr.filter === undefined ? step : add(filter, span([step, ONE])));
  switch (expr.macro) {
    case "all":
      return { before: 0, round: { min: 3, max: filter.max + 3 }, after: 1 };
    case "exists":
      return { before: 0, round: { min: 4, max: filter.max + 4 }, after: 1 };
    case "existsOne":
      return { before: 0, round: add(filter, { min: 1, max: 2 }), after: 2 };
    case "transformMap":
      return { before: 30, round: chosen(plus(made, 3)), after: 1 };
    case "transformMapEntry":
      return { before: 30, round: chosen(plus(made, 2)), after: 1 };
    default:
      return { before: 10, round: chosen(plus(made, 12)), after: 1 };
  }
}

/** Elements of either, if both are known. */
function union(a: Estimate, b: Estimate): Pick<Estimate, "items" | "keys"> {
  if (a.items === undefined || b.items === undefined) return {};
  return {
    items: span([a.items, b.items]),
    ...(a.keys === undefined || b.keys === undefined ? {} : { keys: span([a.keys, b.keys]) }),
  };
}
const joined = (name: string, parts: readonly Estimate[]): Pick<Estimate, "items" | "keys"> =>
  name === "_+_" && parts.length === 2 ? union(parts[0]!, parts[1]!) : {};

interface Measured {
  readonly size: Range;
  /** Of a list's elements. */
  readonly item: Range;
  /** The elements are text. */
  readonly texts?: boolean;
  readonly literal: number | undefined;
}

class EstimatedSizes implements Sizes {
  readonly estimated = true;
  readonly #measured: readonly Measured[];
  readonly #bound: "min" | "max";
  constructor(measured: readonly Measured[], bound: "min" | "max") {
    this.#measured = measured;
    this.#bound = bound;
  }
  of(argument: number): number {
    return this.#measured[argument]?.size[this.#bound] ?? 0;
  }
  traversed(argument: number): number {
    const { item, texts } = this.#measured[argument]!;
    return this.of(argument) * (texts === true ? 1 + reading(item[this.#bound]) : 1);
  }
  value(argument: number): number {
    return this.#measured[argument]?.literal ?? 0;
  }
  characters(argument: number): number {
    return this.of(argument) * this.#measured[argument]!.item[this.#bound];
  }
}

function lengthOf(value: unknown): number {
  if (typeof value === "string") return Array.from(value).length;
  return value instanceof Uint8Array ? value.length : 1;
}
