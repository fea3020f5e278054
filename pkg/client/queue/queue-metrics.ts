import { family } from "#pkg/util/index.ts";
import type { QueueState } from "./queue-state.ts";

/** What is asked of a queue whose work is shown. */
export interface MeasuredQueue {
  state(): QueueState;
}

/** What work queues do, under the names that client-go made familiar. Nothing is done before somebody asks. */
export class QueueMetrics {
  readonly #queues = new Map<string, MeasuredQueue>();

  /** A queue takes the place of one of the same name, whose loop has ended. */
  add(name: string, queue: MeasuredQueue): void {
    this.#queues.set(name, queue);
  }
  /** Prometheus text. */
  text(): string {
    const states = Array.from(this.#queues, ([name, queue]) => ({
      label: `name=${JSON.stringify(name)}`,
      ...queue.state(),
    }));
    const values = (
      type: "counter" | "gauge",
      name: string,
      help: string,
      valueOf: (state: QueueState) => number,
    ): string =>
      family(
        name,
        type,
        help,
        states.map((state) => `${name}{${state.label}} ${valueOf(state)}`),
      );
    const durations = (name: string, help: string, of: "queued" | "worked"): string =>
      family(
        name,
        "histogram",
        help,
        states.flatMap((state) => state[of].lines(name, state.label)),
      );
    return [
      values("counter", "workqueue_adds_total", "Total number of adds handled by workqueue", ({ adds }) => adds),
      values("gauge", "workqueue_depth", "Current depth of workqueue", ({ depth }) => depth),
      values(
        "counter",
        "workqueue_retries_total",
        "Total number of retries handled by workqueue",
        ({ retries }) => retries,
      ),
      values(
        "gauge",
        "workqueue_longest_running_processor_seconds",
        "How many seconds has the longest running processor for workqueue been running.",
        ({ unfinished }) => Math.max(0, ...unfinished),
      ),
      values(
        "gauge",
        "workqueue_unfinished_work_seconds",
        "How many seconds of work has done that is in progress and hasn't been observed by work_duration. Large values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this increases.",
        ({ unfinished }) => unfinished.reduce((sum, seconds) => sum + seconds, 0),
      ),
      durations(
        "workqueue_queue_duration_seconds",
        "How long in seconds an item stays in workqueue before being requested.",
        "queued",
      ),
      durations(
        "workqueue_work_duration_seconds",
        "How long in seconds processing an item from workqueue takes.",
        "worked",
      ),
    ].join("");
  }
}
