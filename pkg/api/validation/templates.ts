import { isValidPercent } from "#pkg/apimachinery/index.ts";
import type { PodTemplateSpec } from "../types/core-v1.ts";
import type { LabelSelector } from "../types/meta-v1.ts";
import { validatePodTemplate } from "../core/validation/pod-spec.ts";
import {
  allInvalid,
  type FieldError,
  forbidden,
  invalid,
  nonNegative,
  notSupported,
  required,
  shownMap,
} from "./rules.ts";
import { isEmptySelector, selectorMatches, validateLabelSelector } from "./selectors.ts";

/** A selector that must be there and must not select everything. `owner` is the kind in lower case. */
export function validateOwnSelector(selector: LabelSelector | undefined, owner: string, path: string): FieldError[] {
  if (selector === undefined) return [required(path)];
  const errors = validateLabelSelector(selector, path);
  if (isEmptySelector(selector)) errors.push(invalid(path, selector, `empty selector is invalid for ${owner}`));
  return errors;
}

/** Does the template carry the labels that its owner selects? No selector at all selects nothing. */
export function validateSelected(
  template: PodTemplateSpec,
  selector: LabelSelector | undefined,
  path: string,
): FieldError[] {
  if (isEmptySelector(selector) && selector !== undefined) return [];
  const labels = template.metadata?.labels;
  if (selectorMatches(selector, labels)) return [];
  return [invalid(`${path}.metadata.labels`, shownMap(labels), "`selector` does not match template `labels`")];
}

/** What a controller that keeps its pods running cannot have in their template. */
export function validateRunning(template: PodTemplateSpec, owner: string, path: string): FieldError[] {
  const { restartPolicy = "", activeDeadlineSeconds } = template.spec ?? {};
  const errors: FieldError[] = [];
  if (restartPolicy !== "Always") errors.push(notSupported(`${path}.spec.restartPolicy`, restartPolicy, ["Always"]));
  if (activeDeadlineSeconds !== undefined) {
    errors.push(forbidden(`${path}.spec.activeDeadlineSeconds`, `activeDeadlineSeconds in ${owner} is not Supported`));
  }
  return errors;
}

/** The template of a controller that keeps its pods running. */
export function validateRunningTemplate(
  template: PodTemplateSpec,
  selector: LabelSelector | undefined,
  owner: string,
  path: string,
): FieldError[] {
  return [
    ...validateSelected(template, selector, path),
    ...validatePodTemplate(template, path),
    ...validateRunning(template, owner, path),
  ];
}

/** A count or a percentage, not negative. */
export function countOrPercent(value: number | string | undefined, path: string): FieldError[] {
  if (typeof value === "string") return allInvalid(path, value, isValidPercent(value));
  return nonNegative(value, path);
}

/** The number in a count or percentage; what is neither is reported by `countOrPercent`. */
export function amountOf(value: number | string | undefined): number {
  if (typeof value !== "string") return value ?? 0;
  return /^[0-9]+%$/.test(value) || /^[+-]?[0-9]+$/.test(value) ? Number.parseInt(value, 10) : 0;
}

export function atMostAll(value: number | string | undefined, path: string): FieldError[] {
  const tooMuch = typeof value === "string" && isValidPercent(value).length === 0 && amountOf(value) > 100;
  return tooMuch ? [invalid(path, value, "must not be greater than 100%")] : [];
}
