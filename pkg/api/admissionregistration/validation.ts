import { isCIdentifier, isQualifiedName, parseApiVersion } from "#pkg/apimachinery/index.ts";
import type {
  MatchCondition,
  MatchResources,
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  MutatingWebhook,
  MutatingWebhookConfiguration,
  NamedRuleWithOperations,
  ParamKind,
  ParamRef,
  RuleWithOperations,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhook,
  ValidatingWebhookConfiguration,
  Variable,
  WebhookClientConfig,
} from "../types/admissionregistration-v1.ts";
import {
  allInvalid,
  dnsSubdomain,
  duplicate,
  each,
  type FieldError,
  invalid,
  isEmpty,
  notSupported,
  given,
  oneOf,
  required,
} from "../validation/rules.ts";
import { validateLabelSelector } from "../validation/selectors.ts";
import { validateReviewVersions, validateWebhookService, validateWebhookUrl } from "../validation/webhook-client.ts";

const OPERATIONS = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

function noMixedWildcard(values: readonly string[], path: string, what: string): FieldError[] {
  return values.length > 1 && values.includes("*")
    ? [invalid(path, values, `if '*' is present, must not specify other ${what}`)]
    : [];
}

/** A wildcard hides what comes after it: all subresources of a resource, or one of every resource. */
function validateResources(resources: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (resources.length === 0) errors.push(required(path));
  const wholeResources = new Set<string>();
  const everywhere = new Set<string>();
  let plain = false;
  for (const [index, resource] of resources.entries()) {
    const at = `${path}[${index}]`;
    if (resource === "") {
      errors.push(required(at));
      continue;
    }
    const slash = resource.indexOf("/");
    if (slash < 0) {
      plain = resource !== "*";
      continue;
    }
    const [name, subresource] = [resource.slice(0, slash), resource.slice(slash + 1)];
    const hidden = (by: string) => invalid(at, resource, `if '${by}' is present, must not specify ${resource}`);
    if (wholeResources.has(name)) errors.push(hidden(`${name}/*`));
    if (everywhere.has(subresource)) errors.push(hidden(`*/${subresource}`));
    if (subresource === "*") wholeResources.add(name);
    if (name === "*") everywhere.add(subresource);
  }
  if (resources.length > 1 && resources.includes("*/*")) {
    errors.push(invalid(path, resources, "if '*/*' is present, must not specify other resources"));
  }
  if (resources.includes("*") && plain) {
    errors.push(invalid(path, resources, "if '*' is present, must not specify other resources without subresources"));
  }
  return errors;
}

function validateRule(rule: RuleWithOperations, path: string): FieldError[] {
  const { operations = [], apiGroups = [], apiVersions = [], resources = [], scope } = rule;
  const errors: FieldError[] = [];
  if (operations.length === 0) errors.push(required(`${path}.operations`));
  errors.push(...noMixedWildcard(operations, `${path}.operations`, "operations"));
  errors.push(
    ...each(operations, `${path}.operations`, (operation, at) =>
      OPERATIONS.includes(operation) ? [] : [notSupported(at, operation, OPERATIONS)],
    ),
  );
  if (apiGroups.length === 0) errors.push(required(`${path}.apiGroups`));
  errors.push(...noMixedWildcard(apiGroups, `${path}.apiGroups`, "API groups"));
  if (apiVersions.length === 0) errors.push(required(`${path}.apiVersions`));
  errors.push(...noMixedWildcard(apiVersions, `${path}.apiVersions`, "API versions"));
  errors.push(...each(apiVersions, `${path}.apiVersions`, (version, at) => (version === "" ? [required(at)] : [])));
  errors.push(...validateResources(resources, `${path}.resources`));
  return [...errors, ...given(scope, ["*", "Cluster", "Namespaced"], `${path}.scope`)];
}

function validateClientConfig(config: WebhookClientConfig | undefined, path: string): FieldError[] {
  const { url, service } = config ?? {};
  if ((url === undefined) === (service === undefined))
    return [required(path, "exactly one of url or service is required")];
  if (url !== undefined) return validateWebhookUrl(url, `${path}.url`);
  return validateWebhookService(service!, `${path}.service`);
}

const MAX_CONDITIONS = 64;

function validateMatchConditions(conditions: readonly MatchCondition[] | undefined, path: string): FieldError[] {
  const names = new Set<string>();
  const errors: FieldError[] = [];
  if ((conditions ?? []).length > MAX_CONDITIONS) {
    errors.push(invalid(path, conditions!.length, `must have at most ${MAX_CONDITIONS} items`));
  }
  return [
    ...errors,
    ...each(conditions, path, ({ name, expression }, at) => {
      const found: FieldError[] = [];
      if (isEmpty(expression?.trim())) found.push(required(`${at}.expression`));
      if (isEmpty(name)) return [...found, required(`${at}.name`)];
      found.push(...allInvalid(`${at}.name`, name, isQualifiedName(name)));
      if (names.has(name)) found.push(duplicate(`${at}.name`, name));
      names.add(name);
      return found;
    }),
  ];
}

const FAILURE_POLICIES = ["Fail", "Ignore"];
const MATCH_POLICIES = ["Equivalent", "Exact"];

const SIDE_EFFECTS = ["None", "NoneOnDryRun"];

function validateWebhook(webhook: MutatingWebhook | ValidatingWebhook, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { name = "", admissionReviewVersions = [], sideEffects, timeoutSeconds } = webhook;
  if (name === "") errors.push(required(`${path}.name`));
  else {
    errors.push(...dnsSubdomain(name, `${path}.name`));
    if (name.split(".").length < 3) {
      errors.push(invalid(`${path}.name`, name, "should be a domain with at least three segments separated by dots"));
    }
  }
  errors.push(...each(webhook.rules, `${path}.rules`, validateRule));
  errors.push(...given(webhook.failurePolicy, FAILURE_POLICIES, `${path}.failurePolicy`));
  errors.push(...given(webhook.matchPolicy, MATCH_POLICIES, `${path}.matchPolicy`));
  if (sideEffects === undefined) errors.push(required(`${path}.sideEffects`, "must specify one of None, NoneOnDryRun"));
  else if (!SIDE_EFFECTS.includes(sideEffects)) {
    errors.push(notSupported(`${path}.sideEffects`, sideEffects, SIDE_EFFECTS));
  }
  if (timeoutSeconds !== undefined && (timeoutSeconds > 30 || timeoutSeconds < 1)) {
    errors.push(
      invalid(`${path}.timeoutSeconds`, timeoutSeconds, "the timeout value must be between 1 and 30 seconds"),
    );
  }
  errors.push(...validateLabelSelector(webhook.namespaceSelector, `${path}.namespaceSelector`));
  errors.push(...validateLabelSelector(webhook.objectSelector, `${path}.objectSelector`));
  errors.push(...validateClientConfig(webhook.clientConfig, `${path}.clientConfig`));
  if ("reinvocationPolicy" in webhook) {
    errors.push(...given(webhook.reinvocationPolicy, ["IfNeeded", "Never"], `${path}.reinvocationPolicy`));
  }
  errors.push(
    ...validateReviewVersions(
      admissionReviewVersions,
      `${path}.admissionReviewVersions`,
      "must specify one of v1, v1beta1",
    ),
  );
  return [...errors, ...validateMatchConditions(webhook.matchConditions, `${path}.matchConditions`)];
}

export function validateWebhookConfiguration({
  webhooks,
}: MutatingWebhookConfiguration | ValidatingWebhookConfiguration): FieldError[] {
  const names = new Set<string>();
  return each<MutatingWebhook | ValidatingWebhook>(webhooks, "webhooks", (webhook, at) => {
    const errors = validateWebhook(webhook, at);
    if (names.has(webhook.name)) errors.push(duplicate(`${at}.name`, webhook.name));
    names.add(webhook.name);
    return errors;
  });
}

function validateParamKind(kind: ParamKind | undefined): FieldError[] {
  if (kind === undefined) return [];
  const path = "spec.paramKind";
  const errors: FieldError[] = [];
  const { apiVersion = "", kind: name = "" } = kind;
  if (apiVersion === "") errors.push(required(`${path}.apiVersion`));
  else if (parseApiVersion(apiVersion).version === "") {
    errors.push(invalid(`${path}.apiVersion`, apiVersion, "must be a group and a version"));
  }
  if (name === "") errors.push(required(`${path}.kind`));
  return errors;
}

function validateMatchResources(match: MatchResources | undefined, path: string, needed: boolean): FieldError[] {
  if (match === undefined) return needed ? [required(path)] : [];
  const rule = (value: NamedRuleWithOperations, at: string): FieldError[] => [
    ...validateRule(value, at),
    ...each(value.resourceNames, `${at}.resourceNames`, (name, item) => (name === "" ? [required(item)] : [])),
  ];
  return [
    ...validateLabelSelector(match.namespaceSelector, `${path}.namespaceSelector`),
    ...validateLabelSelector(match.objectSelector, `${path}.objectSelector`),
    ...given(match.matchPolicy, MATCH_POLICIES, `${path}.matchPolicy`),
    ...(needed && (match.resourceRules ?? []).length === 0 ? [required(`${path}.resourceRules`)] : []),
    ...each(match.resourceRules, `${path}.resourceRules`, rule),
    ...each(match.excludeResourceRules, `${path}.excludeResourceRules`, rule),
  ];
}

function validateVariables(variables: readonly Variable[] | undefined): FieldError[] {
  const names = new Set<string>();
  return each(variables, "spec.variables", ({ name, expression }, at) => {
    const errors: FieldError[] = [];
    if (isEmpty(name)) errors.push(required(`${at}.name`, "name is not specified"));
    else {
      if (isCIdentifier(name).length > 0)
        errors.push(invalid(`${at}.name`, name, "name is not a valid CEL identifier"));
      if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
      names.add(name);
    }
    if (isEmpty(expression?.trim())) errors.push(required(`${at}.expression`, "expression is not specified"));
    return errors;
  });
}

const REASONS = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];

export function validateValidatingPolicy({ spec = {} }: ValidatingAdmissionPolicy): FieldError[] {
  const errors = oneOf(spec.failurePolicy, FAILURE_POLICIES, "spec.failurePolicy");
  errors.push(...validateParamKind(spec.paramKind));
  errors.push(...validateMatchResources(spec.matchConstraints, "spec.matchConstraints", true));
  errors.push(...validateMatchConditions(spec.matchConditions, "spec.matchConditions"));
  errors.push(...validateVariables(spec.variables));
  const keys = new Set<string>();
  if ((spec.validations ?? []).length === 0 && (spec.auditAnnotations ?? []).length === 0) {
    errors.push(required("spec.validations", "validations or auditAnnotations must contain at least one item"));
    errors.push(required("spec.auditAnnotations", "validations or auditAnnotations must contain at least one item"));
  }
  return [
    ...errors,
    ...each(spec.validations, "spec.validations", ({ expression, message, messageExpression, reason }, at) => {
      const found: FieldError[] = [];
      if (isEmpty(expression?.trim())) found.push(required(`${at}.expression`, "expression is not specified"));
      if (messageExpression !== undefined && messageExpression !== "" && messageExpression.trim() === "") {
        found.push(invalid(`${at}.messageExpression`, messageExpression, "must be non-empty if specified"));
      }
      if (message !== undefined && message !== "" && message.trim() === "") {
        found.push(invalid(`${at}.message`, message, "message must be non-empty if specified"));
      } else if (message !== undefined && /[\r\n]/.test(message.trim())) {
        found.push(invalid(`${at}.message`, message, "message must not contain line breaks"));
      }
      return [...found, ...given(reason, REASONS, `${at}.reason`)];
    }),
    ...each(spec.auditAnnotations, "spec.auditAnnotations", ({ key, valueExpression }, at) => {
      const found: FieldError[] = [];
      if (isEmpty(key)) found.push(required(`${at}.key`));
      else {
        found.push(...allInvalid(`${at}.key`, key, isQualifiedName(key)));
        if (keys.has(key)) found.push(duplicate(`${at}.key`, key));
        keys.add(key);
      }
      if (isEmpty(valueExpression?.trim()))
        found.push(required(`${at}.valueExpression`, "valueExpression is not specified"));
      return found;
    }),
  ];
}

export function validateMutatingPolicy({ spec = {} }: MutatingAdmissionPolicy): FieldError[] {
  const errors = oneOf(spec.failurePolicy, FAILURE_POLICIES, "spec.failurePolicy");
  errors.push(...validateParamKind(spec.paramKind));
  errors.push(...validateMatchResources(spec.matchConstraints, "spec.matchConstraints", true));
  errors.push(...validateMatchConditions(spec.matchConditions, "spec.matchConditions"));
  errors.push(...validateVariables(spec.variables));
  if ((spec.mutations ?? []).length === 0)
    errors.push(required("spec.mutations", "mutations must contain at least one item"));
  errors.push(
    ...each(spec.mutations, "spec.mutations", ({ patchType, applyConfiguration, jsonPatch }, at) => {
      if (isEmpty(patchType)) return [required(`${at}.patchType`)];
      if (patchType === "ApplyConfiguration") {
        return isEmpty(applyConfiguration?.expression)
          ? [required(`${at}.applyConfiguration.expression`, "must be specified when patchType is ApplyConfiguration")]
          : [];
      }
      if (patchType === "JSONPatch") {
        return isEmpty(jsonPatch?.expression)
          ? [required(`${at}.jsonPatch.expression`, "must be specified when patchType is JSONPatch")]
          : [];
      }
      return [notSupported(`${at}.patchType`, patchType, ["ApplyConfiguration", "JSONPatch"])];
    }),
  );
  return [...errors, ...oneOf(spec.reinvocationPolicy, ["IfNeeded", "Never"], "spec.reinvocationPolicy")];
}

function validateParamRef(ref: ParamRef | undefined): FieldError[] {
  if (ref === undefined) return [];
  const path = "spec.paramRef";
  const errors: FieldError[] = [];
  const { name, selector, parameterNotFoundAction } = ref;
  if (!isEmpty(name) && selector !== undefined) {
    errors.push(invalid(`${path}.name`, name, "name and selector are mutually exclusive"));
  } else if (isEmpty(name) && selector === undefined) {
    errors.push(required(path, "one of name or selector must be specified"));
  }
  errors.push(...validateLabelSelector(selector, `${path}.selector`));
  return [...errors, ...oneOf(parameterNotFoundAction, ["Allow", "Deny"], `${path}.parameterNotFoundAction`)];
}

const ACTIONS = ["Audit", "Deny", "Warn"];

export function validateValidatingBinding({ spec }: ValidatingAdmissionPolicyBinding): FieldError[] {
  const errors: FieldError[] = [];
  const { policyName = "", validationActions: actions = [], matchResources, paramRef } = spec;
  if (policyName === "") errors.push(required("spec.policyName"));
  else errors.push(...dnsSubdomain(policyName, "spec.policyName"));
  errors.push(...validateParamRef(paramRef), ...validateMatchResources(matchResources, "spec.matchResouces", false));
  if (actions.length === 0)
    errors.push(required("spec.validationActions", "at least one validation action is required"));
  const seen = new Set<string>();
  errors.push(
    ...each(actions, "spec.validationActions", (action, at) => {
      if (!ACTIONS.includes(action)) return [notSupported(at, action, ACTIONS)];
      if (seen.has(action)) return [duplicate(at, action)];
      seen.add(action);
      return [];
    }),
  );
  if (seen.has("Deny") && seen.has("Warn")) {
    errors.push(
      invalid(
        "spec.validationActions",
        actions,
        "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
      ),
    );
  }
  return errors;
}

export function validateMutatingBinding({ spec = {} }: MutatingAdmissionPolicyBinding): FieldError[] {
  const errors: FieldError[] = [];
  if (isEmpty(spec.policyName)) errors.push(required("spec.policyName"));
  else errors.push(...dnsSubdomain(spec.policyName!, "spec.policyName"));
  return [
    ...errors,
    ...validateParamRef(spec.paramRef),
    ...validateMatchResources(spec.matchResources, "spec.matchResources", false),
  ];
}
