import { Histogram } from "#pkg/util/index.ts";
import type { Refusal } from "./queue-set.ts";

/** Upper bounds of the histogram of waiting times in seconds (upstream's). */
const WAIT_BUCKETS = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];

/** Why requests are turned away, as metrics call it. */
export type RejectReason = Refusal | "concurrency-limit";

/** What passes through one schema into one level. */
export class Traffic {
  readonly schema: string;
  readonly level: string;
  dispatched = 0;
  executing = 0;
  executingSeats = 0;
  waiting = 0;
  waitingSeats = 0;
  readonly rejected = new Map<RejectReason, number>();
  readonly #waits = { executed: new Histogram(WAIT_BUCKETS), refused: new Histogram(WAIT_BUCKETS) };

  constructor(schema: string, level: string) {
    this.schema = schema;
    this.level = level;
  }

  starts(seats: number, waitedMs: number): void {
    this.dispatched++;
    this.executing++;
    this.executingSeats += seats;
    this.#waits.executed.add(waitedMs / 1000);
  }
  ends(seats: number): void {
    this.executing--;
    this.executingSeats -= seats;
  }
  rejects(reason: RejectReason, waitedMs: number): void {
    this.rejected.set(reason, (this.rejected.get(reason) ?? 0) + 1);
    this.#waits.refused.add(waitedMs / 1000);
  }
  waitLines(name: string): string[] {
    const labels = `flow_schema=${JSON.stringify(this.schema)},priority_level=${JSON.stringify(this.level)}`;
    return [
      ...this.#waits.executed.lines(name, `execute="true",${labels}`),
      ...this.#waits.refused.lines(name, `execute="false",${labels}`),
    ];
  }
}
