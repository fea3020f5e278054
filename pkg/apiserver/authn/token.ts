import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { Remarks } from "../contract.ts";

/** Longest bearer token looked at; anything bigger is not one of ours. */
const MAX_TOKEN_LENGTH = 16 * 1024;

export interface TokenResult {
  readonly user: UserInfo;
  /** The audiences asked for that the token is good for; undefined when the method knows no audiences. */
  readonly audiences?: readonly string[];
}

/** Why a credential is bad, in upstream's words. Becomes 401, and `status.error` of a TokenReview. */
export class InvalidTokenError extends Error {}

/**
 * One way to judge bearer tokens. undefined: not a token of this kind. Throws {@link InvalidTokenError} for one of this
 * kind that is bad. `audiences` are those the token should be for; undefined means the API server's own.
 */
export interface TokenAuthenticator {
  authenticateToken(
    token: string,
    audiences: readonly string[] | undefined,
    remarks?: Remarks,
  ): TokenResult | undefined | Promise<TokenResult | undefined>;
}

export const ALL_AUTHENTICATED = "system:authenticated";
export const ALL_UNAUTHENTICATED = "system:unauthenticated";
export const ANONYMOUS = "system:anonymous";

/** The user with system:authenticated among its groups. */
export function withAuthenticated(user: UserInfo): UserInfo {
  if (user.groups.includes(ALL_AUTHENTICATED) || user.groups.includes(ALL_UNAUTHENTICATED)) return user;
  return Object.freeze({ ...user, groups: Object.freeze([...user.groups, ALL_AUTHENTICATED]) });
}

/** Tries each method; the first user wins, failures are reported only when nobody accepts the token. */
export class UnionTokenAuthenticator implements TokenAuthenticator {
  #methods: readonly TokenAuthenticator[];
  constructor(methods: readonly TokenAuthenticator[]) {
    this.#methods = methods;
  }
  /** Tries these from now on. */
  use(methods: readonly TokenAuthenticator[]): void {
    this.#methods = methods;
  }
  async authenticateToken(
    token: string,
    audiences: readonly string[] | undefined,
    remarks?: Remarks,
  ): Promise<TokenResult | undefined> {
    if (token.length > MAX_TOKEN_LENGTH) throw new InvalidTokenError("token is too long");
    const failures: string[] = [];
    for (const method of this.#methods) {
      try {
        const result = await method.authenticateToken(token, audiences, remarks);
        if (result !== undefined) return result;
      } catch (error) {
        if (!(error instanceof InvalidTokenError)) throw error;
        failures.push(error.message);
      }
    }
    if (failures.length > 0)
      throw new InvalidTokenError(failures.length === 1 ? failures[0]! : `[${failures.join(", ")}]`);
    return undefined;
  }
}
