import { LRUCache } from "lru-cache";
import type { Node, Pod, Secret, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import type { ObjectMeta } from "#pkg/api/types/meta-v1.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { Remarks } from "../contract.ts";
import type { ObjectSource } from "../source/index.ts";
import { decodeJwt, type DecodedJwt, verifySignature } from "./jwt.ts";
import type { PrivateClaims, TokenIssuer } from "./token-issuer.ts";
import { TokenUses } from "./token-uses.ts";
import { InvalidTokenError, type TokenAuthenticator, type TokenResult, withAuthenticated } from "./token.ts";

export interface ServiceAccountSources {
  readonly serviceAccounts: ObjectSource<ServiceAccount>;
  readonly pods: ObjectSource<Pod>;
  readonly secrets: ObjectSource<Secret>;
  readonly nodes: ObjectSource<Node>;
}

/** Writes down on which day the token of a legacy Secret was used last. */
export type NoteLegacyUse = (secret: { readonly namespace: string; readonly name: string }, label: LastUsed) => void;
type LastUsed = Readonly<Record<typeof LAST_USED, string>>;

const LAST_USED = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since";

const SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:";
const LEGACY_ISSUER = "kubernetes/serviceaccount";
const LEGACY_CLAIM = "kubernetes.io/serviceaccount/";
/** Verified tokens remembered; signature checks are what costs, liveness is looked at every time. */
const CACHED_TOKENS = 4096;
/** An object being deleted keeps bound tokens alive this long past its deletionTimestamp, as upstream has it. */
const DELETION_LEEWAY_MS = 60_000;
const DAY_MS = 24 * 3600_000;
/** Tolerated clock difference for "not before"; expiry is exact. */
const CLOCK_SKEW_SECONDS = 60;

export function serviceAccountUserName(namespace: string, name: string): string {
  return `${SERVICE_ACCOUNT_PREFIX}${namespace}:${name}`;
}
export function serviceAccountGroups(namespace: string): string[] {
  return ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];
}
/** Namespace and name of a service account's user name; undefined for other users. */
export function splitServiceAccountUserName(user: string): { namespace: string; name: string } | undefined {
  if (!user.startsWith(SERVICE_ACCOUNT_PREFIX)) return undefined;
  const parts = user.slice(SERVICE_ACCOUNT_PREFIX.length).split(":");
  const [namespace, name] = parts;
  if (parts.length !== 2 || namespace === undefined || name === undefined || namespace === "" || name === "")
    return undefined;
  return { namespace, name };
}

interface Verified {
  readonly claims: PrivateClaims;
  /** Empty for legacy tokens, which have the API's audiences. */
  readonly audiences: readonly string[];
  readonly legacy: boolean;
  /** Epoch seconds; undefined for legacy tokens, which do not expire. */
  readonly expires: number | undefined;
  readonly notBefore: number;
  readonly user: UserInfo;
}

/**
 * Service-account tokens: bound ones (KEP-1205, KEP-4193) and those of legacy secrets. The signature is checked once per
 * token, that its account, pod, secret or node still exists on every use.
 */
export class ServiceAccountAuthenticator implements TokenAuthenticator {
  readonly uses = new TokenUses();
  readonly #issuer: TokenIssuer;
  readonly #sources: ServiceAccountSources;
  readonly #clock: Clock;
  readonly #verified = new LRUCache<string, Verified>({ max: CACHED_TOKENS });
  readonly #noteUse: NoteLegacyUse | undefined;
  /** What has been noted already, or is being noted: one day per secret. */
  readonly #noted = new LRUCache<string, string>({ max: CACHED_TOKENS });

  constructor(issuer: TokenIssuer, sources: ServiceAccountSources, clock: Clock, noteUse?: NoteLegacyUse) {
    this.#noteUse = noteUse;
    this.#issuer = issuer;
    this.#sources = sources;
    this.#clock = clock;
  }

  authenticateToken(
    token: string,
    audiences: readonly string[] | undefined,
    remarks?: Remarks,
  ): TokenResult | undefined {
    let verified = this.#verified.get(token);
    if (verified === undefined) {
      verified = this.#verify(token);
      if (verified === undefined) return undefined;
      this.#verified.set(token, verified);
    }
    const wanted = audiences ?? this.#issuer.apiAudiences;
    const granted = verified.legacy ? this.#issuer.apiAudiences : verified.audiences;
    const common = wanted.filter((audience) => granted.includes(audience));
    if (common.length === 0) {
      throw new InvalidTokenError(
        `token audiences ${goList(granted)} is invalid for the target audiences ${goList(wanted)}`,
      );
    }
    this.#checkTime(verified);
    this.#checkLiveness(verified, token, remarks);
    if (verified.claims.warnafter !== undefined) this.#remarkStaleness(verified, remarks);
    return { user: verified.user, audiences: common };
  }

  #verify(token: string): Verified | undefined {
    const decoded = decodeJwt(token);
    if (decoded === undefined) return undefined;
    const issuer = decoded.claims["iss"];
    const legacy = issuer === LEGACY_ISSUER;
    if (!legacy && !this.#issuer.issuers.includes(issuer as string)) return undefined;
    if (!verifySignature(token, decoded, this.#issuer.keys)) throw new InvalidTokenError("invalid bearer token");
    return legacy ? legacyToken(decoded) : boundToken(decoded);
  }

  #checkTime({ expires, notBefore }: Verified): void {
    const now = this.#clock.now() / 1000;
    if (expires !== undefined && now >= expires) throw new InvalidTokenError("service account token has expired");
    if (now + CLOCK_SKEW_SECONDS < notBefore) throw new InvalidTokenError("service account token is not valid yet");
  }

  #checkLiveness({ claims, legacy }: Verified, token: string, remarks: Remarks | undefined): void {
    const { serviceAccounts, pods, secrets, nodes } = this.#sources;
    const { namespace } = claims;
    const account = serviceAccounts.get(namespace, claims.serviceaccount.name);
    const leeway = legacy ? 0 : DELETION_LEEWAY_MS;
    this.#alive(account?.metadata, claims.serviceaccount.uid, "service account", leeway);
    if (claims.secret !== undefined) {
      const secret = secrets.get(namespace, claims.secret.name);
      this.#alive(secret?.metadata, claims.secret.uid, "service account token", leeway);
      if (legacy && Buffer.from(secret?.data?.["token"] ?? "", "base64").toString("utf8") !== token) {
        throw new InvalidTokenError("service account token has been invalidated");
      }
      if (legacy) this.#track(secret!, account!, remarks);
    }
    if (claims.pod !== undefined) this.#alive(pods.get(namespace, claims.pod.name)?.metadata, claims.pod.uid, "pod");
    // For a pod's token the node is information; the pod decides whether the token lives.
    else if (claims.node !== undefined) this.#alive(nodes.get("", claims.node.name)?.metadata, claims.node.uid, "node");
  }

  /** A legacy token that was not used for long is marked invalid by the cleaner; for it, uses are noted day by day. */
  #track({ metadata }: Secret, account: ServiceAccount, remarks: Remarks | undefined): void {
    const { name, namespace, labels } = metadata;
    this.#noteDay(metadata);
    if ((labels?.[INVALID_SINCE] ?? "") !== "") {
      this.uses.count("invalid_legacy_auto_token_uses_total");
      remarks?.annotate("authentication.k8s.io/legacy-token-invalidated", `${name}/${namespace}`);
      const which = `the token in secret ${namespace}/${name} for service account ${namespace}/${account.metadata.name}`;
      throw new InvalidTokenError(
        `${which} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '${INVALID_SINCE}' label from the secret to temporarily allow use of this token`,
      );
    }
    const generated = account.secrets?.some((reference) => reference.name === name) === true;
    this.uses.count("legacy_tokens_total");
    this.uses.count(generated ? "legacy_auto_token_uses_total" : "legacy_manual_token_uses_total");
    if (generated)
      remarks?.warn(
        "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based tokens.",
      );
    remarks?.annotate(
      `authentication.k8s.io/legacy-token-${generated ? "autogenerated" : "manual"}-secret`,
      name ?? "",
    );
  }
  #noteDay({ name = "", namespace = "", labels }: ObjectMeta): void {
    if (this.#noteUse === undefined) return;
    const now = this.#clock.now();
    const day = (time: number): string => new Date(time).toISOString().slice(0, 10);
    const today = day(now);
    const key = `${namespace}/${name}`;
    const own = this.#noted.get(key);
    const noted = labels?.[LAST_USED] ?? own;
    // Clocks of several servers may differ around midnight.
    if (own === today || noted === today || noted === day(now + DAY_MS)) return;
    this.#noted.set(key, today);
    this.#noteUse({ namespace, name }, { [LAST_USED]: today });
  }

  /** Tokens are extended for clients that do not reload them; those who still use one show in the audit log. */
  #remarkStaleness({ claims, user }: Verified, remarks: Remarks | undefined): void {
    const late = this.#clock.now() / 1000 - claims.warnafter!;
    this.uses.count(late > 0 ? "stale_tokens_total" : "valid_tokens_total");
    if (late <= 0) return;
    remarks?.annotate(
      "authentication.k8s.io/stale-token",
      `subject: ${user.name}, seconds after warning threshold: ${Math.floor(late)}`,
    );
  }

  #alive(
    metadata: ObjectMeta | undefined,
    uid: string | undefined,
    what: string,
    leewayMs: number = DELETION_LEEWAY_MS,
  ): void {
    const deleted = metadata?.deletionTimestamp;
    const gone =
      metadata === undefined ||
      (uid !== undefined && metadata.uid !== uid) ||
      (deleted !== undefined && (leewayMs === 0 || Date.parse(deleted) < this.#clock.now() - leewayMs));
    if (gone) throw new InvalidTokenError(`service account token has been invalidated: ${what} is gone`);
  }
}

function goList(values: readonly string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(" ")}]`;
}

function isNamed(value: unknown): value is { name: string; uid?: string } {
  return typeof value === "object" && value !== null && typeof (value as { name?: unknown }).name === "string";
}

function boundToken({ claims }: DecodedJwt): Verified {
  const own = claims["kubernetes.io"] as PrivateClaims | undefined;
  const audience = claims["aud"];
  const audiences = Array.isArray(audience)
    ? audience.filter((a) => typeof a === "string")
    : typeof audience === "string"
      ? [audience]
      : [];
  const expires = claims["exp"];
  if (
    own === undefined ||
    typeof own.namespace !== "string" ||
    !isNamed(own.serviceaccount) ||
    typeof expires !== "number"
  ) {
    throw new InvalidTokenError("service account token claims could not be validated due to unexpected private claim");
  }
  const { namespace, serviceaccount, pod, node } = own;
  const extra: Record<string, string[]> = {};
  if (typeof claims["jti"] === "string") extra["authentication.kubernetes.io/credential-id"] = [`JTI=${claims["jti"]}`];
  if (node !== undefined) {
    extra["authentication.kubernetes.io/node-name"] = [node.name];
    if (node.uid !== undefined) extra["authentication.kubernetes.io/node-uid"] = [node.uid];
  }
  if (pod !== undefined) {
    extra["authentication.kubernetes.io/pod-name"] = [pod.name];
    if (pod.uid !== undefined) extra["authentication.kubernetes.io/pod-uid"] = [pod.uid];
  }
  return {
    claims: own,
    audiences,
    legacy: false,
    expires,
    notBefore: typeof claims["nbf"] === "number" ? claims["nbf"] : 0,
    user: userOf(namespace, serviceaccount.name, serviceaccount.uid, extra),
  };
}

function legacyToken({ claims }: DecodedJwt): Verified {
  const claim = (name: string): string => {
    const value = claims[LEGACY_CLAIM + name];
    if (typeof value !== "string" || value === "") throw new InvalidTokenError(`${name} claim is missing`);
    return value;
  };
  const namespace = claim("namespace");
  const name = claim("service-account.name");
  const uid = claim("service-account.uid");
  if (claims["sub"] !== serviceAccountUserName(namespace, name)) throw new InvalidTokenError("sub claim is invalid");
  return {
    claims: { namespace, serviceaccount: { name, uid }, secret: { name: claim("secret.name") } },
    audiences: [],
    legacy: true,
    expires: undefined,
    notBefore: 0,
    user: userOf(namespace, name, uid, {}),
  };
}

function userOf(namespace: string, name: string, uid: string | undefined, extra: Record<string, string[]>): UserInfo {
  return withAuthenticated({
    name: serviceAccountUserName(namespace, name),
    ...(uid === undefined ? {} : { uid }),
    groups: serviceAccountGroups(namespace),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  });
}
