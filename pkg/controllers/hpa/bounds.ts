/** From what the metrics ask for to what is asked of the target: stabilised, limited in speed, within bounds. Pure. */
import type { HorizontalPodAutoscalerBehavior, HPAScalingRules } from "#pkg/api/types/autoscaling-v2.ts";

/** A change of the number of replicas; `at` in epoch milliseconds. */
export interface Change {
  readonly at: number;
  /** Positive for up, negative for down. */
  readonly by: number;
}

/** What was recommended and done of late; `at` in epoch milliseconds. */
export interface Memory {
  readonly recommendations: readonly { readonly at: number; readonly replicas: number }[];
  readonly changes: readonly Change[];
}

/** The least and the most replicas. */
export interface Bounds {
  readonly min: number;
  readonly max: number;
}

/** What a condition says. */
export interface Verdict {
  readonly reason: string;
  readonly message: string;
}

/** The target once behavior and bounds have had their say. */
export interface Bounded {
  readonly replicas: number;
  /** Whether an earlier recommendation holds back. */
  readonly stabilized: Verdict;
  /** What keeps the target from going where it should; undefined when nothing does. */
  readonly limited: Verdict | undefined;
}

export const WITHIN_RANGE: Verdict = {
  reason: "DesiredWithinRange",
  message: "the desired count is within the acceptable range",
};
const READY: Verdict = { reason: "ReadyForNewScale", message: "recommended size matches current size" };
const HELD_DOWN: Verdict = {
  reason: "ScaleUpStabilized",
  message: "recent recommendations were lower than current one, applying the lowest recent recommendation",
};
const HELD_UP: Verdict = {
  reason: "ScaleDownStabilized",
  message: "recent recommendations were higher than current one, applying the highest recent recommendation",
};
const TOO_FAST_UP: Verdict = {
  reason: "ScaleUpLimit",
  message: "the desired replica count is increasing faster than the maximum scale rate",
};
const TOO_FAST_DOWN: Verdict = {
  reason: "ScaleDownLimit",
  message: "the desired replica count is decreasing faster than the maximum scale rate",
};
const TOO_MANY: Verdict = {
  reason: "TooManyReplicas",
  message: "the desired replica count is more than the maximum replica count",
};
const TOO_FEW: Verdict = {
  reason: "TooFewReplicas",
  message: "the desired replica count is less than the minimum replica count",
};

/** Without a behavior a target may at most double at a time, or grow to this many. */
const FIRST_STEP = 4;

/** The replicas to ask for. `downscaleMs` is how long recommendations hold where the behavior does not say. */
export function boundReplicas(
  current: number,
  desired: number,
  bounds: Bounds,
  behavior: HorizontalPodAutoscalerBehavior | undefined,
  memory: Memory,
  downscaleMs: number,
  now: number,
): Bounded {
  const stable = stabilize(current, desired, behavior, memory, downscaleMs, now);
  const stabilized = stable === desired ? READY : desired >= current && behavior !== undefined ? HELD_DOWN : HELD_UP;
  if (stable > current || behavior === undefined) {
    const speed =
      behavior === undefined
        ? Math.max(2 * current, FIRST_STEP)
        : Math.max(current, rateLimit(current, behavior.scaleUp, memory.changes, 1, now));
    const most = Math.min(bounds.max, speed);
    if (stable < bounds.min) return { replicas: bounds.min, stabilized, limited: TOO_FEW };
    if (stable > most)
      return { replicas: Math.max(most, bounds.min), stabilized, limited: bounds.max > speed ? TOO_FAST_UP : TOO_MANY };
  } else if (stable < current) {
    const speed = Math.min(current, rateLimit(current, behavior.scaleDown, memory.changes, -1, now));
    const least = Math.max(bounds.min, speed);
    if (stable < least) return { replicas: least, stabilized, limited: bounds.min < speed ? TOO_FAST_DOWN : TOO_FEW };
  }
  return { replicas: stable, stabilized, limited: undefined };
}

/** What the recommendations of the windows agree on. */
function stabilize(
  current: number,
  desired: number,
  behavior: HorizontalPodAutoscalerBehavior | undefined,
  memory: Memory,
  downscaleMs: number,
  now: number,
): number {
  const seconds = (rules: HPAScalingRules | undefined) => rules?.stabilizationWindowSeconds;
  const upMs = (seconds(behavior?.scaleUp) ?? 0) * 1000;
  const down = seconds(behavior?.scaleDown);
  const downMs = down === undefined ? downscaleMs : down * 1000;
  let lowest = desired;
  let highest = desired;
  for (const { at, replicas } of memory.recommendations) {
    if (at > now - upMs) lowest = Math.min(lowest, replicas);
    if (at > now - downMs) highest = Math.max(highest, replicas);
  }
  if (behavior === undefined) return highest;
  return Math.min(Math.max(current, lowest), highest);
}

/** How far the policies let a target go in one direction, after what has been done within their periods. */
function rateLimit(
  current: number,
  rules: HPAScalingRules | undefined,
  changes: readonly Change[],
  direction: 1 | -1,
  now: number,
): number {
  if (rules?.selectPolicy === "Disabled") return current;
  const limits = (rules?.policies ?? []).map(({ type, value, periodSeconds }) => {
    const recent = changes.filter(({ at }) => at > now - periodSeconds * 1000);
    const start = current - recent.reduce((sum, { by }) => sum + by, 0);
    if (type === "Pods") return start + direction * value;
    const scaled = start * (1 + (direction * value) / 100);
    return direction > 0 ? Math.ceil(scaled) : Math.floor(scaled);
  });
  if (limits.length === 0) return current;
  const widest = rules?.selectPolicy !== "Min";
  return direction > 0 === widest ? Math.max(...limits) : Math.min(...limits);
}
