import { parseQuantity } from "#pkg/apimachinery/index.ts";
import type { LimitRange, LimitRangeItem, ReplicationController, ResourceQuota } from "../../types/core-v1.ts";
import {
  duplicate,
  each,
  type FieldError,
  forbidden,
  immutable,
  invalid,
  isEmpty,
  nonNegative,
  qualifiedName,
  required,
} from "../../validation/rules.ts";
import { validateRunningTemplate } from "../../validation/templates.ts";
import { isOvercommitAllowed, validateResourceQuantity } from "./resources.ts";

type Amounts = LimitRangeItem["max"];

function compare(low: Amounts, high: Amounts, name: string): number | undefined {
  const [a, b] = [low?.[name], high?.[name]];
  return a === undefined || b === undefined ? undefined : parseQuantity(a).cmp(parseQuantity(b));
}

function validateLimits(item: LimitRangeItem, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { type, min, max, default: limit, defaultRequest, maxLimitRequestRatio } = item;
  if (type === "Pod") {
    if (Object.keys(limit ?? {}).length > 0) {
      errors.push(forbidden(`${path}.default`, "may not be specified when `type` is 'Pod'"));
    }
    if (Object.keys(defaultRequest ?? {}).length > 0) {
      errors.push(forbidden(`${path}.defaultRequest`, "may not be specified when `type` is 'Pod'"));
    }
  }
  if (type === "PersistentVolumeClaim" && min?.["storage"] === undefined && max?.["storage"] === undefined) {
    errors.push(
      required(`${path}.limits`, "either minimum or maximum storage value is required, but neither was provided"),
    );
  }
  const names = new Set(
    [min, max, limit, defaultRequest, maxLimitRequestRatio].flatMap((list) => Object.keys(list ?? {})),
  );
  for (const name of names) {
    const order = (low: Amounts, high: Amounts, field: string, words: readonly [string, string]) => {
      if (compare(low, high, name) !== 1) return;
      const why = `${words[0]} value ${low![name]} is greater than ${words[1]} value ${high![name]}`;
      errors.push(invalid(`${path}.${field}[${name}]`, String(low![name]), why));
    };
    order(min, max, "min", ["min", "max"]);
    order(min, defaultRequest, "defaultRequest", ["min", "default request"]);
    order(defaultRequest, max, "defaultRequest", ["default request", "max"]);
    order(defaultRequest, limit, "defaultRequest", ["default request", "default limit"]);
    order(min, limit, "default", ["min", "default"]);
    order(limit, max, "default", ["default", "max"]);
    const ratio = maxLimitRequestRatio?.[name];
    if (ratio !== undefined && parseQuantity(ratio).cmp(parseQuantity("1")) < 0) {
      const why = `ratio ${ratio} is less than 1`;
      errors.push(invalid(`${path}.maxLimitRequestRatio[${name}]`, String(ratio), why));
    }
    if (
      type === "Container" &&
      !isOvercommitAllowed(name) &&
      limit?.[name] !== undefined &&
      defaultRequest?.[name] !== undefined
    ) {
      if (compare(limit, defaultRequest, name) !== 0) {
        const why = `default value ${limit[name]} must equal to defaultRequest value ${defaultRequest[name]} in ${name}`;
        errors.push(invalid(`${path}.defaultRequest[${name}]`, String(defaultRequest[name]), why));
      }
    }
  }
  return errors;
}

export function validateLimitRange(range: LimitRange): FieldError[] {
  const seen = new Set<string>();
  return each(range.spec?.limits, "spec.limits", (item, at) => {
    const errors: FieldError[] = isEmpty(item.type) ? [required(`${at}.type`)] : qualifiedName(item.type, `${at}.type`);
    if (seen.has(item.type)) errors.push(duplicate(`${at}.type`, item.type));
    seen.add(item.type);
    return [...errors, ...validateLimits(item, at)];
  });
}

const SCOPES = [
  "BestEffort",
  "CrossNamespacePodAffinity",
  "NotBestEffort",
  "NotTerminating",
  "PriorityClass",
  "Terminating",
  "VolumeAttributesClass",
];
const OPPOSITES: readonly (readonly [string, string])[] = [
  ["BestEffort", "NotBestEffort"],
  ["Terminating", "NotTerminating"],
];

function validateScopes({ scopes = [], scopeSelector }: NonNullable<ResourceQuota["spec"]>): FieldError[] {
  const errors: FieldError[] = [];
  for (const scope of scopes) {
    if (!SCOPES.includes(scope)) errors.push(invalid("spec.scopes", scopes, "unsupported scope"));
  }
  for (const [a, b] of OPPOSITES) {
    if (scopes.includes(a) && scopes.includes(b)) errors.push(invalid("spec.scopes", scopes, "conflicting scopes"));
  }
  return [
    ...errors,
    ...each(
      scopeSelector?.matchExpressions,
      "spec.scopeSelector.matchExpressions",
      ({ scopeName, operator, values }, at) => {
        const found: FieldError[] = [];
        if (!SCOPES.includes(scopeName)) found.push(invalid(`${at}.scopeName`, scopeName, "unsupported scope"));
        const count = (values ?? []).length;
        if (operator === "In" || operator === "NotIn") {
          if (count === 0)
            found.push(
              required(
                `${at}.values`,
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
              ),
            );
        } else if (operator === "Exists" || operator === "DoesNotExist") {
          if (count > 0)
            found.push(
              invalid(
                `${at}.values`,
                values,
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
              ),
            );
        } else found.push(invalid(`${at}.operator`, operator ?? "", "not a valid selector operator"));
        return found;
      },
    ),
  ];
}

function validateQuotaName(name: string, path: string): FieldError[] {
  const errors = qualifiedName(name, path);
  if (errors.length > 0 || name.includes("/") || STANDARD_QUOTA.has(name)) return errors;
  if (/^(?:requests\.|limits\.)?hugepages-|^count\/|\.storageclass\./.test(name) || name.startsWith("requests."))
    return [];
  return [invalid(path, name, "must be a standard resource for quota")];
}

const STANDARD_QUOTA: ReadonlySet<string> = new Set([
  "cpu",
  "memory",
  "ephemeral-storage",
  "requests.cpu",
  "requests.memory",
  "requests.storage",
  "requests.ephemeral-storage",
  "limits.cpu",
  "limits.memory",
  "limits.ephemeral-storage",
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "persistentvolumeclaims",
  "configmaps",
  "services.nodeports",
  "services.loadbalancers",
]);

function validateAmounts(amounts: Readonly<Record<string, string | number>> | undefined, path: string): FieldError[] {
  return Object.entries(amounts ?? {}).flatMap(([name, amount]) => {
    const at = `${path}[${name}]`;
    return [...validateQuotaName(name, at), ...validateResourceQuantity(name, amount, at)];
  });
}

export function validateResourceQuota({ spec = {} }: ResourceQuota): FieldError[] {
  return [...validateAmounts(spec.hard, "spec.hard"), ...validateScopes(spec)];
}

export function validateResourceQuotaUpdate(quota: ResourceQuota, old: Readonly<ResourceQuota>): FieldError[] {
  const scopes = (from: Readonly<ResourceQuota>) => [...(from.spec?.scopes ?? [])].sort();
  return [...validateResourceQuota(quota), ...immutable(scopes(quota), scopes(old), "spec.scopes")];
}

export function validateResourceQuotaStatus({ status }: ResourceQuota): FieldError[] {
  return [...validateAmounts(status?.hard, "status.hard"), ...validateAmounts(status?.used, "status.used")];
}

export function validateReplicationController({ spec = {} }: ReplicationController): FieldError[] {
  const selector = spec.selector;
  const errors = nonNegative(spec.minReadySeconds, "spec.minReadySeconds");
  if (Object.keys(selector ?? {}).length === 0) errors.push(required("spec.selector"));
  errors.push(...nonNegative(spec.replicas, "spec.replicas"));
  if (spec.template === undefined) return [...errors, required("spec.template")];
  const wrapped = selector === undefined ? undefined : { matchLabels: selector };
  return [...errors, ...validateRunningTemplate(spec.template, wrapped, "ReplicationController", "spec.template")];
}
