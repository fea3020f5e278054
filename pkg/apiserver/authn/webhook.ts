import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { TokenReviewStatus } from "#pkg/api/types/authentication-v1.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { WebhookTransport } from "../admission/webhook/client.ts";
import { postReview, type ReviewWebhookConfig } from "../review-webhook.ts";
import { InvalidTokenError, type TokenAuthenticator, type TokenResult, withAuthenticated } from "./token.ts";

export interface TokenWebhookDeps {
  readonly transport: WebhookTransport;
  readonly config: ReviewWebhookConfig;
  readonly clock: Clock;
  readonly log: Logger;
  /** `--authentication-token-webhook-cache-ttl`, default two minutes. */
  readonly cacheTtlMs?: number;
}

const CACHED_ANSWERS = 4096;

/** Asks a TokenReview webhook about tokens nobody else knows. Answers are remembered for a while, failures are not. */
export class TokenWebhook implements TokenAuthenticator {
  readonly #deps: TokenWebhookDeps;
  readonly #answers = new LRUCache<string, { readonly result: TokenResult | undefined; readonly until: number }>({
    max: CACHED_ANSWERS,
  });
  constructor(deps: TokenWebhookDeps) {
    this.#deps = deps;
  }

  async authenticateToken(token: string, audiences: readonly string[] | undefined): Promise<TokenResult | undefined> {
    const { transport, config, clock, log, cacheTtlMs = 120_000 } = this.#deps;
    // The token itself is a secret others may dump memory for; its hash names it as well.
    const key = createHash("sha256")
      .update(JSON.stringify([token, audiences]))
      .digest("base64");
    const known = this.#answers.get(key);
    if (known !== undefined && clock.now() < known.until) return known.result;
    let status: TokenReviewStatus;
    try {
      status = await postReview<TokenReviewStatus>({ transport, clock }, config, {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: { token, ...(audiences === undefined ? {} : { audiences }) },
      });
    } catch (err) {
      log.warn({ err }, "Token webhook could not be asked");
      throw new InvalidTokenError("the token webhook could not be asked");
    }
    if (status.error !== undefined && status.error !== "") throw new InvalidTokenError(status.error);
    const result = resultOf(status, audiences);
    this.#answers.set(key, { result, until: clock.now() + cacheTtlMs });
    return result;
  }
}

function resultOf(status: TokenReviewStatus, audiences: readonly string[] | undefined): TokenResult | undefined {
  const { authenticated, user } = status;
  if (authenticated !== true || user?.username === undefined) return undefined;
  // An old webhook that knows no audiences vouches for the API server's own only.
  if (audiences !== undefined && (status.audiences ?? []).length === 0) return undefined;
  return {
    user: withAuthenticated({
      name: user.username,
      ...(user.uid === undefined ? {} : { uid: user.uid }),
      groups: user.groups ?? [],
      ...(user.extra === undefined ? {} : { extra: user.extra }),
    }),
    ...(status.audiences === undefined ? {} : { audiences: status.audiences }),
  };
}
