/** Resizes targets by the resource use of their pods, as the metrics API reports it. */
import {
  deepEqual,
  ignoreNotFound,
  isNotFound,
  keyString,
  type ObjectKey,
  parseApiVersion,
  parseLabelSelector,
  parseQuantity,
} from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { horizontalPodAutoscalers } from "#pkg/api/refs.ts";
import type { Scale } from "#pkg/api/types/autoscaling-v1.ts";
import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerCondition,
  HorizontalPodAutoscalerStatus,
  MetricSpec,
  MetricStatus,
} from "#pkg/api/types/autoscaling-v2.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { formatTime } from "#pkg/util/index.ts";
import { withCondition } from "../common/conditions.ts";
import type { ControllerEnv } from "../common/env.ts";
import { errorMessage } from "../common/errors.ts";
import { createLoop, createQueue, enqueueSelf, watching } from "../common/loop.ts";
import { boundReplicas, groupPods, type Memory, proposeReplicas, type Sample, type Tuning } from "./plan.ts";

interface PodMetrics {
  readonly metadata: { readonly name: string };
  readonly timestamp: string;
  readonly window: string;
  readonly containers: { readonly name: string; readonly usage: Record<string, string> }[];
}

const MAX_MEMORY = 1000;

export function createHorizontalPodAutoscaler(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const autoscaler = new Autoscaler(env);
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [
      watching(informers.of(horizontalPodAutoscalers), {
        ...enqueueSelf<HorizontalPodAutoscaler>(queue),
        onUpdate(hpa, old) {
          // Our own status comes back as an event; the period is what calls us otherwise.
          if (hpa.metadata.generation !== old.metadata.generation)
            queue.add(keyString({ namespace: hpa.metadata.namespace ?? "", name: hpa.metadata.name }));
        },
      }),
      watching(informers.pods()),
    ],
    reconcile: (key, context) => autoscaler.reconcile(key, context),
  });
}

/** Why an HPA cannot do its work now; becomes a condition and an event. */
class ScalingError extends Error {
  readonly condition: "AbleToScale" | "ScalingActive";
  readonly reason: string;
  constructor(condition: "AbleToScale" | "ScalingActive", reason: string, message: string) {
    super(message);
    this.condition = condition;
    this.reason = reason;
  }
}

class Autoscaler {
  readonly #env: ControllerEnv;
  readonly #memory = new Map<string, Memory>();

  constructor(env: ControllerEnv) {
    this.#env = env;
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { informers, options, recorder } = this.#env;
    const hpa = informers.of(horizontalPodAutoscalers).lister.get(key);
    if (hpa === undefined) {
      this.#memory.delete(keyString(key));
      return DONE;
    }
    try {
      await this.#autoscale(hpa, signal);
    } catch (error) {
      if (!(error instanceof ScalingError)) throw error;
      recorder.event(hpa, "Warning", error.reason, error.message);
      const failed = this.#condition(error.condition, "False", error.reason, error.message);
      await this.#writeStatus(
        hpa,
        {
          ...hpa.status,
          desiredReplicas: hpa.status?.desiredReplicas ?? 0,
          conditions: withCondition(hpa.status?.conditions, failed),
        },
        signal,
      );
    }
    return { requeueAfterMs: options.horizontalPodAutoscalerSyncPeriodMs };
  }

  get #tuning(): Tuning {
    const { options } = this.#env;
    return {
      tolerance: options.horizontalPodAutoscalerTolerance,
      cpuInitializationPeriodMs: options.horizontalPodAutoscalerCpuInitializationPeriodMs,
      initialReadinessDelayMs: options.horizontalPodAutoscalerInitialReadinessDelayMs,
      downscaleStabilizationMs: options.horizontalPodAutoscalerDownscaleStabilizationWindowMs,
    };
  }

  #condition(
    type: string,
    status: "True" | "False",
    reason: string,
    message: string,
  ): HorizontalPodAutoscalerCondition {
    return { type, status, reason, message, lastTransitionTime: formatTime(this.#env.clock.now()) };
  }

  async #autoscale(hpa: HorizontalPodAutoscaler, signal: AbortSignal): Promise<void> {
    const { clock, recorder } = this.#env;
    const { path, scale } = await this.#readScale(hpa, signal);
    const current = scale.spec?.replicas ?? 0;
    const bounds = { min: hpa.spec.minReplicas ?? 1, max: hpa.spec.maxReplicas };
    let conditions = withCondition(
      hpa.status?.conditions,
      this.#condition(
        "AbleToScale",
        "True",
        "SucceededGetScale",
        "the HPA controller was able to get the target's current scale",
      ),
    );
    if (current === 0 && bounds.min !== 0) {
      conditions = withCondition(
        conditions,
        this.#condition(
          "ScalingActive",
          "False",
          "ScalingDisabled",
          "scaling is disabled since the replica count of the target is zero",
        ),
      );
      await this.#writeStatus(hpa, { ...hpa.status, currentReplicas: 0, desiredReplicas: 0, conditions }, signal);
      return;
    }
    const now = clock.monotonic();
    let desired = current;
    let reason = "Current number of replicas within bounds";
    let currentMetrics: MetricStatus[] = [];
    let limited: string | undefined;
    if (current > bounds.max) desired = bounds.max;
    else if (current < bounds.min) desired = bounds.min;
    else {
      const proposed = await this.#propose(hpa, scale, current, signal);
      currentMetrics = proposed.statuses;
      reason = proposed.reason;
      conditions = withCondition(
        conditions,
        this.#condition(
          "ScalingActive",
          "True",
          "ValidMetricFound",
          `the HPA was able to successfully calculate a replica count from ${proposed.reason}`,
        ),
      );
      const memory = this.#remember(hpa, proposed.replicas, now);
      const bounded = boundReplicas(current, proposed.replicas, bounds, hpa.spec.behavior, memory, this.#tuning, now);
      desired = bounded.replicas;
      limited = bounded.limited;
    }
    conditions = withCondition(
      conditions,
      limited === undefined
        ? this.#condition(
            "ScalingLimited",
            "False",
            "DesiredWithinRange",
            "the desired count is within the acceptable range",
          )
        : this.#condition(
            "ScalingLimited",
            "True",
            limited,
            "the desired replica count is limited by the bounds or the speed of scaling",
          ),
    );
    let lastScaleTime = hpa.status?.lastScaleTime;
    if (desired !== current) {
      await this.#env.client.raw<Scale>(
        "PUT",
        path,
        { ...scale, spec: { ...scale.spec, replicas: desired } },
        { signal },
      );
      recorder.event(hpa, "Normal", "SuccessfulRescale", `New size: ${desired}; reason: ${reason}`);
      this.#noteChange(hpa, desired - current, now);
      lastScaleTime = formatTime(clock.now());
      conditions = withCondition(
        conditions,
        this.#condition(
          "AbleToScale",
          "True",
          "SucceededRescale",
          `the HPA controller was able to update the target scale to ${desired}`,
        ),
      );
    }
    await this.#writeStatus(
      hpa,
      {
        observedGeneration: hpa.metadata.generation ?? 0,
        ...(lastScaleTime === undefined ? {} : { lastScaleTime }),
        currentReplicas: current,
        desiredReplicas: desired,
        ...(currentMetrics.length === 0 ? {} : { currentMetrics }),
        conditions,
      },
      signal,
    );
  }

  async #readScale(hpa: HorizontalPodAutoscaler, signal: AbortSignal): Promise<{ path: string; scale: Scale }> {
    const { kind, name, apiVersion = "v1" } = hpa.spec.scaleTargetRef;
    const { group } = parseApiVersion(apiVersion);
    const { resources } = await this.#env.discovery.get(signal);
    const served = resources.find(({ ref }) => ref.group === group && ref.kind === kind);
    if (served === undefined)
      throw new ScalingError("AbleToScale", "FailedGetScale", `no matches for kind "${kind}" in group "${group}"`);
    const { version, plural } = served.ref;
    const base = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    const path = `${base}/namespaces/${hpa.metadata.namespace}/${plural}/${encodeURIComponent(name)}/scale`;
    try {
      return { path, scale: await this.#env.client.raw<Scale>("GET", path, undefined, { signal }) };
    } catch (error) {
      throw new ScalingError(
        "AbleToScale",
        "FailedGetScale",
        `the HPA controller was unable to get the target's current scale: ${errorMessage(error)}`,
      );
    }
  }

  /** The largest proposal of all metrics; one that cannot be read only prevents scaling down. */
  async #propose(
    hpa: HorizontalPodAutoscaler,
    scale: Scale,
    current: number,
    signal: AbortSignal,
  ): Promise<{ replicas: number; reason: string; statuses: MetricStatus[] }> {
    const text = scale.status?.selector ?? "";
    if (text === "")
      throw new ScalingError("ScalingActive", "InvalidSelector", "the HPA target's scale is missing a selector");
    const selector = parseLabelSelector(text);
    const selected = this.#env.informers
      .pods()
      .lister.list(hpa.metadata.namespace)
      .filter((pod) => selector.matches(pod.metadata.labels));
    let best: { replicas: number; reason: string } | undefined;
    let failure: unknown;
    const statuses: MetricStatus[] = [];
    const metrics = hpa.spec.metrics ?? [
      { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } },
    ];
    for (const metric of metrics) {
      try {
        const found = await this.#judge(hpa, metric, selected, text, current, signal);
        statuses.push(found.status);
        if (best === undefined || found.replicas > best.replicas) best = found;
      } catch (error) {
        failure ??= error;
      }
    }
    if (best === undefined || (failure !== undefined && best.replicas < current)) {
      if (failure instanceof ScalingError) throw failure;
      throw new ScalingError(
        "ScalingActive",
        "FailedGetResourceMetric",
        `the HPA was unable to compute the replica count: ${errorMessage(failure)}`,
      );
    }
    return { ...best, statuses };
  }

  async #judge(
    hpa: HorizontalPodAutoscaler,
    metric: MetricSpec,
    selected: readonly Pod[],
    selector: string,
    current: number,
    signal: AbortSignal,
  ): Promise<{ replicas: number; reason: string; status: MetricStatus }> {
    const source = metric.resource ?? metric.containerResource;
    if (source === undefined)
      throw new ScalingError(
        "ScalingActive",
        "InvalidMetricSourceType",
        `metrics of type ${metric.type} need a custom metrics API, which is not supported`,
      );
    const container = metric.containerResource?.container;
    const samples = await this.#samples(hpa, source.name, container, selector, signal);
    const { averageUtilization, averageValue } = source.target;
    const target =
      averageUtilization === undefined
        ? { averageValue: parseQuantity(averageValue ?? "0").toNumber() * 1000 }
        : { utilizationPercent: averageUtilization };
    const groups = groupPods(selected, samples, source.name === "cpu", this.#tuning, this.#env.clock.now());
    const requestOf = (pod: Pod) => requestOfPod(pod, source.name, container);
    const proposal = proposeReplicas(current, groups, samples, target, requestOf, this.#tuning.tolerance);
    if (proposal === undefined)
      throw new ScalingError(
        "ScalingActive",
        "FailedGetResourceMetric",
        `missing request for ${source.name} or no ready pods with metrics`,
      );
    const value =
      averageUtilization === undefined
        ? { averageValue: `${Math.round(proposal.utilization)}m` }
        : { averageUtilization: Math.floor(proposal.utilization) };
    const status: MetricStatus =
      container === undefined
        ? { type: "Resource", resource: { name: source.name, current: value } }
        : { type: "ContainerResource", containerResource: { name: source.name, container, current: value } };
    const what = container === undefined ? `${source.name} resource` : `${source.name} container resource`;
    const relation = averageUtilization === undefined ? "" : " utilization (percentage of request)";
    const direction =
      proposal.replicas > current ? "above target" : proposal.replicas < current ? "below target" : "at target";
    return { replicas: proposal.replicas, reason: `${what}${relation} ${direction}`, status };
  }

  async #samples(
    hpa: HorizontalPodAutoscaler,
    resource: string,
    container: string | undefined,
    selector: string,
    signal: AbortSignal,
  ): Promise<Map<string, Sample>> {
    const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${hpa.metadata.namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
    let list: { items: PodMetrics[] };
    try {
      list = await this.#env.client.raw<{ items: PodMetrics[] }>("GET", path, undefined, { signal });
    } catch (error) {
      const why = isNotFound(error)
        ? "the server could not find the requested resource (get pods.metrics.k8s.io)"
        : errorMessage(error);
      throw new ScalingError(
        "ScalingActive",
        "FailedGetResourceMetric",
        `the HPA was unable to compute the replica count: unable to get metrics for resource ${resource}: unable to fetch metrics from resource metrics API: ${why}`,
      );
    }
    const samples = new Map<string, Sample>();
    for (const { metadata, timestamp, window, containers } of list.items) {
      const counted = containers.filter(({ name }) => container === undefined || name === container);
      if (counted.length === 0 || counted.some(({ usage }) => usage[resource] === undefined)) continue;
      const value = counted.reduce((sum, { usage }) => sum + parseQuantity(usage[resource]!).toNumber() * 1000, 0);
      samples.set(metadata.name, { value, at: Date.parse(timestamp), windowMs: Number.parseFloat(window) * 1000 });
    }
    return samples;
  }

  #remember(hpa: HorizontalPodAutoscaler, replicas: number, now: number): Memory {
    const id = `${hpa.metadata.namespace}/${hpa.metadata.name}`;
    const known = this.#memory.get(id) ?? { recommendations: [], changes: [] };
    const oldest = now - 3600_000;
    const memory: Memory = {
      recommendations: [...known.recommendations.filter(({ at }) => at > oldest), { at: now, replicas }].slice(
        -MAX_MEMORY,
      ),
      changes: known.changes.filter(({ at }) => at > oldest),
    };
    this.#memory.set(id, memory);
    return memory;
  }
  #noteChange(hpa: HorizontalPodAutoscaler, by: number, now: number): void {
    const id = `${hpa.metadata.namespace}/${hpa.metadata.name}`;
    const known = this.#memory.get(id) ?? { recommendations: [], changes: [] };
    this.#memory.set(id, { ...known, changes: [...known.changes, { at: now, by }].slice(-MAX_MEMORY) });
  }

  async #writeStatus(
    hpa: HorizontalPodAutoscaler,
    status: HorizontalPodAutoscalerStatus,
    signal: AbortSignal,
  ): Promise<void> {
    if (deepEqual(hpa.status, status)) return;
    await ignoreNotFound(this.#env.client.updateStatus(horizontalPodAutoscalers, { ...hpa, status }, { signal }));
  }
}

/** Sum of the containers' requests in milli-units; undefined when one has none. */
function requestOfPod(pod: Pod, resource: string, container: string | undefined): number | undefined {
  let sum = 0;
  for (const { name, resources } of pod.spec.containers) {
    if (container !== undefined && name !== container) continue;
    const request = resources?.requests?.[resource];
    if (request === undefined) return undefined;
    sum += parseQuantity(request).toNumber() * 1000;
  }
  return sum;
}
