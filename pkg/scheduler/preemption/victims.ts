import type { PodDisruptionBudget } from "#pkg/api/types/policy-v1.ts";
import { parseTime } from "#pkg/util/index.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import { compileLabelSelector } from "../cache/selectors.ts";
import { filterWithNominated } from "../framework/nominated.ts";
import { unresolvable } from "../framework/status.ts";
import type { Status } from "../framework/status.ts";
import type { FilterRun } from "../framework/types.ts";
import type { Nominator } from "../queue/nominator.ts";

/** A node where the pod would fit if these pods went, the most important first. */
export interface Candidate {
  readonly node: NodeInfo;
  readonly victims: readonly PodInfo[];
  /** How many of them a disruption budget would rather keep. */
  readonly violations: number;
}

/** Everybody on the node is at least as important. */
export const NO_VICTIMS = unresolvable("No preemption victims found for incoming pod");

/** What trying out the removal of pods needs. */
export interface DryRun {
  readonly pod: PodInfo;
  readonly run: FilterRun;
  readonly budgets: readonly PodDisruptionBudget[];
  readonly nominator: Nominator;
}

/** Finds the fewest and least important pods whose going makes room on the node, sparing disruption budgets. */
export function selectVictims({ pod, run, budgets, nominator }: DryRun, node: NodeInfo): Candidate | Status {
  const lower: PodInfo[] = [];
  for (const other of node.pods.values()) if (other.priority < pod.priority) lower.push(other);
  if (lower.length === 0) return NO_VICTIMS;
  const trial = run.clone();
  const emptied = node.clone();
  const remove = (other: PodInfo) => {
    emptied.removePod(other.uid);
    trial.removePod(other, emptied);
  };
  for (const other of lower) remove(other);
  const refusal = filterWithNominated(trial, pod, emptied, nominator);
  if (refusal !== undefined) return refusal;

  lower.sort(moreImportantFirst);
  const { violating, others } = splitByBudgets(lower, budgets);
  const victims: PodInfo[] = [];
  /** Puts the pod back if there is room for both; otherwise it has to go. */
  const reprieve = (other: PodInfo): boolean => {
    emptied.addPod(other);
    trial.addPod(other, emptied);
    if (filterWithNominated(trial, pod, emptied, nominator) === undefined) return true;
    remove(other);
    victims.push(other);
    return false;
  };
  let violations = 0;
  for (const other of violating) if (!reprieve(other)) violations++;
  for (const other of others) reprieve(other);
  return { node, victims: victims.sort(moreImportantFirst), violations };
}

/** Higher priority, then the longer running. */
function moreImportantFirst(a: PodInfo, b: PodInfo): number {
  return b.priority - a.priority || startedAt(a) - startedAt(b);
}

/** Epoch milliseconds; pods that have not started count as starting now, the last of all. */
function startedAt({ pod }: PodInfo): number {
  return parseTime(pod.status?.startTime) ?? Number.MAX_SAFE_INTEGER;
}

function splitByBudgets(
  pods: readonly PodInfo[],
  budgets: readonly PodDisruptionBudget[],
): { violating: PodInfo[]; others: PodInfo[] } {
  const allowances = budgets.map(({ metadata, spec, status }) => ({
    namespace: metadata.namespace,
    matcher: compileLabelSelector(spec?.selector),
    selectsAll: isEmptySelector(spec?.selector),
    disrupted: status?.disruptedPods ?? {},
    left: status?.disruptionsAllowed ?? 0,
  }));
  const violating: PodInfo[] = [];
  const others: PodInfo[] = [];
  for (const pod of pods) {
    let violates = false;
    for (const allowance of allowances) {
      if (allowance.namespace !== pod.namespace || allowance.selectsAll || !allowance.matcher.matches(pod.labels))
        continue;
      // Its eviction has been counted already.
      if (Object.hasOwn(allowance.disrupted, pod.pod.metadata.name)) continue;
      allowance.left--;
      if (allowance.left < 0) violates = true;
    }
    (violates ? violating : others).push(pod);
  }
  return { violating, others };
}

function isEmptySelector(
  selector: { matchLabels?: object; matchExpressions?: readonly unknown[] } | undefined,
): boolean {
  if (selector === undefined) return true;
  return Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions?.length ?? 0) === 0;
}

/** 2^31: makes sums of priorities count negative ones upwards too. */
const PRIORITY_OFFSET = 2 ** 31;

/** The candidate that hurts least, by upstream's order of criteria; the first of equals. */
export function pickBest(candidates: readonly Candidate[]): Candidate | undefined {
  let best: { candidate: Candidate; rank: readonly number[] } | undefined;
  for (const candidate of candidates) {
    const rank = rankOf(candidate);
    if (best === undefined || compareRanks(rank, best.rank) < 0) best = { candidate, rank };
  }
  return best?.candidate;
}

function rankOf({ victims, violations }: Candidate): number[] {
  const highest = victims[0]?.priority ?? -Infinity;
  const sum = victims.reduce((total, { priority }) => total + priority + PRIORITY_OFFSET, 0);
  const important = victims.filter(({ priority }) => priority === highest);
  const earliest = important.reduce((time, victim) => Math.min(time, startedAt(victim)), Infinity);
  // A node whose most important victims started last is preferred.
  return [violations, highest, sum, victims.length, -earliest];
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) {
    const left = a[i]!;
    const right = b[i]!;
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}
