/** The door to the engine: an expression compiled once, evaluated many times. */
import type { FieldSchema } from "../schema.ts";
import { type Checked, checkCel } from "./checker.ts";
import { type CostEstimate, estimateCost } from "./cost.ts";
import { CelCostError, CelError } from "./errors.ts";
import type { FunctionTable } from "./functions.ts";
import { kubernetesFunctions } from "./lib/index.ts";
import { checkLiterals } from "./literals.ts";
import { parseCel } from "./parser.ts";
import { Frame, Planner, type Step } from "./plan.ts";
import { type CelType, settled, typeOfSchema } from "./types.ts";
import { fromJson, toJson, type Value } from "./values.ts";

/** What one evaluation of a rule may cost; upstream's PerCallLimit. */
export const PER_CALL_COST_LIMIT = 1_000_000;
/** What all rules of one request may cost together; upstream's RuntimeCELCostBudget. */
export const REQUEST_COST_BUDGET = 10_000_000;

/** What an expression may speak of. */
export interface CompileOptions {
  /** Variables by name; a name may have dots. */
  readonly variables: Readonly<Record<string, FieldSchema | CelType>>;
  /** Types that struct literals may name. */
  readonly objectType?: (name: string) => CelType | undefined;
  /** Default: Kubernetes' functions. */
  readonly functions?: FunctionTable;
  /** Leaves literals alone: elements of different types, bad patterns, dates and numbers. Default false, as in Kubernetes. */
  readonly mixedLiterals?: boolean;
  readonly container?: string;
}

/** What an expression came to, and what finding out has cost. */
export type Evaluation =
  | {
      readonly error?: undefined;
      /** The result as JSON data. */
      readonly value: unknown;
      /** The result as the engine has it, fit to be bound to a variable of another expression. */
      readonly raw: Value;
      readonly cost: number;
    }
  | { readonly error: CelError | CelCostError; readonly cost: number };

/** A compiled expression. */
export interface Program {
  readonly expression: string;
  readonly resultType: CelType;
  /** Names of the variables the expression reads. */
  readonly references: ReadonlySet<string>;
  /** What an evaluation can cost, from the bounds the schemas state. */
  readonly estimatedCost: CostEstimate;
  /**
   * Variables are bound to JSON data of their schemas, or to results (`raw`) of other expressions.
   */
  evaluate(bindings: Readonly<Record<string, unknown>>, options?: { readonly costBudget?: number }): Evaluation;
}

const ANY: FieldSchema = { type: "any" };
const isSchema = (type: FieldSchema | CelType): type is FieldSchema => "type" in type;

/** @throws CelCompileError when the expression does not parse or its types do not fit. */
export function compileCel(expression: string, options: CompileOptions): Program {
  const names = Object.keys(options.variables);
  const types = new Map<string, CelType>();
  for (const name of names) {
    const declared = options.variables[name]!;
    types.set(name, isSchema(declared) ? typeOfSchema(declared) : declared);
  }
  const expr = parseCel(expression);
  const checked = checkCel(expression, expr, {
    variables: types,
    functions: options.functions ?? kubernetesFunctions,
    objectType: options.objectType,
    container: options.container ?? "",
  });
  if (options.mixedLiterals !== true) checkLiterals(expression, expr, checked);
  const globals = new Map(names.map((name, slot) => [name, slot]));
  const planner = new Planner(checked, globals, options.objectType, options.mixedLiterals === true);
  const step = planner.plan(expr);
  const schemas = names.map((name) => {
    const declared = options.variables[name]!;
    return isSchema(declared) ? declared : ((declared.kind === "object" ? declared.schema : undefined) ?? ANY);
  });
  const references = globalReferences(checked);
  const used = names
    .map((name, slot) => ({ name, slot, schema: schemas[slot]! }))
    .filter(({ name }) => references.has(name));
  return {
    expression,
    resultType: settled(checked.type),
    references,
    estimatedCost: estimateCost(expr, checked, options),
    evaluate: (bindings, { costBudget = PER_CALL_COST_LIMIT } = {}) =>
      run(step, new Frame(planner.slots, costBudget), used, bindings),
  };
}

function globalReferences({ variables }: Checked): ReadonlySet<string> {
  return new Set([...variables.values()].filter((name) => name.startsWith(".")).map((name) => name.slice(1)));
}

interface UsedVariable {
  readonly name: string;
  readonly slot: number;
  readonly schema: FieldSchema;
}

function run(
  step: Step,
  frame: Frame,
  used: readonly UsedVariable[],
  bindings: Readonly<Record<string, unknown>>,
): Evaluation {
  try {
    for (const { name, slot, schema } of used) {
      const bound = bindings[name];
      if (bound !== undefined) frame.slots[slot] = fromJson(bound, schema);
    }
    const raw = step(frame);
    return { value: toJson(raw), raw, cost: frame.cost };
  } catch (error) {
    if (error instanceof CelError || error instanceof CelCostError) return { error, cost: frame.cost };
    throw error;
  }
}
