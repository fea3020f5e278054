/** What a node counts about its connection to the API server, under client-go's names. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** Made by whoever makes the connection; the kubelet shows it with its own. */
export class ConnectionMetrics {
  readonly #registry = new Registry();
  /** Of the API server: name and port. */
  readonly #host: string;
  readonly #requests = new Counter({
    name: "rest_client_requests_total",
    help: "Number of HTTP requests, partitioned by status code, method, and host.",
    labelNames: ["code", "host", "method"],
    registers: [this.#registry],
  });
  readonly #seconds = new Histogram({
    name: "rest_client_request_duration_seconds",
    help: "Request latency in seconds. Broken down by verb, and host.",
    labelNames: ["verb", "host"],
    buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60],
    registers: [this.#registry],
  });
  readonly renewalErrors = new Counter({
    name: "kubelet_certificate_manager_client_expiration_renew_errors",
    help: "Counter of certificate renewal errors.",
    registers: [this.#registry],
  });
  readonly #certificateLeft = new Gauge({
    name: "kubelet_certificate_manager_client_ttl_seconds",
    help: "Gauge of the TTL (time-to-live) of the Kubelet's client certificate. The value is in seconds until certificate expiry (negative if already expired). If client certificate is invalid or unused, the value will be +INF.",
    registers: [this.#registry],
  });
  readonly #certificateEnds: () => number | undefined;

  /** `certificateEnds` answers in epoch milliseconds; undefined where there is no certificate that the node keeps. */
  constructor(server: string, certificateEnds: () => number | undefined) {
    this.#host = new URL(server).host;
    this.#certificateEnds = certificateEnds;
  }

  requested(method: string, code: string, seconds: number): void {
    this.#requests.inc({ code, host: this.#host, method });
    this.#seconds.observe({ verb: method, host: this.#host }, seconds);
  }

  /** `now` in epoch milliseconds. */
  text(now: number): Promise<string> {
    this.#certificateLeft.set(((this.#certificateEnds() ?? Infinity) - now) / 1000);
    return this.#registry.metrics();
  }
}
