/** Service account tokens of pods, kept until they are due for renewal, so that a resync asks for none. */
import type { Clock } from "#pkg/util/index.ts";

interface Token {
  readonly token: string;
  readonly expiresAt: number;
}
const DAY_MS = 86_400_000;

export class TokenCache {
  readonly #clock: Clock;
  readonly #tokens = new Map<string, Token & { renewAt: number }>();
  constructor(deps: { clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** A token with at least a fifth of its life left, and not older than a day. */
  async get(
    podUid: string,
    audience: string | undefined,
    expirationSeconds: number,
    request: () => Promise<Token>,
  ): Promise<Token> {
    const now = this.#clock.now();
    for (const [key, { expiresAt }] of this.#tokens) if (expiresAt < now) this.#tokens.delete(key);
    const key = `${podUid}/${expirationSeconds}/${audience ?? ""}`;
    const known = this.#tokens.get(key);
    if (known !== undefined && now < known.renewAt) return known;
    const token = await request();
    const lifetimeMs = token.expiresAt - now;
    this.#tokens.set(key, { ...token, renewAt: now + Math.min(0.8 * lifetimeMs, DAY_MS) });
    return token;
  }
}
