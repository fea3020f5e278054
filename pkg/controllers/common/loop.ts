import type { AnyObject, ObjectKey } from "#pkg/apimachinery/index.ts";
import { keyOf, keyString, parseKey } from "#pkg/apimachinery/index.ts";
import {
  type Controller,
  DONE,
  type EventHandler,
  type ReconcileContext,
  RateLimitingQueue,
  type Result,
  type SharedInformer,
  startReconciler,
  type WorkQueue,
} from "#pkg/client/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { ControllerEnv } from "./env.ts";
import { queueNameOf } from "./queue-names.ts";

/** An informer with what this controller does on its events. */
export interface Source {
  attach(): () => void;
  synced(signal: AbortSignal): Promise<void>;
}

/** An informer and the handler that turns its events into keys of the queue. */
export function watching<T>(informer: SharedInformer<T>, handler: EventHandler<T> = {}): Source {
  return {
    attach: () => (Object.keys(handler).length === 0 ? () => undefined : informer.addHandler(handler)),
    synced: (signal) => informer.synced(signal),
  };
}

/** Adds the object's own key on every change that is not a mere resync. */
export function enqueueSelf<T extends AnyObject>(queue: Pick<KeyQueue, "add">): EventHandler<T> {
  const add = (object: T) => queue.add(keyString(keyOf(object)));
  return { onAdd: add, onUpdate: add, onDelete: add };
}

/** Keys are "namespace/name". */
export type KeyQueue = WorkQueue<string>;

/** Of the controller's environment. */
type LoopEnv = Pick<ControllerEnv, "name" | "clock" | "log" | "queues">;

/** What makes a control loop: what it hears, and what it does for one key. */
export interface LoopOptions {
  readonly workers: number;
  readonly queue: RateLimitingQueue<string>;
  /** In metrics; by default its controller's. */
  readonly queueName?: string;
  readonly sources: readonly Source[];
  reconcile(key: ObjectKey, context: ReconcileContext): Promise<Result>;
  /** Runs beside the workers from when the caches are full until the signal aborts. */
  background?(signal: AbortSignal): Promise<void>;
}

/** A work queue of "namespace/name" keys with the usual backoff. */
export function createQueue(clock: Clock): RateLimitingQueue<string> {
  return new RateLimitingQueue<string>({ clock });
}

/** Asks to be called again at the earliest of some times. */
export function again(...delaysMs: readonly (number | undefined)[]): Result {
  const requeueAfterMs = Math.min(...delaysMs.map((delay) => delay ?? Infinity));
  return requeueAfterMs === Infinity ? DONE : { requeueAfterMs };
}

/** A controller that works through one queue of object keys. */
export function createLoop(env: LoopEnv, options: LoopOptions): Controller {
  const { sources } = options;
  const reconcile = (key: string, context: ReconcileContext) => options.reconcile(parseKey(key), context);
  return {
    name: env.name,
    async run(signal) {
      const detach = sources.map((source) => source.attach());
      try {
        if (!(await untilSynced(sources, signal))) return;
        await Promise.all([workThrough(env, { ...options, reconcile }, signal), options.background?.(signal)]);
      } finally {
        for (const stop of detach) stop();
      }
    },
  };
}

/** Works through a queue with some workers until the signal aborts. */
export function workThrough(
  { name, clock, log, queues }: LoopEnv,
  work: Pick<LoopOptions, "workers" | "queue" | "queueName"> & {
    reconcile(key: string, context: ReconcileContext): Promise<Result>;
  },
  signal: AbortSignal,
): Promise<void> {
  const { queue, workers, queueName = queueNameOf(name) } = work;
  queues?.add(queueName, queue);
  return startReconciler<string>({ name, queue, reconciler: work, workers, clock, log, signal });
}

/** False when the signal aborted first. */
export async function untilSynced(sources: readonly Source[], signal: AbortSignal): Promise<boolean> {
  try {
    await Promise.all(sources.map((source) => source.synced(signal)));
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
  return !signal.aborted;
}
