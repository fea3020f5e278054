import { LRUCache } from "lru-cache";
import { internalError, type UserInfo } from "#pkg/apimachinery/index.ts";
import { forbiddenError } from "../authz/index.ts";
import type { ApiRequest, Attributes, Authorizer } from "../contract.ts";
import { decodeExtraKey, splitHeader } from "./client-certificate.ts";
import { serviceAccountGroups, splitServiceAccountUserName } from "./service-account.ts";
import { ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS } from "./token.ts";

const EXTRA_PREFIX = "impersonate-extra-";
const CACHED_IDENTITIES = 1024;

interface Wanted {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

function wantedOf({ headers }: ApiRequest): Wanted | undefined {
  const extra: Record<string, string[]> = {};
  for (const header in headers) {
    if (header.startsWith(EXTRA_PREFIX))
      extra[decodeExtraKey(header.slice(EXTRA_PREFIX.length))] = splitHeader(headers[header]);
  }
  const name = headers["impersonate-user"] ?? "";
  const uid = headers["impersonate-uid"] ?? "";
  const groups = splitHeader(headers["impersonate-group"]);
  if (name === "" && (uid !== "" || groups.length > 0 || Object.keys(extra).length > 0)) {
    throw internalError("requested impersonation of groups, extras or a UID without impersonating a user");
  }
  return name === "" ? undefined : { name, uid, groups, extra };
}

/** Everything that has to be allowed to the real user, as upstream asks it. */
function* questions(user: UserInfo, wanted: Wanted): Generator<Attributes> {
  const base = {
    user,
    resourceRequest: true,
    verb: "impersonate",
    namespace: "",
    apiGroup: "",
    apiVersion: "v1",
    subresource: "",
  } as const;
  const account = splitServiceAccountUserName(wanted.name);
  if (account !== undefined) yield { ...base, resource: "serviceaccounts", ...account };
  else yield { ...base, resource: "users", name: wanted.name };
  for (const name of wanted.groups) yield { ...base, resource: "groups", name };
  const authentication = { ...base, apiGroup: "authentication.k8s.io" };
  for (const [key, values] of Object.entries(wanted.extra)) {
    for (const name of values) yield { ...authentication, resource: "userextras", subresource: key, name };
  }
  if (wanted.uid !== "") yield { ...authentication, resource: "uids", name: wanted.uid };
}

function identityOf(wanted: Wanted): UserInfo {
  const account = splitServiceAccountUserName(wanted.name);
  const groups =
    wanted.groups.length === 0 && account !== undefined ? serviceAccountGroups(account.namespace) : [...wanted.groups];
  const implied = wanted.name === ANONYMOUS ? ALL_UNAUTHENTICATED : ALL_AUTHENTICATED;
  if (!groups.includes(implied) && !groups.includes(ALL_UNAUTHENTICATED)) groups.push(implied);
  return Object.freeze({
    name: wanted.name,
    ...(wanted.uid === "" ? {} : { uid: wanted.uid }),
    groups,
    ...(Object.keys(wanted.extra).length === 0 ? {} : { extra: wanted.extra }),
  });
}

/** Impersonation by Impersonate-User, -Group, -Uid and -Extra headers. */
export class Impersonator {
  readonly #authorizer: Authorizer;
  /** One object per identity, so that what it may do is resolved once. */
  readonly #identities = new LRUCache<string, UserInfo>({ max: CACHED_IDENTITIES });
  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }

  /** Whether the request asks for impersonation at all; cheap, so callers may skip the rest. */
  requested(request: ApiRequest): boolean {
    for (const header in request.headers) if (header.startsWith("impersonate-")) return true;
    return false;
  }

  /** The identity the request acts as: `user` itself without such headers. @throws StatusError 403 when not allowed. */
  async impersonate(request: ApiRequest, user: UserInfo): Promise<UserInfo> {
    const wanted = wantedOf(request);
    if (wanted === undefined) return user;
    for (const attributes of questions(user, wanted)) {
      const decision = await this.#authorizer.authorize(attributes);
      if (decision.decision !== "allow") throw forbiddenError(attributes, decision.reason);
    }
    const key = JSON.stringify(wanted);
    let identity = this.#identities.get(key);
    if (identity === undefined) this.#identities.set(key, (identity = identityOf(wanted)));
    return identity;
  }
}
