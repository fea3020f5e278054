/** Service account tokens of pods, kept until they are due for renewal, so that a resync asks for none. */
import type { Clock } from "#pkg/util/index.ts";

/** What the API server grants. It is said how long a token lives: when it ends, by another clock, may be hours from our time. */
export interface GrantedToken {
  readonly token: string;
  readonly lifetimeMs: number;
}
/** A token, and when by our clock to come for the next one. */
export interface RenewableToken {
  readonly token: string;
  readonly renewAt: number;
}
interface Kept extends GrantedToken {
  readonly grantedAt: number;
  /** The same on a clock that nobody sets. */
  readonly since: number;
}
const DAY_MS = 86_400_000;

/** How long a token is used: it has a fifth of its life left then, and is not older than a day. */
const useMs = (lifetimeMs: number): number => Math.min(0.8 * lifetimeMs, DAY_MS);

export class TokenCache {
  readonly #clock: Clock;
  readonly #tokens = new Map<string, Kept>();
  constructor(deps: { clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** Answers a token that is not due for renewal. */
  async get(
    podUid: string,
    audience: string | undefined,
    expirationSeconds: number,
    request: () => Promise<GrantedToken>,
  ): Promise<RenewableToken> {
    for (const [key, kept] of this.#tokens) if (this.#ageMs(kept) >= kept.lifetimeMs) this.#tokens.delete(key);
    const key = `${podUid}/${expirationSeconds}/${audience ?? ""}`;
    let kept = this.#tokens.get(key);
    if (kept === undefined || this.#ageMs(kept) >= useMs(kept.lifetimeMs)) {
      const [grantedAt, since] = [this.#clock.now(), this.#clock.monotonic()];
      kept = { ...(await request()), grantedAt, since };
      this.#tokens.set(key, kept);
    }
    return { token: kept.token, renewAt: this.#clock.now() + useMs(kept.lifetimeMs) - this.#ageMs(kept) };
  }

  /** The wall clock goes on while the machine sleeps, but may be set: whichever says more is believed. */
  #ageMs({ grantedAt, since }: Kept): number {
    return Math.max(this.#clock.now() - grantedAt, this.#clock.monotonic() - since);
  }
}
