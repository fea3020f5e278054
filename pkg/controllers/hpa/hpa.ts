/** Resizes targets by the resource use of their pods and by other metrics, as the metrics APIs report them. */
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
import { errorMessage, formatTime } from "#pkg/util/index.ts";
import { condition, findCondition } from "../common/conditions.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, watching } from "../common/loop.ts";
import { boundReplicas, type Bounded, type Memory, WITHIN_RANGE } from "./bounds.ts";
import { judge, type Judgement, MetricError, type Target } from "./judge.ts";
import { MetricsReader } from "./metrics.ts";
import type { Tolerance, Tuning } from "./plan.ts";

/** Recommendations and changes that are remembered of each target, and for how long: the longest window that an HPA may ask for. */
const MAX_MEMORY = 1000;
const MEMORY_MS = 3_600_000;
const EMPTY: Memory = { recommendations: [], changes: [] };
const DEFAULT_METRICS: readonly MetricSpec[] = [
  { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } },
];
const GOT_SCALE = "the HPA controller was able to get the target's current scale";

/** horizontal-pod-autoscaler-controller. */
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

/** Why an HPA cannot do its work now: an event, and the condition that is in its place. */
class ScalingError extends Error {
  readonly condition: "AbleToScale" | "ScalingActive";
  readonly reason: string;
  readonly eventReason: string;
  readonly eventMessage: string;
  constructor(
    type: "AbleToScale" | "ScalingActive",
    reason: string,
    message: string,
    event: { readonly reason: string; readonly message: string },
  ) {
    super(message);
    this.condition = type;
    this.reason = reason;
    this.eventReason = event.reason;
    this.eventMessage = event.message;
  }
}

/** Nobody serves the kind. */
class NoMatchError extends Error {}

function scaleFailure(cause: unknown): ScalingError {
  const message = errorMessage(cause);
  return new ScalingError(
    "AbleToScale",
    "FailedGetScale",
    `the HPA controller was unable to get the target's current scale: ${message}`,
    { reason: "FailedGetScale", message },
  );
}

/** The conditions of one look at an HPA. */
class Conditions {
  readonly #now: number;
  readonly list: HorizontalPodAutoscalerCondition[];

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
    const current = findCondition(this.list, type);
    const next = condition(type, status, reason, message, this.#now);
    if (current === undefined) this.list.push(next);
    else {
      const since = current.status === status ? current.lastTransitionTime : next.lastTransitionTime;
      this.list[this.list.indexOf(current)] = {
        ...next,
        ...(since === undefined ? {} : { lastTransitionTime: since }),
      };
    }
  }
}

interface Decision {
  readonly desired: number;
  readonly reason: string;
  readonly metrics: MetricStatus[];
}

class Autoscaler {
  readonly #env: ControllerEnv;
  readonly #reader: MetricsReader;
  readonly #memory = new Map<string, Memory>();

  constructor(env: ControllerEnv) {
    this.#env = env;
    this.#reader = new MetricsReader(env.client);
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { clock, informers, options, recorder } = this.#env;
    const hpa = informers.of(horizontalPodAutoscalers).lister.get(key);
    if (hpa === undefined) {
      this.#memory.delete(keyString(key));
      return DONE;
    }
    const conditions = new Conditions(hpa.status?.conditions, clock.now());
    try {
      await this.#autoscale(hpa, conditions, signal);
    } catch (error) {
      if (!(error instanceof ScalingError)) throw error;
      recorder.event(hpa, "Warning", error.eventReason, error.eventMessage);
      conditions.set(error.condition, "False", error.reason, error.message);
      const desiredReplicas = hpa.status?.desiredReplicas ?? 0;
      await this.#writeStatus(hpa, { ...hpa.status, desiredReplicas, conditions: conditions.list }, signal);
    }
    return { requeueAfterMs: options.horizontalPodAutoscalerSyncPeriodMs };
  }

  get #tuning(): Tuning {
    const { options } = this.#env;
    return {
      cpuInitializationPeriodMs: options.horizontalPodAutoscalerCpuInitializationPeriodMs,
      initialReadinessDelayMs: options.horizontalPodAutoscalerInitialReadinessDelayMs,
    };
  }
  #tolerance({ spec: { behavior } }: HorizontalPodAutoscaler): Tolerance {
    const common = this.#env.options.horizontalPodAutoscalerTolerance;
    const own = (value: string | number | undefined) =>
      value === undefined ? common : parseQuantity(String(value)).toNumber();
    return { up: own(behavior?.scaleUp?.tolerance), down: own(behavior?.scaleDown?.tolerance) };
  }

  async #autoscale(hpa: HorizontalPodAutoscaler, conditions: Conditions, signal: AbortSignal): Promise<void> {
    const { clock, recorder } = this.#env;
    const { path, scale } = await this.#readScale(hpa, signal);
    const current = scale.spec?.replicas ?? 0;
    conditions.set("AbleToScale", "True", "SucceededGetScale", GOT_SCALE);
    const now = clock.monotonic();
    this.#remember(hpa, current, now, true);
    if (current === 0 && (hpa.spec.minReplicas ?? 1) !== 0) {
      const why = "scaling is disabled since the replica count of the target is zero";
      conditions.set("ScalingActive", "False", "ScalingDisabled", why);
      await this.#conclude(hpa, { current, desired: 0, metrics: [] }, conditions, signal);
      return;
    }
    let decision: Decision;
    try {
      decision = await this.#decide(hpa, scale, conditions, now, signal);
    } catch (error) {
      if (!(error instanceof MetricError)) throw error;
      const message = `the HPA was unable to compute the replica count: ${error.message}`;
      conditions.set("ScalingActive", "False", error.reason, message);
      const { desiredReplicas: desired = 0, currentMetrics } = hpa.status ?? {};
      await this.#conclude(hpa, { current, desired, metrics: currentMetrics ?? [] }, conditions, signal);
      recorder.event(hpa, "Warning", "FailedComputeMetricsReplicas", error.summary);
      return;
    }
    const { desired, metrics } = decision;
    if (desired === current) {
      await this.#conclude(hpa, { current, desired, metrics }, conditions, signal);
      return;
    }
    await this.#rescale(hpa, path, scale, decision, conditions, signal);
    this.#noteChange(hpa, desired - current, now);
    await this.#conclude(hpa, { current, desired, metrics, scaledAt: formatTime(clock.now()) }, conditions, signal);
  }

  async #rescale(
    hpa: HorizontalPodAutoscaler,
    path: string,
    scale: Scale,
    { desired, reason }: Decision,
    conditions: Conditions,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, recorder } = this.#env;
    try {
      await client.raw<Scale>("PUT", path, { ...scale, spec: { ...scale.spec, replicas: desired } }, { signal });
    } catch (error) {
      const message = errorMessage(error);
      throw new ScalingError(
        "AbleToScale",
        "FailedUpdateScale",
        `the HPA controller was unable to update the target scale: ${message}`,
        { reason: "FailedRescale", message: `New size: ${desired}; reason: ${reason}; error: ${message}` },
      );
    }
    recorder.event(hpa, "Normal", "SuccessfulRescale", `New size: ${desired}; reason: ${reason}`);
    const done = `the HPA controller was able to update the target scale to ${desired}`;
    conditions.set("AbleToScale", "True", "SucceededRescale", done);
  }

  /** A target outside of its bounds is brought back first; within them, the metrics say how many replicas there should be. */
  async #decide(
    hpa: HorizontalPodAutoscaler,
    scale: Scale,
    conditions: Conditions,
    now: number,
    signal: AbortSignal,
  ): Promise<Decision> {
    const current = scale.spec?.replicas ?? 0;
    const bounds = { min: hpa.spec.minReplicas ?? 1, max: hpa.spec.maxReplicas };
    const outside = (reason: string, desired: number): Decision => ({ desired, reason, metrics: [] });
    if (current > bounds.max) return outside("Current number of replicas above Spec.MaxReplicas", bounds.max);
    if (current < bounds.min) return outside("Current number of replicas below Spec.MinReplicas", bounds.min);
    const { replicas, name, statuses } = await this.#propose(hpa, scale, signal);
    const found = `the HPA was able to successfully calculate a replica count from ${name}`;
    conditions.set("ScalingActive", "True", "ValidMetricFound", found);
    const memory = this.#remember(hpa, replicas, now);
    const { horizontalPodAutoscalerDownscaleStabilizationWindowMs: downMs } = this.#env.options;
    const bounded = boundReplicas(current, replicas, bounds, hpa.spec.behavior, memory, downMs, now);
    sayBounded(conditions, bounded);
    const reason = replicas > current ? `${name} above target` : "All metrics below target";
    return { desired: bounded.replicas, reason, metrics: statuses };
  }

  async #readScale(hpa: HorizontalPodAutoscaler, signal: AbortSignal): Promise<{ path: string; scale: Scale }> {
    const { kind, name, apiVersion = "v1" } = hpa.spec.scaleTargetRef;
    if (apiVersion.split("/").length > 2)
      throw scaleFailure(new Error(`unexpected GroupVersion string: ${apiVersion}`));
    const { group, version, plural } = await this.#served(apiVersion, kind, signal).catch((error: unknown) => {
      throw error instanceof NoMatchError ? scaleFailure(error) : error;
    });
    const base = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    const path = `${base}/namespaces/${hpa.metadata.namespace}/${plural}/${encodeURIComponent(name)}/scale`;
    try {
      return { path, scale: await this.#env.client.raw<Scale>("GET", path, undefined, { signal }) };
    } catch (error) {
      throw scaleFailure(error);
    }
  }

  /** The largest proposal of all metrics; one that cannot be read only prevents scaling down. */
  async #propose(
    hpa: HorizontalPodAutoscaler,
    scale: Scale,
    signal: AbortSignal,
  ): Promise<{ replicas: number; name: string; statuses: MetricStatus[] }> {
    const { clock, recorder } = this.#env;
    const target = this.#target(hpa, scale);
    const deps = {
      reader: this.#reader,
      tuning: this.#tuning,
      tolerance: this.#tolerance(hpa),
      now: clock.now(),
      pluralOf: async (apiVersion: string, kind: string) => (await this.#served(apiVersion, kind, signal)).plural,
    };
    const metrics = hpa.spec.metrics ?? DEFAULT_METRICS;
    let best: Judgement | undefined;
    let first: MetricError | undefined;
    let failures = 0;
    const statuses: MetricStatus[] = [];
    for (const metric of metrics) {
      try {
        const found = await judge(deps, target, metric, signal);
        statuses.push(found.status);
        if (best === undefined || found.replicas > best.replicas) best = found;
      } catch (error) {
        if (!(error instanceof MetricError)) throw error;
        recorder.event(hpa, "Warning", error.reason, error.message);
        first ??= error;
        failures++;
      }
    }
    if (best === undefined || (first !== undefined && best.replicas < target.specReplicas)) {
      const failure = first ?? new MetricError("InvalidMetricSourceType", "there are no metrics");
      const summary = `invalid metrics (${failures} invalid out of ${metrics.length}), first error is: ${failure.summary}`;
      throw new MetricError(failure.reason, failure.message, summary);
    }
    return { replicas: best.replicas, name: best.name, statuses };
  }

  #target(hpa: HorizontalPodAutoscaler, scale: Scale): Target {
    const text = scale.status?.selector ?? "";
    if (text === "")
      throw new ScalingError("ScalingActive", "InvalidSelector", "the HPA target's scale is missing a selector", {
        reason: "SelectorRequired",
        message: "selector is required",
      });
    const selector = parseLabelSelector(text);
    const selected = this.#env.informers.pods().lister.list(hpa.metadata.namespace);
    return {
      hpa,
      selector: text,
      pods: selected.filter((pod) => selector.matches(pod.metadata.labels)),
      specReplicas: scale.spec?.replicas ?? 0,
      statusReplicas: scale.status?.replicas ?? 0,
    };
  }

  /** The preferred version of a kind. Throws NoMatchError. */
  async #served(apiVersion: string, kind: string, signal: AbortSignal) {
    const { group } = parseApiVersion(apiVersion);
    const { resources } = await this.#env.discovery.get(signal);
    const served = resources.find(({ ref }) => ref.group === group && ref.kind === kind);
    if (served === undefined) throw new NoMatchError(`no matches for kind "${kind}" in group "${group}"`);
    return served.ref;
  }

  /** The first recommendation of all is what there is: a controller that starts does not scale down at once. */
  #remember(hpa: HorizontalPodAutoscaler, replicas: number, now: number, firstOnly = false): Memory {
    const id = `${hpa.metadata.namespace}/${hpa.metadata.name}`;
    const known = this.#memory.get(id);
    if (known !== undefined && firstOnly) return known;
    const { recommendations, changes } = known ?? EMPTY;
    const oldest = now - MEMORY_MS;
    const memory: Memory = {
      recommendations: [...recommendations.filter(({ at }) => at > oldest), { at: now, replicas }].slice(-MAX_MEMORY),
      changes: changes.filter(({ at }) => at > oldest),
    };
    this.#memory.set(id, memory);
    return memory;
  }
  #noteChange(hpa: HorizontalPodAutoscaler, by: number, now: number): void {
    const id = `${hpa.metadata.namespace}/${hpa.metadata.name}`;
    const known = this.#memory.get(id) ?? EMPTY;
    this.#memory.set(id, { ...known, changes: [...known.changes, { at: now, by }].slice(-MAX_MEMORY) });
  }

  async #conclude(
    hpa: HorizontalPodAutoscaler,
    seen: { current: number; desired: number; metrics: readonly MetricStatus[]; scaledAt?: string },
    { list }: Conditions,
    signal: AbortSignal,
  ): Promise<void> {
    const lastScaleTime = seen.scaledAt ?? hpa.status?.lastScaleTime;
    const status = {
      ...(lastScaleTime === undefined ? {} : { lastScaleTime }),
      currentReplicas: seen.current,
      desiredReplicas: seen.desired,
      ...(seen.metrics.length === 0 ? {} : { currentMetrics: [...seen.metrics] }),
      conditions: list,
    };
    await this.#writeStatus(hpa, status, signal);
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

function sayBounded(conditions: Conditions, { stabilized, limited }: Bounded): void {
  conditions.set("AbleToScale", "True", stabilized.reason, stabilized.message);
  const { reason, message } = limited ?? WITHIN_RANGE;
  conditions.set("ScalingLimited", limited === undefined ? "False" : "True", reason, message);
}
