import { isDns1123Label, isQualifiedName, isValidLabelValue } from "#pkg/apimachinery/index.ts";
import type {
  Affinity,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodAffinityTerm,
  Toleration,
  TopologySpreadConstraint,
  WeightedPodAffinityTerm,
} from "../../types/core-v1.ts";
import {
  allInvalid,
  duplicate,
  each,
  type FieldError,
  forbidden,
  inRange,
  invalid,
  isEmpty,
  notSupported,
  oneOf,
  qualifiedName,
  required,
} from "../../validation/rules.ts";
import { validateLabelSelector } from "../../validation/selectors.ts";

function validateNodeExpression({ key, operator, values }: NodeSelectorRequirement, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const count = (values ?? []).length;
  switch (operator) {
    case "In":
    case "NotIn":
      if (count === 0) errors.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case "Exists":
    case "DoesNotExist":
      if (count > 0) {
        errors.push(forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
      }
      break;
    case "Gt":
    case "Lt":
      if (count !== 1) {
        errors.push(required(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
      }
      break;
    default:
      errors.push(invalid(`${path}.operator`, operator ?? "", "not a valid selector operator"));
  }
  errors.push(...qualifiedName(key ?? "", `${path}.key`));
  errors.push(...each(values, `${path}.values`, (value, at) => allInvalid(at, value, isValidLabelValue(value))));
  return errors;
}

function validateNodeField({ key, operator, values }: NodeSelectorRequirement, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (operator === "In" || operator === "NotIn") {
    if ((values ?? []).length !== 1) {
      errors.push(
        required(`${path}.values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"),
      );
    }
  } else errors.push(invalid(`${path}.operator`, operator ?? "", "not a valid selector operator"));
  if (key !== "metadata.name") errors.push(invalid(`${path}.key`, key ?? "", "not a valid field selector key"));
  return errors;
}

function validateTerm(term: NodeSelectorTerm, path: string): FieldError[] {
  return [
    ...each(term.matchExpressions, `${path}.matchExpressions`, validateNodeExpression),
    ...each(term.matchFields, `${path}.matchFields`, validateNodeField),
  ];
}

export function validateNodeSelector(selector: NodeSelector | undefined, path: string): FieldError[] {
  if (selector === undefined) return [];
  if ((selector.nodeSelectorTerms ?? []).length === 0) {
    return [required(`${path}.nodeSelectorTerms`, "must have at least one node selector term")];
  }
  return each(selector.nodeSelectorTerms, `${path}.nodeSelectorTerms`, validateTerm);
}

function validatePodTerm(term: PodAffinityTerm, path: string): FieldError[] {
  const errors = validateLabelSelector(term.labelSelector, `${path}.labelSelector`);
  errors.push(...validateLabelSelector(term.namespaceSelector, `${path}.namespaceSelector`));
  for (const name of term.namespaces ?? []) {
    errors.push(...allInvalid(`${path}.namespace`, name, isDns1123Label(name)));
  }
  errors.push(...validateMatchKeys(term, path));
  if (isEmpty(term.topologyKey)) errors.push(required(`${path}.topologyKey`, "can not be empty"));
  return [...errors, ...qualifiedName(term.topologyKey ?? "", `${path}.topologyKey`)];
}

interface WithMatchKeys {
  labelSelector?: PodAffinityTerm["labelSelector"];
  matchLabelKeys?: string[];
  mismatchLabelKeys?: string[];
}

function validateMatchKeys(term: WithMatchKeys, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["matchLabelKeys", "mismatchLabelKeys"] as const) {
    const keys = term[field] ?? [];
    if (keys.length > 0 && term.labelSelector === undefined) {
      errors.push(forbidden(`${path}.${field}`, "must not be specified when labelSelector is not set"));
    }
    errors.push(...each(keys, `${path}.${field}`, (key, at) => allInvalid(at, key, isQualifiedName(key))));
  }
  const both = (term.matchLabelKeys ?? []).filter((key) => term.mismatchLabelKeys?.includes(key) === true);
  for (const key of both)
    errors.push(invalid(`${path}.matchLabelKeys`, key, "exists in both matchLabelKeys and mismatchLabelKeys"));
  return errors;
}

function validateWeighted(term: WeightedPodAffinityTerm, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const weight = term.weight ?? 0;
  if (weight <= 0 || weight > 100) errors.push(invalid(`${path}.weight`, weight, "must be in the range 1-100"));
  return [...errors, ...validatePodTerm(term.podAffinityTerm ?? { topologyKey: "" }, `${path}.podAffinityTerm`)];
}

const REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution";

export function validateAffinity(affinity: Affinity | undefined, path: string): FieldError[] {
  if (affinity === undefined) return [];
  const errors: FieldError[] = [];
  const { nodeAffinity } = affinity;
  if (nodeAffinity !== undefined) {
    const at = `${path}.nodeAffinity`;
    errors.push(...validateNodeSelector(nodeAffinity[REQUIRED], `${at}.${REQUIRED}`));
    errors.push(
      ...each(nodeAffinity[PREFERRED], `${at}.${PREFERRED}`, ({ weight = 0, preference }, term) => [
        ...(weight <= 0 || weight > 100 ? [invalid(`${term}.weight`, weight, "must be in the range 1-100")] : []),
        ...validateTerm(preference ?? {}, `${term}.preference`),
      ]),
    );
  }
  for (const field of ["podAffinity", "podAntiAffinity"] as const) {
    const rules = affinity[field];
    if (rules === undefined) continue;
    errors.push(...each(rules[REQUIRED], `${path}.${field}.${REQUIRED}`, validatePodTerm));
    errors.push(...each(rules[PREFERRED], `${path}.${field}.${PREFERRED}`, validateWeighted));
  }
  return errors;
}

export const TAINT_EFFECTS = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

function validateToleration(toleration: Toleration, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { key, operator, value, effect, tolerationSeconds } = toleration;
  if (!isEmpty(key)) errors.push(...qualifiedName(key!, `${path}.key`));
  else if (operator !== "Exists") {
    const why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"';
    errors.push(invalid(`${path}.operator`, operator ?? "", why));
  }
  if (tolerationSeconds !== undefined && effect !== "NoExecute") {
    const why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
    errors.push(invalid(`${path}.effect`, effect ?? "", why));
  }
  if (isEmpty(operator) || operator === "Equal") {
    const messages = isValidLabelValue(value ?? "");
    if (messages.length > 0) errors.push(invalid(`${path}.operator`, value ?? "", messages.join(";")));
  } else if (operator === "Exists") {
    if (!isEmpty(value)) {
      errors.push(invalid(`${path}.operator`, toleration, "value must be empty when `operator` is 'Exists'"));
    }
  } else errors.push(notSupported(`${path}.operator`, operator, ["Equal", "Exists"]));
  return [...errors, ...oneOf(effect, TAINT_EFFECTS, `${path}.effect`, true)];
}

export function validateTolerations(tolerations: readonly Toleration[] | undefined, path: string): FieldError[] {
  return each(tolerations, path, validateToleration);
}

const INCLUSION_POLICIES = ["Honor", "Ignore"];

export function validateSpreadConstraints(
  constraints: readonly TopologySpreadConstraint[] | undefined,
  path: string,
): FieldError[] {
  const seen = new Set<string>();
  return each(constraints, path, (constraint, at) => {
    const { maxSkew = 0, topologyKey, whenUnsatisfiable, minDomains } = constraint;
    const errors: FieldError[] = [];
    if (maxSkew <= 0) errors.push(invalid(`${at}.maxSkew`, maxSkew, "must be greater than zero"));
    if (isEmpty(topologyKey)) errors.push(required(`${at}.topologyKey`, "can not be empty"));
    else errors.push(...qualifiedName(topologyKey, `${at}.topologyKey`));
    errors.push(...oneOf(whenUnsatisfiable, ["DoNotSchedule", "ScheduleAnyway"], `${at}.whenUnsatisfiable`));
    const pair = `{${topologyKey}, ${whenUnsatisfiable}}`;
    if (seen.has(pair)) errors.push(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair));
    seen.add(pair);
    if (minDomains !== undefined) {
      errors.push(...inRange(minDomains, 1, 2 ** 31 - 1, `${at}.minDomains`));
      if (whenUnsatisfiable !== "DoNotSchedule") {
        const why = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`;
        errors.push(invalid(`${at}.minDomains`, minDomains, why));
      }
    }
    errors.push(
      ...oneOf(constraint.nodeAffinityPolicy, INCLUSION_POLICIES, `${at}.nodeAffinityPolicy`, true),
      ...oneOf(constraint.nodeTaintsPolicy, INCLUSION_POLICIES, `${at}.nodeTaintsPolicy`, true),
      ...validateMatchKeys(constraint, at),
      ...validateLabelSelector(constraint.labelSelector, `${at}.labelSelector`),
    );
    return errors;
  });
}
