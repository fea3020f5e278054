import { labelSelectorAsSelector } from "#pkg/apimachinery/index.ts";
import type { Requirement } from "#pkg/apimachinery/index.ts";
import type { NodeSelector, NodeSelectorRequirement, NodeSelectorTerm } from "#pkg/api/types/core-v1.ts";
import type { LabelSelector } from "#pkg/api/types/meta-v1.ts";

/** An object's labels. */
export type Labels = Readonly<Record<string, string>>;
export const NO_LABELS: Labels = Object.freeze({});

/** Labels come from users: a key such as "constructor" must not find what every object inherits. */
export function labelOf(labels: Labels, key: string): string | undefined {
  const value: unknown = labels[key];
  return typeof value === "string" ? value : undefined;
}

/** A selector compiled for being asked often. */
export interface LabelMatcher {
  /** Equal for selectors that mean the same (as far as their text shows). */
  readonly id: string;
  /** A label that everything matched must have, for indexing. */
  readonly anchor: { readonly key: string; readonly value: string } | undefined;
  matches(labels: Labels): boolean;
}

type Test = (labels: Labels) => boolean;

/** Larger value lists are looked up instead of searched. */
const SEARCHED_VALUES = 4;

function isOneOf(values: readonly string[]): (value: string) => boolean {
  if (values.length === 1) {
    const only = values[0];
    return (value) => value === only;
  }
  if (values.length <= SEARCHED_VALUES) return (value) => values.includes(value);
  const set = new Set(values);
  return (value) => set.has(value);
}

function compileRequirement({ key, operator, values }: Requirement): Test {
  const has = isOneOf(values);
  switch (operator) {
    case "in":
    case "=":
    case "==":
      return (labels) => {
        const value = labelOf(labels, key);
        return value !== undefined && has(value);
      };
    case "notin":
    case "!=":
      return (labels) => {
        const value = labelOf(labels, key);
        return value === undefined || !has(value);
      };
    case "exists":
      return (labels) => labelOf(labels, key) !== undefined;
    case "!":
      return (labels) => labelOf(labels, key) === undefined;
    default:
      throw new Error(`${operator} is not an operator of label selectors`);
  }
}

const NOTHING: LabelMatcher = { id: "nothing", anchor: undefined, matches: () => false };

/** undefined matches nothing, {} everything. @throws SelectorError for selectors the API would refuse. */
export function compileLabelSelector(selector: LabelSelector | undefined): LabelMatcher {
  if (selector === undefined || selector === null) return NOTHING;
  const { requirements } = labelSelectorAsSelector(selector);
  const tests = requirements.map(compileRequirement);
  const exact = requirements.find(
    ({ operator, values }) => (operator === "=" || operator === "in") && values.length === 1,
  );
  return {
    id: JSON.stringify(requirements),
    anchor: exact === undefined ? undefined : { key: exact.key, value: exact.values[0]! },
    matches: allOf(tests),
  };
}

function allOf(tests: readonly Test[]): Test {
  const [first, second] = tests;
  if (first === undefined) return () => true;
  if (second === undefined) return first;
  if (tests.length === 2) return (labels) => first(labels) && second(labels);
  return (labels) => tests.every((test) => test(labels));
}

/** Does a node, by labels and name, meet a node selector? */
export type NodeMatcher = (labels: Labels, name: string) => boolean;

const INTEGER = /^[+-]?[0-9]{1,19}$/;

function compileNodeRequirement({ key, operator, values = [] }: NodeSelectorRequirement): Test {
  const has = isOneOf(values);
  switch (operator) {
    case "In":
      return (labels) => {
        const value = labelOf(labels, key);
        return value !== undefined && has(value);
      };
    case "NotIn":
      return (labels) => {
        const value = labelOf(labels, key);
        return value === undefined || !has(value);
      };
    case "Exists":
      return (labels) => labelOf(labels, key) !== undefined;
    case "DoesNotExist":
      return (labels) => labelOf(labels, key) === undefined;
    case "Gt":
    case "Lt":
      return compareWith(key, operator, values[0] ?? "");
    default:
      return () => false; // a term that cannot be understood matches no node
  }
}

function compareWith(key: string, operator: "Gt" | "Lt", bound: string): Test {
  if (!INTEGER.test(bound)) return () => false;
  const right = BigInt(bound.replace(/^\+/, ""));
  return (labels) => {
    const value = labelOf(labels, key);
    if (value === undefined || !INTEGER.test(value)) return false;
    const left = BigInt(value.replace(/^\+/, ""));
    return operator === "Gt" ? left > right : left < right;
  };
}

function compileField({ key, operator, values = [] }: NodeSelectorRequirement): (name: string) => boolean {
  const has = isOneOf(values);
  if (key !== "metadata.name") return () => false;
  if (operator === "In") return (name) => has(name);
  if (operator === "NotIn") return (name) => !has(name);
  return () => false;
}

/** One term: all its expressions and fields. A term without any matches nothing. */
export function compileNodeSelectorTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm): NodeMatcher {
  if (matchExpressions.length === 0 && matchFields.length === 0) return () => false;
  const labelTest = allOf(matchExpressions.map(compileNodeRequirement));
  const fieldTests = matchFields.map(compileField);
  if (fieldTests.length === 0) return labelTest;
  return (labels, name) => labelTest(labels) && fieldTests.every((test) => test(name));
}

/** Any of the terms. */
export function compileNodeSelector({ nodeSelectorTerms }: NodeSelector): NodeMatcher {
  const terms = (nodeSelectorTerms ?? []).map(compileNodeSelectorTerm);
  if (terms.length === 1) return terms[0]!;
  return (labels, name) => terms.some((term) => term(labels, name));
}
