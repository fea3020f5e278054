import { type FieldError, fieldInvalid, fieldForbidden } from "#pkg/apimachinery/index.ts";
import {
  CelCompileError,
  CelProgramError,
  compileCel,
  CRD_COST_LIMIT,
  maxOccurrences,
  isTyped,
  optionalOf,
  type Program,
  RULE_COST_LIMIT,
  typeOfSchema,
} from "#pkg/apimachinery/cel/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import type { ValidationRule } from "#pkg/api/types/apiextensions-v1.ts";
import { evaluateRules, type Judgement } from "./rule-evaluation.ts";

export interface CompiledRule {
  readonly rule: ValidationRule;
  readonly program: Program;
  readonly message: Program | undefined;
  readonly usesOld: boolean;
  readonly schema: FieldSchema;
}
/** Rules of one node of the schema, and where more are below it. */
export interface RuleNode {
  readonly rules: readonly CompiledRule[];
  readonly properties: ReadonlyMap<string, RuleNode>;
  readonly items: RuleNode | undefined;
  readonly schema: FieldSchema;
}

/** Compiles all CEL rules of a schema. A rule that does not compile is reported in `errors` and left out. */
export function compileRules(
  schema: FieldSchema,
  path: string,
): { errors: FieldError[]; any: boolean; validate(value: unknown, old: unknown): Judgement } {
  const errors: FieldError[] = [];
  const costs: RuleCost[] = [];
  const root = compileNode(schema, path, errors, costs);
  errors.push(...totalCostErrors(costs, path));
  return {
    errors,
    any: root !== undefined,
    validate: (value, old) => (root === undefined ? { errors: [], warnings: [] } : evaluateRules(root, value, old)),
  };
}

/** What a rule may cost in the largest object its schema allows. */
interface RuleCost {
  readonly path: string;
  readonly cost: number;
}
/** So many of the rules that make a schema too expensive are named. */
const NAMED_RULES = 4;

function totalCostErrors(costs: readonly RuleCost[], path: string): FieldError[] {
  const total = costs.reduce((sum, { cost }) => sum + cost, 0);
  if (total <= CRD_COST_LIMIT) return [];
  const worst = costs
    .filter(({ cost }) => cost >= CRD_COST_LIMIT / 100)
    .toSorted((a, b) => b.cost - a.cost)
    .slice(0, NAMED_RULES);
  const contributed = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
  const what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
  return [
    ...worst.map((rule) => fieldForbidden(rule.path, contributed)),
    fieldForbidden(path, beyondBudget(what, total / CRD_COST_LIMIT)),
  ];
}

function beyondBudget(what: string, factor: number): string {
  const shown = factor > 100 ? "more than 100" : factor.toFixed(factor < 1.5 ? 6 : 1);
  return `${what} exceeds budget by factor of ${shown}x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`;
}

/** Where a rule is: how often its data can occur, and from where on old values have no counterpart. */
interface RulePlace {
  /** undefined: nothing bounds it. */
  readonly occurrences: number | undefined;
  readonly uncorrelated: string | undefined;
}

function compileNode(
  schema: FieldSchema,
  path: string,
  errors: FieldError[],
  costs: RuleCost[],
  place: RulePlace = { occurrences: 1, uncorrelated: undefined },
): RuleNode | undefined {
  const properties = new Map<string, RuleNode>();
  for (const [name, member] of schema.properties ?? []) {
    if (member.raw === undefined) continue;
    const node = compileNode(member, `${path}.properties[${name}]`, errors, costs, place);
    if (node !== undefined) properties.set(name, node);
  }
  const items = compileItems(schema, path, errors, costs, place);
  const rules = compileOwnRules(schema, path, errors, costs, place);
  if (rules.length === 0 && properties.size === 0 && items === undefined) return undefined;
  return { rules, properties, items, schema };
}

/** Elements of lists keep their identity only by their keys. */
function compileItems(
  schema: FieldSchema,
  path: string,
  errors: FieldError[],
  costs: RuleCost[],
  { occurrences, uncorrelated }: RulePlace,
): RuleNode | undefined {
  if (schema.items?.raw === undefined) return undefined;
  const isMap = schema.type === "map";
  const bound = schema.raw?.[isMap ? "maxProperties" : "maxItems"];
  return compileNode(schema.items, `${path}.${isMap ? "additionalProperties" : "items"}`, errors, costs, {
    occurrences: occurrences === undefined || typeof bound !== "number" ? undefined : occurrences * bound,
    uncorrelated: uncorrelated ?? (isMap || schema.listType === "map" ? undefined : path),
  });
}

function compileOwnRules(
  schema: FieldSchema,
  path: string,
  errors: FieldError[],
  costs: RuleCost[],
  { occurrences, uncorrelated }: RulePlace,
): CompiledRule[] {
  const declared = schema.raw?.["x-kubernetes-validations"];
  const rules: CompiledRule[] = [];
  if (Array.isArray(declared) && declared.length > 0 && !isTyped(schema)) {
    errors.push(untypedError(`${path}.x-kubernetes-validations`));
    return rules;
  }
  for (const [index, rule] of (Array.isArray(declared) ? (declared as ValidationRule[]) : []).entries()) {
    const at = `${path}.x-kubernetes-validations[${index}]`;
    const observe = (field: string, what: string, cost: number): void => {
      costs.push({ path: `${at}.${field}`, cost });
      if (cost > RULE_COST_LIMIT)
        errors.push(fieldForbidden(`${at}.${field}`, beyondBudget(what, cost / RULE_COST_LIMIT)));
    };
    const compiled = compileRule(rule, schema, at, errors);
    if (compiled === undefined) {
      if (rule.optionalOldSelf !== undefined && rule.optionalOldSelf !== null) errors.push(needlessOption(rule, at));
      continue;
    }
    rules.push(compiled);
    const { program, message, usesOld } = compiled;
    observe("rule", "estimated rule cost", program.estimatedCost.max * (occurrences ?? maxOccurrences(schema)));
    if (message !== undefined)
      observe("messageExpression", "estimated messageExpression cost", message.estimatedCost.max);
    if (usesOld && uncorrelated !== undefined) {
      const why = `oldSelf cannot be used on the uncorrelatable portion of the schema within ${uncorrelated}`;
      errors.push(fieldInvalid(`${at}.rule`, rule.rule, why));
    } else if (!usesOld && rule.optionalOldSelf !== undefined && rule.optionalOldSelf !== null) {
      errors.push(needlessOption(rule, at));
    }
  }
  return rules;
}

const needlessOption = ({ optionalOldSelf }: ValidationRule, path: string): FieldError =>
  fieldInvalid(`${path}.optionalOldSelf`, optionalOldSelf, "may not be set if oldSelf is not used in rule");

function untypedError(field: string): FieldError {
  const why = "failed to construct type information for x-kubernetes-validations rules";
  const message = `Internal error: internal error: ${why}: unable to convert structural schema to CEL declarations`;
  return { type: "InternalError", field, message };
}

function compileRule(
  rule: ValidationRule,
  schema: FieldSchema,
  path: string,
  errors: FieldError[],
): CompiledRule | undefined {
  const self = typeOfSchema(schema);
  const variables = { self: schema, oldSelf: rule.optionalOldSelf === true ? optionalOf(self) : schema };
  let program: Program;
  let message: Program | undefined;
  try {
    program = compileCel(rule.rule, { variables });
    if (program.resultType.kind !== "bool") {
      errors.push(fieldInvalid(`${path}.rule`, shownRule(rule), "cel expression must evaluate to a bool"));
      return undefined;
    }
  } catch (error) {
    if (!(error instanceof CelCompileError)) throw error;
    errors.push(fieldInvalid(`${path}.rule`, shownRule(rule), failureOf(error, "")));
    return undefined;
  }
  if (rule.messageExpression) {
    try {
      message = compileCel(rule.messageExpression, { variables });
      if (message.resultType.kind !== "string") throw new CelCompileError("", []);
    } catch (error) {
      if (!(error instanceof CelCompileError)) throw error;
      const why =
        error.message === "" ? "messageExpression must evaluate to a string" : failureOf(error, "messageExpression ");
      errors.push(fieldInvalid(`${path}.messageExpression`, shownRule(rule), why));
      message = undefined;
    }
  }
  return { rule, program, message, usesOld: program.references.has("oldSelf"), schema };
}

function failureOf(error: CelCompileError, what: string): string {
  const step =
    error instanceof CelProgramError ? `${what === "" ? "program " : what}instantiation` : `${what}compilation`;
  return `${step} failed: ${error.message}`;
}

/** A rule as messages show it: all its fields, under the names that they have within upstream's server. */
function shownRule(rule: ValidationRule): object {
  return {
    Rule: rule.rule,
    Message: rule.message ?? "",
    MessageExpression: rule.messageExpression ?? "",
    Reason: rule.reason ?? null,
    FieldPath: rule.fieldPath ?? "",
    OptionalOldSelf: rule.optionalOldSelf ?? null,
  };
}
