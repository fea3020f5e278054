import { isValidPercent } from "#pkg/apimachinery/index.ts";
import type { PodTemplateSpec } from "../types/core-v1.ts";
import type { LabelSelector } from "../types/meta-v1.ts";
import { validatePodTemplate, validateTemplateMetadata } from "../core/validation/pod-spec.ts";
import { allInvalid, type FieldError, forbidden, invalid, nonNegative, notSupported, required } from "./rules.ts";
import { isEmptySelector, selectorMatches, validateLabelSelector } from "./selectors.ts";

/** A selector that must be there and must not select everything. `owner` is the kind in lower case. */
export function validateOwnSelector(selector: LabelSelector | undefined, owner: string, path: string): FieldError[] {
  if (selector === undefined) return [required(path)];
  const errors = validateLabelSelector(selector, path);
  if (isEmptySelector(selector)) errors.push(invalid(path, selector, `empty selector is invalid for ${owner}`));
  return errors;
}

/** The template of a controller that keeps its pods running. */
export function validateRunningTemplate(
  template: PodTemplateSpec | undefined,
  selector: LabelSelector | undefined,
  owner: string,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (template === undefined) return [required(path)];
  if (selector !== undefined && !isEmptySelector(selector) && !selectorMatches(selector, template.metadata?.labels)) {
    const why = "`selector` does not match template `labels`";
    errors.push(invalid(`${path}.metadata.labels`, template.metadata?.labels ?? null, why));
  }
  // A stateful set's pods mount volumes that only its claim templates name, so its pods are judged one by one.
  errors.push(
    ...(owner === "StatefulSet" ? validateTemplateMetadata(template, path) : validatePodTemplate(template, path)),
  );
  const { restartPolicy, activeDeadlineSeconds } = template.spec ?? {};
  if (restartPolicy !== "Always" && restartPolicy !== undefined && restartPolicy !== "") {
    errors.push(notSupported(`${path}.spec.restartPolicy`, restartPolicy, ["Always"]));
  }
  if (activeDeadlineSeconds !== undefined) {
    errors.push(forbidden(`${path}.spec.activeDeadlineSeconds`, `activeDeadlineSeconds in ${owner} is not Supported`));
  }
  return errors;
}

/** A count or a percentage, not negative. */
export function countOrPercent(value: number | string | undefined, path: string): FieldError[] {
  if (typeof value === "string") return allInvalid(path, value, isValidPercent(value));
  return nonNegative(value, path);
}

/** The number in a count or percentage; what is neither is reported by `countOrPercent`. */
export function amountOf(value: number | string | undefined): number {
  return typeof value === "string" ? Number.parseInt(value, 10) || 0 : (value ?? 0);
}

export function atMostAll(value: number | string | undefined, path: string): FieldError[] {
  const tooMuch = typeof value === "string" && isValidPercent(value).length === 0 && amountOf(value) > 100;
  return tooMuch ? [invalid(path, value, "must not be greater than 100%")] : [];
}
