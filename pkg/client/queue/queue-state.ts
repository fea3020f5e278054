import type { Histogram } from "#pkg/util/index.ts";

/** Upper bounds in seconds of how long keys wait and are worked on: upstream's, from 10 ns to 1000 s. */
export const WORK_BUCKETS = Array.from({ length: 12 }, (_, index) => Number(`1e${index - 8}`));

/** What a queue has done so far, and how it stands. Times are in seconds. */
export interface QueueState {
  readonly adds: number;
  readonly retries: number;
  readonly depth: number;
  readonly queued: Histogram;
  readonly worked: Histogram;
  /** How long each key that somebody works on has been worked on. */
  readonly unfinished: readonly number[];
}
