import { type Server, createServer } from "node:http";
import { Counter, Gauge, Registry } from "prom-client";
import type { Forwarder } from "./forwarder.ts";

/** Metrics of cluster DNS under the names that CoreDNS made familiar. */
export class DnsMetrics {
  readonly registry = new Registry();
  readonly #requests = new Counter({
    name: "coredns_dns_requests_total",
    help: "Counter of DNS requests made per protocol and type.",
    labelNames: ["proto", "type"],
    registers: [this.registry],
  });
  readonly #responses = new Counter({
    name: "coredns_dns_responses_total",
    help: "Counter of response status codes.",
    labelNames: ["rcode"],
    registers: [this.registry],
  });

  constructor(forwarder: Forwarder) {
    const { counts } = forwarder;
    const gauge = (name: string, help: string, value: () => number) =>
      new Gauge({
        name,
        help,
        registers: [this.registry],
        collect() {
          this.set(value());
        },
      });
    gauge("coredns_cache_hits_total", "Questions answered from the cache.", () => counts.cached);
    gauge("coredns_forward_requests_total", "Questions sent to other servers.", () => counts.sent);
  }

  request(proto: "udp" | "tcp", type: string): void {
    // Clients choose the type, so names outside a fixed list share one series.
    this.#requests.inc({ proto, type: type.startsWith("TYPE") ? "other" : type });
  }

  response(reply: Buffer): void {
    this.#responses.inc({ rcode: RCODES[reply[3]! & 0xf] ?? "other" });
  }
}
const RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/** /health (the process lives), /ready (it answers from complete data) and /metrics. */
export function statusServer(metrics: DnsMetrics, ready: () => boolean): Server {
  return createServer((request, response) => {
    const path = (request.url ?? "").split("?", 1)[0];
    if (path === "/metrics") {
      void metrics.registry.metrics().then((text) => {
        response.writeHead(200, { "Content-Type": metrics.registry.contentType }).end(text);
      });
    } else if (path === "/health") response.writeHead(200).end("OK");
    else if (path === "/ready") response.writeHead(ready() ? 200 : 503).end(ready() ? "OK" : "not synced");
    else response.writeHead(404).end();
  });
}
