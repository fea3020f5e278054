/**
 * What an expression can cost before it has seen any data, from the bounds schemas state (maxLength, maxItems,
 * maxProperties) and, where they state none, from what fits into a request.
 */
import type { FieldSchema } from "../schema.ts";
import type { Comprehension, Expr } from "./ast.ts";
import { reading, type Sizes } from "./costs.ts";
import type { Checked } from "./checker.ts";
import type { CelType } from "./types.ts";

export interface CostEstimate {
  readonly min: number;
  readonly max: number;
}
/** Bounds of one rule, and of all rules of a CustomResourceDefinition. */
export const RULE_COST_LIMIT = 10_000_000;
export const CRD_COST_LIMIT = 100_000_000;

const MAX_REQUEST_BYTES = 3 * 1024 * 1024;

interface Estimate {
  readonly cost: CostEstimate;
  /** Number of characters or elements, at most. */
  readonly size: number;
  /** And at least; absent when nothing is known. */
  readonly least?: number;
  /** Characters of a literal list's longest text. */
  readonly itemSize?: number;
  readonly schema?: FieldSchema;
}
interface Variables {
  readonly variables: Readonly<Record<string, FieldSchema | CelType>>;
}

export function estimateCost(expr: Expr, checked: Checked, { variables }: Variables): CostEstimate {
  const globals = new Map<string, FieldSchema>();
  for (const [name, declared] of Object.entries(variables)) {
    const schema = "type" in declared ? declared : declared.kind === "object" ? declared.schema : undefined;
    if (schema !== undefined) globals.set(`.${name}`, schema);
  }
  return new Estimator(checked, globals).estimate(expr).cost;
}

/** Bytes of the shortest JSON text of a value, its separator included. */
function minBytes(schema: FieldSchema | undefined, depth = 0): number {
  switch (schema?.type) {
    case "boolean":
      return 5;
    case "string":
    case "array":
    case "map":
      return 3;
    case "object": {
      if (depth > 8) return 3;
      let bytes = 3;
      for (const name of schema.required ?? [])
        bytes += name.length + 4 + minBytes(schema.properties?.get(name), depth + 1);
      return bytes;
    }
    default:
      return 2;
  }
}

/** Elements or characters a value can have; a rule below a list runs that often. */
function maxSize(schema: FieldSchema | undefined): number {
  const raw = schema?.raw;
  const bound = (name: string): number | undefined => (typeof raw?.[name] === "number" ? raw[name] : undefined);
  switch (schema?.type) {
    case "string":
      if (Array.isArray(schema.enum)) return Math.max(0, ...schema.enum.map((value) => String(value).length));
      if (schema.format === "date-time") return 35;
      if (schema.format === "duration") return 32;
      return bound("maxLength") ?? MAX_REQUEST_BYTES;
    case "array":
      return bound("maxItems") ?? Math.floor(MAX_REQUEST_BYTES / minBytes(schema.items));
    case "map":
      return bound("maxProperties") ?? Math.floor(MAX_REQUEST_BYTES / (minBytes(schema.items) + 4));
    case "object":
      return schema.properties?.size ?? MAX_REQUEST_BYTES;
    case "any":
    case undefined:
      return MAX_REQUEST_BYTES;
    default:
      return 1;
  }
}

const add = (a: CostEstimate, b: CostEstimate): CostEstimate => ({ min: a.min + b.min, max: a.max + b.max });
const plus = (a: CostEstimate, cost: number): CostEstimate => ({ min: a.min + cost, max: a.max + cost });
const FREE: CostEstimate = { min: 0, max: 0 };

class Estimator {
  readonly #checked: Checked;
  readonly #globals: ReadonlyMap<string, FieldSchema>;
  readonly #locals: { name: string; estimate: Estimate }[] = [];

  constructor(checked: Checked, globals: ReadonlyMap<string, FieldSchema>) {
    this.#checked = checked;
    this.#globals = globals;
  }

  #of(schema: FieldSchema | undefined, cost: CostEstimate, type?: CelType): Estimate {
    const scalar =
      type !== undefined && ["int", "uint", "double", "bool", "null", "timestamp", "duration"].includes(type.kind);
    return { cost, size: scalar ? 1 : maxSize(schema), schema };
  }

  estimate(expr: Expr): Estimate {
    const type = this.#checked.types.get(expr);
    switch (expr.kind) {
      case "const":
        return exactly(FREE, lengthOf(expr.value.value));
      case "ident":
        return this.#variable(expr, type);
      case "select": {
        if (this.#checked.variables.has(expr) || this.#checked.typeNames.has(expr)) return this.#variable(expr, type);
        const { cost, schema } = this.estimate(expr.operand);
        return this.#of(memberSchema(schema, expr.field), plus(cost, 1), type);
      }
      case "test":
        if (this.#checked.variables.has(expr)) return { cost: { min: 1, max: 1 }, size: 1 };
        return { cost: this.estimate(expr.operand).cost, size: 1 };
      case "call":
        return this.#call(expr, type);
      case "list": {
        const parts = expr.items.map(({ value }) => this.estimate(value));
        const itemSize = Math.max(0, ...parts.map(({ size }) => size));
        return { ...exactly(plus(sum(parts), 10), parts.length), itemSize, schema: listSchema(parts[0]) };
      }
      case "map": {
        const parts = expr.entries.flatMap(({ key, value }) => [this.estimate(key), this.estimate(value)]);
        return exactly(plus(sum(parts), 30), expr.entries.length);
      }
      case "struct":
        return { cost: plus(sum(expr.fields.map(({ value }) => this.estimate(value))), 40), size: expr.fields.length };
      case "comprehension":
        return this.#comprehension(expr);
      case "bind": {
        const init = this.estimate(expr.init);
        return this.#with([expr.name], [{ ...init, cost: FREE }], () => {
          const body = this.estimate(expr.body);
          return { ...body, cost: add(init.cost, body.cost) };
        });
      }
      case "optMap": {
        const target = this.estimate(expr.target);
        return this.#with([expr.name], [{ ...target, cost: FREE }], () => {
          const body = this.estimate(expr.body);
          return { ...body, cost: { min: target.cost.min, max: target.cost.max + body.cost.max } };
        });
      }
    }
  }

  #with(names: readonly string[], estimates: readonly Estimate[], body: () => Estimate): Estimate {
    names.forEach((name, i) => this.#locals.push({ name, estimate: estimates[i]! }));
    const result = body();
    this.#locals.length -= names.length;
    return result;
  }

  #variable(expr: Expr, type: CelType | undefined): Estimate {
    const name = this.#checked.variables.get(expr);
    if (name === undefined) return { cost: FREE, size: 1 };
    const local = this.#locals.findLast((candidate) => candidate.name === name)?.estimate;
    if (local !== undefined) return { ...local, cost: { min: 1, max: 1 } };
    return this.#of(this.#globals.get(name), { min: 1, max: 1 }, type);
  }

  #call(expr: Expr & { kind: "call" }, type: CelType | undefined): Estimate {
    const { name, args } = expr;
    if (name === "_&&_" || name === "_||_") {
      const [left, right] = args.map((arg) => this.estimate(arg).cost) as [CostEstimate, CostEstimate];
      return { cost: { min: left.min, max: left.max + right.max }, size: 1 };
    }
    if (name === "_?_:_") {
      const [condition, yes, no] = args.map((arg) => this.estimate(arg)) as [Estimate, Estimate, Estimate];
      const cost = {
        min: condition.cost.min + Math.min(yes.cost.min, no.cost.min),
        max: condition.cost.max + Math.max(yes.cost.max, no.cost.max),
      };
      return { cost, size: Math.max(yes.size, no.size), schema: yes.schema ?? no.schema };
    }
    if (name === "_[_]" || name === "_[?_]") {
      const [operand, index] = args.map((arg) => this.estimate(arg)) as [Estimate, Estimate];
      return this.#of(operand.schema?.items, plus(add(operand.cost, index.cost), 1), type);
    }
    const call = this.#checked.calls.get(expr);
    const parts = (call?.args ?? args).map((arg) => this.estimate(arg));
    const measured = (call?.args ?? args).map((arg, i) => this.#measured(arg, parts[i]!));
    const bounds = (call?.overloads ?? []).map(({ cost }) => [
      cost(new EstimatedSizes(measured, "least")),
      cost(new EstimatedSizes(measured, "most")),
    ]);
    const own: CostEstimate = {
      min: Math.max(1, Math.min(...bounds.map(([least]) => least!))),
      max: Math.max(1, ...bounds.map(([, most]) => most!)),
    };
    const sizes = parts.map(({ size }) => size);
    return { cost: add(sum(parts), own), size: resultSize(name, sizes, type), schema: resultSchema(name, parts) };
  }

  /** What rules of functions ask about an argument. */
  #measured(arg: Expr, { size, least, itemSize, schema }: Estimate): Measured {
    const type = this.#checked.types.get(arg);
    if (type?.kind === "opaque") return type.name === "net.CIDR" ? { least: 4, most: 16, item: 1 } : NO_SIZE;
    if (!this.#isText(arg) && type?.kind !== "list" && type?.kind !== "map") return NO_SIZE;
    const items = type?.kind === "list" ? type.element : undefined;
    const texts = items?.kind === "string" || items?.kind === "bytes" || items?.kind === "dyn";
    return { least: least ?? 0, most: size, item: texts ? (itemSize ?? maxSize(schema?.items)) : undefined };
  }

  #isText(expr: Expr): boolean {
    const kind = this.#checked.types.get(expr)?.kind;
    return kind === "string" || kind === "bytes" || kind === "dyn";
  }

  #comprehension(expr: Comprehension): Estimate {
    const range = this.estimate(expr.range);
    const item: Estimate = this.#of(range.schema?.items, FREE);
    const key: Estimate = { cost: FREE, size: range.schema?.type === "map" ? MAX_REQUEST_BYTES : 1 };
    const overMap = this.#checked.types.get(expr.range)?.kind === "map";
    const locals = expr.variables.length === 2 ? [key, item] : [overMap ? key : item];
    return this.#with(expr.variables as readonly string[], locals, () => {
      const filter = expr.filter === undefined ? FREE : this.estimate(expr.filter).cost;
      const made = expr.transform === undefined ? undefined : this.estimate(expr.transform);
      const collects = !["all", "exists", "existsOne"].includes(expr.macro);
      const round = filter.max + (made?.cost.max ?? 0) + (collects ? 12 : 3);
      return {
        cost: { min: range.cost.min + 1, max: range.cost.max + range.size * round + 11 },
        size: collects ? range.size : 1,
        schema: expr.macro === "filter" ? range.schema : listSchema(made),
      };
    });
  }
}

/** Bounds of an argument's size, and characters of a list's elements where these are texts. */
interface Measured {
  readonly least: number;
  readonly most: number;
  readonly item: number | undefined;
}
const NO_SIZE: Measured = { least: 1, most: 1, item: undefined };

class EstimatedSizes implements Sizes {
  readonly estimated = true;
  readonly #measured: readonly Measured[];
  readonly #bound: "least" | "most";
  constructor(measured: readonly Measured[], bound: "least" | "most") {
    this.#measured = measured;
    this.#bound = bound;
  }
  of(argument: number): number {
    return this.#measured[argument]?.[this.#bound] ?? 0;
  }
  traversed(argument: number): number {
    return this.of(argument) * (1 + reading(this.#item(argument)));
  }
  characters(argument: number): number {
    return this.of(argument) * this.#item(argument);
  }
  #item(argument: number): number {
    return this.#bound === "least" ? 0 : (this.#measured[argument]?.item ?? 0);
  }
}

function lengthOf(value: unknown): number {
  return typeof value === "string" || value instanceof Uint8Array ? value.length : 1;
}
const exactly = (cost: CostEstimate, size: number): Estimate => ({ cost, size, least: size });

const sum = (parts: readonly Estimate[]): CostEstimate => parts.reduce((total, { cost }) => add(total, cost), FREE);

function memberSchema(schema: FieldSchema | undefined, field: string): FieldSchema | undefined {
  return schema?.type === "map" ? schema.items : schema?.properties?.get(field);
}
function listSchema(item: Estimate | undefined): FieldSchema | undefined {
  return item?.schema === undefined ? undefined : { type: "array", items: item.schema };
}

/** Functions whose result is about as large as what they are given. */
function resultSize(name: string, sizes: readonly number[], type: CelType | undefined): number {
  if (type !== undefined && ["int", "uint", "double", "bool", "timestamp", "duration"].includes(type.kind)) return 1;
  if (name === "_+_" || name === "join") return sizes.reduce((total, size) => total + size, 0);
  if (name === "replace") return (sizes[0] ?? 1) * Math.max(1, sizes[2] ?? 1);
  return Math.max(1, sizes[0] ?? 1);
}
function resultSchema(name: string, parts: readonly Estimate[]): FieldSchema | undefined {
  return name === "_+_" || name === "orValue" ? parts[0]?.schema : undefined;
}
