import { Gauge, Registry } from "prom-client";
import { QueueMetrics, RequestCounts, type Transport, observedTransport } from "#pkg/client/index.ts";
import type { Clock } from "#pkg/util/index.ts";

/** What scheduler and controllers have in common in /metrics: their requests, their work queues, their leadership. */
export class LoopsMetrics {
  readonly #registry = new Registry();
  readonly queues = new QueueMetrics();
  readonly #requests: RequestCounts;
  readonly #leading = new Gauge({
    name: "leader_election_master_status",
    help: "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. 'name' is the string used to identify the lease. Please make sure to group by name.",
    labelNames: ["name"],
    registers: [this.#registry],
  });

  /** `host` is the API server's name and port. */
  constructor(host: string) {
    this.#requests = new RequestCounts(this.#registry, host);
  }
  /** The same transport; its requests are counted. */
  observed(transport: Transport, clock: Clock): Transport {
    return observedTransport(transport, clock, (...request) => this.#requests.requested(...request));
  }
  leads(lease: string, isLeader: boolean): void {
    this.#leading.set({ name: lease }, isLeader ? 1 : 0);
  }
  /** Prometheus text. */
  async text(): Promise<string> {
    return this.queues.text() + (await this.#registry.metrics());
  }
}
