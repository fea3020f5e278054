/**
 * Starts Jobs by the clock and removes those beyond the history limits. A start's time is part of its Job's name, so
 * that no crash can run it twice.
 */
import {
  ignoreNotFound,
  controllerOf,
  deepCopy,
  deepEqual,
  isAlreadyExists,
  isNotFound,
  keyOf,
  keyString,
  type ObjectKey,
} from "#pkg/apimachinery/index.ts";
import {
  type Controller,
  DONE,
  type Draft,
  type EventHandler,
  type ReconcileContext,
  type Result,
} from "#pkg/client/index.ts";
import { cronJobs, jobs } from "#pkg/api/refs.ts";
import type { CronJob, CronJobStatus, Job } from "#pkg/api/types/batch-v1.ts";
import type { ObjectReference } from "#pkg/api/types/core-v1.ts";
import { errorMessage, formatTime } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { isNamespaceTerminating } from "../common/errors.ts";
import { again, createLoop, createQueue, enqueueSelf, type KeyQueue, watching } from "../common/loop.ts";
import { controllerRef } from "../common/pod-template.ts";
import { OWNER_INDEX } from "../common/shared-informers.ts";
import { WriteBarrier } from "../common/write-barrier.ts";
import { jobName, planCronJob, SCHEDULED_ANNOTATION, scheduledTimestamp } from "./plan.ts";

const KIND = { apiVersion: "batch/v1", kind: "CronJob" };

/** cronjob-controller. */
export function createCronJobController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const reconciler = new CronJobReconciler(env);
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [
      watching(informers.of(cronJobs), enqueueSelf<CronJob>(queue)),
      watching(informers.owned(jobs), jobHandler(env, queue)),
    ],
    reconcile: (key, context) => reconciler.reconcile(key, context),
  });
}

function jobHandler({ informers }: ControllerEnv, queue: KeyQueue): EventHandler<Job> {
  const add = (job: Job) => {
    const owner = controllerOf(job);
    if (owner?.kind !== "CronJob") return;
    const key = { namespace: job.metadata.namespace ?? "", name: owner.name };
    if (informers.of(cronJobs).lister.get(key)?.metadata.uid === owner.uid) queue.add(keyString(key));
  };
  return { onAdd: add, onUpdate: add, onDelete: add };
}

function draftJob(cronJob: CronJob, start: number): Draft<Job> {
  const { metadata, spec } = cronJob.spec.jobTemplate;
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: jobName(cronJob, start),
      namespace: cronJob.metadata.namespace,
      ...(metadata?.labels === undefined ? {} : { labels: { ...metadata.labels } }),
      annotations: { ...metadata?.annotations, [SCHEDULED_ANNOTATION]: scheduledTimestamp(cronJob, start) },
      ownerReferences: [controllerRef(cronJob, KIND)],
    },
    spec: deepCopy(spec) ?? { template: {} },
  };
}

function referenceTo({ metadata }: Job): ObjectReference {
  const { name, namespace, uid, resourceVersion } = metadata;
  return { kind: "Job", apiVersion: "batch/v1", name, namespace, uid, resourceVersion };
}

class CronJobReconciler {
  readonly #env: ControllerEnv;
  readonly #barrier = new WriteBarrier();

  constructor(env: ControllerEnv) {
    this.#env = env;
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { clock, informers, recorder } = this.#env;
    const cronJob = informers.of(cronJobs).lister.get(key);
    if (cronJob === undefined || !this.#barrier.isCurrent(cronJob)) return DONE;
    const owned = await this.#ownedJobs(cronJob, signal);
    const plan = planCronJob(cronJob, owned, clock.now());
    for (const { type, reason, message } of plan.events) recorder.event(cronJob, type, reason, message);
    for (const job of plan.expired) await this.#deleteJob(cronJob, job, signal);
    for (const job of plan.replace) await this.#deleteJob(cronJob, job, signal);
    const replaced = new Set(plan.replace.map(({ metadata }) => metadata.uid));
    let active = plan.active.filter(({ metadata }) => !replaced.has(metadata.uid));
    let lastScheduleTime = cronJob.status?.lastScheduleTime;
    if (plan.start !== undefined) {
      const started = await this.#start(cronJob, plan.start, signal);
      if (started !== undefined)
        active = [...active.filter(({ metadata }) => metadata.uid !== started.metadata.uid), started];
      lastScheduleTime = formatTime(plan.start);
    }
    await this.#writeStatus(cronJob, active, lastScheduleTime, plan.lastSuccessfulTime, signal);
    return again(plan.requeueAfterMs);
  }

  /** The cache of Jobs may be behind our own status: what is active there and not here is asked for. */
  async #ownedJobs(cronJob: CronJob, signal: AbortSignal): Promise<Job[]> {
    const { client, informers } = this.#env;
    const cached = informers.owned(jobs).lister.byIndex(OWNER_INDEX, cronJob.metadata.uid);
    const known = new Set(cached.map(({ metadata }) => metadata.uid));
    const missing: Job[] = [];
    for (const { uid, name = "" } of cronJob.status?.active ?? []) {
      if (known.has(uid ?? "")) continue;
      const { namespace = "" } = cronJob.metadata;
      const job = await ignoreNotFound(client.get(jobs, { namespace, name }, { signal }));
      if (job !== undefined && job.metadata.uid === uid) missing.push(job);
    }
    return [...cached, ...missing];
  }

  async #start(cronJob: CronJob, start: number, signal: AbortSignal): Promise<Job | undefined> {
    const { client, recorder } = this.#env;
    const draft = draftJob(cronJob, start);
    try {
      const job = await client.create(jobs, draft, { signal });
      recorder.event(cronJob, "Normal", "SuccessfulCreate", `Created job ${job.metadata.name}`);
      return job;
    } catch (error) {
      if (isNamespaceTerminating(error)) return undefined;
      if (isAlreadyExists(error)) {
        const found = await client.get(jobs, keyOf(draft), { signal });
        if (controllerOf(found)?.uid === cronJob.metadata.uid) return found; // started before, not noted yet
      }
      recorder.event(cronJob, "Warning", "FailedCreate", `Error creating job: ${errorMessage(error)}`);
      throw error;
    }
  }

  async #deleteJob(cronJob: CronJob, job: Job, signal: AbortSignal): Promise<void> {
    const { client, recorder } = this.#env;
    try {
      await client.delete(jobs, keyOf(job), {
        propagationPolicy: "Background",
        preconditions: { uid: job.metadata.uid },
        signal,
      });
      recorder.event(cronJob, "Normal", "SuccessfulDelete", `Deleted job ${job.metadata.name}`);
    } catch (error) {
      if (isNotFound(error)) return;
      recorder.event(cronJob, "Warning", "FailedDelete", `Deleted job: ${errorMessage(error)}`);
      throw error;
    }
  }

  async #writeStatus(
    cronJob: CronJob,
    active: readonly Job[],
    lastScheduleTime: string | undefined,
    lastSuccessfulTime: string | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const known = new Map((cronJob.status?.active ?? []).map((reference) => [reference.uid, reference]));
    // A reference keeps the version it was made with: jobs change all the time, and that is no news here.
    const references = active.map((job) => known.get(job.metadata.uid) ?? referenceTo(job));
    const status: CronJobStatus = {
      ...(references.length === 0 ? {} : { active: references }),
      ...(lastScheduleTime === undefined ? {} : { lastScheduleTime }),
      ...(lastSuccessfulTime === undefined ? {} : { lastSuccessfulTime }),
    };
    const before = { ...cronJob.status };
    if (before.active?.length === 0) delete before.active;
    if (deepEqual(before, status)) return;
    this.#barrier.wrote(await this.#env.client.updateStatus(cronJobs, { ...cronJob, status }, { signal }));
  }
}
