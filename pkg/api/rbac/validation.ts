import { isValidPathSegmentName } from "#pkg/apimachinery/index.ts";
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  RoleRef,
  Subject,
} from "../types/rbac-v1.ts";
import {
  allInvalid,
  dnsSubdomain,
  each,
  type FieldError,
  immutable,
  invalid,
  isEmpty,
  notSupported,
  required,
} from "../validation/rules.ts";
import { validateLabelSelector } from "../validation/selectors.ts";

const GROUP = "rbac.authorization.k8s.io";

function validateRule(rule: PolicyRule, namespaced: boolean, path: string): FieldError[] {
  const { verbs = [], nonResourceURLs = [], apiGroups = [], resources = [], resourceNames = [] } = rule;
  const errors: FieldError[] = [];
  if (verbs.length === 0) errors.push(required(`${path}.verbs`, "verbs must contain at least one value"));
  if (nonResourceURLs.length > 0) {
    if (namespaced) {
      errors.push(
        invalid(`${path}.nonResourceURLs`, nonResourceURLs, "namespaced rules cannot apply to non-resource URLs"),
      );
    }
    if (apiGroups.length > 0 || resources.length > 0 || resourceNames.length > 0) {
      errors.push(
        invalid(
          `${path}.nonResourceURLs`,
          nonResourceURLs,
          "rules cannot apply to both regular resources and non-resource URLs",
        ),
      );
    }
    return errors;
  }
  if (apiGroups.length === 0)
    errors.push(required(`${path}.apiGroups`, "resource rules must supply at least one api group"));
  if (resources.length === 0)
    errors.push(required(`${path}.resources`, "resource rules must supply at least one resource"));
  return errors;
}

export const validateRole = ({ rules }: Role): FieldError[] =>
  each(rules, "rules", (rule, at) => validateRule(rule, true, at));

export function validateClusterRole({ rules, aggregationRule }: ClusterRole): FieldError[] {
  const errors = each(rules, "rules", (rule, at) => validateRule(rule, false, at));
  if (aggregationRule === undefined) return errors;
  const path = "aggregationRule.clusterRoleSelectors";
  const selectors = aggregationRule.clusterRoleSelectors ?? [];
  if (selectors.length === 0)
    errors.push(required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"));
  return [
    ...errors,
    ...each(selectors, path, (selector, at) => {
      const wrong = validateLabelSelector(selector, at);
      return wrong.length === 0 ? [] : [...wrong, invalid(at, null, "invalid label selector.")];
    }),
  ];
}

const SUBJECT_KINDS = ["ServiceAccount", "User", "Group"];

function validateSubject(
  { kind, name, apiGroup = "", namespace }: Subject,
  namespaced: boolean,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (isEmpty(name)) errors.push(required(`${path}.name`));
  switch (kind) {
    case "ServiceAccount":
      if (!isEmpty(name)) errors.push(...dnsSubdomain(name, `${path}.name`));
      if (apiGroup !== "") errors.push(notSupported(`${path}.apiGroup`, apiGroup, [""]));
      if (!namespaced && isEmpty(namespace)) errors.push(required(`${path}.namespace`));
      return errors;
    case "User":
    case "Group":
      if (apiGroup !== GROUP) errors.push(notSupported(`${path}.apiGroup`, apiGroup, [GROUP]));
      return errors;
    default:
      return [...errors, notSupported(`${path}.kind`, kind ?? "", SUBJECT_KINDS)];
  }
}

function validateRoleRef({ apiGroup = "", kind, name }: RoleRef, kinds: readonly string[]): FieldError[] {
  const errors: FieldError[] = [];
  if (apiGroup !== GROUP) errors.push(notSupported("roleRef.apiGroup", apiGroup, [GROUP]));
  if (!kinds.includes(kind)) errors.push(notSupported("roleRef.kind", kind ?? "", kinds));
  if (isEmpty(name)) return [...errors, required("roleRef.name")];
  return [...errors, ...allInvalid("roleRef.name", name, isValidPathSegmentName(name))];
}

const NO_ROLE: RoleRef = { kind: "", name: "" };

export const validateRoleBinding = ({ roleRef, subjects }: RoleBinding): FieldError[] => [
  ...validateRoleRef(roleRef ?? NO_ROLE, ["Role", "ClusterRole"]),
  ...each(subjects, "subjects", (subject, at) => validateSubject(subject, true, at)),
];

export const validateClusterRoleBinding = ({ roleRef, subjects }: ClusterRoleBinding): FieldError[] => [
  ...validateRoleRef(roleRef ?? NO_ROLE, ["ClusterRole"]),
  ...each(subjects, "subjects", (subject, at) => validateSubject(subject, false, at)),
];

const CANNOT_CHANGE = "cannot change roleRef";

function validateSameRole(roleRef: RoleRef, old: RoleRef): FieldError[] {
  return immutable(roleRef, old, "roleRef").length === 0 ? [] : [invalid("roleRef", roleRef, CANNOT_CHANGE)];
}

export const validateRoleBindingUpdate = (binding: RoleBinding, old: Readonly<RoleBinding>): FieldError[] => [
  ...validateRoleBinding(binding),
  ...validateSameRole(binding.roleRef, old.roleRef),
];

export const validateClusterRoleBindingUpdate = (
  binding: ClusterRoleBinding,
  old: Readonly<ClusterRoleBinding>,
): FieldError[] => [...validateClusterRoleBinding(binding), ...validateSameRole(binding.roleRef, old.roleRef)];
