import type { Clock, Logger } from "#pkg/util/index.ts";
import type { Store } from "./store.ts";

export interface CompactorOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  /** History is kept at least this long, at most twice as long. Default five minutes, like upstream. */
  readonly intervalMs?: number;
}

const DEFAULT_INTERVAL_MS = 5 * 60_000;

/** Drops old history now and then until the returned function is called. Several masters may do it side by side. */
export function startCompactor({ store, clock, log, intervalMs = DEFAULT_INTERVAL_MS }: CompactorOptions): () => void {
  let cancel = () => {};
  let stopped = false;
  const round = async (mark: number | undefined): Promise<number | undefined> => {
    try {
      const current = await store.currentRevision();
      if (mark !== undefined && !stopped) await store.compact(mark);
      return current;
    } catch (err) {
      if (!stopped) log.warn({ err }, "Could not compact the store's history");
      return mark;
    }
  };
  const arm = (mark: number | undefined): void => {
    if (stopped) return;
    cancel = clock.schedule(intervalMs, () => void round(mark).then(arm));
  };
  void round(undefined).then(arm);
  return () => {
    stopped = true;
    cancel();
  };
}
