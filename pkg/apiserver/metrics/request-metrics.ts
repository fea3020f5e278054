import { family, Histogram } from "#pkg/util/index.ts";
import type { RequestTarget } from "../http/target.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";
import type { RequestEnd, RequestObserver } from "../pipeline.ts";

/** Upper bounds of the duration histogram in seconds (upstream's). */
const DURATION_BUCKETS = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];
/** Of the time that a request's service took. */
const SERVED_BUCKETS = DURATION_BUCKETS.slice(DURATION_BUCKETS.indexOf(0.05));
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
  /** Labels that all families share, as text. */
  readonly labels: string;
  readonly codes: Map<number, number>;
  /** Those of `codes` that were turned away before they were looked at. */
  readonly terminations: Map<number, number>;
  /** In seconds. */
  readonly durations: Histogram;
  /** The same without the time in queues. */
  readonly served: Histogram;
  longRunning: number;
}

const count = (counts: Map<number, number>, code: number): void => void counts.set(code, (counts.get(code) ?? 0) + 1);

/** Counts and durations of requests under upstream's names. One look-up per request; text is made on demand. */
export class RequestMetrics implements RequestObserver {
  readonly #registry: ResourceRegistry;
  readonly #monotonic: () => number;
  readonly #series = new Map<string, Series>();
  readonly #inFlight = { mutating: 0, readOnly: 0 };

  constructor(registry: ResourceRegistry, monotonic: () => number) {
    this.#registry = registry;
    this.#monotonic = monotonic;
  }
  began(target: RequestTarget): RequestEnd {
    const start = this.#monotonic();
    if (target.verb === "watch" || LONG_RUNNING.has(target.subresource)) {
      const series = this.#seriesOf(target);
      series.longRunning++;
      return (code) => {
        series.longRunning--;
        count(series.codes, code);
      };
    }
    const kind = MUTATING.has(target.verb) ? "mutating" : "readOnly";
    this.#inFlight[kind]++;
    return (code, queuedMs, turnedAway) => {
      this.#inFlight[kind]--;
      const series = this.#seriesOf(target);
      const ms = this.#monotonic() - start;
      count(series.codes, code);
      if (turnedAway) count(series.terminations, code);
      series.durations.add(ms / 1000);
      series.served.add((ms - queuedMs) / 1000);
    };
  }
  /** Prometheus text. */
  render(): string {
    const all = [...this.#series.values()];
    const total = "apiserver_request_total";
    const duration = "apiserver_request_duration_seconds";
    const served = "apiserver_request_sli_duration_seconds";
    const inFlight = "apiserver_current_inflight_requests";
    const longRunning = "apiserver_longrunning_requests";
    const terminations = "apiserver_request_terminations_total";
    const byCode = (name: string, more: string, counts: ReadonlyMap<number, number>): string[] =>
      Array.from(counts, ([code, value]) => `${name}{code="${code}",${more}} ${value}`);
    return [
      family(
        total,
        "counter",
        "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
        all.flatMap(({ labels, codes }) => byCode(total, `dry_run="",${labels}`, codes)),
      ),
      family(
        duration,
        "histogram",
        "Response latency distribution in seconds.",
        all.flatMap(({ labels, durations }) => durations.lines(duration, `dry_run="",${labels}`)),
      ),
      family(
        served,
        "histogram",
        "Response latency distribution (not counting priority & fairness queue wait times) in seconds.",
        all.flatMap((own) => own.served.lines(served, own.labels)),
      ),
      family(
        terminations,
        "counter",
        "Number of requests which apiserver terminated in self-defense.",
        all.flatMap((own) => byCode(terminations, own.labels, own.terminations)),
      ),
      family(inFlight, "gauge", "Number of requests being served at the moment.", [
        `${inFlight}{request_kind="mutating"} ${this.#inFlight.mutating}`,
        `${inFlight}{request_kind="readOnly"} ${this.#inFlight.readOnly}`,
      ]),
      family(
        longRunning,
        "gauge",
        "Gauge of all active long-running requests.",
        // One that was is shown with 0: graphs would go on with the last value of a gauge that has gone.
        all.flatMap((own) =>
          own.longRunning > 0 || own.durations.count === 0 ? [`${longRunning}{${own.labels}} ${own.longRunning}`] : [],
        ),
      ),
    ].join("");
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
      const labels = Object.entries({ component: "apiserver", ...values, verb: shownVerb })
        .map(([label, value]) => `${label}=${JSON.stringify(value)}`)
        .join(",");
      series = {
        labels,
        codes: new Map(),
        terminations: new Map(),
        durations: new Histogram(DURATION_BUCKETS),
        served: new Histogram(SERVED_BUCKETS),
        longRunning: 0,
      };
      this.#series.set(key, series);
    }
    return series;
  }
}
