import { type Clock, Histogram } from "#pkg/util/index.ts";

export type StoreOperation = "get" | "list" | "create" | "update" | "delete";

/** Upper bounds in seconds (upstream's). */
const BUCKETS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];

/** What requests of one operation took in seconds, and how many came to nothing. */
export interface StoreTimes {
  readonly seconds: Histogram;
  errors: number;
}

/** A resource's requests to the store, by operation. A failed compare is an answer, no error. */
export class StoreRequests {
  readonly times = new Map<StoreOperation, StoreTimes>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }
  async timed<T>(operation: StoreOperation, request: Promise<T>): Promise<T> {
    const since = this.#clock.monotonic();
    let own = this.times.get(operation);
    if (own === undefined) this.times.set(operation, (own = { seconds: new Histogram(BUCKETS), errors: 0 }));
    try {
      return await request;
    } catch (error) {
      own.errors++;
      throw error;
    } finally {
      own.seconds.add((this.#clock.monotonic() - since) / 1000);
    }
  }
}
