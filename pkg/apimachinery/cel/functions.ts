/** Declarations of functions: what the checker chooses from, the evaluator calls, and the cost model counts. */
import { type CostRule, fixed, linear } from "./costs.ts";
import type { Range } from "./ranges.ts";
import { type CelType, parseType } from "./types.ts";
import type { Value } from "./values.ts";

export interface Overload {
  readonly name: string;
  readonly member: boolean;
  /** The receiver comes first. */
  readonly params: readonly CelType[];
  readonly result: CelType;
  call(args: readonly Value[]): Value;
  readonly cost: CostRule;
  /** Bounds of the cost, where asking `cost` with the bounds of the arguments does not give them. */
  readonly estimate?: (sizes: SizeEstimates) => Range;
  /** How large the result can be; absent where nobody knows. */
  readonly resultSize?: (sizes: SizeEstimates) => Range;
}

/** What is known of arguments before there are any. */
export interface SizeEstimates {
  of(argument: number): Range;
  /** The argument itself, where it is a number written down. */
  literal(argument: number): number | undefined;
}

/** Arguments that are read character by character, and arguments all of whose elements are visited. */
export interface LinearCost extends Pick<Overload, "estimate" | "resultSize"> {
  readonly traverses?: readonly number[];
  readonly visits?: readonly number[];
  /** Instead of the two. */
  readonly rule?: CostRule;
}
export type Implementation = (...args: never[]) => Value;

/**
 * Declares an overload. `signature` is `(string, int) -> bool`, or `string.(int) -> bool` for a method.
 * Implementations receive arguments of exactly the declared types.
 */
export function declare(
  name: string,
  signature: string,
  implementation: Implementation,
  cost: LinearCost | CostRule = {},
): Overload {
  const match = /^(?:([^(]+)\.)?\((.*)\) -> (.+)$/.exec(signature);
  if (match === null) throw new Error(`The signature ${signature} of ${name} cannot be read`);
  const [, receiver, params = "", result] = match;
  const types = splitTypes(params);
  return {
    name,
    member: receiver !== undefined,
    params: (receiver === undefined ? types : [receiver, ...types]).map(parseType),
    result: parseType(result!),
    call: (args) => (implementation as (...all: readonly Value[]) => Value)(...args),
    ...(typeof cost === "function" ? { cost } : costs(cost)),
  };
}

/** Calls cost one unit unless something is said. */
function costs({
  traverses,
  visits,
  rule,
  estimate,
  resultSize,
}: LinearCost): Pick<Overload, "cost" | "estimate" | "resultSize"> {
  const cost =
    rule ?? (traverses === undefined && visits === undefined ? fixed(1) : linear(traverses ?? [], visits ?? []));
  return { cost, ...(estimate === undefined ? {} : { estimate }), ...(resultSize === undefined ? {} : { resultSize }) };
}

/** Splits at commas outside of angle brackets. */
function splitTypes(text: string): string[] {
  const types: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= text.length; i++) {
    if (text[i] === "<") depth++;
    else if (text[i] === ">") depth--;
    else if (i === text.length || (text[i] === "," && depth === 0)) {
      const type = text.slice(start, i).trim().replaceAll(/,\s+/g, ",");
      if (type !== "") types.push(type);
      start = i + 1;
    }
  }
  return types;
}

export type FunctionTable = ReadonlyMap<string, readonly Overload[]>;

export function functionTable(...libraries: readonly (readonly Overload[])[]): FunctionTable {
  const table = new Map<string, Overload[]>();
  for (const overload of libraries.flat()) {
    const overloads = table.get(overload.name);
    if (overloads === undefined) table.set(overload.name, [overload]);
    else overloads.push(overload);
  }
  return table;
}
