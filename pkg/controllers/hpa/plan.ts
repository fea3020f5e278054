/** How many replicas one metric asks for: pure. */
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { parseTime } from "#pkg/util/index.ts";
import { isPodTerminal, podCondition } from "../common/pods.ts";

/** How far use may be above and below the target without anything being done. */
export interface Tolerance {
  readonly up: number;
  readonly down: number;
}

/** How long after its start, or its first readiness, a pod's CPU use is not believed. */
export interface Tuning {
  readonly cpuInitializationPeriodMs: number;
  readonly initialReadinessDelayMs: number;
}

/** Usage of one pod, in milli-units, with the time it was taken and the length of its window. */
export interface Sample {
  readonly value: number;
  readonly at: number;
  readonly windowMs: number;
}

/** Pods by what their metrics are worth. */
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

/** A number of replicas, and the use that it is derived from. */
export interface Proposal {
  readonly replicas: number;
  /** Present use: per cent of requests, or milli-units per pod. */
  readonly utilization: number;
  /** Present use per measured pod, in milli-units. */
  readonly average: number;
}

/**
 * Replicas by the ratio of use to target. `requestOf` gives a pod's request in milli-units where the target is a
 * percentage. Pods without samples are taken to be at the target when scaling down, idle when scaling up.
 * Throws when the pods say nothing.
 */
export function proposeReplicas(
  current: number,
  groups: PodGroups,
  samples: ReadonlyMap<string, Sample>,
  target: { readonly utilizationPercent: number } | { readonly averageValue: number },
  requestOf: (pod: Pod) => number,
  tolerance: Tolerance,
): Proposal {
  const percent = "utilizationPercent" in target;
  const goal = percent ? target.utilizationPercent : target.averageValue;
  const use = (pods: readonly { pod: Pod; value: number }[]): number => {
    let used = 0;
    let base = 0;
    for (const { pod, value } of pods) {
      used += value;
      base += percent ? requestOf(pod) : 1;
    }
    if (base === 0) throw new Error("no metrics returned matched known pods");
    return percent ? (used * 100) / base : used / base;
  };
  const measured = groups.ready.map((pod) => ({ pod, value: samples.get(pod.metadata.name)!.value }));
  if (measured.length === 0) throw new Error("did not receive metrics for any ready pods");
  const utilization = use(measured);
  const average = measured.reduce((sum, { value }) => sum + value, 0) / measured.length;
  const at = (replicas: number): Proposal => ({ replicas, utilization, average });
  const ratio = utilization / goal;
  const within = (value: number) => isWithin(value, tolerance);
  const rebalance = groups.missing.length > 0 || (ratio > 1 && groups.unready.length > 0);
  if (!rebalance) {
    return at(within(ratio) ? current : Math.ceil(ratio * measured.length - 1e-9));
  }
  const assumed = (pod: Pod): number => {
    if (ratio >= 1) return 0;
    return percent ? (requestOf(pod) * Math.max(100, goal)) / 100 : goal;
  };
  const all = [...measured, ...groups.missing.map((pod) => ({ pod, value: assumed(pod) }))];
  if (ratio > 1) all.push(...groups.unready.map((pod) => ({ pod, value: 0 })));
  const next = use(all) / goal;
  if (within(next) || (ratio < 1 && next > 1) || (ratio > 1 && next < 1)) return at(current);
  const replicas = Math.ceil(next * all.length - 1e-9);
  const reversed = (next < 1 && replicas > current) || (next > 1 && replicas < current);
  return at(reversed ? current : replicas);
}

/** Is this ratio of use to target near enough to one? */
function isWithin(ratio: number, tolerance: Tolerance): boolean {
  return ratio <= 1 + tolerance.up + 1e-9 && ratio >= 1 - tolerance.down - 1e-9;
}

/** Replicas by one number that stands for all pods, against a target for it; `ready` counts the pods that share it. */
export function proposeByValue(
  current: number,
  ready: number,
  value: number,
  goal: number,
  tolerance: Tolerance,
): number {
  const ratio = value / goal;
  // From zero on, one pod is taken to bear the whole target.
  if (current === 0) return Math.ceil(ratio - 1e-9);
  return isWithin(ratio, tolerance) ? current : Math.ceil(ratio * ready - 1e-9);
}

/** Replicas by one number that all pods share, against a target for each of them. */
export function proposePerPod(replicas: number, value: number, goal: number, tolerance: Tolerance): number {
  const ratio = replicas === 0 ? Number.POSITIVE_INFINITY : value / (goal * replicas);
  return isWithin(ratio, tolerance) ? replicas : Math.ceil(value / goal - 1e-9);
}
