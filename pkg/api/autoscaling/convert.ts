import { deepCopy } from "#pkg/apimachinery/index.ts";
import {
  behaviorFromV1,
  behaviorToV1,
  conditionsFromV1,
  conditionsToV1,
  metricsFromV1,
  metricStatusesFromV1,
  metricStatusesToV1,
  metricsToV1,
} from "./annotated.ts";
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

const isCpu = (metric: MetricSpec): boolean =>
  metric.type === "Resource" &&
  metric.resource?.name === "cpu" &&
  metric.resource.target.averageUtilization !== undefined;

/** Annotations without those of the conversion. */
const othersOf = (annotations: Readonly<Record<string, string>> | undefined): Record<string, string> =>
  Object.fromEntries(Object.entries(annotations ?? {}).filter(([key]) => !ALL.includes(key)));

export function autoscalerFromV1(from: Readonly<AutoscalerV1>): HorizontalPodAutoscaler {
  const { spec, status, metadata } = deepCopy(from) as AutoscalerV1;
  const annotations = metadata.annotations ?? {};
  const metrics = metricsFromV1<MetricSpec>(annotations[METRICS]) ?? [];
  const cpu = spec.targetCPUUtilizationPercentage;
  if (cpu !== undefined) {
    metrics.push({
      type: "Resource",
      resource: { name: "cpu", target: { type: "Utilization", averageUtilization: cpu } },
    });
  }
  const behavior = behaviorFromV1<HorizontalPodAutoscalerBehavior>(annotations[BEHAVIOR]);
  const used = status?.currentCPUUtilizationPercentage;
  const currentMetrics: MetricStatus[] =
    metricStatusesFromV1<MetricStatus>(annotations[CURRENT_METRICS]) ??
    (used === undefined
      ? []
      : [{ type: "Resource", resource: { name: "cpu", current: { averageUtilization: used } } }]);
  const conditions = conditionsFromV1<HorizontalPodAutoscalerCondition>(annotations[CONDITIONS]);
  const rest = othersOf(annotations);
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
  const others = metrics.filter((metric) => !isCpu(metric));
  const usage = currentMetrics.findLast((metric) => metric.type === "Resource" && metric.resource?.name === "cpu");
  const annotations = othersOf(metadata.annotations);
  if (others.length > 0) annotations[METRICS] = metricsToV1(others);
  if (currentMetrics.length > 0) annotations[CURRENT_METRICS] = metricStatusesToV1(currentMetrics);
  if (behavior !== undefined) annotations[BEHAVIOR] = behaviorToV1(behavior);
  if ((conditions ?? []).length > 0) annotations[CONDITIONS] = conditionsToV1(conditions!);
  delete metadata.annotations;
  if (Object.keys(annotations).length > 0) metadata.annotations = annotations;
  const used = usage?.resource?.current.averageUtilization;
  const target = cpu?.resource?.target.averageUtilization;
  return {
    apiVersion: "autoscaling/v1",
    kind: "HorizontalPodAutoscaler",
    metadata,
    spec: { ...common, ...(target === undefined ? {} : { targetCPUUtilizationPercentage: target }) },
    status: {
      currentReplicas: 0,
      ...statusRest,
      ...(used === undefined ? {} : { currentCPUUtilizationPercentage: used }),
    },
  };
}
