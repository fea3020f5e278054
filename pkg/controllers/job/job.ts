/**
 * Runs Jobs to their end. Every pod bears a finalizer until it has been counted (tally.ts), so that none is counted
 * twice or not at all, whatever is deleted or crashes in between.
 */
import { endOfJob } from "#pkg/api/rules/index.ts";
import {
  type AnyObject,
  controllerOf,
  ignoreNotFound,
  keyOf,
  keyString,
  labelSelectorAsSelector,
  type ObjectKey,
} from "#pkg/apimachinery/index.ts";
import {
  type Controller,
  DONE,
  type EventHandler,
  Expectations,
  RateLimitingQueue,
  type ReconcileContext,
  type Result,
} from "#pkg/client/index.ts";
import { jobs, pods } from "#pkg/api/refs.ts";
import type { Job, JobStatus } from "#pkg/api/types/batch-v1.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { claim, planClaims, selects, safeSelector } from "../common/claim.ts";
import type { ControllerEnv } from "../common/env.ts";
import { again, createLoop, createQueue, enqueueSelf, watching, workThrough } from "../common/loop.ts";
import { ownedPodsHandler, podId } from "../common/owned-pods.ts";
import { PodControl } from "../common/pod-control.ts";
import { controllerRef } from "../common/pod-template.ts";
import { OWNER_INDEX, ownedOrOrphaned } from "../common/shared-informers.ts";
import { inParallel } from "../common/slow-start.ts";
import { sameStatus } from "../common/status.ts";
import { WriteBarrier } from "../common/write-barrier.ts";
import { type Applied, jobStatus, type JobPlan, type JobView, planJob } from "./plan.ts";
import { draftJobPod, isTracked, TRACKING_FINALIZER } from "./pod.ts";

const KIND = { apiVersion: "batch/v1", kind: "Job" };
const MANAGER = "kubernetes.io/job-controller";

/** job-controller. */
export function createJobController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const orphans = new RateLimitingQueue<string>({ clock });
  const expectations = new Expectations(clock);
  const jobInformer = informers.of(jobs);
  const reconciler = new JobReconciler(env, expectations);
  const own = ownedPodsHandler<Job>({
    kind: "Job",
    owners: jobInformer.lister,
    queue,
    expectations,
    selects: (job, pod) => safeSelector(job.spec.selector).matches(pod.metadata.labels),
  });
  const podHandler: EventHandler<Pod> = {
    onAdd(pod, initial) {
      own.onAdd?.(pod, initial);
      if (isTracked(pod)) orphans.add(podId(pod));
    },
    onUpdate(pod, old) {
      if (!isTracked(pod)) reconciler.finalizerGone(pod);
      own.onUpdate?.(pod, old);
      if (isTracked(pod) && isLeft(env, pod)) orphans.add(podId(pod));
    },
    onDelete(pod) {
      reconciler.finalizerGone(pod);
      own.onDelete?.(pod);
    },
  };
  const jobHandler: EventHandler<Job> = {
    ...enqueueSelf<Job>(queue),
    onDelete(job) {
      queue.add(keyString(keyOf(job)));
      for (const pod of informers.pods().lister.byIndex(OWNER_INDEX, job.metadata.uid)) orphans.add(podId(pod));
    },
  };
  return createLoop(env, {
    workers: 8,
    queue,
    sources: [watching(jobInformer, jobHandler), watching(informers.pods(), podHandler)],
    reconcile: (key, context) => reconciler.reconcile(key, context),
    background: (signal) =>
      workThrough(
        env,
        {
          queue: orphans,
          queueName: "job_orphan_pod",
          workers: 4,
          reconcile: (key, context) => releaseOrphan(env, key, context),
        },
        signal,
      ),
  });
}

/** The pod waits to be counted by a Job that does not exist. */
function isLeft({ informers }: ControllerEnv, pod: Pod): boolean {
  const owner = controllerOf(pod);
  if (owner === undefined) return true;
  if (owner.kind !== "Job") return false;
  const job = informers.of(jobs).lister.get({ namespace: pod.metadata.namespace ?? "", name: owner.name });
  return job?.metadata.uid !== owner.uid;
}

function adopts(job: Job): boolean {
  return job.metadata.deletionTimestamp === undefined && endOfJob(job) === undefined && isOurs(job);
}

function isOurs({ spec: { managedBy } }: Job): boolean {
  return managedBy === undefined || managedBy === MANAGER;
}

async function releaseOrphan(env: ControllerEnv, id: string, { signal }: ReconcileContext): Promise<Result> {
  const slash = id.indexOf("/");
  const key = { namespace: id.slice(0, slash), name: id.slice(slash + 1) };
  const pod = env.informers.pods().lister.get(key);
  if (pod === undefined || !isTracked(pod) || !isLeft(env, pod)) return DONE;
  const owner = controllerOf(pod);
  if (
    owner === undefined &&
    env.informers
      .of(jobs)
      .lister.list(key.namespace)
      .some((job) => adopts(job) && safeSelector(job.spec.selector).matches(pod.metadata.labels))
  )
    return { requeueAfterMs: 1000 }; // about to be adopted, unless the cache has not seen yet that the Job is going
  if (owner !== undefined) {
    // The cache of Jobs may be behind the cache of pods.
    const job = await ignoreNotFound(env.client.get(jobs, { namespace: key.namespace, name: owner.name }, { signal }));
    if (job?.metadata.uid === owner.uid) return { requeueAfterMs: 1000 };
  }
  await removeFinalizer(env, pod, signal);
  return DONE;
}

async function removeFinalizer({ client }: ControllerEnv, pod: Pod, signal: AbortSignal): Promise<void> {
  const patch = {
    metadata: { uid: pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [TRACKING_FINALIZER] },
  };
  await ignoreNotFound(client.patch(pods, keyOf(pod), "strategic", patch, { signal }));
}

class JobReconciler {
  readonly #env: ControllerEnv;
  readonly #expectations: Expectations;
  readonly #podControl: PodControl;
  readonly #barrier = new WriteBarrier();
  /** Pods whose finalizer we have taken off, until the cache shows it. */
  readonly #finalized = new Set<string>();

  constructor(env: ControllerEnv, expectations: Expectations) {
    this.#env = env;
    this.#expectations = expectations;
    this.#podControl = new PodControl(env, expectations);
  }
  finalizerGone({ metadata }: AnyObject): void {
    this.#finalized.delete(metadata.uid ?? "");
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { client, clock, informers } = this.#env;
    const id = keyString(key);
    const job = informers.of(jobs).lister.get(key);
    if (job === undefined) {
      this.#expectations.forget(id);
      return DONE;
    }
    if (!isOurs(job)) return DONE;
    if (!this.#barrier.isCurrent(job)) return DONE; // its event is on its way
    const candidates = ownedOrOrphaned(informers.pods().lister, job.metadata.uid, key.namespace);
    if (endOfJob(job) !== undefined) {
      await this.#releaseAll(job, candidates, signal);
      return DONE;
    }
    const cacheIsCurrent = this.#expectations.satisfied(id);
    // Of the same moment as the pods: the cache goes on while pods are claimed, and then forgets what it has seen.
    const finalized = new Set(candidates.map(({ metadata }) => metadata.uid).filter((uid) => this.#finalized.has(uid)));
    const ours = await claim(planClaims(job, candidates, selects(labelSelectorAsSelector(job.spec.selector))), {
      client,
      resource: pods,
      reference: controllerRef(job, KIND),
      freshOwner: () => client.get(jobs, key, { signal }),
      finalizers: [TRACKING_FINALIZER],
      signal,
    });
    const view: JobView = { job, pods: ours, cacheIsCurrent, finalized, now: clock.now() };
    const plan = planJob(view);
    const { applied, error } = await this.#apply(job, plan, signal);
    const { status, finished } = jobStatus(view, plan, applied);
    await this.#writeStatus(job, status, signal);
    this.#report(job, plan, finished);
    await this.#finalize(plan.tally.finalize, signal);
    if (error !== undefined) throw error;
    if (plan.tally.truncated) return { requeueAfterMs: 1 };
    return again(plan.requeueAfterMs, this.#expectations.expiresInMs(id));
  }

  async #apply(job: Job, plan: JobPlan, signal: AbortSignal): Promise<{ applied: Applied; error: unknown }> {
    const { deleted, error: deleteError } = await this.#podControl.delete(job, plan.delete, signal);
    const draft = (index: number) => draftJobPod(job, plan.create[index]);
    const { created, error: createError } = await this.#podControl.create(job, plan.create.length, draft, signal);
    return { applied: { created, deleted }, error: deleteError ?? createError };
  }

  /** Only after the status that names these pods has been written may they lose what holds them. */
  async #finalize(counted: readonly Pod[], signal: AbortSignal): Promise<void> {
    const error = await inParallel(counted, async (pod) => {
      const { uid } = pod.metadata;
      this.#finalized.add(uid);
      try {
        await removeFinalizer(this.#env, pod, signal);
      } catch (cause) {
        this.#finalized.delete(uid);
        throw cause;
      }
      // The watch may have been faster than the answer.
      const seen = this.#env.informers.pods().lister.get(keyOf(pod));
      if (seen === undefined || seen.metadata.uid !== uid || !isTracked(seen)) this.#finalized.delete(uid);
    });
    if (error !== undefined) throw error;
  }

  /** Pods of a finished Job are not counted any more, and must not be held. */
  async #releaseAll(job: Job, candidates: readonly Pod[], signal: AbortSignal): Promise<void> {
    this.#barrier.forget(job.metadata.uid);
    const held = candidates.filter(
      (pod) => isTracked(pod) && controllerOf(pod)?.uid === job.metadata.uid && !this.#finalized.has(pod.metadata.uid),
    );
    await this.#finalize(held, signal);
  }

  #report(job: Job, plan: JobPlan, finished: boolean): void {
    const { recorder } = this.#env;
    for (const { type, reason, message } of plan.events) recorder.event(job, type, reason, message);
    if (!finished || plan.outcome === undefined) return;
    if (plan.outcome.success) recorder.event(job, "Normal", "Completed", "Job completed");
    else recorder.event(job, "Warning", plan.outcome.reason, plan.outcome.message);
  }

  async #writeStatus(job: Job, status: JobStatus, signal: AbortSignal): Promise<void> {
    if (sameStatus(job.status, status)) return;
    this.#barrier.wrote(await this.#env.client.updateStatus(jobs, { ...job, status }, { signal }));
  }
}
