import type { RequestTarget } from "../http/target.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";
import { Histogram } from "./histogram.ts";

/** Upper bounds of the duration histogram in seconds (upstream's). */
const DURATION_BUCKETS = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];
const VERBS: Readonly<Record<string, string>> = {
  create: "POST",
  update: "PUT",
  get: "GET",
  list: "LIST",
  watch: "WATCH",
  patch: "PATCH",
  delete: "DELETE",
  deletecollection: "DELETECOLLECTION",
};
const MUTATING = new Set(["create", "update", "patch", "delete", "deletecollection"]);
const LONG_RUNNING = new Set(["exec", "attach", "portforward", "log", "proxy"]);

/** What requests of one shape have cost so far. */
interface Series {
  /** Labels that durations and counts share, as text. */
  readonly labels: string;
  readonly codes: Map<number, number>;
  /** In seconds. */
  readonly durations: Histogram;
}

/** Counts and durations of requests under upstream's names. One look-up per request; text is made on demand. */
export class RequestMetrics {
  readonly #registry: ResourceRegistry;
  readonly #monotonic: () => number;
  readonly #series = new Map<string, Series>();
  readonly #inFlight = { mutating: 0, readOnly: 0 };
  #longRunning = 0;

  constructor(registry: ResourceRegistry, monotonic: () => number) {
    this.#registry = registry;
    this.#monotonic = monotonic;
  }
  /** Returns what to call at the end of the request with its status code. */
  began(target: RequestTarget): (code: number) => void {
    const start = this.#monotonic();
    if (target.verb === "watch" || LONG_RUNNING.has(target.subresource)) {
      this.#longRunning++;
      return (code) => {
        this.#longRunning--;
        this.#record(target, code, undefined);
      };
    }
    const kind = MUTATING.has(target.verb) ? "mutating" : "readOnly";
    this.#inFlight[kind]++;
    return (code) => {
      this.#inFlight[kind]--;
      this.#record(target, code, (this.#monotonic() - start) / 1000);
    };
  }
  /** Prometheus text. */
  render(): string {
    const lines = [
      "# HELP apiserver_request_total Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
      "# TYPE apiserver_request_total counter",
    ];
    for (const { labels, codes } of this.#series.values()) {
      for (const [code, count] of codes) lines.push(`apiserver_request_total{code="${code}",${labels}} ${count}`);
    }
    const name = "apiserver_request_duration_seconds";
    lines.push(`# HELP ${name} Response latency distribution in seconds.`, `# TYPE ${name} histogram`);
    for (const { labels, durations } of this.#series.values()) lines.push(...durations.lines(name, labels));
    lines.push(
      "# HELP apiserver_current_inflight_requests Number of requests being served at the moment.",
      "# TYPE apiserver_current_inflight_requests gauge",
      `apiserver_current_inflight_requests{request_kind="mutating"} ${this.#inFlight.mutating}`,
      `apiserver_current_inflight_requests{request_kind="readOnly"} ${this.#inFlight.readOnly}`,
      "# HELP apiserver_longrunning_requests Gauge of all active long-running requests.",
      "# TYPE apiserver_longrunning_requests gauge",
      `apiserver_longrunning_requests ${this.#longRunning}`,
      ...this.#storedObjects(),
    );
    return `${lines.join("\n")}\n`;
  }

  #record(target: RequestTarget, code: number, seconds: number | undefined): void {
    const series = this.#seriesOf(target);
    series.codes.set(code, (series.codes.get(code) ?? 0) + 1);
    if (seconds !== undefined) series.durations.add(seconds);
  }
  #seriesOf(target: RequestTarget): Series {
    const { verb, group, version, resource, subresource, name, namespace } = target;
    // Names that clients make up must not make series.
    const known = target.resourceRequest && this.#registry.lookup(group, version, resource) !== undefined;
    const scope = !known ? "" : name !== "" ? "resource" : namespace === "" ? "cluster" : "namespace";
    const shownVerb = VERBS[verb] ?? (known ? verb.toUpperCase() : "OTHER");
    const key = known ? `${verb}/${group}/${version}/${resource}/${subresource}/${scope}` : shownVerb;
    let series = this.#series.get(key);
    if (series === undefined) {
      const values = known
        ? { group, version, resource, subresource, scope }
        : { group: "", version: "", resource: "", subresource: "", scope: "" };
      const labels = Object.entries({ component: "apiserver", dry_run: "", ...values, verb: shownVerb })
        .map(([label, value]) => `${label}=${JSON.stringify(value)}`)
        .join(",");
      series = { labels, codes: new Map(), durations: new Histogram(DURATION_BUCKETS) };
      this.#series.set(key, series);
    }
    return series;
  }
  #storedObjects(): string[] {
    const counts = new Map<string, number>();
    for (const { qualifiedName, cache } of this.#registry.all()) {
      if (cache !== undefined) counts.set(qualifiedName, cache.count());
    }
    return [
      "# HELP apiserver_storage_objects Number of stored objects at the time of last check split by kind.",
      "# TYPE apiserver_storage_objects gauge",
      ...Array.from(counts, ([resource, count]) => `apiserver_storage_objects{resource="${resource}"} ${count}`),
    ];
  }
}
