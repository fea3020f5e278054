/** Judges data by the rules of its schema, within what one request may cost. */
import {
  deepEqual,
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldOmitted,
  fieldRequired,
  isRecord,
} from "#pkg/apimachinery/index.ts";
import { optionalValue, PER_CALL_COST_LIMIT, type Program, REQUEST_COST_BUDGET } from "#pkg/apimachinery/cel/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import type { ValidationRule } from "#pkg/api/types/apiextensions-v1.ts";
import { findFieldPath } from "./field-path.ts";
import type { CompiledRule, RuleNode } from "./rules.ts";

interface Progress {
  /** Spent: no rule is judged any more. */
  budget: number;
  readonly errors: FieldError[];
  readonly warnings: string[];
}

/** What rules say of an object: what is wrong, and what has been wrong before (ratcheting, KEP-4008). */
export interface Judgement {
  readonly errors: FieldError[];
  readonly warnings: string[];
}

const NO_MORE = "no further validation rules will be run";
const MAX_MESSAGE_BYTES = 5 * 1024;

export function evaluateRules(root: RuleNode, value: unknown, old: unknown): Judgement {
  const progress: Progress = { budget: REQUEST_COST_BUDGET, errors: [], warnings: [] };
  run(root, value, old, "", progress, () => false);
  return { errors: progress.errors, warnings: progress.warnings };
}

/** `around` tells whether an update leaves alone what the value is part of, of values that have no old one of their own. */
function run(
  node: RuleNode,
  value: unknown,
  old: unknown,
  path: string,
  progress: Progress,
  around: () => boolean,
): void {
  if (value === undefined || value === null) return;
  let same: boolean | undefined;
  const unchanged = (): boolean => (same ??= old === undefined ? around() : deepEqual(value, old));
  for (const rule of node.rules) runRule(rule, value, old, path, progress, unchanged);
  if (node.properties.size > 0 && isRecord(value)) {
    const before = isRecord(old) ? old : {};
    for (const [name, member] of Object.entries(value)) {
      const below = node.properties.get(name);
      if (below !== undefined) {
        run(below, member, before[name], path === "" ? name : `${path}.${name}`, progress, unchanged);
      }
    }
  }
  if (node.items === undefined) return;
  if (Array.isArray(value)) {
    for (const [index, element] of value.entries()) {
      run(node.items, element, correlated(node.schema, element, old), `${path}[${index}]`, progress, unchanged);
    }
  } else if (isRecord(value)) {
    const before = isRecord(old) ? old : {};
    for (const [key, element] of Object.entries(value))
      run(node.items, element, before[key], `${path}[${key}]`, progress, unchanged);
  }
}

/** The old element with the same keys, for lists that have keys. */
function correlated({ listType, listMapKeys = [] }: FieldSchema, element: unknown, old: unknown): unknown {
  if (listType !== "map" || !Array.isArray(old) || !isRecord(element)) return undefined;
  return old.find((each) => isRecord(each) && listMapKeys.every((key) => each[key] === element[key]));
}

const pathOf = (path: string): string => (path === "" ? "<nil>" : path);

function runRule(
  compiled: CompiledRule,
  value: unknown,
  old: unknown,
  path: string,
  progress: Progress,
  unchanged: () => boolean,
): void {
  const { rule, program, message, usesOld, schema } = compiled;
  // Transition rules have nothing to say about what is new.
  if (usesOld && old === undefined && rule.optionalOldSelf !== true) return;
  if (progress.budget < 0) return;
  // Of what failed, errors name the type instead of showing the value.
  const type = String(schema.raw?.["type"] ?? "");
  const refuse = (why: string): void => void progress.errors.push(fieldInvalid(pathOf(path), type, why));
  const bindings = { self: value, ...oldBinding(rule, old, schema) };
  const result = program.evaluate(bindings, { costBudget: PER_CALL_COST_LIMIT });
  if (result.cost > progress.budget) {
    refuse(`validation failed due to running out of cost budget, ${NO_MORE}`);
    progress.budget = -1;
    return;
  }
  progress.budget -= result.cost;
  if (result.error !== undefined) {
    const { message: why } = result.error;
    if (result.error.name === "CelCostError") {
      refuse(`'${why}': ${NO_MORE} due to call cost exceeds limit for rule: ${nameOf(rule)}`);
      progress.budget = -1;
    } else if (why.startsWith("no such overload")) {
      refuse(
        `'${why}': call arguments did not match a supported operator, function or macro signature for rule: ${nameOf(rule)}`,
      );
    } else refuse(`${why} evaluating rule: ${nameOf(rule)}`);
    return;
  }
  if (result.value === true) return;
  const field = fieldPath(path, rule, schema);
  const error = failure(rule, field, value, messageOf(rule, message, bindings, progress));
  // What an update leaves alone is not refused for what it was before, except by rules that compare.
  if (!usesOld && unchanged()) progress.warnings.push(`${error.field}: ${error.message}`);
  else progress.errors.push(error);
}

/** Rules that say so get the old value as an optional one, which is empty where there is none. */
function oldBinding(rule: ValidationRule, old: unknown, schema: FieldSchema): Record<string, unknown> {
  if (rule.optionalOldSelf === true) return { oldSelf: optionalValue(old, schema) };
  return old === undefined ? {} : { oldSelf: old };
}

const nameOf = (rule: ValidationRule): string => (rule.message || rule.rule).trim();

function messageOf(
  rule: ValidationRule,
  message: Program | undefined,
  bindings: Record<string, unknown>,
  progress: Progress,
): string {
  const fixed = (rule.message ?? "").trim() || `failed rule: ${rule.rule.trim()}`;
  if (message === undefined) return fixed;
  const result = message.evaluate(bindings, { costBudget: PER_CALL_COST_LIMIT });
  if (result.cost > progress.budget) {
    progress.budget = -1;
    return `messageExpression evaluation failed due to running out of cost budget, ${NO_MORE}`;
  }
  progress.budget -= result.cost;
  if (result.error?.name === "CelCostError") {
    progress.budget = -1;
    return `${NO_MORE} due to call cost exceeds limit for messageExpression: ${JSON.stringify(rule.messageExpression)}`;
  }
  const said = result.error === undefined && typeof result.value === "string" ? result.value.trim() : "";
  const fits = said !== "" && Buffer.byteLength(said) <= MAX_MESSAGE_BYTES && !/[\n\r]/.test(said);
  return fits ? said : fixed;
}

function failure(rule: ValidationRule, field: string, value: unknown, text: string): FieldError {
  const isWhole = typeof value === "object" && value !== null;
  switch (rule.reason) {
    case "FieldValueForbidden":
      return fieldForbidden(field, text);
    case "FieldValueRequired":
      return fieldRequired(field, text);
    case "FieldValueDuplicate":
      return isWhole
        ? { type: "FieldValueDuplicate", field, message: "Duplicate value" }
        : fieldDuplicate(field, value);
    default:
      return isWhole ? fieldOmitted(field, text) : fieldInvalid(field, value, text);
  }
}

function fieldPath(path: string, { fieldPath: relative }: ValidationRule, { raw }: FieldSchema): string {
  if (relative === undefined || relative === "" || raw === undefined) return pathOf(path);
  const found = findFieldPath(relative, raw, true).path;
  return path === "" ? found : `${path}.${found}`;
}
