import { createPublicKey, type webcrypto } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import {
  type Algorithm,
  decodeJwt,
  type DecodedJwt,
  isAlgorithm,
  type VerificationKey,
  verifySignature,
} from "./jwt.ts";
import { InvalidTokenError, type TokenAuthenticator, type TokenResult, withAuthenticated } from "./token.ts";

/** Makes a user of verified claims. @throws InvalidTokenError when they do not do. */
export type ClaimMapper = (claims: Readonly<Record<string, unknown>>) => UserInfo;

/** One issuer of tokens, whoever maps its claims. */
export interface JwtIssuerOptions {
  readonly issuerUrl: string;
  /** Where the discovery document is, if not under the issuer. */
  readonly discoveryUrl?: string;
  /** A token has to be for one of these. */
  readonly audiences: readonly string[];
  /** PEM; the system's authorities when absent. */
  readonly ca?: string;
  /** Default RS256. */
  readonly signingAlgorithms?: readonly string[];
  readonly map: ClaimMapper;
}

/** `--oidc-*` flags: one OpenID provider. */
export interface OidcOptions {
  readonly issuerUrl: string;
  readonly clientId: string;
  /** PEM; the system's authorities when absent. */
  readonly ca?: string;
  /** Default "sub". */
  readonly usernameClaim?: string;
  /** Default: the issuer and "#" unless the claim is email; "-" means none. */
  readonly usernamePrefix?: string;
  readonly groupsClaim?: string;
  readonly groupsPrefix?: string;
  readonly requiredClaims?: Readonly<Record<string, string>>;
  /** Default RS256. */
  readonly signingAlgorithms?: readonly string[];
}

/** Fetches a document over HTTPS. Rejects when there is none. */
export type FetchJson = (url: URL, ca: string | undefined) => Promise<unknown>;

export interface OidcDeps {
  readonly options: OidcOptions | JwtIssuerOptions;
  readonly fetchJson: FetchJson;
  readonly clock: Clock;
  readonly log: Logger;
}

const CACHED_TOKENS = 2048;
/** Tokens of unknown keys make us ask the provider, at most this often: anybody can make such tokens. */
const REFRESH_INTERVAL_MS = 10_000;

/** ID tokens of an OpenID Connect provider (RFC 7519, OpenID Connect Core 3.1.3.7). */
export class OidcAuthenticator implements TokenAuthenticator {
  readonly #deps: OidcDeps;
  readonly #issuer: JwtIssuerOptions;
  readonly #algorithms: ReadonlySet<string>;
  readonly #accepted = new LRUCache<string, { readonly result: TokenResult; readonly expires: number }>({
    max: CACHED_TOKENS,
  });
  #keys: readonly VerificationKey[] = [];
  #fetchedAt: number | undefined;
  #fetching: Promise<void> | undefined;

  /** @throws TypeError for an issuer that is not an https URL, or an algorithm that is not supported. */
  constructor(deps: OidcDeps) {
    const { options } = deps;
    const { issuerUrl, signingAlgorithms = ["RS256"] } = options;
    if (URL.parse(issuerUrl)?.protocol !== "https:") throw new TypeError("the OIDC issuer URL must use https");
    const unsupported = signingAlgorithms.find((algorithm) => !isAlgorithm(algorithm));
    if (unsupported !== undefined) throw new TypeError(`unsupported OIDC signing algorithm ${unsupported}`);
    this.#deps = deps;
    this.#issuer = "map" in options ? options : { ...options, audiences: [options.clientId], map: flagMapper(options) };
    this.#algorithms = new Set(signingAlgorithms);
  }

  async authenticateToken(token: string): Promise<TokenResult | undefined> {
    const now = this.#deps.clock.now() / 1000;
    const known = this.#accepted.get(token);
    if (known !== undefined) {
      if (now >= known.expires) throw new InvalidTokenError("oidc: verify token: oidc: token is expired");
      return known.result;
    }
    const decoded = decodeJwt(token);
    if (decoded?.claims["iss"] !== this.#issuer.issuerUrl) return undefined;
    await this.#verify(token, decoded);
    const expires = this.#checkClaims(decoded.claims, now);
    const result = { user: withAuthenticated(this.#issuer.map(decoded.claims)) };
    this.#accepted.set(token, { result, expires });
    return result;
  }

  async #verify(token: string, decoded: DecodedJwt): Promise<void> {
    const { kid, alg } = decoded.header;
    if (!this.#algorithms.has(String(alg)))
      throw new InvalidTokenError(
        `oidc: verify token: oidc: id token signed with unsupported algorithm, got ${JSON.stringify(alg)}`,
      );
    if (this.#keys.length === 0 || (kid !== undefined && !this.#keys.some(({ keyId }) => keyId === kid)))
      await this.#refresh();
    if (!verifySignature(token, decoded, this.#keys)) {
      throw new InvalidTokenError(
        "oidc: verify token: failed to verify signature: failed to verify id token signature",
      );
    }
  }

  /** Reads the provider's keys again: one request at a time, and not too often. */
  async #refresh(): Promise<void> {
    const { clock, log } = this.#deps;
    if (this.#fetchedAt !== undefined && clock.monotonic() - this.#fetchedAt < REFRESH_INTERVAL_MS) return;
    this.#fetching ??= this.#fetchKeys()
      .catch((err: unknown) => {
        log.warn({ err, issuer: this.#issuer.issuerUrl }, "Could not read the keys of the OIDC provider");
      })
      .finally(() => {
        this.#fetchedAt = clock.monotonic();
        this.#fetching = undefined;
      });
    await this.#fetching;
  }

  async #fetchKeys(): Promise<void> {
    const { fetchJson } = this.#deps;
    const { issuerUrl, discoveryUrl, ca } = this.#issuer;
    const document = discoveryUrl ?? `${issuerUrl.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const discovery = (await fetchJson(new URL(document), ca)) as {
      issuer?: string;
      jwks_uri?: string;
    };
    if (discovery.issuer !== issuerUrl)
      throw new Error(`the provider calls itself ${JSON.stringify(discovery.issuer)}`);
    const uri = URL.parse(discovery.jwks_uri ?? "");
    if (uri?.protocol !== "https:") throw new Error("the provider's jwks_uri is not an https URL");
    const { keys = [] } = (await fetchJson(uri, ca)) as {
      keys?: (webcrypto.JsonWebKey & { kid?: string; alg?: string; use?: string })[];
    };
    // Keys of kinds we do not know are for others.
    this.#keys = keys
      .filter(({ kty, use }) => (kty === "RSA" || kty === "EC") && use !== "enc")
      .flatMap((jwk) => this.#keysOf(jwk));
  }

  /** A key verifies every accepted algorithm it fits, unless it names its own. */
  #keysOf(jwk: webcrypto.JsonWebKey & { kid?: string; alg?: string }): VerificationKey[] {
    const key = createPublicKey({ key: jwk, format: "jwk" });
    const family = jwk.kty === "RSA" ? "RS" : "ES";
    const algorithms =
      jwk.alg === undefined ? [...this.#algorithms].filter((algorithm) => algorithm.startsWith(family)) : [jwk.alg];
    return algorithms.filter(isAlgorithm).map((algorithm: Algorithm) => ({ key, keyId: jwk.kid ?? "", algorithm }));
  }

  /** Epoch seconds of the token's end. @throws InvalidTokenError */
  #checkClaims(claims: DecodedJwt["claims"], now: number): number {
    const wanted = this.#issuer.audiences;
    const audiences: unknown[] = Array.isArray(claims["aud"]) ? claims["aud"] : [claims["aud"]];
    if (!wanted.some((audience) => audiences.includes(audience))) {
      const shown = wanted.length === 1 ? JSON.stringify(wanted[0]) : JSON.stringify(wanted);
      throw new InvalidTokenError(
        `oidc: verify token: oidc: expected audience ${shown} got ${JSON.stringify(claims["aud"] ?? "")}`,
      );
    }
    const expires = claims["exp"];
    if (typeof expires !== "number" || now >= expires)
      throw new InvalidTokenError("oidc: verify token: oidc: token is expired");
    const notBefore = claims["nbf"];
    if (typeof notBefore === "number" && now + 300 < notBefore)
      throw new InvalidTokenError("oidc: verify token: oidc: token is not valid yet");
    return expires;
  }
}

/** The string claim that names the user. @throws InvalidTokenError */
export function usernameOf(claims: Readonly<Record<string, unknown>>, claim: string): string {
  const name = claims[claim];
  if (typeof name !== "string" || name === "") {
    throw new InvalidTokenError(`oidc: parse username claims ${JSON.stringify(claim)}: claim not present`);
  }
  if (claim === "email" && claims["email_verified"] === false) throw new InvalidTokenError("oidc: email not verified");
  return name;
}

/** A claim that is a string or a list of strings, as a list. */
export function stringsOf(value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).filter(
    (item): item is string => typeof item === "string" && item !== "",
  );
}

export function requireClaim(claims: Readonly<Record<string, unknown>>, name: string, value: string): void {
  if (claims[name] === value) return;
  throw new InvalidTokenError(
    `oidc: required claim ${name} value does not match. Got = ${String(claims[name])}, want = ${value}`,
  );
}

/** The mapping that the `--oidc-*` flags describe. */
function flagMapper(options: OidcOptions): ClaimMapper {
  const {
    issuerUrl,
    usernameClaim = "sub",
    usernamePrefix,
    groupsClaim,
    groupsPrefix = "",
    requiredClaims = {},
  } = options;
  const prefix = usernamePrefix === "-" ? "" : (usernamePrefix ?? (usernameClaim === "email" ? "" : `${issuerUrl}#`));
  return (claims) => {
    for (const [name, value] of Object.entries(requiredClaims)) requireClaim(claims, name, value);
    const groups = groupsClaim === undefined ? [] : stringsOf(claims[groupsClaim]);
    return { name: prefix + usernameOf(claims, usernameClaim), groups: groups.map((group) => groupsPrefix + group) };
  };
}
