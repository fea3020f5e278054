import type { Node, Taint } from "#pkg/api/types/core-v1.ts";
import { formatTime } from "#pkg/util/index.ts";
import { NOT_READY, sameTaint, UNREACHABLE } from "../common/taints.ts";
import { readyCondition } from "./health.ts";

/** Taint key by condition type and status. */
const CONDITION_TAINTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Ready: { False: NOT_READY, Unknown: UNREACHABLE },
  MemoryPressure: { True: "node.kubernetes.io/memory-pressure" },
  DiskPressure: { True: "node.kubernetes.io/disk-pressure" },
  NetworkUnavailable: { True: "node.kubernetes.io/network-unavailable" },
  PIDPressure: { True: "node.kubernetes.io/pid-pressure" },
};
const UNSCHEDULABLE = "node.kubernetes.io/unschedulable";
const MANAGED = new Set([
  UNSCHEDULABLE,
  ...Object.values(CONDITION_TAINTS).flatMap((byStatus) => Object.values(byStatus)),
]);

/** NoSchedule taints that the node's conditions call for. */
function wantedNoSchedule(node: Node): Taint[] {
  const taints = (node.status?.conditions ?? []).flatMap(({ type, status }): Taint[] => {
    const key = CONDITION_TAINTS[type]?.[status];
    return key === undefined ? [] : [{ key, effect: "NoSchedule" }];
  });
  if (node.spec.unschedulable === true) taints.push({ key: UNSCHEDULABLE, effect: "NoSchedule" });
  return taints;
}

/** The NoExecute taint that the Ready condition calls for. */
export function wantedNoExecute(node: Node): string | undefined {
  const status = readyCondition(node)?.status;
  return status === "False" ? NOT_READY : status === "Unknown" ? UNREACHABLE : undefined;
}

/** Has the node a taint of this key that drives pods away? */
export function hasNoExecute(node: Node, key: string): boolean {
  return (node.spec.taints ?? []).some((taint) => taint.key === key && taint.effect === "NoExecute");
}

/**
 * The taints a node should have; undefined when it has them. NoSchedule follows the conditions at once. NoExecute is
 * set to `noExecute` when given, and taken off when that is "none"; "keep" leaves it as it is.
 */
export function planTaints(node: Node, noExecute: string, now: number): Taint[] | undefined {
  const present = node.spec.taints ?? [];
  const noSchedule = wantedNoSchedule(node);
  const stays = (taint: Taint): boolean => {
    if (taint.effect === "NoSchedule" && MANAGED.has(taint.key))
      return noSchedule.some((wanted) => sameTaint(wanted, taint));
    if (taint.effect === "NoExecute" && (taint.key === NOT_READY || taint.key === UNREACHABLE))
      return noExecute === "keep" || taint.key === noExecute;
    return true;
  };
  const taints = present.filter(stays);
  const time = formatTime(now);
  const added = noSchedule
    .filter((wanted) => !taints.some((taint) => sameTaint(taint, wanted)))
    .map((wanted) => ({ ...wanted, timeAdded: time }));
  if (noExecute !== "keep" && noExecute !== "none") {
    const wanted = { key: noExecute, effect: "NoExecute", timeAdded: time };
    if (!taints.some((taint) => sameTaint(taint, wanted))) added.push(wanted);
  }
  if (added.length === 0 && taints.length === present.length) return undefined;
  return [...taints, ...added];
}
