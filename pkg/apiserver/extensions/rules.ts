import {
  deepEqual,
  type FieldError,
  fieldInvalid,
  fieldForbidden,
  fieldRequired,
  isRecord,
} from "#pkg/apimachinery/index.ts";
import {
  CelCompileError,
  CelProgramError,
  compileCel,
  CRD_COST_LIMIT,
  PER_CALL_COST_LIMIT,
  type Program,
  REQUEST_COST_BUDGET,
  RULE_COST_LIMIT,
} from "#pkg/apimachinery/cel/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import type { ValidationRule } from "#pkg/api/types/apiextensions-v1.ts";

interface CompiledRule {
  readonly rule: ValidationRule;
  readonly program: Program;
  readonly message: Program | undefined;
  readonly usesOld: boolean;
}
/** Rules of one node of the schema, and where more are below it. */
interface RuleNode {
  readonly rules: readonly CompiledRule[];
  readonly properties: ReadonlyMap<string, RuleNode>;
  readonly items: RuleNode | undefined;
  readonly schema: FieldSchema;
}
interface Progress {
  budget: number;
  readonly errors: FieldError[];
}

/** Compiles all CEL rules of a schema. A rule that does not compile is reported in `errors` and left out. */
export function compileRules(
  schema: FieldSchema,
  path: string,
): { errors: FieldError[]; validate(value: unknown, old: unknown): FieldError[] } {
  const errors: FieldError[] = [];
  const costs: RuleCost[] = [];
  const root = compileNode(schema, path, errors, costs, 1);
  errors.push(...totalCostErrors(costs, path));
  return {
    errors,
    validate: (value, old) => {
      if (root === undefined) return [];
      const progress: Progress = { budget: REQUEST_COST_BUDGET, errors: [] };
      run(root, value, old, "", progress);
      return progress.errors;
    },
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
  const worst = costs.toSorted((a, b) => b.cost - a.cost).slice(0, NAMED_RULES);
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

/** Elements assumed where a schema states no bound. */
const UNBOUNDED = 3 * 1024 * 1024;

function compileNode(
  schema: FieldSchema,
  path: string,
  errors: FieldError[],
  costs: RuleCost[],
  repetitions: number,
): RuleNode | undefined {
  const declared = schema.raw?.["x-kubernetes-validations"];
  const rules: CompiledRule[] = [];
  for (const [index, rule] of (Array.isArray(declared) ? (declared as ValidationRule[]) : []).entries()) {
    const compiled = compileRule(rule, schema, `${path}.x-kubernetes-validations[${index}]`, errors);
    if (compiled === undefined) continue;
    rules.push(compiled);
    const cost = compiled.program.estimatedCost.max * repetitions;
    const where = `${path}.x-kubernetes-validations[${index}].rule`;
    costs.push({ path: where, cost });
    if (cost > RULE_COST_LIMIT)
      errors.push(fieldForbidden(where, beyondBudget("estimated rule cost", cost / RULE_COST_LIMIT)));
  }
  const properties = new Map<string, RuleNode>();
  for (const [name, member] of schema.properties ?? []) {
    if (member.raw === undefined) continue;
    const node = compileNode(member, `${path}.properties[${name}]`, errors, costs, repetitions);
    if (node !== undefined) properties.set(name, node);
  }
  const below = schema.type === "map" ? "additionalProperties" : "items";
  const bound = schema.raw?.[schema.type === "map" ? "maxProperties" : "maxItems"];
  const items =
    schema.items?.raw === undefined
      ? undefined
      : compileNode(
          schema.items,
          `${path}.${below}`,
          errors,
          costs,
          repetitions * (typeof bound === "number" ? bound : elementsOf(schema.items)),
        );
  if (rules.length === 0 && properties.size === 0 && items === undefined) return undefined;
  return { rules, properties, items, schema };
}

/** How many elements of a kind fit into a request. */
function elementsOf(schema: FieldSchema): number {
  return UNBOUNDED / (schema.type === "object" ? 2 + 6 * (schema.required?.length ?? 0) : 2);
}

function compileRule(
  rule: ValidationRule,
  schema: FieldSchema,
  path: string,
  errors: FieldError[],
): CompiledRule | undefined {
  if ((rule.rule ?? "").trim() === "") {
    errors.push(fieldRequired(`${path}.rule`, "rule is not specified"));
    return undefined;
  }
  const variables = { self: schema, oldSelf: schema };
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
    }
  }
  return { rule, program, message, usesOld: program.references.has("oldSelf") };
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

function run(node: RuleNode, value: unknown, old: unknown, path: string, progress: Progress): void {
  if (value === undefined || value === null) return;
  if (node.rules.length > 0) {
    // What an update leaves alone is not judged again, except by rules that compare.
    const unchanged = old !== undefined && deepEqual(value, old);
    for (const rule of node.rules) if (!unchanged || rule.usesOld) runRule(rule, value, old, path, progress);
  }
  if (node.properties.size > 0 && isRecord(value)) {
    const before = isRecord(old) ? old : {};
    for (const [name, member] of Object.entries(value)) {
      const below = node.properties.get(name);
      if (below !== undefined) run(below, member, before[name], path === "" ? name : `${path}.${name}`, progress);
    }
  }
  if (node.items === undefined) return;
  if (Array.isArray(value)) {
    for (const [index, element] of value.entries()) {
      run(node.items, element, correlated(node.schema, element, old), `${path}[${index}]`, progress);
    }
  } else if (isRecord(value)) {
    const before = isRecord(old) ? old : {};
    for (const [key, element] of Object.entries(value))
      run(node.items, element, before[key], `${path}[${key}]`, progress);
  }
}

/** The old element with the same keys, for lists that have keys. */
function correlated({ listType, listMapKeys = [] }: FieldSchema, element: unknown, old: unknown): unknown {
  if (listType !== "map" || !Array.isArray(old) || !isRecord(element)) return undefined;
  return old.find((each) => isRecord(each) && listMapKeys.every((key) => each[key] === element[key]));
}

function runRule(
  { rule, program, message, usesOld }: CompiledRule,
  value: unknown,
  old: unknown,
  path: string,
  progress: Progress,
): void {
  // Transition rules have nothing to say about what is new.
  if (usesOld && old === undefined && rule.optionalOldSelf !== true) return;
  if (progress.budget <= 0) return;
  const bindings = { self: value, ...(old === undefined ? {} : { oldSelf: old }) };
  const result = program.evaluate(bindings, { costBudget: Math.min(progress.budget, PER_CALL_COST_LIMIT) });
  progress.budget -= result.cost;
  const field = fieldPath(path, rule.fieldPath);
  if (result.error !== undefined) {
    progress.errors.push(
      fieldInvalid(
        field,
        shown(value),
        `rule evaluation error: ${result.error.message} evaluating rule: ${ruleName(rule)}`,
      ),
    );
    return;
  }
  if (result.value === true) return;
  progress.errors.push(failure(rule, field, value, messageOf(rule, message, bindings, progress)));
}

function ruleName(rule: ValidationRule): string {
  return rule.message ?? rule.rule;
}

function messageOf(
  rule: ValidationRule,
  message: Program | undefined,
  bindings: Record<string, unknown>,
  progress: Progress,
): string {
  if (message !== undefined) {
    const result = message.evaluate(bindings, { costBudget: Math.min(progress.budget, PER_CALL_COST_LIMIT) });
    progress.budget -= result.cost;
    if (
      result.error === undefined &&
      typeof result.value === "string" &&
      result.value.trim() !== "" &&
      !result.value.includes("\n")
    ) {
      return result.value;
    }
  }
  return rule.message !== undefined && rule.message !== "" ? rule.message : `failed rule: ${rule.rule}`;
}

function failure(rule: ValidationRule, field: string, value: unknown, text: string): FieldError {
  switch (rule.reason) {
    case "FieldValueForbidden":
      return fieldForbidden(field, text);
    case "FieldValueRequired":
      return fieldRequired(field, text);
    case "FieldValueDuplicate":
      return { type: "FieldValueDuplicate", field, message: `Duplicate value: ${JSON.stringify(shown(value))}` };
    default:
      return fieldInvalid(field, shown(value), text);
  }
}

/** Objects and lists are named, not shown. */
function shown(value: unknown): unknown {
  if (Array.isArray(value)) return "array";
  return isRecord(value) ? "object" : value;
}

function fieldPath(path: string, relative: string | undefined): string {
  if (relative === undefined || relative === "") return path === "" ? "<nil>" : path;
  const plain = relative.replace(/^\./, "").replaceAll(/\['([^']*)'\]/g, "[$1]");
  return path === "" ? plain : `${path}.${plain}`;
}
