import { intOrPercent, labelSelectorAsSelector, type Selector } from "#pkg/apimachinery/index.ts";
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from "#pkg/api/types/policy-v1.ts";
import type { Condition } from "#pkg/api/types/meta-v1.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { errorMessage, formatTime } from "#pkg/util/index.ts";
import { isPodReady } from "../common/pods.ts";

/** An eviction that has not led to a deletion after this long is forgotten. */
const DELETION_TIMEOUT_MS = 2 * 60_000;

/** How many pods a set of pods is meant to have. */
export type Scale =
  | { readonly kind: "known"; readonly replicas: number }
  /** No pods, or their controller cannot be found: nothing can be said. */
  | { readonly kind: "unknown"; readonly message: string };

/** What a budget's selector selects; undefined for one that cannot be read, which the server does not let in. */
export function selectorOf(budget: PodDisruptionBudget): Selector | undefined {
  try {
    return labelSelectorAsSelector(budget.spec.selector);
  } catch {
    return undefined;
  }
}

/** The status that a budget should have. */
export interface BudgetPlan {
  readonly status: PodDisruptionBudgetStatus;
  /** When the next disrupted pod is forgotten. */
  readonly requeueAfterMs: number | undefined;
}

/** The budget's status for these pods; `scale` is only asked where percentages or maxUnavailable need it. */
export function planBudget(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  scale: () => Scale,
  now: number,
): BudgetPlan {
  const { disruptedPods, requeueAfterMs } = stillDisrupted(budget, pods, now);
  const counted = countExpected(budget, pods, scale);
  if ("failure" in counted) return { status: failed(budget, counted.failure, now), requeueAfterMs };
  const currentHealthy = pods.filter(
    (pod) =>
      pod.metadata.deletionTimestamp === undefined && disruptedPods[pod.metadata.name] === undefined && isPodReady(pod),
  ).length;
  const { expected, desired } = counted;
  // With no pods to protect there is nothing to allow.
  const disruptionsAllowed = expected <= 0 ? 0 : Math.max(0, currentHealthy - desired);
  const status: PodDisruptionBudgetStatus = {
    observedGeneration: budget.metadata.generation ?? 0,
    ...(Object.keys(disruptedPods).length === 0 ? {} : { disruptedPods }),
    disruptionsAllowed,
    currentHealthy,
    desiredHealthy: desired,
    expectedPods: expected,
    conditions: withAllowed(
      budget,
      {
        status: disruptionsAllowed > 0 ? "True" : "False",
        observedGeneration: budget.metadata.generation ?? 0,
        reason: disruptionsAllowed > 0 ? "SufficientPods" : "InsufficientPods",
        message: "",
      },
      now,
    ),
  };
  return { status, requeueAfterMs };
}

function countExpected(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  scale: () => Scale,
): { expected: number; desired: number } | { failure: string } {
  const { minAvailable, maxUnavailable } = budget.spec;
  try {
    if (maxUnavailable !== undefined) {
      const found = scale();
      if (found.kind === "unknown") return { failure: found.message };
      const unavailable = intOrPercent(maxUnavailable, found.replicas, true);
      return { expected: found.replicas, desired: Math.max(0, found.replicas - unavailable) };
    }
    if (typeof minAvailable === "number") return { expected: pods.length, desired: minAvailable };
    if (minAvailable === undefined) return { expected: pods.length, desired: 0 };
    const found = scale();
    if (found.kind === "unknown") return { failure: found.message };
    return { expected: found.replicas, desired: intOrPercent(minAvailable, found.replicas, true) };
  } catch (error) {
    return { failure: errorMessage(error) };
  }
}

/** Evictions that were granted and whose pods are still there without being deleted. */
function stillDisrupted(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  now: number,
): { disruptedPods: Record<string, string>; requeueAfterMs: number | undefined } {
  const disruptedPods: Record<string, string> = {};
  let requeueAfterMs: number | undefined;
  const known = new Map(pods.map((pod) => [pod.metadata.name, pod]));
  for (const [name, time] of Object.entries(budget.status?.disruptedPods ?? {})) {
    const pod = known.get(name);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) continue;
    const left = Date.parse(time) + DELETION_TIMEOUT_MS - now;
    if (left <= 0) continue;
    disruptedPods[name] = time;
    requeueAfterMs = Math.min(requeueAfterMs ?? left, left);
  }
  return { disruptedPods, requeueAfterMs };
}

function withAllowed(
  budget: PodDisruptionBudget,
  allowed: Pick<Condition, "status" | "observedGeneration" | "reason" | "message">,
  now: number,
): Condition[] {
  const present = budget.status?.conditions ?? [];
  const current = present.find(({ type }) => type === "DisruptionAllowed");
  const lastTransitionTime = current?.status === allowed.status ? current.lastTransitionTime : formatTime(now);
  const next: Condition = { type: "DisruptionAllowed", ...allowed, lastTransitionTime };
  return current === undefined
    ? [...present, next]
    : present.map((condition) => (condition === current ? next : condition));
}

/** Safe when in doubt: nothing may be disrupted. The generation that was observed is that of the last success. */
function failed(budget: PodDisruptionBudget, message: string, now: number): PodDisruptionBudgetStatus {
  const before = budget.status?.observedGeneration ?? 0;
  const observed = before === 0 ? {} : { observedGeneration: before };
  return {
    ...budget.status,
    disruptionsAllowed: 0,
    currentHealthy: budget.status?.currentHealthy ?? 0,
    desiredHealthy: budget.status?.desiredHealthy ?? 0,
    expectedPods: budget.status?.expectedPods ?? 0,
    conditions: withAllowed(budget, { status: "False", ...observed, reason: "SyncFailed", message }, now),
  };
}
