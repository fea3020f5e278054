import type { Clock, Logger } from "#pkg/util/index.ts";
import type { Store } from "./store.ts";

export interface CompactorOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  /** History is kept at least this long, and not much longer. Default five minutes, like upstream. */
  readonly keepMs?: number;
}

const DEFAULT_KEEP_MS = 5 * 60_000;
/** How often history is cut while it becomes old enough: the more often, the less there is of it beyond what is kept. */
const STEPS = 5;

/** Drops old history now and then until the returned function is called. Several masters may do it side by side. */
export function startCompactor({ store, clock, log, keepMs = DEFAULT_KEEP_MS }: CompactorOptions): () => void {
  let cancel = () => {};
  let stopped = false;
  /** The last revision at the end of each step, oldest first. */
  let marks: readonly number[] = [];
  const round = async (): Promise<void> => {
    try {
      marks = [...marks, await store.currentRevision()].slice(-STEPS - 1);
      const [oldest] = marks;
      if (oldest !== undefined && marks.length > STEPS && !stopped) await store.compact(oldest);
    } catch (err) {
      if (!stopped) log.warn({ err }, "Could not compact the store's history");
    }
    if (!stopped) cancel = clock.schedule(keepMs / STEPS, () => void round());
  };
  void round();
  return () => {
    stopped = true;
    cancel();
  };
}
