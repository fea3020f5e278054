import { CompactedError } from "../store.ts";
import type { StoreEvent } from "../store.ts";
import type { Cacher } from "./cacher.ts";
import type { CacheEvent } from "./contract.ts";
import type { Entry } from "./entry.ts";
import type { ResourceState } from "./resource-state.ts";
import type { Watcher } from "./watcher-set.ts";

/** Who takes nothing for so long has to make room for other readers of history. */
const MAX_BUSY_MS = 10_000;
/** When the store has not said by then that nothing is missing, it is made to. */
const NUDGE_MS = 100;

/**
 * Feeds a watcher that starts before the cache's memory from the store's history, until `join` accepts the revision
 * reached (it then goes on from recent events). Ends the watcher with "expired" when the history is gone.
 */
export async function replayHistory(
  cacher: Cacher,
  state: ResourceState,
  watcher: Watcher,
  join: (revision: number) => boolean,
): Promise<void> {
  const finished = new AbortController();
  const signal = AbortSignal.any([finished.signal, watcher.options.signal, cacher.signal]);
  try {
    const admitted = await cacher.readingHistory(() => replay(cacher, state, watcher, join, signal));
    if (!admitted) watcher.end("expired");
  } catch (error) {
    if (!(error instanceof CompactedError)) throw error;
    watcher.end("expired", error);
  } finally {
    finished.abort();
  }
}

async function replay(
  cacher: Cacher,
  state: ResourceState,
  watcher: Watcher,
  join: (revision: number) => boolean,
  signal: AbortSignal,
): Promise<void> {
  // When an event of this resource was dropped from memory, the history reaches it for certain; otherwise only a
  // watch of everything is sure to see something new.
  const prefix = state.ring.evicted ? state.prefix : cacher.rootPrefix;
  const latest = new Map<string, Entry | undefined>();
  let cancelNudge = () => {};
  const keepNudging = () => {
    cancelNudge = cacher.clock.schedule(NUDGE_MS, () => {
      cacher.nudge();
      keepNudging();
    });
  };
  keepNudging();
  try {
    for await (const batch of cacher.store.watch(prefix, watcher.options.fromRevision!, signal)) {
      for (const event of batch.events) {
        if (!event.key.startsWith(state.prefix)) continue;
        const change = await eventOf(cacher, state, latest, event);
        if (change === undefined || !watcher.concerns(change)) continue;
        const busy = watcher.deliver(change);
        if (busy !== undefined) await inTime(cacher, watcher, busy);
      }
      if (watcher.ended || join(batch.revision)) return;
    }
    watcher.end("aborted");
  } finally {
    cancelNudge();
  }
}

async function inTime(cacher: Cacher, watcher: Watcher, busy: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const cancel = cacher.clock.schedule(MAX_BUSY_MS, () => {
    watcher.end("slow");
    late.resolve();
  });
  try {
    await Promise.race([busy, late.promise]);
  } finally {
    cancel();
  }
}

/** The event with what was there before, which the store's history has to be asked for once per key. */
async function eventOf(
  cacher: Cacher,
  state: ResourceState,
  latest: Map<string, Entry | undefined>,
  event: StoreEvent,
): Promise<CacheEvent | undefined> {
  const { key, value, modRevision: revision, createRevision } = event;
  let previous = latest.get(key);
  if (!latest.has(key) && createRevision !== revision) {
    const { kv } = await cacher.store.get(key, { revision: revision - 1 });
    previous = kv === undefined ? undefined : state.makeEntry(key, kv.value, kv.modRevision);
  }
  if (value !== undefined) {
    const entry = state.makeEntry(key, value, revision);
    latest.set(key, entry);
    return { type: previous === undefined ? "ADDED" : "MODIFIED", entry, previous, revision };
  }
  latest.set(key, undefined);
  return previous === undefined
    ? undefined
    : { type: "DELETED", entry: previous.deletedAt(revision), previous, revision };
}
