import { timingSafeEqual } from "node:crypto";
import type { Secret } from "#pkg/api/types/core-v1.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { ObjectSource } from "../source/index.ts";
import { type TokenAuthenticator, type TokenResult, withAuthenticated } from "./token.ts";

const TOKEN = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const GROUP_NAME = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

/** Bootstrap tokens: secrets `kube-system/bootstrap-token-<id>` with which a node joins. */
export class BootstrapTokenAuthenticator implements TokenAuthenticator {
  readonly #secrets: ObjectSource<Secret>;
  readonly #clock: Clock;
  constructor(secrets: ObjectSource<Secret>, clock: Clock) {
    this.#secrets = secrets;
    this.#clock = clock;
  }

  authenticateToken(token: string): TokenResult | undefined {
    const match = TOKEN.exec(token);
    if (match === null) return undefined;
    const [, id, secretText] = match;
    const secret = this.#secrets.get("kube-system", `bootstrap-token-${id}`);
    if (secret === undefined || secret.type !== "bootstrap.kubernetes.io/token") return undefined;
    if (secret.metadata.deletionTimestamp !== undefined) return undefined;
    const field = (name: string): string => Buffer.from(secret.data?.[name] ?? "", "base64").toString("utf8");
    const stored = Buffer.from(field("token-secret"));
    const given = Buffer.from(secretText!);
    if (stored.length !== given.length || !timingSafeEqual(stored, given)) return undefined;
    if (field("token-id") !== id || field("usage-bootstrap-authentication") !== "true") return undefined;
    const expiration = field("expiration");
    // An expiration nobody can read counts as passed.
    if (expiration !== "" && !(Date.parse(expiration) > this.#clock.now())) return undefined;
    const extraGroups = field("auth-extra-groups")
      .split(",")
      .filter((group) => group !== "");
    if (!extraGroups.every((group) => GROUP_NAME.test(group))) return undefined;
    return {
      user: withAuthenticated({ name: `system:bootstrap:${id}`, groups: ["system:bootstrappers", ...extraGroups] }),
    };
  }
}
