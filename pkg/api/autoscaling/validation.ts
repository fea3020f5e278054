import { isValidPathSegmentName, parseQuantity } from "#pkg/apimachinery/index.ts";
import type {
  CrossVersionObjectReference,
  HorizontalPodAutoscaler,
  HPAScalingRules,
  MetricIdentifier,
  MetricSpec,
  MetricTarget,
} from "../types/autoscaling-v2.ts";
import {
  allInvalid,
  each,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  nonNegative,
  notSupported,
  oneOf,
  required,
} from "../validation/rules.ts";
import { validateLabelSelector } from "../validation/selectors.ts";

function validateReference(ref: CrossVersionObjectReference | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["kind", "name"] as const) {
    const value = ref?.[field];
    if (isEmpty(value)) errors.push(required(`${path}.${field}`));
    else errors.push(...allInvalid(`${path}.${field}`, value, isValidPathSegmentName(value!)));
  }
  return errors;
}

function validateTarget(target: MetricTarget | undefined, path: string): FieldError[] {
  const { type, value, averageValue, averageUtilization } = target ?? { type: "" };
  const errors: FieldError[] = [];
  if (isEmpty(type)) errors.push(required(`${path}.type`, "must specify a metric target type"));
  else if (!["AverageValue", "Utilization", "Value"].includes(type)) {
    errors.push(invalid(`${path}.type`, type, "must be either Utilization, Value, or AverageValue"));
  }
  const isPositive = (amount: string | number | undefined, field: string) => {
    if (amount !== undefined && parseQuantity(amount).sign !== 1) {
      errors.push(invalid(`${path}.${field}`, String(amount), "must be positive"));
    }
  };
  isPositive(value, "value");
  isPositive(averageValue, "averageValue");
  if (averageUtilization !== undefined && averageUtilization < 1) {
    errors.push(invalid(`${path}.averageUtilization`, averageUtilization, "must be greater than 0"));
  }
  return errors;
}

function validateIdentifier(metric: MetricIdentifier | undefined, path: string): FieldError[] {
  if (isEmpty(metric?.name)) return [required(`${path}.name`)];
  return [
    ...allInvalid(`${path}.name`, metric!.name, isValidPathSegmentName(metric!.name)),
    ...validateLabelSelector(metric!.selector, `${path}.selector`),
  ];
}

/** Exactly one of two ways to say how much. */
function validateAmounts(
  target: MetricTarget | undefined,
  one: keyof MetricTarget,
  other: keyof MetricTarget,
  path: string,
): FieldError[] {
  if (target?.[one] === undefined && target?.[other] === undefined) {
    return [required(`${path}.${one}`, `must set either a target raw value or a target utilization`)];
  }
  if (target[one] !== undefined && target[other] !== undefined) {
    return [forbidden(`${path}.${other}`, `may not set both ${one} and ${other}`)];
  }
  return [];
}

const METRICS: Readonly<Record<string, keyof MetricSpec>> = {
  ContainerResource: "containerResource",
  External: "external",
  Object: "object",
  Pods: "pods",
  Resource: "resource",
};

function validateMetric(spec: MetricSpec, path: string): FieldError[] {
  const { type } = spec;
  if (isEmpty(type)) return [required(`${path}.type`, "must specify a metric source type")];
  const field = METRICS[type];
  if (field === undefined) return [notSupported(`${path}.type`, type, Object.keys(METRICS).sort())];
  const errors: FieldError[] = [];
  for (const other of Object.values(METRICS)) {
    if (other === field || spec[other] === undefined) continue;
    errors.push(forbidden(`${path}.${other}`, "must populate the given metric source only"));
  }
  const at = `${path}.${field}`;
  const { resource, containerResource, pods, object, external } = spec;
  if (spec[field] === undefined) {
    return [...errors, required(at, "must populate information for the given metric source")];
  }
  if (resource !== undefined && field === "resource") {
    if (isEmpty(resource.name)) errors.push(required(`${at}.name`, "must specify a resource name"));
    errors.push(...validateTarget(resource.target, `${at}.target`));
    errors.push(...validateAmounts(resource.target, "averageUtilization", "averageValue", `${at}.target`));
  } else if (containerResource !== undefined && field === "containerResource") {
    if (isEmpty(containerResource.name)) errors.push(required(`${at}.name`, "must specify a resource name"));
    if (isEmpty(containerResource.container)) errors.push(required(`${at}.container`, "must specify a container"));
    errors.push(...validateTarget(containerResource.target, `${at}.target`));
    errors.push(...validateAmounts(containerResource.target, "averageUtilization", "averageValue", `${at}.target`));
  } else if (pods !== undefined && field === "pods") {
    errors.push(...validateIdentifier(pods.metric, `${at}.metric`), ...validateTarget(pods.target, `${at}.target`));
    if (pods.target?.averageValue === undefined) {
      errors.push(required(`${at}.target.averageValue`, "must specify a positive target averageValue"));
    }
  } else if (object !== undefined && field === "object") {
    errors.push(
      ...validateReference(object.describedObject, `${at}.describedObject`),
      ...validateIdentifier(object.metric, `${at}.metric`),
      ...validateTarget(object.target, `${at}.target`),
    );
    if (object.target?.value === undefined && object.target?.averageValue === undefined) {
      errors.push(required(`${at}.target.averageValue`, "must set either a target value or averageValue"));
    }
  } else if (external !== undefined && field === "external") {
    errors.push(
      ...validateIdentifier(external.metric, `${at}.metric`),
      ...validateTarget(external.target, `${at}.target`),
    );
    errors.push(...validateAmounts(external.target, "value", "averageValue", `${at}.target`));
  }
  return errors;
}

const MAX_STABILIZATION_SECONDS = 3600;
const MAX_PERIOD_SECONDS = 1800;

function validateRules(rules: HPAScalingRules | undefined, path: string): FieldError[] {
  if (rules === undefined) return [];
  const errors: FieldError[] = [];
  const window = rules.stabilizationWindowSeconds;
  if (window !== undefined && window < 0) {
    errors.push(invalid(`${path}.stabilizationWindowSeconds`, window, "must be greater than or equal to zero"));
  }
  if (window !== undefined && window > MAX_STABILIZATION_SECONDS) {
    const why = `must be less than or equal to ${MAX_STABILIZATION_SECONDS}`;
    errors.push(invalid(`${path}.stabilizationWindowSeconds`, window, why));
  }
  if (rules.selectPolicy !== undefined) {
    errors.push(...oneOf(rules.selectPolicy, ["Disabled", "Max", "Min"], `${path}.selectPolicy`));
  }
  if ((rules.policies ?? []).length === 0)
    errors.push(required(`${path}.policies`, "must specify at least one Policy"));
  return [
    ...errors,
    ...each(rules.policies, `${path}.policies`, ({ type, value, periodSeconds }, at) => {
      const found: FieldError[] = [];
      if (type !== "Percent" && type !== "Pods")
        found.push(notSupported(`${at}.type`, type ?? "", ["Percent", "Pods"]));
      if ((value ?? 0) <= 0) found.push(invalid(`${at}.value`, value ?? 0, "must be greater than zero"));
      if ((periodSeconds ?? 0) <= 0)
        found.push(invalid(`${at}.periodSeconds`, periodSeconds ?? 0, "must be greater than zero"));
      if ((periodSeconds ?? 0) > MAX_PERIOD_SECONDS) {
        found.push(
          invalid(`${at}.periodSeconds`, periodSeconds, `must be less than or equal to ${MAX_PERIOD_SECONDS}`),
        );
      }
      return found;
    }),
  ];
}

export function validateAutoscaler({ spec }: HorizontalPodAutoscaler): FieldError[] {
  const errors: FieldError[] = [];
  const minimum = spec.minReplicas ?? 1;
  if (minimum < 1) errors.push(invalid("spec.minReplicas", minimum, "must be greater than or equal to 1"));
  const maximum = spec.maxReplicas ?? 0;
  if (maximum < 1) errors.push(invalid("spec.maxReplicas", maximum, "must be greater than 0"));
  if (maximum < minimum) {
    errors.push(invalid("spec.maxReplicas", maximum, "must be greater than or equal to `minReplicas`"));
  }
  errors.push(
    ...validateReference(spec.scaleTargetRef, "spec.scaleTargetRef"),
    ...each(spec.metrics, "spec.metrics", validateMetric),
    ...validateRules(spec.behavior?.scaleUp, "spec.behavior.scaleUp"),
    ...validateRules(spec.behavior?.scaleDown, "spec.behavior.scaleDown"),
  );
  return errors;
}

export function validateAutoscalerStatus({ status }: HorizontalPodAutoscaler): FieldError[] {
  return [
    ...nonNegative(status?.currentReplicas, "status.currentReplicas"),
    ...nonNegative(status?.desiredReplicas, "status.desiredReplicas"),
  ];
}
