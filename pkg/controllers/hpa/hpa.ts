/** Resizes targets by the resource use of their pods, as the metrics API reports it. */
import {
  deepEqual,
  ignoreNotFound,
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
import { condition, withCondition } from "../common/conditions.ts";
import type { ControllerEnv } from "../common/env.ts";
import { errorMessage } from "../common/errors.ts";
import { createLoop, createQueue, enqueueSelf, watching } from "../common/loop.ts";
import { readSamples, requestOfPod, ScalingError } from "./metrics.ts";
import { boundReplicas, groupPods, type Memory, proposeReplicas, type Tuning } from "./plan.ts";

/** Recommendations and changes that are remembered of each target, and for how long: the longest window that an HPA may ask for. */
const MAX_MEMORY = 1000;
const MEMORY_MS = 3_600_000;
const WITHIN_RANGE = "the desired count is within the acceptable range";
const LIMITED = "the desired replica count is limited by the bounds or the speed of scaling";

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

/** The conditions of one look at an HPA. */
class Conditions {
  readonly #now: number;
  list: HorizontalPodAutoscalerCondition[];

  constructor(present: readonly HorizontalPodAutoscalerCondition[] | undefined, now: number) {
    this.list = [...(present ?? [])];
    this.#now = now;
  }
  set(
    type: "AbleToScale" | "ScalingActive" | "ScalingLimited",
    status: "True" | "False",
    reason: string,
    message: string,
  ): void {
    this.list = withCondition(this.list, condition(type, status, reason, message, this.#now));
  }
}

class Autoscaler {
  readonly #env: ControllerEnv;
  readonly #memory = new Map<string, Memory>();

  constructor(env: ControllerEnv) {
    this.#env = env;
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { clock, informers, options, recorder } = this.#env;
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
      const conditions = new Conditions(hpa.status?.conditions, clock.now());
      conditions.set(error.condition, "False", error.reason, error.message);
      const desiredReplicas = hpa.status?.desiredReplicas ?? 0;
      await this.#writeStatus(hpa, { ...hpa.status, desiredReplicas, conditions: conditions.list }, signal);
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

  async #autoscale(hpa: HorizontalPodAutoscaler, signal: AbortSignal): Promise<void> {
    const { clock, client, recorder } = this.#env;
    const { path, scale } = await this.#readScale(hpa, signal);
    const current = scale.spec?.replicas ?? 0;
    const conditions = new Conditions(hpa.status?.conditions, clock.now());
    conditions.set(
      "AbleToScale",
      "True",
      "SucceededGetScale",
      "the HPA controller was able to get the target's current scale",
    );
    if (current === 0 && hpa.spec.minReplicas !== 0) {
      conditions.set(
        "ScalingActive",
        "False",
        "ScalingDisabled",
        "scaling is disabled since the replica count of the target is zero",
      );
      const idle = { ...hpa.status, currentReplicas: 0, desiredReplicas: 0, conditions: conditions.list };
      await this.#writeStatus(hpa, idle, signal);
      return;
    }
    const now = clock.monotonic();
    const { desired, reason, metrics } = await this.#decide(hpa, scale, conditions, now, signal);
    let lastScaleTime = hpa.status?.lastScaleTime;
    if (desired !== current) {
      const rescaled = { ...scale, spec: { ...scale.spec, replicas: desired } };
      await client.raw<Scale>("PUT", path, rescaled, { signal });
      recorder.event(hpa, "Normal", "SuccessfulRescale", `New size: ${desired}; reason: ${reason}`);
      this.#noteChange(hpa, desired - current, now);
      lastScaleTime = formatTime(clock.now());
      conditions.set(
        "AbleToScale",
        "True",
        "SucceededRescale",
        `the HPA controller was able to update the target scale to ${desired}`,
      );
    }
    const status = {
      observedGeneration: hpa.metadata.generation ?? 0,
      ...(lastScaleTime === undefined ? {} : { lastScaleTime }),
      currentReplicas: current,
      desiredReplicas: desired,
      ...(metrics.length === 0 ? {} : { currentMetrics: metrics }),
      conditions: conditions.list,
    };
    await this.#writeStatus(hpa, status, signal);
  }

  /** A target outside of its bounds is brought back first; within them, the metrics say how many replicas there should be. */
  async #decide(
    hpa: HorizontalPodAutoscaler,
    scale: Scale,
    conditions: Conditions,
    now: number,
    signal: AbortSignal,
  ): Promise<{ desired: number; reason: string; metrics: MetricStatus[] }> {
    const current = scale.spec?.replicas ?? 0;
    const bounds = { min: hpa.spec.minReplicas ?? 1, max: hpa.spec.maxReplicas };
    if (current > bounds.max || current < bounds.min) {
      conditions.set("ScalingLimited", "False", "DesiredWithinRange", WITHIN_RANGE);
      const desired = current > bounds.max ? bounds.max : bounds.min;
      return { desired, reason: "Current number of replicas within bounds", metrics: [] };
    }
    const { replicas, reason, statuses } = await this.#propose(hpa, scale, current, signal);
    conditions.set(
      "ScalingActive",
      "True",
      "ValidMetricFound",
      `the HPA was able to successfully calculate a replica count from ${reason}`,
    );
    const memory = this.#remember(hpa, replicas, now);
    const bounded = boundReplicas(current, replicas, bounds, hpa.spec.behavior, memory, this.#tuning, now);
    if (bounded.limited === undefined) conditions.set("ScalingLimited", "False", "DesiredWithinRange", WITHIN_RANGE);
    else conditions.set("ScalingLimited", "True", bounded.limited, LIMITED);
    return { desired: bounded.replicas, reason, metrics: statuses };
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
    const of = { namespace: hpa.metadata.namespace ?? "", selector, resource: source.name, container };
    const samples = await readSamples(this.#env.client, of, signal);
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

  #remember(hpa: HorizontalPodAutoscaler, replicas: number, now: number): Memory {
    const id = `${hpa.metadata.namespace}/${hpa.metadata.name}`;
    const known = this.#memory.get(id) ?? { recommendations: [], changes: [] };
    const oldest = now - MEMORY_MS;
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
