/** Upstream's counters of service-account tokens, by name. */
const COUNTERS = {
  legacy_tokens_total: "Cumulative legacy service account tokens used",
  legacy_manual_token_uses_total: "Cumulative manually created legacy tokens used",
  legacy_auto_token_uses_total: "Cumulative auto-generated legacy tokens used",
  invalid_legacy_auto_token_uses_total: "Cumulative invalid auto-generated legacy tokens used",
  stale_tokens_total: "Cumulative stale projected service account tokens used",
  valid_tokens_total: "Cumulative valid projected service account tokens used",
} as const;
type Counter = keyof typeof COUNTERS;

/** How often tokens were used that their holders had better replace. */
export class TokenUses {
  readonly #counts = new Map<Counter, number>();

  count(counter: Counter): void {
    this.#counts.set(counter, (this.#counts.get(counter) ?? 0) + 1);
  }
  /** Prometheus text. */
  metrics(): string {
    return Object.entries(COUNTERS)
      .map(([key, help]) => {
        const name = `serviceaccount_${key}`;
        const value = this.#counts.get(key as Counter) ?? 0;
        return `# HELP ${name} ${help}\n# TYPE ${name} counter\n${name} ${value}\n`;
      })
      .join("");
  }
}
