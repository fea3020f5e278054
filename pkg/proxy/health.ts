import { type Server, createServer } from "node:http";
import { type Clock, type Logger, formatTime } from "#pkg/util/index.ts";
import type { ProxyMetrics } from "./metrics.ts";

/** A rule change that waits longer than this makes the proxy unhealthy: twice upstream's sync period. */
const STALE_MS = 60_000;

/** Keeps what health answers are made of: per address family, whether changes reach the kernel in time. */
export class ProxyHealth {
  readonly #clock: Clock;
  readonly #queuedSince = new Map<string, number>();
  readonly #families: readonly string[];
  readonly #synced = new Set<string>();
  #lastUpdated = 0;
  /** False when the node is being taken away: load balancers should send it nothing new (KEP-3836). */
  nodeEligible = true;

  constructor(clock: Clock, families: readonly string[]) {
    this.#clock = clock;
    this.#families = families;
  }

  queued(family: string): void {
    if (!this.#queuedSince.has(family)) this.#queuedSince.set(family, this.#clock.now());
  }

  updated(family: string): void {
    this.#queuedSince.delete(family);
    this.#synced.add(family);
    this.#lastUpdated = this.#clock.now();
  }

  get healthy(): boolean {
    const now = this.#clock.now();
    return (
      this.#families.every((family) => this.#synced.has(family)) &&
      [...this.#queuedSince.values()].every((since) => now - since < STALE_MS)
    );
  }

  /** Epoch milliseconds: of the last sync, or now while nothing waits. */
  get lastUpdated(): number {
    return this.healthy && this.#queuedSince.size === 0 ? this.#clock.now() : this.#lastUpdated;
  }
}

export interface HealthServerDeps {
  readonly health: ProxyHealth;
  readonly metrics: ProxyMetrics;
  readonly clock: Clock;
  readonly mode: string;
}

/** /healthz and /livez as load balancers of cloud providers ask for them (10256). */
export function healthServer({ health, metrics, clock }: HealthServerDeps): Server {
  return createServer((request, response) => {
    const path = (request.url ?? "").split("?", 1)[0];
    if (path !== "/healthz" && path !== "/livez") {
      response.writeHead(404).end();
      return;
    }
    const ok = health.healthy && (path === "/livez" || health.nodeEligible);
    const code = ok ? 200 : 503;
    (path === "/livez" ? metrics.livez : metrics.healthz).inc({ code: String(code) });
    const body = {
      lastUpdated: formatTime(health.lastUpdated),
      currentTime: formatTime(clock.now()),
      nodeEligible: health.nodeEligible,
    };
    response
      .writeHead(code, { "Content-Type": "application/json", "X-Content-Type-Options": "nosniff" })
      .end(JSON.stringify(body));
  });
}

/** /metrics, /proxyMode and /healthz (10249). */
export function metricsServer({ metrics, mode }: HealthServerDeps): Server {
  return createServer((request, response) => {
    const path = (request.url ?? "").split("?", 1)[0];
    if (path === "/metrics") {
      void metrics.registry.metrics().then((text) => {
        response.writeHead(200, { "Content-Type": metrics.registry.contentType }).end(text);
      });
    } else if (path === "/proxyMode" || path === "/healthz") {
      response.writeHead(200, { "Content-Type": "text/plain" }).end(path === "/healthz" ? "ok" : mode);
    } else response.writeHead(404).end();
  });
}

/** Listens; rejects when the port is taken. Answers the port. */
export function listen(server: Server, port: number, address: string | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, ...(address === undefined ? {} : { host: address }) }, () => {
      server.off("error", reject);
      resolve((server.address() as { port: number }).port);
    });
  });
}

export function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** What the health check node port of one service answers from. */
export interface ServiceHealth {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly localEndpoints: number;
}

/**
 * Health check node ports: load balancers ask each node whether it has endpoints of a service whose external traffic
 * policy is Local (the answer's form is upstream's).
 */
export class ServiceHealthServers {
  readonly #open = new Map<number, { server: Server; state: ServiceHealth }>();
  readonly #health: ProxyHealth;
  readonly #log: Logger;

  constructor(health: ProxyHealth, log: Logger) {
    this.#health = health;
    this.#log = log;
  }

  /** Opens, updates and closes servers until they are exactly these. A port that is taken is tried again next time. */
  async sync(wanted: readonly ServiceHealth[]): Promise<void> {
    const ports = new Map(wanted.map((state) => [state.port, state]));
    for (const [port, { server }] of this.#open) {
      if (ports.has(port)) continue;
      this.#open.delete(port);
      await close(server);
    }
    for (const [port, state] of ports) {
      const open = this.#open.get(port);
      if (open !== undefined) open.state = state;
      else await this.#start(state);
    }
  }

  async #start(state: ServiceHealth): Promise<void> {
    const entry = { state, server: createServer() };
    entry.server.on("request", (_request, response) => {
      const { namespace, name, localEndpoints } = entry.state;
      const healthy = this.#health.healthy;
      const body = { service: { namespace, name }, localEndpoints, serviceProxyHealthy: healthy };
      response
        .writeHead(localEndpoints > 0 && healthy ? 200 : 503, {
          "Content-Type": "application/json",
          "X-Content-Type-Options": "nosniff",
          "X-Load-Balancing-Endpoint-Weight": String(localEndpoints),
        })
        .end(JSON.stringify(body, undefined, "\t"));
    });
    try {
      await listen(entry.server, state.port, undefined);
      this.#open.set(state.port, entry);
    } catch (err) {
      this.#log.warn(
        { service: `${state.namespace}/${state.name}`, port: state.port, err },
        "Health check node port is taken",
      );
    }
  }

  async close(): Promise<void> {
    await this.sync([]);
  }
}
