import { ageOf, NONE, UNSET } from "../printers/cells.ts";
import type {
  HorizontalPodAutoscaler,
  MetricSpec,
  MetricStatus,
  MetricTarget,
  MetricValueStatus,
} from "../types/autoscaling-v2.ts";

const MAX_METRICS = 2;

/** "current/target" of one metric; a current value that is not known yet shows as <unknown>. */
function ratio(target: MetricTarget | undefined, current: MetricValueStatus | undefined): string {
  if (target?.averageValue !== undefined) {
    return `${current?.averageValue ?? "<unknown>"}/${target.averageValue} (avg)`;
  }
  if (target?.averageUtilization !== undefined) {
    const now = current?.averageUtilization;
    return `${now === undefined ? "<unknown>" : `${now}%`}/${target.averageUtilization}%`;
  }
  return `${current?.value ?? "<unknown>"}/${target?.value ?? "<auto>"}`;
}

function metricCell(spec: MetricSpec, status: MetricStatus | undefined): string {
  switch (spec.type) {
    case "External":
      return ratio(spec.external?.target, status?.external?.current);
    case "Pods":
      return `${status?.pods?.current.averageValue ?? "<unknown>"}/${spec.pods?.target.averageValue ?? "<auto>"}`;
    case "Object":
      return ratio(spec.object?.target, status?.object?.current);
    case "Resource": {
      const name = spec.resource?.name ?? "";
      return `${name}: ${resourceRatio(spec.resource?.target, status?.resource?.current)}`;
    }
    case "ContainerResource": {
      const { name = "", container = "" } = spec.containerResource ?? {};
      return `${name}/${container}: ${resourceRatio(spec.containerResource?.target, status?.containerResource?.current)}`;
    }
    default:
      return "<unknown type>";
  }
}

function resourceRatio(target: MetricTarget | undefined, current: MetricValueStatus | undefined): string {
  if (target?.averageValue !== undefined) return `${current?.averageValue ?? "<unknown>"}/${target.averageValue}`;
  const used = current?.averageUtilization;
  const wanted = target?.averageUtilization;
  return `${used === undefined ? "<unknown>" : `${used}%`}/${wanted === undefined ? "<auto>" : `${wanted}%`}`;
}

function targets(autoscaler: Readonly<HorizontalPodAutoscaler>): string {
  const specs = autoscaler.spec.metrics ?? [];
  if (specs.length === 0) return NONE;
  const statuses = autoscaler.status?.currentMetrics ?? [];
  const shown = specs.slice(0, MAX_METRICS).map((spec, index) => metricCell(spec, statuses[index]));
  const text = shown.join(", ");
  return specs.length > MAX_METRICS ? `${text} + ${specs.length - MAX_METRICS} more...` : text;
}

export function printAutoscaler(autoscaler: Readonly<HorizontalPodAutoscaler>, now: number): unknown[] {
  const { scaleTargetRef, minReplicas, maxReplicas } = autoscaler.spec;
  return [
    autoscaler.metadata.name,
    `${scaleTargetRef?.kind ?? ""}/${scaleTargetRef?.name ?? ""}`,
    targets(autoscaler),
    minReplicas === undefined ? UNSET : String(minReplicas),
    maxReplicas,
    autoscaler.status?.currentReplicas ?? 0,
    ageOf(autoscaler, now),
  ];
}
