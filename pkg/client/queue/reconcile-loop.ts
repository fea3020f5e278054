import { isConflict } from "#pkg/apimachinery/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import { TerminalError } from "../contract.ts";
import type { Reconciler } from "../contract.ts";
import type { RateLimitingQueue } from "./rate-limiting-queue.ts";

export interface ReconcileLoopOptions<K> {
  readonly name: string;
  readonly queue: RateLimitingQueue<K>;
  readonly reconciler: Reconciler<K>;
  /** How many keys are worked on at the same time. Default 1. */
  readonly workers?: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Works on the queue until the signal aborts; resolves when the last worker has stopped. A key that fails comes again
 * with backoff and disturbs no other key.
 */
export async function startReconciler<K>(options: ReconcileLoopOptions<K>): Promise<void> {
  const log = options.log.child({ controller: options.name });
  const workers = Array.from({ length: options.workers ?? 1 }, () => work(options, log));
  await Promise.all(workers);
  options.queue.shutDown();
}

async function work<K>(
  { queue, reconciler, clock, signal }: ReconcileLoopOptions<K>,
  parentLog: Logger,
): Promise<void> {
  while (!signal.aborted) {
    let key: K;
    try {
      key = await queue.take(signal);
    } catch {
      return; // aborted: take rejects for nothing else
    }
    const log = parentLog.child({ key });
    const startedAt = clock.monotonic();
    try {
      const { requeueAfterMs } = await reconciler.reconcile(key, { log, signal });
      queue.forget(key);
      if (requeueAfterMs !== undefined) queue.addAfter(key, Math.max(requeueAfterMs, 1));
    } catch (err) {
      if (signal.aborted) return;
      if (err instanceof TerminalError) {
        queue.forget(key);
        log.error({ err }, "Giving up until the next event");
      } else {
        queue.addRateLimited(key);
        const durationMs = Math.round(clock.monotonic() - startedAt);
        // Losing a race is ordinary; the retry sees the newer object.
        if (isConflict(err)) log.debug({ err, durationMs }, "Reconciling met a newer version, trying again");
        else log.warn({ err, durationMs, failures: queue.failures(key) }, "Failed to reconcile, trying again");
      }
    } finally {
      queue.done(key);
    }
  }
}
