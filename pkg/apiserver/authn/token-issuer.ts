import type { Node, Pod, Secret, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import type { Clock, Random } from "#pkg/util/index.ts";
import { jwkOf, signingKey, type SigningKey, signJwt, type VerificationKey, verificationKey } from "./jwt.ts";

export interface TokenIssuerOptions {
  /** `--service-account-issuer`: the first signs, the others are accepted. */
  readonly issuers: readonly string[];
  /** PEM private key, `--service-account-signing-key-file`. */
  readonly signingKey: string;
  /** Further PEM public keys that verify, `--service-account-key-file`. */
  readonly verificationKeys?: readonly string[];
  /** `--api-audiences`; default: the issuers. */
  readonly apiAudiences?: readonly string[];
  /** `--service-account-jwks-uri`; default: under the issuer. */
  readonly jwksUri?: string;
  readonly clock: Clock;
  readonly random: Random;
}

export interface TokenSubject {
  readonly serviceAccount: ServiceAccount;
  readonly pod?: Pod;
  readonly secret?: Secret;
  /** Name and, when the Node object is known, UID. */
  readonly node?: { readonly name: string; readonly uid?: string };
}
export interface TokenOptions {
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  /** The token's "jti"; by default a new one. */
  readonly tokenId?: string;
  /** Seconds after which use of the token counts as stale. */
  readonly warnAfterSeconds?: number;
}

interface NamedUid {
  readonly name: string;
  readonly uid?: string;
}
/** The private claims of a service-account token, under "kubernetes.io". */
export interface PrivateClaims {
  readonly namespace: string;
  readonly serviceaccount: NamedUid;
  readonly pod?: NamedUid;
  readonly secret?: NamedUid;
  readonly node?: NamedUid;
  readonly warnafter?: number;
}

const refOf = (object: Pod | Secret | Node | ServiceAccount): NamedUid => ({
  name: object.metadata.name ?? "",
  uid: object.metadata.uid,
});

/** Signs service-account tokens and publishes the keys that verify them. */
export class TokenIssuer {
  readonly issuers: readonly string[];
  readonly apiAudiences: readonly string[];
  readonly keys: readonly VerificationKey[];
  readonly #signingKey: SigningKey;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #jwksUri: string;

  constructor(options: TokenIssuerOptions) {
    const [issuer] = options.issuers;
    if (issuer === undefined) throw new TypeError("a service account issuer is required");
    this.issuers = options.issuers;
    this.apiAudiences = options.apiAudiences ?? options.issuers;
    this.#signingKey = signingKey(options.signingKey);
    const others = (options.verificationKeys ?? []).map(verificationKey);
    this.keys = [this.#signingKey, ...others.filter(({ keyId }) => keyId !== this.#signingKey.keyId)];
    this.#clock = options.clock;
    this.#random = options.random;
    this.#jwksUri = options.jwksUri ?? `${issuer.replace(/\/$/, "")}/openid/v1/jwks`;
  }

  newTokenId(): string {
    return this.#random.uuid();
  }

  /** A signed token (RFC 7519) with Kubernetes' private claims. */
  issue(subject: TokenSubject, options: TokenOptions): Promise<string> {
    const { serviceAccount, pod, secret, node } = subject;
    const now = Math.floor(this.#clock.now() / 1000);
    const namespace = serviceAccount.metadata.namespace ?? "";
    const claims: PrivateClaims = {
      namespace,
      ...(node === undefined ? {} : { node }),
      ...(pod === undefined ? {} : { pod: refOf(pod) }),
      ...(secret === undefined ? {} : { secret: refOf(secret) }),
      serviceaccount: refOf(serviceAccount),
      ...(options.warnAfterSeconds === undefined ? {} : { warnafter: now + options.warnAfterSeconds }),
    };
    return signJwt(this.#signingKey, {
      aud: options.audiences,
      exp: now + options.expirationSeconds,
      iat: now,
      iss: this.issuers[0],
      jti: options.tokenId ?? this.#random.uuid(),
      "kubernetes.io": claims,
      nbf: now,
      sub: `system:serviceaccount:${namespace}:${serviceAccount.metadata.name}`,
    });
  }

  /** The documents of OpenID discovery; undefined for other paths. Bodies are JSON. */
  oidcDiscovery(path: string): { readonly contentType: string; readonly body: string } | undefined {
    if (path === "/.well-known/openid-configuration" || path === "/.well-known/openid-configuration/") {
      const document = {
        issuer: this.issuers[0],
        jwks_uri: this.#jwksUri,
        response_types_supported: ["id_token"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: [...new Set(this.keys.map(({ algorithm }) => algorithm))].sort(),
      };
      return { contentType: "application/json", body: JSON.stringify(document) };
    }
    if (path === "/openid/v1/jwks" || path === "/openid/v1/jwks/") {
      return { contentType: "application/jwk-set+json", body: JSON.stringify({ keys: this.keys.map(jwkOf) }) };
    }
    return undefined;
  }
}
