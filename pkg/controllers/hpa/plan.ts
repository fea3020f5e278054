/** How many replicas a HorizontalPodAutoscaler should ask for: pure. */
import type { HorizontalPodAutoscalerBehavior, HPAScalingRules } from "#pkg/api/types/autoscaling-v2.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { parseTime } from "#pkg/util/index.ts";
import { isPodTerminal, podCondition } from "../common/pods.ts";

export interface Tuning {
  readonly tolerance: number;
  readonly cpuInitializationPeriodMs: number;
  readonly initialReadinessDelayMs: number;
  readonly downscaleStabilizationMs: number;
}

/** Usage of one pod, in milli-units, with the time it was taken and the length of its window. */
export interface Sample {
  readonly value: number;
  readonly at: number;
  readonly windowMs: number;
}

export interface PodGroups {
  readonly ready: Pod[];
  /** Still starting: their usage says nothing yet. */
  readonly unready: Pod[];
  /** Without a sample. */
  readonly missing: Pod[];
}

/** Sorts a target's pods by what their samples are worth. Finished and going ones are left out. */
export function groupPods(
  pods: readonly Pod[],
  samples: ReadonlyMap<string, Sample>,
  isCpu: boolean,
  tuning: Tuning,
  now: number,
): PodGroups {
  const groups: PodGroups = { ready: [], unready: [], missing: [] };
  for (const pod of pods) {
    if (pod.metadata.deletionTimestamp !== undefined || isPodTerminal(pod)) continue;
    const sample = samples.get(pod.metadata.name);
    if (pod.status?.phase === "Pending") groups.unready.push(pod);
    else if (sample === undefined) groups.missing.push(pod);
    else if (isCpu && isStarting(pod, sample, tuning, now)) groups.unready.push(pod);
    else groups.ready.push(pod);
  }
  return groups;
}

function isStarting(pod: Pod, sample: Sample, tuning: Tuning, now: number): boolean {
  const condition = podCondition(pod, "Ready");
  const started = parseTime(pod.status?.startTime);
  if (condition === undefined || started === undefined) return true;
  const changed = parseTime(condition.lastTransitionTime) ?? started;
  if (started + tuning.cpuInitializationPeriodMs > now)
    return condition.status === "False" || sample.at < changed + sample.windowMs;
  return condition.status === "False" && started + tuning.initialReadinessDelayMs > changed;
}

export interface Proposal {
  readonly replicas: number;
  /** Present use: per cent of requests, or milli-units per pod. */
  readonly utilization: number;
}

/**
 * Replicas by the ratio of use to target. `requestOf` gives a pod's request in milli-units where the target is a
 * percentage. Pods without samples are taken to be at the target when scaling down, idle when scaling up.
 */
export function proposeReplicas(
  current: number,
  groups: PodGroups,
  samples: ReadonlyMap<string, Sample>,
  target: { readonly utilizationPercent: number } | { readonly averageValue: number },
  requestOf: (pod: Pod) => number | undefined,
  tolerance: number,
): Proposal | undefined {
  const percent = "utilizationPercent" in target;
  const goal = percent ? target.utilizationPercent : target.averageValue;
  const use = (pods: readonly { pod: Pod; value: number }[]): number | undefined => {
    let used = 0;
    let base = 0;
    for (const { pod, value } of pods) {
      used += value;
      const request = percent ? requestOf(pod) : 1;
      if (request === undefined) return undefined;
      base += request;
    }
    return base === 0 ? undefined : percent ? (used * 100) / base : used / base;
  };
  const measured = groups.ready.map((pod) => ({ pod, value: samples.get(pod.metadata.name)!.value }));
  const utilization = use(measured);
  if (utilization === undefined) return undefined;
  const ratio = utilization / goal;
  const within = (value: number) => Math.abs(value - 1) <= tolerance + 1e-9;
  const rebalance = groups.missing.length > 0 || (ratio > 1 && groups.unready.length > 0);
  if (!rebalance) {
    return within(ratio)
      ? { replicas: current, utilization }
      : { replicas: Math.ceil(ratio * measured.length - 1e-9), utilization };
  }
  const assumed = (pod: Pod): number => {
    if (ratio >= 1) return 0;
    return percent ? ((requestOf(pod) ?? 0) * Math.max(100, goal)) / 100 : goal;
  };
  const all = [...measured, ...groups.missing.map((pod) => ({ pod, value: assumed(pod) }))];
  if (ratio > 1) all.push(...groups.unready.map((pod) => ({ pod, value: 0 })));
  const balanced = use(all);
  if (balanced === undefined) return undefined;
  const next = balanced / goal;
  if (within(next) || (ratio < 1 && next > 1) || (ratio > 1 && next < 1)) return { replicas: current, utilization };
  const replicas = Math.ceil(next * all.length - 1e-9);
  const reversed = (next < 1 && replicas > current) || (next > 1 && replicas < current);
  return { replicas: reversed ? current : replicas, utilization };
}

export interface Change {
  readonly at: number;
  /** Positive for up, negative for down. */
  readonly by: number;
}
export interface Memory {
  readonly recommendations: readonly { readonly at: number; readonly replicas: number }[];
  readonly changes: readonly Change[];
}

const DEFAULT_UP: HPAScalingRules = {
  stabilizationWindowSeconds: 0,
  selectPolicy: "Max",
  policies: [
    { type: "Pods", value: 4, periodSeconds: 15 },
    { type: "Percent", value: 100, periodSeconds: 15 },
  ],
};
const DEFAULT_DOWN: HPAScalingRules = {
  selectPolicy: "Max",
  policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
};

/** The desired number within bounds, stabilised over the window, and limited in speed. */
export function boundReplicas(
  current: number,
  desired: number,
  bounds: { readonly min: number; readonly max: number },
  behavior: HorizontalPodAutoscalerBehavior | undefined,
  memory: Memory,
  tuning: Tuning,
  now: number,
): { replicas: number; limited: string | undefined } {
  const up = { ...DEFAULT_UP, ...behavior?.scaleUp };
  const down = { ...DEFAULT_DOWN, ...behavior?.scaleDown };
  const upWindow = (up.stabilizationWindowSeconds ?? 0) * 1000;
  const downWindow =
    down.stabilizationWindowSeconds === undefined
      ? tuning.downscaleStabilizationMs
      : down.stabilizationWindowSeconds * 1000;
  let lowest = desired;
  let highest = desired;
  for (const { at, replicas } of memory.recommendations) {
    if (at > now - upWindow) lowest = Math.min(lowest, replicas);
    if (at > now - downWindow) highest = Math.max(highest, replicas);
  }
  let stable = current;
  if (stable < lowest) stable = lowest;
  if (stable > highest) stable = highest;
  if (stable > current) {
    const limit = Math.max(current, rateLimit(current, up, memory.changes, 1, now));
    const replicas = Math.min(stable, limit, bounds.max);
    return {
      replicas: Math.max(replicas, bounds.min),
      limited: replicas === stable ? undefined : replicas === bounds.max ? "TooManyReplicas" : "ScaleUpLimit",
    };
  }
  if (stable < current) {
    const limit = Math.min(current, rateLimit(current, down, memory.changes, -1, now));
    const replicas = Math.max(stable, limit, bounds.min);
    return {
      replicas: Math.min(replicas, bounds.max),
      limited: replicas === stable ? undefined : replicas === bounds.min ? "TooFewReplicas" : "ScaleDownLimit",
    };
  }
  return { replicas: Math.min(Math.max(stable, bounds.min), bounds.max), limited: undefined };
}

function rateLimit(
  current: number,
  rules: HPAScalingRules,
  changes: readonly Change[],
  direction: 1 | -1,
  now: number,
): number {
  if (rules.selectPolicy === "Disabled") return current;
  const limits = (rules.policies ?? []).map(({ type, value, periodSeconds }) => {
    const recent = changes.filter(({ at, by }) => at > now - periodSeconds * 1000 && Math.sign(by) === direction);
    const start = current - recent.reduce((sum, { by }) => sum + by, 0);
    if (type === "Pods") return start + direction * value;
    const scaled = start * (1 + (direction * value) / 100);
    return direction > 0 ? Math.ceil(scaled) : Math.floor(scaled);
  });
  if (limits.length === 0) return current;
  const widest = rules.selectPolicy !== "Min";
  return direction > 0 === widest ? Math.max(...limits) : Math.min(...limits);
}
