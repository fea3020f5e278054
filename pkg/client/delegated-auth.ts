/**
 * Who calls a component's own server, and may they: client certificates that TLS has verified, and tokens, judged by the
 * API server.
 */
import { createHash } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { SubjectAccessReview, SubjectAccessReviewSpec } from "#pkg/api/types/authorization-v1.ts";
import type { TokenReview } from "#pkg/api/types/authentication-v1.ts";
import { subjectAccessReviews, tokenReviews } from "#pkg/api/refs.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { type Clock, ExpiringMap } from "#pkg/util/index.ts";
import type { Client, Draft } from "./contract.ts";

const TOKEN_TTL_MS = 120_000;
const ALLOWED_TTL_MS = 300_000;
const DENIED_TTL_MS = 30_000;

export interface DelegatedAuthDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly anonymousAuth: boolean;
}
/** What somebody wants to do. */
export type ReviewedAttributes = Pick<SubjectAccessReviewSpec, "resourceAttributes" | "nonResourceAttributes">;

/** Authentication and authorization of a component's server, with answers remembered for a while. */
export class DelegatedAuth {
  readonly #deps: DelegatedAuthDeps;
  readonly #tokens: ExpiringMap<UserInfo | null>;
  readonly #decisions: ExpiringMap<boolean>;

  constructor(deps: DelegatedAuthDeps) {
    this.#deps = deps;
    this.#tokens = new ExpiringMap(deps.clock);
    this.#decisions = new ExpiringMap(deps.clock);
  }

  /** undefined: nobody knows who that is. The socket's server must ask for certificates of the cluster's client CA. */
  async authenticate(
    socket: TLSSocket,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<UserInfo | undefined> {
    if (socket.authorized) {
      const { subject } = socket.getPeerCertificate();
      const many = (value: unknown): string[] =>
        value === undefined ? [] : Array.isArray(value) ? (value as string[]) : [String(value)];
      const [name] = many(subject?.CN);
      if (name !== undefined) return { name, groups: [...many(subject.O), "system:authenticated"] };
    }
    const token = /^Bearer\s+(\S+)$/i.exec(authorization ?? "")?.[1];
    if (token !== undefined) return (await this.#reviewToken(token, signal)) ?? undefined;
    return this.#deps.anonymousAuth ? { name: "system:anonymous", groups: ["system:unauthenticated"] } : undefined;
  }

  async #reviewToken(token: string, signal: AbortSignal): Promise<UserInfo | null> {
    // The cache must not hold tokens that a memory dump would give away.
    const key = createHash("sha256").update(token).digest("base64");
    const known = this.#tokens.get(key);
    if (known !== undefined) return known;
    const draft: Draft<TokenReview> = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      metadata: {},
      spec: { token },
    };
    const { status } = await this.#deps.client.create(tokenReviews, draft, { signal });
    const user =
      status?.authenticated === true
        ? {
            name: status.user?.username ?? "",
            uid: status.user?.uid,
            groups: status.user?.groups ?? [],
            extra: status.user?.extra,
          }
        : null;
    this.#tokens.set(key, user, TOKEN_TTL_MS);
    return user;
  }

  async authorize(user: UserInfo, attributes: ReviewedAttributes, signal: AbortSignal): Promise<boolean> {
    const key = JSON.stringify([user.name, user.groups, attributes]);
    const known = this.#decisions.get(key);
    if (known !== undefined) return known;
    const draft: Draft<SubjectAccessReview> = {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      metadata: {},
      spec: {
        user: user.name,
        ...(user.uid === undefined ? {} : { uid: user.uid }),
        groups: [...user.groups],
        ...attributes,
      },
    };
    const { status } = await this.#deps.client.create(subjectAccessReviews, draft, { signal });
    const allowed = status?.allowed === true;
    this.#decisions.set(key, allowed, allowed ? ALLOWED_TTL_MS : DENIED_TTL_MS);
    return allowed;
  }
}
