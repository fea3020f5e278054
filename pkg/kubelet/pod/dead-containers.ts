/** Which containers that have ended are kept: for their logs, for their status, and no more of them than is asked for. */
import { rm } from "node:fs/promises";
import type { Runtime } from "../cri/runtime.ts";
import type { ObservedContainer, ObservedPod } from "./observed.ts";

/** How many containers that have ended are kept. */
export interface DeadContainerPolicy {
  /** Of each container, beside its newest instance; negative: all. */
  readonly maxPerContainer: number;
  /** On the whole node; negative: any number. */
  readonly maxOnNode: number;
  /** What ended later than so long ago is kept in any case. */
  readonly minAgeMs: number;
}

const isOld = ({ state, finishedAt }: ObservedContainer, { minAgeMs }: DeadContainerPolicy, now: number): boolean =>
  state !== "Exited" || now - finishedAt >= minAgeMs;

/** A pod's containers, by name, newest first. */
const instances = ({ containers }: ObservedPod): ReadonlyMap<string, readonly ObservedContainer[]> =>
  Map.groupBy(containers, ({ metadata }) => metadata.name);

/**
 * Instances of a pod's containers that newer ones have taken the place of. Of an init container only the latest end counts,
 * whatever the policy: what went before it is over with it. Pure.
 */
export function surplusOf(
  pod: ObservedPod,
  isInit: (name: string) => boolean,
  policy: DeadContainerPolicy,
  now: number,
): ObservedContainer[] {
  const dead = (all: readonly ObservedContainer[]) => all.filter(({ state }) => state !== "Running");
  return [...instances(pod)].flatMap(([name, all]) => {
    if (isInit(name)) return dead(all).slice(1);
    if (policy.maxPerContainer < 0) return [];
    return dead(all.slice(policy.maxPerContainer + 1)).filter((container) => isOld(container, policy, now));
  });
}

/**
 * What has to go so that there are no more dead containers on the node than there may be, pods' shares cut evenly, then the
 * oldest first. Of a pod that goes on (`active`), the newest instance of each container stays: it says what is to be done. Pure.
 */
export function surplusOnNode(
  pods: readonly ObservedPod[],
  active: (uid: string) => boolean,
  policy: DeadContainerPolicy,
  now: number,
): ObservedContainer[] {
  if (policy.maxOnNode < 0) return [];
  const units = pods
    .flatMap((pod) => [...instances(pod).values()].map((all) => (active(pod.uid) ? all.slice(1) : all)))
    .map((all) => all.filter((container) => container.state === "Exited" && isOld(container, policy, now)))
    .filter((dead) => dead.length > 0);
  const count = units.reduce((sum, dead) => sum + dead.length, 0);
  if (count <= policy.maxOnNode) return [];
  const share = Math.max(1, Math.floor(policy.maxOnNode / units.length));
  const kept = units.flatMap((dead) => dead.slice(0, share)).sort((a, b) => a.createdAt - b.createdAt);
  const tooMany = Math.max(0, kept.length - policy.maxOnNode);
  return [...units.flatMap((dead) => dead.slice(share)), ...kept.slice(0, tooMany)];
}

/** Removes a container that has ended, with its log. */
export async function removeContainer(
  runtime: Runtime,
  { id, logPath }: Pick<ObservedContainer, "id" | "logPath">,
  signal: AbortSignal,
): Promise<void> {
  await runtime.removeContainer(id, { signal });
  if (logPath !== "") await rm(logPath, { force: true });
}
