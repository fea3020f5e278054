/** What a node counts about its connection to the API server, under client-go's names. */
import { Counter, Gauge, Registry } from "prom-client";
import { RequestCounts } from "#pkg/client/index.ts";

/** Made by whoever makes the connection; the kubelet shows it with its own. */
export class ConnectionMetrics {
  readonly #registry = new Registry();
  readonly #requests: RequestCounts;
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
    this.#requests = new RequestCounts(this.#registry, new URL(server).host);
    this.#certificateEnds = certificateEnds;
  }

  requested(method: string, code: string, seconds: number): void {
    this.#requests.requested(method, code, seconds);
  }

  /** `now` in epoch milliseconds. */
  text(now: number): Promise<string> {
    this.#certificateLeft.set(((this.#certificateEnds() ?? Infinity) - now) / 1000);
    return this.#registry.metrics();
  }
}
