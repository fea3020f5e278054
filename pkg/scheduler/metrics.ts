import { Counter, Gauge, Histogram, Registry, exponentialBuckets } from "prom-client";
import type { SchedulerCache } from "./cache/cache.ts";
import type { SchedulingQueue } from "./queue/scheduling-queue.ts";

/** What a scheduling attempt came to. */
export type AttemptResult = "scheduled" | "unschedulable" | "error";

/** Attempts of a pod beyond this are one series. */
const MAX_ATTEMPTS_LABEL = 15;
const ATTEMPT_BUCKETS = exponentialBuckets(0.001, 2, 15);

/** What the scheduler has done so far, under upstream's names. */
export class SchedulerMetrics {
  readonly #registry = new Registry();
  readonly #attempts = this.#counter("schedule_attempts_total", "Number of attempts to schedule pods, by the result.", [
    "profile",
    "result",
  ]);
  readonly #attemptSeconds = this.#histogram(
    "scheduling_attempt_duration_seconds",
    "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
    ATTEMPT_BUCKETS,
    ["profile", "result"],
  );
  readonly #algorithmSeconds = this.#histogram(
    "scheduling_algorithm_duration_seconds",
    "Scheduling algorithm latency in seconds",
    ATTEMPT_BUCKETS,
  );
  readonly #podAttempts = this.#histogram(
    "pod_scheduling_attempts",
    "Number of attempts to successfully schedule a pod.",
    exponentialBuckets(1, 2, 5),
  );
  readonly #podSeconds = this.#histogram(
    "pod_scheduling_sli_duration_seconds",
    "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue.",
    exponentialBuckets(0.01, 2, 20),
    ["attempts"],
  );
  readonly #incoming = this.#counter(
    "queue_incoming_pods_total",
    "Number of pods added to scheduling queues by event and queue type.",
    ["queue", "event"],
  );
  readonly #preemptions = this.#counter(
    "preemption_attempts_total",
    "Total preemption attempts in the cluster till now",
    [],
  );
  readonly #victims = this.#histogram(
    "preemption_victims",
    "Number of selected preemption victims",
    exponentialBuckets(1, 2, 7),
  );

  /** What is counted when somebody asks rather than when it changes. */
  observe(cache: SchedulerCache, queue: SchedulingQueue): void {
    this.#gauge("pending_pods", "Number of pending pods, by the queue type.", ["queue"], (gauge) => {
      for (const [name, length] of Object.entries(queue.lengths)) gauge.set({ queue: name }, length);
    });
    this.#gauge(
      "cache_size",
      "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
      ["type"],
      (gauge) => {
        gauge.set({ type: "nodes" }, cache.nodes.length);
        gauge.set({ type: "pods" }, cache.podCount);
        gauge.set({ type: "assumed_pods" }, cache.assumedCount);
      },
    );
    const help = "The number of unschedulable pods broken down by plugin name.";
    this.#gauge("unschedulable_pods", help, ["plugin", "profile"], (gauge) => {
      gauge.reset();
      for (const { info, unschedulablePlugins } of queue.unschedulable())
        for (const plugin of unschedulablePlugins) gauge.inc({ plugin, profile: info.schedulerName });
    });
  }
  attempted(profile: string, result: AttemptResult, ms: number): void {
    this.#attempts.inc({ profile, result });
    this.#attemptSeconds.observe({ profile, result }, ms / 1000);
  }
  decided(ms: number): void {
    this.#algorithmSeconds.observe(ms / 1000);
  }
  /** A pod is bound, so long after it entered the queue. */
  bound(attempts: number, ms: number): void {
    this.#podAttempts.observe(attempts);
    const label = attempts >= MAX_ATTEMPTS_LABEL ? `${MAX_ATTEMPTS_LABEL}+` : String(attempts);
    this.#podSeconds.observe({ attempts: label }, ms / 1000);
  }
  queued(queue: string, event: string): void {
    this.#incoming.inc({ queue, event });
  }
  preempted(victims: number): void {
    this.#preemptions.inc();
    this.#victims.observe(victims);
  }
  /** Prometheus text. */
  render(): Promise<string> {
    return this.#registry.metrics();
  }

  #counter(name: string, help: string, labelNames: string[]): Counter {
    return new Counter({ name: `scheduler_${name}`, help, labelNames, registers: [this.#registry] });
  }
  #histogram(name: string, help: string, buckets: number[], labelNames: string[] = []): Histogram {
    return new Histogram({ name: `scheduler_${name}`, help, buckets, labelNames, registers: [this.#registry] });
  }
  #gauge(name: string, help: string, labelNames: string[], collect: (gauge: Gauge) => void): void {
    const gauge: Gauge = new Gauge({
      name: `scheduler_${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => collect(gauge),
    });
  }
}
