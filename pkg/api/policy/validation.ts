import type { PodDisruptionBudget } from "../types/policy-v1.ts";
import type { PriorityClass } from "../types/scheduling-v1.ts";
import type { Lease } from "../types/coordination-v1.ts";
import type { RuntimeClass } from "../types/node-v1.ts";
import { validateLabels } from "#pkg/apimachinery/index.ts";
import {
  dnsLabel,
  type FieldError,
  forbidden,
  immutable,
  invalid,
  isEmpty,
  nonNegative,
  oneOf,
  required,
  given,
} from "../validation/rules.ts";
import { validateLabelSelector } from "../validation/selectors.ts";
import { atMostAll, countOrPercent } from "../validation/templates.ts";
import { validateTolerations } from "../core/validation/affinity.ts";
import { validateResources } from "../core/validation/resources.ts";

export function validatePodDisruptionBudget({ spec = {} }: PodDisruptionBudget): FieldError[] {
  const errors: FieldError[] = [];
  const { minAvailable, maxUnavailable, selector, unhealthyPodEvictionPolicy } = spec;
  if (minAvailable !== undefined && maxUnavailable !== undefined) {
    errors.push(invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"));
  }
  for (const field of ["minAvailable", "maxUnavailable"] as const) {
    if (spec[field] === undefined) continue;
    errors.push(...countOrPercent(spec[field], `spec.${field}`), ...atMostAll(spec[field], `spec.${field}`));
  }
  errors.push(...validateLabelSelector(selector, "spec.selector"));
  const policies = ["AlwaysAllow", "IfHealthyBudget"];
  return [...errors, ...given(unhealthyPodEvictionPolicy, policies, "spec.unhealthyPodEvictionPolicy")];
}

export function validatePodDisruptionBudgetStatus({ status = {} }: PodDisruptionBudget): FieldError[] {
  return (["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] as const).flatMap((field) =>
    nonNegative(status[field], `status.${field}`),
  );
}

/** Largest priority a user may define; above it are the system's own classes. */
const HIGHEST_USER_PRIORITY = 1_000_000_000;
const SYSTEM_PREFIX = "system-";
const SYSTEM_CLASSES: Readonly<Record<string, number>> = {
  "system-node-critical": 2_000_001_000,
  "system-cluster-critical": 2_000_000_000,
};

export function validatePriorityClass(priorityClass: PriorityClass): FieldError[] {
  const errors: FieldError[] = [];
  const { name = "" } = priorityClass.metadata;
  const value = priorityClass.value ?? 0;
  if (name.startsWith(SYSTEM_PREFIX)) {
    const known = SYSTEM_CLASSES[name] === value && priorityClass.globalDefault !== true;
    if (!known) {
      const why = `priority class names with 'system-' prefix are reserved for system use only. error: ${
        SYSTEM_CLASSES[name] === undefined
          ? `${name} is not a known system priority class`
          : `value of ${name} PriorityClass must be ${SYSTEM_CLASSES[name]}`
      }`;
      errors.push(forbidden("metadata.name", why));
    }
  } else if (value > HIGHEST_USER_PRIORITY) {
    const why = `maximum allowed value of a user defined priority is ${HIGHEST_USER_PRIORITY}`;
    errors.push(forbidden("value", why));
  }
  const { preemptionPolicy } = priorityClass;
  if (preemptionPolicy === undefined) return errors;
  return [...errors, ...oneOf(preemptionPolicy, ["PreemptLowerPriority", "Never"], "preemptionPolicy")];
}

export function validatePriorityClassUpdate(priorityClass: PriorityClass, old: Readonly<PriorityClass>): FieldError[] {
  const errors: FieldError[] = [];
  if ((priorityClass.value ?? 0) !== (old.value ?? 0))
    errors.push(forbidden("value", "may not be changed in an update."));
  return [...errors, ...immutable(priorityClass.preemptionPolicy, old.preemptionPolicy, "preemptionPolicy")];
}

export function validateLease({ spec = {} }: Lease): FieldError[] {
  const errors: FieldError[] = [];
  const { leaseDurationSeconds, leaseTransitions, strategy, preferredHolder } = spec;
  if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0) {
    errors.push(invalid("spec.leaseDurationSeconds", leaseDurationSeconds, "must be greater than 0"));
  }
  errors.push(...nonNegative(leaseTransitions, "spec.leaseTransitions"));
  if (!isEmpty(preferredHolder) && isEmpty(strategy)) {
    errors.push(forbidden("spec.preferredHolder", "may not be specified when `strategy` is empty"));
  }
  return errors;
}

export function validateRuntimeClass(runtimeClass: RuntimeClass): FieldError[] {
  const { handler = "", overhead, scheduling } = runtimeClass;
  const errors = handler === "" ? [required("handler")] : dnsLabel(handler, "handler");
  if (overhead !== undefined) errors.push(...validateResources({ limits: overhead.podFixed }, new Set(), "overhead"));
  errors.push(...validateLabels(scheduling?.nodeSelector, "scheduling.nodeSelector"));
  return [...errors, ...validateTolerations(scheduling?.tolerations, "scheduling.tolerations")];
}

export function validateRuntimeClassUpdate(runtimeClass: RuntimeClass, old: Readonly<RuntimeClass>): FieldError[] {
  return [...validateRuntimeClass(runtimeClass), ...immutable(runtimeClass.handler, old.handler, "handler")];
}
