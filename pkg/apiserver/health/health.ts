import { family, errorMessage, type Clock, sleep } from "#pkg/util/index.ts";
import type { NonResourceContext } from "../pipeline.ts";

export type HealthEndpoint = "healthz" | "livez" | "readyz";
/** undefined when all is well, otherwise what is wrong. */
export type HealthCheck = () => string | undefined | Promise<string | undefined>;

const ENDPOINTS: readonly HealthEndpoint[] = ["healthz", "livez", "readyz"];
/** A check that has not answered by then has failed. */
const CHECK_TIMEOUT_MS = 2000;

/** /healthz, /livez and /readyz with their named checks. */
export class HealthChecks {
  readonly #checks = new Map<HealthEndpoint, Map<string, HealthCheck>>(
    ENDPOINTS.map((endpoint) => [endpoint, new Map<string, HealthCheck>()]),
  );

  /** By the labels of a check: whether it was well the last time, and how often it was and was not. */
  readonly #results = new Map<string, { well: boolean; success: number; error: number }>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adds or replaces a check of the endpoints given (all of them by default). */
  add(name: string, check: HealthCheck, endpoints: readonly HealthEndpoint[] = ENDPOINTS): void {
    for (const endpoint of endpoints) this.#checks.get(endpoint)!.set(name, check);
  }
  /** Every path that is served now. */
  paths(): string[] {
    return [...this.#checks].flatMap(([endpoint, checks]) => [
      `/${endpoint}`,
      ...[...checks.keys()].map((name) => `/${endpoint}/${name}`),
    ]);
  }
  /** Serves the health paths; false for others. */
  async serve({ target, response }: NonResourceContext): Promise<boolean> {
    const [, endpoint = "", name, ...rest] = target.path.split("/");
    const checks = this.#checks.get(endpoint as HealthEndpoint);
    if (checks === undefined) return false;
    const headers = {
      "content-type": "text/plain; charset=utf-8",
      "cache-control": "no-cache, private",
      "x-content-type-options": "nosniff",
    };
    if (name !== undefined && name !== "") {
      const check = rest.length === 0 ? checks.get(name) : undefined;
      if (check === undefined) return false;
      const problem = await this.#run(endpoint, name, check);
      const text = problem === undefined ? "ok" : `internal server error: ${problem}\n`;
      response.send(problem === undefined ? 200 : 500, headers, Buffer.from(text));
      return true;
    }
    const excluded = new Set(target.query.getAll("exclude"));
    const lines: string[] = [];
    let failed = false;
    for (const [check, run_] of checks) {
      if (excluded.delete(check)) {
        lines.push(`[+]${check} excluded: ok`);
        continue;
      }
      const problem = await this.#run(endpoint, check, run_);
      failed ||= problem !== undefined;
      lines.push(problem === undefined ? `[+]${check} ok` : `[-]${check} failed: reason withheld`);
    }
    if (excluded.size > 0)
      lines.push(
        `warn: some health checks cannot be excluded: no matches for ${[...excluded].map((check) => JSON.stringify(check)).join(",")}`,
      );
    const verbose = target.query.has("verbose");
    const report = `${lines.join("\n")}\n`;
    const body = failed
      ? `${report}${endpoint} check failed\n`
      : verbose
        ? `${report}${endpoint} check passed\n`
        : "ok";
    response.send(failed ? 500 : 200, headers, Buffer.from(body));
    return true;
  }

  /** Prometheus text of what whoever asked was told. */
  metrics(): string {
    const [last, total] = ["kubernetes_healthcheck", "kubernetes_healthchecks_total"];
    const results = [...this.#results];
    return [
      family(
        last,
        "gauge",
        "This metric records the result of a single healthcheck.",
        results.map(([labels, { well }]) => `${last}{${labels}} ${well ? 1 : 0}`),
      ),
      family(
        total,
        "counter",
        "This metric records the results of all healthcheck.",
        results.flatMap(([labels, { success, error }]) =>
          Object.entries({ success, error }).flatMap(([status, count]) =>
            count === 0 ? [] : [`${total}{${labels},status="${status}"} ${count}`],
          ),
        ),
      ),
    ].join("");
  }

  async #run(endpoint: string, name: string, check: HealthCheck): Promise<string | undefined> {
    const problem = await this.#ask(check);
    const labels = `name=${JSON.stringify(name)},type="${endpoint}"`;
    const result = this.#results.get(labels) ?? { well: true, success: 0, error: 0 };
    this.#results.set(labels, result);
    result.well = problem === undefined;
    result[result.well ? "success" : "error"]++;
    return problem;
  }
  async #ask(check: HealthCheck): Promise<string | undefined> {
    const answered = new AbortController();
    const late = sleep(this.#clock, CHECK_TIMEOUT_MS, answered.signal).then(
      () => `no answer within ${CHECK_TIMEOUT_MS} ms`,
      () => undefined,
    );
    try {
      return await Promise.race([check(), late]);
    } catch (error) {
      return errorMessage(error);
    } finally {
      answered.abort();
    }
  }
}
