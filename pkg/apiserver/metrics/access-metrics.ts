import { family, Histogram } from "#pkg/util/index.ts";

/** Upper bounds in seconds (upstream's). */
const BUCKETS = Array.from({ length: 15 }, (_, index) => 0.001 * 2 ** index);

/** How often something came to each of its results, and how long that took. */
class Attempts<R extends string> {
  readonly #byResult = new Map<R, { count: number; readonly seconds: Histogram }>();

  add(result: R, ms: number): void {
    let own = this.#byResult.get(result);
    if (own === undefined) this.#byResult.set(result, (own = { count: 0, seconds: new Histogram(BUCKETS) }));
    own.count++;
    own.seconds.add(ms / 1000);
  }
  text(total: readonly [name: string, help: string], duration: readonly [name: string, help: string]): string {
    const all = [...this.#byResult];
    const counts = all.map(([result, { count }]) => `${total[0]}{result="${result}"} ${count}`);
    const times = all.flatMap(([result, { seconds }]) => seconds.lines(duration[0], `result="${result}"`));
    return family(total[0], "counter", total[1], counts) + family(duration[0], "histogram", duration[1], times);
  }
}

const AUTHORIZATIONS = { allow: "allowed", deny: "denied", "no-opinion": "no-opinion", error: "error" } as const;

/** What became of the questions who somebody is and what they may, under upstream's names. */
export class AccessMetrics {
  readonly #authentications = new Attempts<"success" | "failure" | "error">();
  readonly #authorizations = new Attempts<(typeof AUTHORIZATIONS)[keyof typeof AUTHORIZATIONS]>();

  authenticated(result: "success" | "failure" | "error", ms: number): void {
    this.#authentications.add(result, ms);
  }
  authorized(result: keyof typeof AUTHORIZATIONS, ms: number): void {
    this.#authorizations.add(AUTHORIZATIONS[result], ms);
  }
  /** Prometheus text. */
  render(): string {
    const authentications = this.#authentications.text(
      ["authentication_attempts", "Counter of authenticated attempts."],
      ["authentication_duration_seconds", "Authentication duration in seconds broken out by result."],
    );
    const authorizations = this.#authorizations.text(
      [
        "authorization_attempts_total",
        "Counter of authorization attempts broken down by result. It can be either 'allowed', 'denied', 'no-opinion' or 'error'.",
      ],
      ["authorization_duration_seconds", "Authorization duration in seconds broken out by result."],
    );
    return authentications + authorizations;
  }
}
