import { isDns1123Label, isValidLabelValue } from "#pkg/apimachinery/index.ts";
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
  dnsSubdomain,
  duplicate,
  each,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  notSupported,
  oneOf,
  qualifiedName,
  required,
  given,
} from "../../validation/rules.ts";
import { validateLabelSelector } from "../../validation/selectors.ts";

/** A preference may name values that no label can have: it is then never met. */
function validateNodeExpression(
  { key, operator, values }: NodeSelectorRequirement,
  path: string,
  preferred: boolean,
): FieldError[] {
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
  if (preferred) return errors;
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
  if (key !== "metadata.name") {
    errors.push(invalid(`${path}.key`, key ?? "", "not a valid field selector key"));
    return errors;
  }
  return [...errors, ...each(values, `${path}.values`, dnsSubdomain)];
}

function validateTerm(term: NodeSelectorTerm, path: string, preferred: boolean): FieldError[] {
  return [
    ...each(term.matchExpressions, `${path}.matchExpressions`, (requirement, at) =>
      validateNodeExpression(requirement, at, preferred),
    ),
    ...each(term.matchFields, `${path}.matchFields`, validateNodeField),
  ];
}

export function validateNodeSelector(selector: NodeSelector | undefined, path: string): FieldError[] {
  if (selector === undefined) return [];
  if ((selector.nodeSelectorTerms ?? []).length === 0) {
    return [required(`${path}.nodeSelectorTerms`, "must have at least one node selector term")];
  }
  return each(selector.nodeSelectorTerms, `${path}.nodeSelectorTerms`, (term, at) => validateTerm(term, at, false));
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

const BOTH_KEYS = "exists in both matchLabelKeys and labelSelector";

function validateMatchKeys(term: WithMatchKeys, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { matchLabelKeys = [], mismatchLabelKeys = [], labelSelector } = term;
  for (const field of ["matchLabelKeys", "mismatchLabelKeys"] as const) {
    const keys = term[field] ?? [];
    if (keys.length === 0) continue;
    if (labelSelector !== undefined) errors.push(...each(keys, `${path}.${field}`, qualifiedName));
    else errors.push(forbidden(`${path}.${field}`, "must not be specified when labelSelector is not set"));
  }
  // The keys have been made part of the selector when the pod came; what is there twice was there before.
  const selected = new Set(Object.keys(labelSelector?.matchLabels ?? {}));
  for (const { key } of labelSelector?.matchExpressions ?? []) {
    const index = matchLabelKeys.lastIndexOf(key);
    if (index >= 0 && selected.has(key)) errors.push(invalid(`${path}[${index}]`, key, BOTH_KEYS));
    selected.add(key);
  }
  for (const [index, key] of matchLabelKeys.entries()) {
    if (!mismatchLabelKeys.includes(key)) continue;
    const why = "exists in both matchLabelKeys and mismatchLabelKeys";
    errors.push(invalid(`${path}.matchLabelKeys[${index}]`, key, why));
  }
  return errors;
}

/** The same of a spread constraint, whose selector stays as it was sent. */
function validateSpreadKeys({ matchLabelKeys = [], labelSelector }: WithMatchKeys, path: string): FieldError[] {
  if (matchLabelKeys.length === 0) return [];
  const errors =
    labelSelector === undefined ? [forbidden(path, "must not be specified when labelSelector is not set")] : [];
  const selected = new Set(Object.keys(labelSelector?.matchLabels ?? {}));
  for (const { key } of labelSelector?.matchExpressions ?? []) selected.add(key);
  errors.push(
    ...each(matchLabelKeys, path, (key, at) => [
      ...qualifiedName(key, at),
      ...(selected.has(key) ? [invalid(at, key, BOTH_KEYS)] : []),
    ]),
  );
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
        ...validateTerm(preference ?? {}, `${term}.preference`, true),
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
      errors.push(invalid(`${path}.operator`, value, "value must be empty when `operator` is 'Exists'"));
    }
  } else errors.push(notSupported(`${path}.operator`, operator, ["Equal", "Exists"]));
  return [...errors, ...oneOf(effect, TAINT_EFFECTS, `${path}.effect`, true)];
}

export function validateTolerations(tolerations: readonly Toleration[] | undefined, path: string): FieldError[] {
  return each(tolerations, path, validateToleration);
}

const INCLUSION_POLICIES = ["Honor", "Ignore"];
const SPREAD_ACTIONS = ["DoNotSchedule", "ScheduleAnyway"];

function validateSpread(constraint: TopologySpreadConstraint, path: string): FieldError[] {
  const { maxSkew = 0, topologyKey, whenUnsatisfiable = "" } = constraint;
  const errors: FieldError[] = [];
  if (maxSkew <= 0) errors.push(invalid(`${path}.maxSkew`, maxSkew, "must be greater than zero"));
  if (isEmpty(topologyKey)) errors.push(required(`${path}.topologyKey`, "can not be empty"));
  if (!SPREAD_ACTIONS.includes(whenUnsatisfiable)) {
    errors.push(notSupported(`${path}.whenUnsatisfiable`, whenUnsatisfiable, SPREAD_ACTIONS));
  }
  return errors;
}

function validateSpreadOptions(constraint: TopologySpreadConstraint, path: string): FieldError[] {
  const { minDomains, whenUnsatisfiable = "" } = constraint;
  const errors: FieldError[] = [];
  if (minDomains !== undefined) {
    const at = `${path}.minDomains`;
    if (minDomains <= 0) errors.push(invalid(at, minDomains, "must be greater than zero"));
    if (whenUnsatisfiable !== "DoNotSchedule") {
      const why = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`;
      errors.push(invalid(at, minDomains, why));
    }
  }
  for (const field of ["nodeAffinityPolicy", "nodeTaintsPolicy"] as const) {
    errors.push(...given(constraint[field], INCLUSION_POLICIES, `${path}.${field}`));
  }
  return [
    ...errors,
    ...validateSpreadKeys(constraint, `${path}.matchLabelKeys`),
    ...validateLabelSelector(constraint.labelSelector, `${path}.labelSelector`),
  ];
}

export function validateSpreadConstraints(
  constraints: readonly TopologySpreadConstraint[] | undefined,
  path: string,
): FieldError[] {
  const pairOf = ({ topologyKey = "", whenUnsatisfiable = "" }: TopologySpreadConstraint): string =>
    `{${topologyKey}, ${whenUnsatisfiable}}`;
  const pairs = (constraints ?? []).map(pairOf);
  return each(constraints, path, (constraint, at, index) => {
    const errors = validateSpread(constraint, at);
    // Of two alike, the one before is reported.
    const pair = pairs[index]!;
    if (pairs.includes(pair, index + 1)) errors.push(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair));
    return [...errors, ...validateSpreadOptions(constraint, at)];
  });
}
