import type { NodeInfo } from "./cache/node-info.ts";
import type { PodInfo } from "./cache/pod-info.ts";
import type { Status } from "./framework/status.ts";
import type { Candidate } from "./preemption/victims.ts";

/** Schedulers beside this one that have a say, asked over HTTP. */
export interface Extenders {
  /** Names of the extenders that manage something the pod uses; none in most clusters. */
  interestedIn(pod: PodInfo): readonly string[];
  /** The nodes that all extenders accept; refusals go into `statuses`. @throws when one that matters does not answer. */
  filter(
    pod: PodInfo,
    nodes: readonly NodeInfo[],
    statuses: Map<NodeInfo, Status>,
    signal: AbortSignal,
  ): Promise<NodeInfo[]>;
  /** Weighted scores to add, by node name. An extender that fails has no opinion. */
  prioritize(pod: PodInfo, nodes: readonly NodeInfo[], signal: AbortSignal): Promise<ReadonlyMap<string, number>>;
  /** Does an extender want to be heard before pods are removed for this one? */
  preemptsFor(pod: PodInfo): boolean;
  /** The candidates all extenders agree to, with the victims they name. */
  processPreemption(pod: PodInfo, candidates: readonly Candidate[], signal: AbortSignal): Promise<readonly Candidate[]>;
  /** Binds the pod if an extender does that for it; false when none does. */
  bind(pod: PodInfo, nodeName: string, signal: AbortSignal): Promise<boolean>;
}

export const NO_EXTENDERS: Extenders = {
  interestedIn: () => [],
  filter: (_pod, nodes) => Promise.resolve([...nodes]),
  prioritize: () => Promise.resolve(new Map()),
  preemptsFor: () => false,
  processPreemption: (_pod, candidates) => Promise.resolve(candidates),
  bind: () => Promise.resolve(false),
};
