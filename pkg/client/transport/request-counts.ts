import { Counter, Histogram, type Registry } from "prom-client";

/** Counts of requests to an API server under client-go's names. */
export class RequestCounts {
  /** Of the API server: name and port. */
  readonly #host: string;
  readonly #requests: Counter<"code" | "host" | "method">;
  readonly #seconds: Histogram<"verb" | "host">;

  constructor(registry: Registry, host: string) {
    this.#host = host;
    this.#requests = new Counter({
      name: "rest_client_requests_total",
      help: "Number of HTTP requests, partitioned by status code, method, and host.",
      labelNames: ["code", "host", "method"],
      registers: [registry],
    });
    this.#seconds = new Histogram({
      name: "rest_client_request_duration_seconds",
      help: "Request latency in seconds. Broken down by verb, and host.",
      labelNames: ["verb", "host"],
      buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60],
      registers: [registry],
    });
  }
  requested(method: string, code: string, seconds: number): void {
    this.#requests.inc({ code, host: this.#host, method });
    this.#seconds.observe({ verb: method, host: this.#host }, seconds);
  }
}
