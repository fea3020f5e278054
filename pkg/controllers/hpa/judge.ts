/** What one metric of an HPA asks for, or why it says nothing. */
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import type { HorizontalPodAutoscaler, MetricSpec, MetricStatus, MetricTarget } from "#pkg/api/types/autoscaling-v2.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { isPodReady } from "../common/pods.ts";
import { printSelector } from "../common/print-selector.ts";
import { type MetricsReader, requestOfPod } from "./metrics.ts";
import {
  groupPods,
  type Proposal,
  proposeByValue,
  proposePerPod,
  proposeReplicas,
  type Sample,
  type Tolerance,
  type Tuning,
} from "./plan.ts";

/** Why a metric says nothing: `reason` and `message` are for the condition and the event. */
export class MetricError extends Error {
  readonly reason: string;
  /** The same, as the summary over all metrics cites it. */
  readonly summary: string;
  constructor(reason: string, message: string, summary = message) {
    super(message);
    this.reason = reason;
    this.summary = summary;
  }
}

/** The target as it is now. */
export interface Target {
  readonly hpa: HorizontalPodAutoscaler;
  readonly selector: string;
  readonly pods: readonly Pod[];
  /** What its scale asks for, and what there is. */
  readonly specReplicas: number;
  readonly statusReplicas: number;
}

/** How many replicas one metric asks for. */
export interface Judgement {
  readonly replicas: number;
  /** The metric, as messages name it. */
  readonly name: string;
  readonly status: MetricStatus;
}

/** What judging a metric needs; `now` in epoch milliseconds. */
export interface JudgeDeps {
  readonly reader: MetricsReader;
  readonly tuning: Tuning;
  readonly tolerance: Tolerance;
  readonly now: number;
  /** Plural of a kind, for reading metrics of an object. */
  readonly pluralOf: (apiVersion: string, kind: string) => Promise<string>;
}

const quantity = (milliUnits: number) => parseQuantity(`${Math.ceil(milliUnits)}m`).toString();
const goalOf = (value: string | number | undefined) => parseQuantity(String(value ?? "0")).toNumber() * 1000;

/** Asks for one metric and judges by it. Throws a MetricError. */
export async function judge(
  deps: JudgeDeps,
  target: Target,
  metric: MetricSpec,
  signal: AbortSignal,
): Promise<Judgement> {
  switch (metric.type) {
    case "Resource":
    case "ContainerResource":
      return judgeResource(deps, target, metric, signal);
    case "Pods":
      return judgePods(deps, target, metric, signal);
    case "Object":
      return judgeObject(deps, target, metric, signal);
    case "External":
      return judgeExternal(deps, target, metric, signal);
    default:
      throw new MetricError("InvalidMetricSourceType", `unknown metric source type ${JSON.stringify(metric.type)}`);
  }
}

function proposal(
  deps: JudgeDeps,
  { pods, specReplicas }: Target,
  samples: ReadonlyMap<string, Sample>,
  goal: { readonly utilizationPercent: number } | { readonly averageValue: number },
  resource = "",
  container?: string,
): Proposal {
  if (pods.length === 0) throw new Error("no pods returned by selector while calculating replica count");
  const groups = groupPods(pods, samples, resource === "cpu", deps.tuning, deps.now);
  const requestOf = (pod: Pod) => requestOfPod(pod, resource, container);
  return proposeReplicas(specReplicas, groups, samples, goal, requestOf, deps.tolerance);
}

async function judgeResource(
  deps: JudgeDeps,
  target: Target,
  metric: MetricSpec,
  signal: AbortSignal,
): Promise<Judgement> {
  const source = metric.resource ?? metric.containerResource;
  if (source === undefined) throw new MetricError("InvalidMetricSourceType", `a metric without its ${metric.type}`);
  const { name: resource, target: wanted } = source;
  const container = metric.containerResource?.container;
  const { averageUtilization } = wanted;
  const byUse = averageUtilization !== undefined;
  try {
    const namespace = target.hpa.metadata.namespace ?? "";
    const samples = await deps.reader.resource({ namespace, selector: target.selector, resource, container }, signal);
    const goal = byUse ? { utilizationPercent: averageUtilization } : { averageValue: goalOf(wanted.averageValue) };
    const { replicas, utilization, average } = proposal(deps, target, samples, goal, resource, container);
    const use = byUse ? { averageUtilization: Math.floor(utilization) } : {};
    const current = { ...use, averageValue: quantity(average) };
    const status: MetricStatus =
      container === undefined
        ? { type: "Resource", resource: { name: resource, current } }
        : { type: "ContainerResource", containerResource: { name: resource, container, current } };
    const name = byUse ? `${resource} resource utilization (percentage of request)` : `${resource} resource`;
    return { replicas, name, status };
  } catch (error) {
    const reason = container === undefined ? "FailedGetResourceMetric" : "FailedGetContainerResourceMetric";
    throw new MetricError(
      reason,
      `failed to get ${resource} ${byUse ? "utilization" : "usage"}: ${errorMessage(error)}`,
    );
  }
}

async function judgePods(deps: JudgeDeps, target: Target, metric: MetricSpec, signal: AbortSignal): Promise<Judgement> {
  const { metric: identifier, target: wanted } = metric.pods!;
  try {
    const namespace = target.hpa.metadata.namespace ?? "";
    const samples = await deps.reader.pods(namespace, target.selector, identifier, signal).catch((error: unknown) => {
      throw new Error(`unable to get metric ${identifier.name}: ${errorMessage(error)}`);
    });
    const { replicas, average } = proposal(deps, target, samples, { averageValue: goalOf(wanted.averageValue) });
    const status = { type: "Pods", pods: { metric: identifier, current: { averageValue: quantity(average) } } };
    return { replicas, name: `pods metric ${identifier.name}`, status };
  } catch (error) {
    const message = errorMessage(error);
    throw new MetricError("FailedGetPodsMetric", message, `failed to get pods metric value: ${message}`);
  }
}

async function judgeObject(
  deps: JudgeDeps,
  target: Target,
  metric: MetricSpec,
  signal: AbortSignal,
): Promise<Judgement> {
  const { metric: identifier, target: wanted, describedObject } = metric.object!;
  const { namespace = "" } = target.hpa.metadata;
  try {
    const read = async () => {
      const plural = await deps.pluralOf(describedObject.apiVersion ?? "v1", describedObject.kind);
      return deps.reader.object(namespace, describedObject, plural, identifier, signal);
    };
    const value = await read().catch((error: unknown) => {
      const where = `${describedObject.kind} on ${namespace} ${describedObject.name}`;
      throw new Error(`unable to get metric ${identifier.name}: ${where}/${errorMessage(error)}`);
    });
    const { replicas, current } = byWhole(deps, target, wanted, value);
    const status = { type: "Object", object: { describedObject, metric: identifier, current } };
    return { replicas, name: `${describedObject.kind} metric ${identifier.name}`, status };
  } catch (error) {
    const message = errorMessage(error);
    throw new MetricError("FailedGetObjectMetric", message, `failed to get object metric value: ${message}`);
  }
}

async function judgeExternal(
  deps: JudgeDeps,
  target: Target,
  metric: MetricSpec,
  signal: AbortSignal,
): Promise<Judgement> {
  const { metric: identifier, target: wanted } = metric.external!;
  const { name } = identifier;
  const { namespace = "" } = target.hpa.metadata;
  const selector = printSelector(identifier.selector);
  try {
    const values = await deps.reader.external(namespace, identifier, signal).catch((error: unknown) => {
      throw new Error(`unable to get external metric ${namespace}/${name}/${selector}: ${errorMessage(error)}`);
    });
    const sum = values.reduce((total, value) => total + value, 0);
    const { replicas, current } = byWhole(deps, target, wanted, sum);
    const status = { type: "External", external: { metric: identifier, current } };
    return { replicas, name: `external metric ${name}(${selector})`, status };
  } catch (error) {
    const message = errorMessage(error);
    const what = wanted.averageValue === undefined ? `external metric ${name}` : `${name} external metric`;
    throw new MetricError("FailedGetExternalMetric", message, `failed to get ${what}: ${message}`);
  }
}

/** By one number for all pods, against a target for all or for each of them. */
function byWhole(
  { tolerance }: JudgeDeps,
  { pods, specReplicas, statusReplicas }: Target,
  wanted: MetricTarget,
  value: number,
): { replicas: number; current: { averageValue: string } | { value: string } } {
  if (wanted.averageValue !== undefined) {
    const replicas = proposePerPod(statusReplicas, value, goalOf(wanted.averageValue), tolerance);
    return { replicas, current: { averageValue: quantity(statusReplicas === 0 ? 0 : value / statusReplicas) } };
  }
  if (specReplicas > 0 && pods.length === 0)
    throw new Error("unable to calculate ready pods: no pods returned by selector while calculating replica count");
  const ready = pods.filter((pod) => pod.status?.phase === "Running" && isPodReady(pod)).length;
  const replicas = proposeByValue(specReplicas, ready, value, goalOf(wanted.value), tolerance);
  return { replicas, current: { value: quantity(value) } };
}
