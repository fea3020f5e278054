/** Deletes finished Jobs whose ttlSecondsAfterFinished is over. */
import { endOfJob } from "#pkg/api/rules/index.ts";
import { isNotFound, keyOf, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { jobs } from "#pkg/api/refs.ts";
import type { Job } from "#pkg/api/types/batch-v1.ts";
import { parseTime } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, watching } from "../common/loop.ts";

/** ttl-after-finished-controller: removes Jobs ttlSecondsAfterFinished after their end. */
export function createTtlAfterFinishedController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [watching(informers.of(jobs), enqueueSelf<Job>(queue))],
    reconcile: (key, context) => reconcile(env, key, context),
  });
}

/** Milliseconds until the Job may go; undefined when it has no TTL, is not finished, or is going already. */
export function expiresInMs(job: Job, now: number): number | undefined {
  const ttl = job.spec.ttlSecondsAfterFinished;
  if (ttl === undefined || job.metadata.deletionTimestamp !== undefined) return undefined;
  const since = parseTime(endOfJob(job)?.lastTransitionTime);
  return since === undefined ? undefined : Math.max(0, since + ttl * 1000 - now);
}

async function reconcile(env: ControllerEnv, key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
  const { client, clock, informers } = env;
  const cached = informers.of(jobs).lister.get(key);
  const wait = cached === undefined ? undefined : expiresInMs(cached, clock.now());
  if (wait === undefined) return DONE;
  if (wait > 0) return { requeueAfterMs: wait };
  try {
    // The TTL may have been lengthened a moment ago: ask before destroying.
    const fresh = await client.get(jobs, key, { signal });
    const left = expiresInMs(fresh, clock.now());
    if (left === undefined) return DONE;
    if (left > 0) return { requeueAfterMs: left };
    const { uid, resourceVersion } = fresh.metadata;
    await client.delete(jobs, keyOf(fresh), {
      propagationPolicy: "Foreground",
      preconditions: { uid, resourceVersion },
      signal,
    });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return DONE;
}
