/** Label selectors: requirements on label maps, and the API's LabelSelector objects. Source: apimachinery pkg/labels. */
import type { LabelSelector } from "#pkg/api/types/meta-v1.ts";
import { fieldInvalid, fieldNotSupported } from "./field-errors.ts";
import type { FieldError } from "./errors.ts";
import { isQualifiedName, isValidLabelValue } from "./validation.ts";

/** How a requirement compares a label with its values. */
export type SelectorOperator = "in" | "notin" | "=" | "==" | "!=" | "exists" | "!" | "gt" | "lt";
/** Labels of an object, as its metadata has them. */
export type Labels = Readonly<Record<string, string>>;

const OPERATORS: readonly SelectorOperator[] = ["in", "notin", "=", "==", "!=", "exists", "!", "gt", "lt"];

/** The number that a text is, where 64 bits hold it. */
function int64Of(text: string | undefined): bigint | undefined {
  if (text === undefined || !/^[+-]?[0-9]+$/.test(text)) return undefined;
  const value = BigInt(text.replace(/^\+/, ""));
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

/** One condition of a selector. Immutable; made by `newRequirement`, which checks it. */
export class Requirement {
  readonly key: string;
  readonly operator: SelectorOperator;
  /** Sorted, without repetitions. */
  readonly values: readonly string[];

  constructor(key: string, operator: SelectorOperator, values: readonly string[]) {
    this.key = key;
    this.operator = operator;
    this.values = values;
  }

  matches(labels: Labels): boolean {
    const { key, values } = this;
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (this.operator) {
      case "in":
      case "=":
      case "==":
        return value !== undefined && values.includes(value);
      case "notin":
      case "!=":
        return value === undefined || !values.includes(value);
      case "exists":
        return value !== undefined;
      case "!":
        return value === undefined;
      case "gt":
      case "lt": {
        const left = int64Of(value);
        const right = int64Of(values[0]);
        if (left === undefined || right === undefined) return false;
        return this.operator === "gt" ? left > right : left < right;
      }
    }
  }

  toString(): string {
    const { key, operator, values } = this;
    switch (operator) {
      case "!":
        return `!${key}`;
      case "exists":
        return key;
      case "in":
      case "notin":
        return `${key} ${operator} (${values.join(",")})`;
      case "gt":
        return `${key}>${values.join(",")}`;
      case "lt":
        return `${key}<${values.join(",")}`;
      default:
        return `${key}${operator}${values.join(",")}`;
    }
  }
}

/** A selector text or object that upstream would refuse; the message is upstream's. */
export class SelectorError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "SelectorError";
  }
}

/** A conjunction of requirements. */
export class Selector {
  readonly requirements: readonly Requirement[];
  readonly #nothing: boolean;

  constructor(requirements: readonly Requirement[], nothing = false) {
    this.requirements = requirements;
    this.#nothing = nothing;
  }
  /** True when the selector restricts nothing. */
  get empty(): boolean {
    return !this.#nothing && this.requirements.length === 0;
  }
  /** True when no labels can match. */
  get nothing(): boolean {
    return this.#nothing;
  }
  matches(labels: Labels | undefined): boolean {
    if (this.#nothing) return false;
    const present = labels ?? {};
    for (const requirement of this.requirements) {
      if (!requirement.matches(present)) return false;
    }
    return true;
  }
  /** A selector with further requirements. */
  add(...more: readonly Requirement[]): Selector {
    return new Selector(sortByKey([...this.requirements, ...more]), this.#nothing);
  }
  /** The value `key` must have, when exactly one value can match. */
  exactValue(key: string): string | undefined {
    for (const { key: other, operator, values } of this.requirements) {
      if (other === key && values.length === 1 && (operator === "=" || operator === "==" || operator === "in"))
        return values[0];
    }
    return undefined;
  }
  toString(): string {
    return this.requirements.map(String).join(",");
  }
}

const nothing = (): Selector => new Selector([], true);

export function sortByKey(requirements: Requirement[]): Requirement[] {
  return requirements.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** Text of a list of errors as Go's aggregate prints it. */
function aggregate(errors: readonly FieldError[]): string {
  const lines = [...new Set(errors.map(({ field, message }) => `${field}: ${message}`))];
  return lines.length === 1 ? lines[0]! : `[${lines.join(", ")}]`;
}

/** @throws SelectorError with upstream's message when key, operator or values do not fit together. */
export function newRequirement(key: string, operator: SelectorOperator, values: readonly string[]): Requirement {
  const errors: FieldError[] = [];
  const keyMessages = isQualifiedName(key);
  if (keyMessages.length > 0) errors.push(fieldInvalid("key", key, keyMessages.join("; ")));
  const unique = [...new Set(values)].sort();
  const bad = (detail: string) => errors.push(fieldInvalid("values", unique, detail));
  switch (operator) {
    case "in":
    case "notin":
      if (unique.length === 0) bad("for 'in', 'notin' operators, values set can't be empty");
      break;
    case "=":
    case "==":
    case "!=":
      if (unique.length !== 1) bad("exact-match compatibility requires one single value");
      break;
    case "exists":
    case "!":
      if (unique.length !== 0) bad("values set must be empty for exists and does not exist");
      break;
    case "gt":
    case "lt":
      if (unique.length !== 1) bad("for 'Gt', 'Lt' operators, exactly one value is required");
      unique.forEach((value, index) => {
        if (int64Of(value) === undefined)
          errors.push(
            fieldInvalid(`values[${index}]`, value, "for 'Gt', 'Lt' operators, the value must be an integer"),
          );
      });
      break;
    default:
      errors.push(fieldNotSupported("operator", operator, OPERATORS));
  }
  unique.forEach((value, index) => {
    const messages = isValidLabelValue(value);
    if (messages.length > 0) errors.push(fieldInvalid(`values[${index}][${key}]`, value, messages.join("; ")));
  });
  if (errors.length > 0) throw new SelectorError(aggregate(errors));
  return new Requirement(key, operator, unique);
}

/** Every label of the set must be present with its value. Not validated. */
export function selectorFromSet(labels: Labels | undefined): Selector {
  return new Selector(
    sortByKey(Object.entries(labels ?? {}).map(([key, value]) => new Requirement(key, "=", [value]))),
  );
}

const EXPRESSION_OPERATORS: Readonly<Record<string, SelectorOperator>> = {
  In: "in",
  NotIn: "notin",
  Exists: "exists",
  DoesNotExist: "!",
};

/**
 * The selector a LabelSelector object means: undefined matches nothing, {} everything.
 * @throws SelectorError for an unknown operator or bad keys and values.
 */
export function labelSelectorAsSelector(selector: LabelSelector | undefined | null): Selector {
  if (selector === undefined || selector === null) return nothing();
  const requirements: Requirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {}))
    requirements.push(newRequirement(key, "=", [value]));
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const known = Object.hasOwn(EXPRESSION_OPERATORS, operator) ? EXPRESSION_OPERATORS[operator] : undefined;
    if (known === undefined)
      throw new SelectorError(`${JSON.stringify(operator)} is not a valid label selector operator`);
    requirements.push(newRequirement(key, known, values ?? []));
  }
  return new Selector(sortByKey(requirements));
}
