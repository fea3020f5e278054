import { isNotFound, keyOf } from "#pkg/apimachinery/index.ts";
import { pods as podsRef } from "#pkg/api/refs.ts";
import type { PodDisruptionBudget } from "#pkg/api/types/policy-v1.ts";
import type { Client, SeriesRecorder } from "#pkg/client/index.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { SchedulerCache } from "../cache/cache.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import type { Extenders } from "../extenders.ts";
import { fitErrorMessage } from "../framework/diagnosis.ts";
import { unschedulable, unresolvable } from "../framework/status.ts";
import type { Status } from "../framework/status.ts";
import type { Diagnosis, Plugin, PostFilterResult } from "../framework/types.ts";
import { NO_VICTIMS, pickBest, selectVictims } from "../preemption/victims.ts";
import type { Candidate } from "../preemption/victims.ts";
import type { SchedulerMetrics } from "../metrics.ts";
import type { PermitWaits } from "../permit-waits.ts";
import type { Nominator } from "../queue/nominator.ts";

/**
 * Arguments of DefaultPreemption: how many candidates are looked for, as a part of all nodes (default 10) and at least
 * (default 100).
 */
export interface DefaultPreemptionArgs {
  readonly minCandidateNodesPercentage?: number;
  readonly minCandidateNodesAbsolute?: number;
}

/** What preemption needs. */
export interface PreemptionDeps {
  readonly cache: SchedulerCache;
  readonly nominator: Nominator;
  readonly client: Client;
  readonly recorder: SeriesRecorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly waits: PermitWaits;
  readonly extenders: Extenders;
  readonly metrics: SchedulerMetrics;
  readonly budgets: () => readonly PodDisruptionBudget[];
}

const NOT_HELPFUL = unresolvable("Preemption is not helpful for scheduling");

/** Makes room for a pod by removing less important ones, where that is all it takes. */
export function defaultPreemption(deps: PreemptionDeps, args: DefaultPreemptionArgs = {}): Plugin {
  const preemption = new Preemption(deps, args);
  return {
    name: "DefaultPreemption",
    postFilter: (pod, diagnosis, _cycle, signal) => preemption.run(pod, diagnosis, signal),
  };
}

class Preemption {
  readonly #deps: PreemptionDeps;
  readonly #percentage: number;
  readonly #absolute: number;

  constructor(
    deps: PreemptionDeps,
    { minCandidateNodesPercentage = 10, minCandidateNodesAbsolute = 100 }: DefaultPreemptionArgs,
  ) {
    this.#deps = deps;
    this.#percentage = minCandidateNodesPercentage;
    this.#absolute = minCandidateNodesAbsolute;
  }

  /** Chooses in this turn (unless extenders have a say), so that the pods scheduled next know of the nomination. */
  async run(pod: PodInfo, diagnosis: Diagnosis, signal: AbortSignal): Promise<PostFilterResult> {
    const ineligible = this.#whyIneligible(pod, diagnosis);
    if (ineligible !== undefined) return { status: unschedulable(`preemption: ${ineligible}`) };
    const { candidates, statuses } = this.#findCandidates(pod, diagnosis);
    const agreed =
      candidates.length > 0 && this.#deps.extenders.preemptsFor(pod)
        ? await this.#deps.extenders.processPreemption(pod, candidates, signal)
        : candidates;
    const chosen = pickBest(agreed);
    if (chosen === undefined) {
      const message = fitErrorMessage({ ...diagnosis, statuses, preFilterMessage: "" }, "");
      return { status: unschedulable(`preemption: ${message}`), nominatedNodeName: "" };
    }
    const { nominator } = this.#deps;
    nominator.nominate(pod, chosen.node.name);
    try {
      await this.#evict(pod, chosen, signal);
    } catch (error) {
      nominator.delete(pod.uid);
      throw error;
    }
    return { status: undefined, nominatedNodeName: chosen.node.name };
  }

  #whyIneligible(pod: PodInfo, { statuses }: Diagnosis): string | undefined {
    if (pod.pod.spec.preemptionPolicy === "Never") return "not eligible due to preemptionPolicy=Never.";
    const nominated = this.#deps.nominator.nodeOf(pod.uid) ?? pod.pod.status?.nominatedNodeName ?? "";
    const node = nominated === "" ? undefined : this.#deps.cache.node(nominated);
    if (node === undefined || statuses.get(node)?.code === "UnschedulableAndUnresolvable") return undefined;
    for (const other of node.pods.values()) {
      if (other.priority < pod.priority && isPreempted(other))
        return "not eligible due to a terminating pod on the nominated node.";
    }
    return undefined;
  }

  #findCandidates(pod: PodInfo, diagnosis: Diagnosis): { candidates: Candidate[]; statuses: Map<NodeInfo, Status> } {
    const statuses = new Map<NodeInfo, Status>();
    const candidates: Candidate[] = [];
    const potential: NodeInfo[] = [];
    for (const [node, status] of diagnosis.statuses) {
      if (status.code === "Unschedulable") potential.push(node);
      else statuses.set(node, NOT_HELPFUL);
    }
    const run = diagnosis.filterRun;
    if (run === undefined || potential.length === 0) {
      for (const node of potential) statuses.set(node, NOT_HELPFUL);
      return { candidates, statuses };
    }
    if (!this.#deps.cache.hasLowerPriority(pod.priority)) {
      for (const node of potential) statuses.set(node, NO_VICTIMS);
      return { candidates, statuses };
    }
    const dryRun = { pod, run, budgets: this.#deps.budgets(), nominator: this.#deps.nominator };
    const wanted = Math.min(
      potential.length,
      Math.max(Math.trunc((potential.length * this.#percentage) / 100), this.#absolute),
    );
    // Beginning anywhere spreads preemption over the cluster. Enough is enough, but one that breaks no budget must be in.
    const start = this.#deps.random.int(potential.length);
    let harmless = 0;
    for (let i = 0; i < potential.length; i++) {
      if (candidates.length >= wanted && harmless > 0) break;
      const node = potential[(start + i) % potential.length]!;
      const outcome = selectVictims(dryRun, node);
      if ("victims" in outcome) {
        candidates.push(outcome);
        if (outcome.violations === 0) harmless++;
      } else statuses.set(node, outcome);
    }
    return { candidates, statuses };
  }

  async #evict(preemptor: PodInfo, { node, victims }: Candidate, signal: AbortSignal): Promise<void> {
    const { nominator, recorder, log, metrics } = this.#deps;
    metrics.preempted(victims.length);
    // Others that hoped for this node have to look again.
    const displaced = [...nominator.on(node.name)].filter(({ priority }) => priority < preemptor.priority);
    for (const { uid } of displaced) nominator.delete(uid);
    log.info({ pod: preemptor.key, node: node.name, victims: victims.map(({ key }) => key) }, "Preempting pods");
    await Promise.all(
      victims.map(async (victim) => {
        this.#deps.waits.reject(victim.uid, "DefaultPreemption", "preempted");
        if (victim.pod.metadata.deletionTimestamp !== undefined) return;
        await this.#markAndDelete(preemptor, victim, signal);
        recorder.report({
          regarding: victim.pod,
          related: preemptor.pod,
          type: "Normal",
          reason: "Preempted",
          action: "Preempting",
          note: `Preempted by pod ${preemptor.uid} on node ${node.name}`,
          controller: preemptor.schedulerName,
        });
      }),
    );
    await Promise.all(displaced.map((other) => this.#clearNomination(other, signal)));
  }

  async #markAndDelete(preemptor: PodInfo, { pod }: PodInfo, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#deps;
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "PreemptionByScheduler",
      message: `${preemptor.schedulerName}: preempting to accommodate a higher priority pod`,
      lastTransitionTime: formatTime(clock.now()),
      ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    };
    const { uid } = pod.metadata;
    try {
      const patch = { metadata: { uid }, status: { conditions: [condition] } };
      await client.patch(podsRef, keyOf(pod), "strategic", patch, { subresource: "status", signal });
      await client.delete(podsRef, keyOf(pod), { preconditions: { uid }, signal });
    } catch (error) {
      if (!isNotFound(error)) throw error; // it has gone by itself
    }
  }

  async #clearNomination({ pod }: PodInfo, signal: AbortSignal): Promise<void> {
    try {
      const patch = { metadata: { uid: pod.metadata.uid }, status: { nominatedNodeName: null } };
      await this.#deps.client.patch(podsRef, keyOf(pod), "merge", patch, { subresource: "status", signal });
    } catch (err) {
      // Our own nominations are right already; the status is only what others see.
      this.#deps.log.debug({ err, pod: pod.metadata.name }, "Failed to clear a nomination");
    }
  }
}

/** On its way out because of preemption: its place will be free soon. */
function isPreempted({ pod }: PodInfo): boolean {
  return (
    pod.metadata.deletionTimestamp !== undefined &&
    pod.status?.conditions?.some(
      ({ type, status, reason }) =>
        type === "DisruptionTarget" && status === "True" && reason === "PreemptionByScheduler",
    ) === true
  );
}
