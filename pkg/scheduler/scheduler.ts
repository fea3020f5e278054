/**
 * The scheduler's main loop: one pod after the other is decided on in the snapshot of this moment; bindings and
 * reports go out in the background.
 */
import type { Controller, Client, SeriesRecorder } from "#pkg/client/index.ts";
import { type Clock, type Logger, type Random, errorMessage } from "#pkg/util/index.ts";
import { bind, bindingMessage, postBind, reserve, unreserve } from "./binding.ts";
import type { Placement } from "./binding.ts";
import type { SchedulerCache } from "./cache/cache.ts";
import { assignedPodDeleted } from "./cluster-events.ts";
import type { ClusterWatch } from "./cluster-watch.ts";
import { Explanations } from "./explain.ts";
import type { Explanation } from "./explain.ts";
import type { Extenders } from "./extenders.ts";
import { fitErrorMessage } from "./framework/diagnosis.ts";
import { POD_SPEC } from "./framework/profile.ts";
import type { Profile } from "./framework/profile.ts";
import { isRejection, messageOf, unschedulable } from "./framework/status.ts";
import type { Status } from "./framework/status.ts";
import { CycleState } from "./framework/types.ts";
import type { Diagnosis, PostFilterResult } from "./framework/types.ts";
import type { AttemptResult, SchedulerMetrics } from "./metrics.ts";
import { NodeSearch } from "./node-search.ts";
import type { SearchResult } from "./node-search.ts";
import type { PermitWaits } from "./permit-waits.ts";
import { reportUnscheduled } from "./pod-status.ts";
import type { SchedulingStatus } from "./pod-status.ts";
import type { Nominator } from "./queue/nominator.ts";
import type { Failure, SchedulingQueue, WaitingPod } from "./queue/scheduling-queue.ts";

/** The parts that a scheduling cycle runs through. */
export interface SchedulerParts {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly recorder: SeriesRecorder;
  readonly cache: SchedulerCache;
  readonly queue: SchedulingQueue;
  readonly nominator: Nominator;
  readonly profiles: ReadonlyMap<string, Profile>;
  readonly extenders: Extenders;
  readonly waits: PermitWaits;
  readonly watch: ClusterWatch;
  readonly metrics: SchedulerMetrics;
}

/** How many pods may be on their way to the API at the same time. */
const MAX_IN_FLIGHT = 512;
/** How many of them may be waiting for extenders. */
const MAX_ASKING = 64;
/** The loop lets others run (responses, watch events) after this long. */
const SLICE_MS = 5;
const ERROR: Failure = { unschedulablePlugins: new Set(), error: true };

/** Takes pods from the queue one after the other, decides on a node for each, and binds them in the background. */
export class Scheduler implements Controller {
  readonly name = "kube-scheduler";
  readonly #parts: SchedulerParts;
  readonly #search: NodeSearch;
  readonly #explanations = new Explanations();
  readonly #inFlight = new Set<Promise<void>>();
  #onLanded: () => void = () => undefined;
  /** Pods that wait for an extender's answer. */
  #asking = 0;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    this.#search = new NodeSearch(parts);
  }
  /** What the last attempt to schedule the pod ("namespace/name") came to, node by node; undefined: it is unknown. */
  explain(key: string): Explanation | undefined {
    return this.#explanations.explain(key, this.#parts.queue.waitOf(key));
  }
  /** What has been done so far, as Prometheus text. */
  metrics(): Promise<string> {
    return this.#parts.metrics.render();
  }
  /** Are there pods to decide on, or decisions on their way? */
  get busy(): boolean {
    return this.#inFlight.size > 0 || this.#parts.queue.isActive;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { queue, log, watch } = this.#parts;
    const stopWatching = watch.start((key) => this.#explanations.forget(key));
    try {
      await watch.synced(signal);
      log.info({ nodes: this.#parts.cache.nodes.length, pods: this.#parts.cache.podCount }, "Scheduler is ready");
      queue.startFlushing(signal);
      await this.#loop(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      stopWatching();
      await Promise.all(this.#inFlight);
    }
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const { queue, clock } = this.#parts;
    let sliceStart = clock.monotonic();
    while (!signal.aborted) {
      const waiting = queue.pop();
      if (waiting === undefined) {
        await queue.arrival(signal);
        // Pods mostly come in groups; what else has arrived this turn is queued before the first is taken.
        sliceStart = clock.monotonic();
        continue;
      }
      this.#schedule(waiting, signal);
      while (this.#inFlight.size >= MAX_IN_FLIGHT) await new Promise<void>((resolve) => (this.#onLanded = resolve));
      if (clock.monotonic() - sliceStart >= SLICE_MS) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        sliceStart = clock.monotonic();
      }
    }
  }

  /** One attempt, which goes on in the background where extenders have to be asked. Never throws. */
  #schedule(waiting: WaitingPod, signal: AbortSignal): void {
    const { cache, queue, profiles, extenders } = this.#parts;
    const { info } = waiting;
    const profile = profiles.get(info.schedulerName);
    const isPointless = info.pod.metadata.deletionTimestamp !== undefined || cache.placement(info.uid) !== undefined;
    if (profile === undefined || isPointless) {
      queue.done(info.uid);
      return;
    }
    if (this.#asking >= MAX_ASKING && extenders.interestedIn(info).length > 0) {
      queue.requeue(waiting, ERROR); // extenders that hang must not hold up pods that do not need them
      return;
    }
    const cycle = new CycleState();
    waiting.attemptedAt = this.#parts.clock.monotonic();
    try {
      if (info.problem !== undefined) {
        this.#refuse(waiting, profile, cycle, invalidPod(info.problem, cache.nodes.length), signal);
        return;
      }
      const result = this.#search.search(profile, info, cycle, signal);
      if (result instanceof Promise) this.#track(this.#concludeLater(waiting, profile, cycle, result, signal));
      else this.#conclude(waiting, profile, cycle, result, signal);
    } catch (error) {
      this.#fail(waiting, error, signal);
    }
  }

  async #concludeLater(
    waiting: WaitingPod,
    profile: Profile,
    cycle: CycleState,
    search: Promise<SearchResult>,
    signal: AbortSignal,
  ): Promise<void> {
    this.#asking++;
    try {
      const result = await search;
      // Deleted, or bound by somebody else, in the meantime.
      if (!this.#parts.queue.has(waiting.info.uid)) return;
      this.#conclude(waiting, profile, cycle, result, signal);
    } catch (error) {
      this.#fail(waiting, error, signal);
    } finally {
      this.#asking--;
    }
  }

  #conclude(waiting: WaitingPod, profile: Profile, cycle: CycleState, result: SearchResult, signal: AbortSignal): void {
    const { cache, clock, metrics, nominator, queue } = this.#parts;
    const { info } = waiting;
    metrics.decided(clock.monotonic() - waiting.attemptedAt);
    if ("unschedulable" in result) {
      this.#refuse(waiting, profile, cycle, result.unschedulable, signal);
      return;
    }
    const { found } = result;
    const placement: Placement = { profile, pod: info, nodeName: found.name, cycle };
    cache.assume(info, found.name);
    queue.placed(info.uid);
    nominator.delete(info.uid);
    const status = reserve(placement);
    if (status !== undefined) {
      this.#takeBack(waiting, placement, status, signal);
      return;
    }
    this.#explanations.placed(info, clock.now(), result);
    this.#track(this.#bind(waiting, placement, signal));
  }

  async #bind(waiting: WaitingPod, placement: Placement, signal: AbortSignal): Promise<void> {
    const { waits, extenders, queue, recorder, log, metrics, clock } = this.#parts;
    const status = await bind(placement, waits, extenders, signal);
    if (status !== undefined) {
      this.#takeBack(waiting, placement, status, signal);
      return;
    }
    const { pod, nodeName } = placement;
    queue.done(pod.uid);
    this.#count(waiting, "scheduled");
    metrics.bound(waiting.attempts, clock.monotonic() - waiting.firstQueuedAt);
    recorder.report({
      regarding: pod.pod,
      type: "Normal",
      reason: "Scheduled",
      action: "Binding",
      note: `Successfully assigned ${pod.key} to ${nodeName}`,
      controller: pod.schedulerName,
    });
    log.debug({ pod: pod.key, node: nodeName, attempts: waiting.attempts }, "Bound pod to node");
    postBind(placement, log);
  }

  /** The decision cannot be carried out: everything as before, and the pod back into the queue. */
  #takeBack(waiting: WaitingPod, placement: Placement, status: Status, signal: AbortSignal): void {
    const { cache, queue, log } = this.#parts;
    unreserve(placement, log);
    cache.forget(placement.pod.uid);
    if (!queue.has(placement.pod.uid)) return; // deleted meanwhile
    queue.moveOnEvent(assignedPodDeleted(placement.pod));
    if (isRejection(status) && status.plugin !== undefined) {
      const message = messageOf(status);
      const failure = { unschedulablePlugins: new Set([status.plugin]), error: false };
      this.#track(this.#report(waiting, failure, { reason: "Unschedulable", message }, signal));
      return;
    }
    this.#fail(waiting, new Error(bindingMessage(status), { cause: status.error }), signal);
  }

  /** No node will do: perhaps preemption makes one. */
  #refuse(waiting: WaitingPod, profile: Profile, cycle: CycleState, diagnosis: Diagnosis, signal: AbortSignal): void {
    const { info } = waiting;
    // The synchronous part of this (choosing victims) is done when the call returns.
    const attempt = this.#postFilter(profile, waiting, diagnosis, cycle, signal).then(
      ({ status, nominatedNodeName }) => {
        if (nominatedNodeName === "") this.#parts.nominator.delete(info.uid);
        const message = fitErrorMessage(diagnosis, status === undefined ? "" : messageOf(status));
        this.#explanations.refused(info, this.#parts.clock.now(), message, diagnosis);
        const failure = {
          unschedulablePlugins: diagnosis.unschedulablePlugins,
          error: false,
        };
        return this.#report(waiting, failure, { reason: "Unschedulable", message, nominatedNodeName }, signal);
      },
    );
    this.#track(attempt);
  }

  async #postFilter(
    profile: Profile,
    { info }: WaitingPod,
    diagnosis: Diagnosis,
    cycle: CycleState,
    signal: AbortSignal,
  ): Promise<PostFilterResult> {
    const reasons: string[] = [];
    let nomination: Omit<PostFilterResult, "status"> = {};
    for (const plugin of profile.postFilter) {
      try {
        const { status, ...result } = await plugin.postFilter!(info, diagnosis, cycle, signal);
        nomination = { ...nomination, ...result };
        if (status === undefined) return { status, ...nomination };
        reasons.push(...status.reasons);
      } catch (err) {
        if (!signal.aborted)
          this.#parts.log.warn({ err, plugin: plugin.name, pod: info.key }, "Plugin failed to make room");
      }
    }
    return { status: reasons.length === 0 ? undefined : unschedulable(...reasons), ...nomination };
  }

  #fail(waiting: WaitingPod, error: unknown, signal: AbortSignal): void {
    if (!signal.aborted) this.#parts.log.warn({ err: error, pod: waiting.info.key }, "Failed to schedule pod");
    const message = errorMessage(error);
    this.#track(this.#report(waiting, ERROR, { reason: "SchedulerError", message }, signal));
  }

  async #report(waiting: WaitingPod, failure: Failure, status: SchedulingStatus, signal: AbortSignal): Promise<void> {
    const { queue, recorder, client, clock, log } = this.#parts;
    const { pod, key, schedulerName } = waiting.info;
    this.#count(waiting, failure.error ? "error" : "unschedulable");
    queue.requeue(waiting, failure);
    if (signal.aborted) return;
    recorder.report({
      regarding: pod,
      type: "Warning",
      reason: "FailedScheduling",
      action: "Scheduling",
      note: status.message,
      controller: schedulerName,
    });
    try {
      await reportUnscheduled(client, clock, pod, status, signal);
    } catch (err) {
      if (!signal.aborted) log.warn({ err, pod: key }, "Failed to update the pod's scheduling condition");
    }
  }

  #count({ info, attemptedAt }: WaitingPod, result: AttemptResult): void {
    const { metrics, clock } = this.#parts;
    const profile = info.schedulerName;
    metrics.attempted(profile, result, clock.monotonic() - attemptedAt);
  }

  #track(work: Promise<void>): void {
    const contained = work.catch((err: unknown) => {
      this.#parts.log.error({ err }, "Scheduling step failed");
    });
    const tracked = contained.finally(() => {
      this.#inFlight.delete(tracked);
      this.#onLanded();
    });
    this.#inFlight.add(tracked);
  }
}

function invalidPod(problem: string, nodeCount: number): Diagnosis {
  return {
    nodeCount,
    statuses: new Map(),
    preFilterMessage: problem,
    filterRun: undefined,
    unschedulablePlugins: new Set([POD_SPEC]),
  };
}
