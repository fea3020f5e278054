import { isValidLabelValue, labelSelectorAsSelector, SelectorError, validateLabels } from "#pkg/apimachinery/index.ts";
import type { LabelSelector, LabelSelectorRequirement } from "../types/meta-v1.ts";
import { allInvalid, each, type FieldError, forbidden, invalid, qualifiedName, required } from "./rules.ts";

function validateRequirement({ key, operator, values }: LabelSelectorRequirement, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const count = (values ?? []).length;
  if (operator === "In" || operator === "NotIn") {
    if (count === 0) {
      errors.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    }
  } else if (operator === "Exists" || operator === "DoesNotExist") {
    if (count > 0) {
      errors.push(forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    }
  } else errors.push(invalid(`${path}.operator`, operator ?? "", "not a valid selector operator"));
  errors.push(...qualifiedName(key ?? "", `${path}.key`));
  errors.push(...each(values, `${path}.values`, (value, at) => allInvalid(at, value, isValidLabelValue(value))));
  return errors;
}

/** Errors of a label selector; an absent one has none. */
export function validateLabelSelector(selector: LabelSelector | undefined, path: string): FieldError[] {
  if (selector === undefined) return [];
  return [
    ...validateLabels(selector.matchLabels, `${path}.matchLabels`),
    ...each(selector.matchExpressions, `${path}.matchExpressions`, validateRequirement),
  ];
}

export function isEmptySelector(selector: LabelSelector | undefined): boolean {
  return Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0;
}

/** Can the selector be evaluated at all? */
export function isSelector(selector: LabelSelector | undefined): boolean {
  try {
    labelSelectorAsSelector(selector);
    return true;
  } catch (error) {
    if (error instanceof SelectorError) return false;
    throw error;
  }
}

/** Does a template carry the labels its owner selects? A selector that is itself wrong is reported elsewhere. */
export function selectorMatches(
  selector: LabelSelector | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  if (selector?.matchExpressions?.some(({ key }) => key === undefined) === true) return true;
  try {
    return labelSelectorAsSelector(selector).matches(labels);
  } catch (error) {
    if (error instanceof SelectorError) return true;
    throw error;
  }
}
