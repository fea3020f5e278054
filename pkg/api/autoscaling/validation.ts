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
  dnsLabel,
  each,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  nonNegative,
  notSupported,
  required,
  requiredText,
  given,
} from "../validation/rules.ts";
import { validateContainerResourceName } from "../core/validation/resources.ts";
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

const TARGET_TYPES = ["AverageValue", "Utilization", "Value"];

function validateTarget(target: MetricTarget | undefined, path: string): FieldError[] {
  const { type = "", value, averageValue, averageUtilization } = target ?? {};
  const errors: FieldError[] = [];
  if (type === "") errors.push(required(`${path}.type`, "must specify a metric target type"));
  if (!TARGET_TYPES.includes(type)) {
    errors.push(invalid(`${path}.type`, type, "must be either Utilization, Value, or AverageValue"));
  }
  const isPositive = (amount: string | number | undefined, field: string) => {
    if (amount !== undefined && parseQuantity(amount).sign !== 1) {
      errors.push(invalid(`${path}.${field}`, parseQuantity(amount).toString(), "must be positive"));
    }
  };
  isPositive(value, "value");
  if (averageUtilization !== undefined && averageUtilization < 1) {
    errors.push(invalid(`${path}.averageUtilization`, averageUtilization, "must be greater than 0"));
  }
  isPositive(averageValue, "averageValue");
  return errors;
}

function validateIdentifier(metric: Partial<MetricIdentifier> = {}, path: string): FieldError[] {
  const { name = "", selector } = metric;
  return [
    ...(name === "" ? [required(`${path}.name`, "must specify a metric name")] : []),
    ...allInvalid(`${path}.name`, name, isValidPathSegmentName(name)),
    ...validateLabelSelector(selector, `${path}.selector`),
  ];
}

/** A target of a resource is a share of what was requested, or an amount. */
function validateResourceTarget(target: MetricTarget | undefined, path: string): FieldError[] {
  const errors = validateTarget(target, path);
  const { averageUtilization, averageValue } = target ?? {};
  if (averageUtilization === undefined && averageValue === undefined) {
    const why = "must set either a target raw value or a target utilization";
    errors.push(required(`${path}.averageUtilization`, why));
  }
  if (averageUtilization !== undefined && averageValue !== undefined) {
    const why = "may not set both a target raw value and a target utilization";
    errors.push(forbidden(`${path}.averageValue`, why));
  }
  return errors;
}

const nameOfResource = (name: string | undefined, path: string): FieldError[] =>
  requiredText(name, `${path}.name`, "must specify a resource name");

type Sources = Required<Pick<MetricSpec, "object" | "external" | "pods" | "resource" | "containerResource">>;

/** The rules of each source of metrics, in the order in which upstream looks for one that is there. */
const SOURCES: { readonly [S in keyof Sources]: (source: Sources[S], path: string) => FieldError[] } = {
  object: ({ describedObject, metric, target }, path) => [
    ...validateReference(describedObject, `${path}.describedObject`),
    ...validateIdentifier(metric, `${path}.metric`),
    ...validateTarget(target, `${path}.target`),
    ...(target?.value === undefined && target?.averageValue === undefined
      ? [required(`${path}.target.averageValue`, "must set either a target value or averageValue")]
      : []),
  ],
  external: ({ metric, target }, path) => {
    const errors = [...validateIdentifier(metric, `${path}.metric`), ...validateTarget(target, `${path}.target`)];
    const [whole, perPod] = [target?.value !== undefined, target?.averageValue !== undefined];
    if (!whole && !perPod) {
      const why = "must set either a target value for metric or a per-pod target";
      errors.push(required(`${path}.target.averageValue`, why));
    }
    if (whole && perPod) {
      const why = "may not set both a target value for metric and a per-pod target";
      errors.push(forbidden(`${path}.target.value`, why));
    }
    return errors;
  },
  pods: ({ metric, target }, path) => [
    ...validateIdentifier(metric, `${path}.metric`),
    ...validateTarget(target, `${path}.target`),
    ...(target?.averageValue === undefined
      ? [required(`${path}.target.averageValue`, "must specify a positive target averageValue")]
      : []),
  ],
  resource: ({ name, target }, path) => [
    ...nameOfResource(name, path),
    ...validateResourceTarget(target, `${path}.target`),
  ],
  containerResource: ({ name, container, target }, path) => [
    ...(isEmpty(name) ? nameOfResource(name, path) : validateContainerResourceName(name, `${path}.name`)),
    ...(isEmpty(container)
      ? [required(`${path}.container`, "must specify a container")]
      : dnsLabel(container, `${path}.container`)),
    ...validateResourceTarget(target, `${path}.target`),
  ],
};

/** The field that goes with each type. */
const FIELD_OF: ReadonlyMap<string, keyof Sources> = new Map([
  ["ContainerResource", "containerResource"],
  ["External", "external"],
  ["Object", "object"],
  ["Pods", "pods"],
  ["Resource", "resource"],
]);

function validateMetric(spec: MetricSpec, path: string): FieldError[] {
  const type = spec.type ?? "";
  const field = FIELD_OF.get(type);
  const unknown = field === undefined ? [notSupported(`${path}.type`, type, [...FIELD_OF.keys()])] : [];
  const errors: FieldError[] = [];
  if (type === "") errors.push(required(`${path}.type`, "must specify a metric source type"));
  errors.push(...unknown);
  const present = (Object.keys(SOURCES) as (keyof Sources)[]).filter((name) => spec[name] !== undefined);
  const [first, ...others] = present;
  if (first !== undefined) errors.push(...SOURCES[first](spec[first] as never, `${path}.${first}`));
  // Upstream says it twice of a type it does not know.
  errors.push(...unknown);
  if (field !== undefined && spec[field] === undefined) {
    errors.push(required(`${path}.${field}`, "must populate information for the given metric source"));
  }
  if (others.length === 0) return errors;
  for (const other of present) {
    if (other !== field) errors.push(forbidden(`${path}.${other}`, "must populate the given metric source only"));
  }
  return errors;
}

function validateMetrics(metrics: readonly MetricSpec[] | undefined, minimum: number, path: string): FieldError[] {
  const errors = each(metrics, path, validateMetric);
  const wakes = metrics?.some(({ type }) => type === "Object" || type === "External") === true;
  if (minimum !== 0 || wakes) return errors;
  const why = "must specify at least one Object or External metric to support scaling to zero replicas";
  return [...errors, forbidden(path, why)];
}

const MAX_STABILIZATION_SECONDS = 3600;
const MAX_PERIOD_SECONDS = 1800;
const SELECT_POLICIES = ["Disabled", "Max", "Min"];

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
  errors.push(...given(rules.selectPolicy, SELECT_POLICIES, `${path}.selectPolicy`));
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
    ...validateMetrics(spec.metrics, minimum, "spec.metrics"),
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
