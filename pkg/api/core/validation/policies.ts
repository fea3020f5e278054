import type { ReplicationController, ResourceQuota } from "../../types/core-v1.ts";
import { type FieldError, invalid, nonNegative, required, sameValue, shownMap } from "../../validation/rules.ts";
import { validateRunning } from "../../validation/templates.ts";
import { validatePodTemplate } from "./pod-spec.ts";
import { isQuotaHugePages, validateResourceName, validateResourceQuantity } from "./resources.ts";

const POD_RESOURCES: ReadonlySet<string> = new Set([
  "pods",
  "cpu",
  "memory",
  "limits.cpu",
  "limits.memory",
  "requests.cpu",
  "requests.memory",
]);
/** What each scope can be asked about. */
const SCOPES: Readonly<Record<string, ReadonlySet<string>>> = {
  BestEffort: new Set(["pods"]),
  CrossNamespacePodAffinity: POD_RESOURCES,
  NotBestEffort: POD_RESOURCES,
  NotTerminating: POD_RESOURCES,
  PriorityClass: POD_RESOURCES,
  Terminating: POD_RESOURCES,
  VolumeAttributesClass: new Set(["persistentvolumeclaims", "requests.storage"]),
};
const OPPOSITES: readonly (readonly [string, string])[] = [
  ["BestEffort", "NotBestEffort"],
  ["Terminating", "NotTerminating"],
];
/** Scopes that a pod has or has not, without a value. */
const PLAIN_SCOPES = ["BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "Terminating"];

type QuotaSpec = NonNullable<ResourceQuota["spec"]>;

/** Resources of the quota that mean nothing in the scope, one error for each. */
function outOfScope(spec: QuotaSpec, scope: string, path: string, shown: unknown): FieldError[] {
  const known = SCOPES[scope];
  if (known === undefined) return [];
  return Object.keys(spec.hard ?? {})
    .filter((name) => isStandardQuotaResource(name) && !known.has(name))
    .map(() => invalid(path, shown, "unsupported scope applied to resource"));
}

function conflicting(scopes: readonly string[], path: string, shown: unknown): FieldError[] {
  return OPPOSITES.filter((pair) => pair.every((scope) => scopes.includes(scope))).map(() =>
    invalid(path, shown, "conflicting scopes"),
  );
}

function validateScopes(spec: QuotaSpec): FieldError[] {
  const scopes = spec.scopes ?? [];
  const path = "spec.scopes";
  return [
    ...scopes.flatMap((scope) => [
      ...(Object.hasOwn(SCOPES, scope) ? [] : [invalid(path, scopes, "unsupported scope")]),
      ...outOfScope(spec, scope, path, scopes),
    ]),
    ...conflicting(scopes, path, scopes),
  ];
}

/** Paths of this selector have no indices: upstream leaves them out. */
function validateScopeSelector(spec: QuotaSpec): FieldError[] {
  const path = "spec.scopeSelector.matchExpressions";
  const errors: FieldError[] = [];
  const requirements = spec.scopeSelector?.matchExpressions ?? [];
  for (const { scopeName, operator = "", values } of requirements) {
    if (!Object.hasOwn(SCOPES, scopeName)) errors.push(invalid(`${path}.scopeName`, scopeName, "unsupported scope"));
    errors.push(...outOfScope(spec, scopeName, path, spec.scopeSelector));
    if (PLAIN_SCOPES.includes(scopeName) && operator !== "Exists")
      errors.push(invalid(`${path}.operator`, operator, PLAIN));
    const count = (values ?? []).length;
    if (operator === "In" || operator === "NotIn") {
      if (count === 0) errors.push(required(`${path}.values`, SOME_VALUE));
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (count > 0) errors.push(invalid(`${path}.values`, values, NO_VALUE));
    } else errors.push(invalid(`${path}.operator`, operator, "not a valid selector operator"));
  }
  const names = requirements.map(({ scopeName }) => scopeName);
  return [...errors, ...conflicting(names, path, spec.scopeSelector)];
}
const PLAIN =
  "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
const SOME_VALUE = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
const NO_VALUE = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";

function validateQuotaName(name: string, path: string): FieldError[] {
  const errors = validateResourceName(name, path);
  if (name.includes("/") || isStandardQuotaResource(name)) return errors;
  return [...errors, invalid(path, name, "must be a standard resource for quota")];
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
const isStandardQuotaResource = (name: string): boolean => STANDARD_QUOTA.has(name) || isQuotaHugePages(name);

function validateAmounts(amounts: Readonly<Record<string, string | number>> | undefined, path: string): FieldError[] {
  return Object.entries(amounts ?? {}).flatMap(([name, amount]) => {
    const at = `${path}[${name}]`;
    return [...validateQuotaName(name, at), ...validateResourceQuantity(name, amount, at)];
  });
}

export function validateResourceQuota({ spec = {} }: ResourceQuota): FieldError[] {
  return [...validateAmounts(spec.hard, "spec.hard"), ...validateScopes(spec), ...validateScopeSelector(spec)];
}

export function validateResourceQuotaUpdate(quota: ResourceQuota, old: Readonly<ResourceQuota>): FieldError[] {
  const scopes = (from: Readonly<ResourceQuota>) => [...new Set(from.spec?.scopes)].sort();
  const moved = !sameValue(scopes(quota), scopes(old));
  const errors = validateResourceQuota(quota);
  return moved ? [...errors, invalid("spec.scopes", quota.spec?.scopes ?? null, "field is immutable")] : errors;
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
  const labels = spec.template.metadata?.labels;
  // A map is compared as it is, whether or not its keys could be labels.
  if (Object.entries(selector ?? {}).some(([key, value]) => labels?.[key] !== value)) {
    const why = "`selector` does not match template `labels`";
    errors.push(invalid("spec.template.metadata.labels", shownMap(labels), why));
  }
  return [
    ...errors,
    ...validatePodTemplate(spec.template, "spec.template"),
    ...validateRunning(spec.template, "ReplicationController", "spec.template"),
  ];
}
