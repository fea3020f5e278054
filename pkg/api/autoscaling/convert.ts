import { deepCopy } from "#pkg/apimachinery/index.ts";
import type { HorizontalPodAutoscaler as AutoscalerV1 } from "../types/autoscaling-v1.ts";
import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerBehavior,
  HorizontalPodAutoscalerCondition,
  MetricSpec,
  MetricStatus,
} from "../types/autoscaling-v2.ts";

/** Annotations in which autoscaling/v1 carries what it has no field for. */
const METRICS = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions";
const ALL = [METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS];

/** An annotation that does not hold what it should is the client's, and is left out of the conversion. */
function parsed<T>(annotations: Readonly<Record<string, string>>, key: string): T | undefined {
  const text = annotations[key];
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}

const isCpu = (metric: MetricSpec): boolean =>
  metric.type === "Resource" &&
  metric.resource?.name === "cpu" &&
  metric.resource.target.averageUtilization !== undefined;

export function autoscalerFromV1(from: Readonly<AutoscalerV1>): HorizontalPodAutoscaler {
  const { spec, status, metadata } = deepCopy(from) as AutoscalerV1;
  const annotations = metadata.annotations ?? {};
  const metrics = parsed<MetricSpec[]>(annotations, METRICS) ?? [];
  const cpu = spec.targetCPUUtilizationPercentage;
  if (cpu !== undefined) {
    metrics.unshift({
      type: "Resource",
      resource: { name: "cpu", target: { type: "Utilization", averageUtilization: cpu } },
    });
  }
  const behavior = parsed<HorizontalPodAutoscalerBehavior>(annotations, BEHAVIOR);
  const currentMetrics = parsed<MetricStatus[]>(annotations, CURRENT_METRICS) ?? [];
  const used = status?.currentCPUUtilizationPercentage;
  if (used !== undefined && !currentMetrics.some((metric) => metric.resource?.name === "cpu")) {
    currentMetrics.unshift({ type: "Resource", resource: { name: "cpu", current: { averageUtilization: used } } });
  }
  const conditions = parsed<HorizontalPodAutoscalerCondition[]>(annotations, CONDITIONS);
  const rest = Object.fromEntries(Object.entries(annotations).filter(([key]) => !ALL.includes(key)));
  delete metadata.annotations;
  if (Object.keys(rest).length > 0) metadata.annotations = rest;
  const { targetCPUUtilizationPercentage: _cpu, ...common } = spec;
  const { currentCPUUtilizationPercentage: _used, ...statusRest } = status ?? {
    currentReplicas: 0,
    desiredReplicas: 0,
  };
  return {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata,
    spec: {
      ...common,
      ...(metrics.length === 0 ? {} : { metrics }),
      ...(behavior === undefined ? {} : { behavior }),
    },
    status: {
      ...statusRest,
      ...(currentMetrics.length === 0 ? {} : { currentMetrics }),
      ...(conditions === undefined ? {} : { conditions }),
    },
  };
}

export function autoscalerToV1(from: Readonly<HorizontalPodAutoscaler>): AutoscalerV1 {
  const { spec, status, metadata } = deepCopy(from) as HorizontalPodAutoscaler;
  const { metrics = [], behavior, ...common } = spec;
  const { currentMetrics: metricsNow, conditions, ...statusRest } = status ?? { desiredReplicas: 0 };
  const currentMetrics = metricsNow ?? [];
  const cpu = metrics.find(isCpu);
  const others = metrics.filter((metric) => metric !== cpu);
  const usage = currentMetrics.find((metric) => metric.resource?.name === "cpu")?.resource?.current.averageUtilization;
  const annotations = { ...metadata.annotations };
  const keep = (key: string, value: unknown, present: boolean) => {
    if (present) annotations[key] = JSON.stringify(value);
  };
  keep(METRICS, others, others.length > 0);
  keep(BEHAVIOR, behavior, behavior !== undefined);
  keep(CURRENT_METRICS, currentMetrics, currentMetrics.length > 0);
  keep(CONDITIONS, conditions, (conditions ?? []).length > 0);
  if (Object.keys(annotations).length > 0) metadata.annotations = annotations;
  const target = cpu?.resource?.target.averageUtilization;
  return {
    apiVersion: "autoscaling/v1",
    kind: "HorizontalPodAutoscaler",
    metadata,
    spec: { ...common, ...(target === undefined ? {} : { targetCPUUtilizationPercentage: target }) },
    status: {
      currentReplicas: 0,
      ...statusRest,
      ...(usage === undefined ? {} : { currentCPUUtilizationPercentage: usage }),
    },
  };
}
