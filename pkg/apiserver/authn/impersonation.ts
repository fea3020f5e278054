import { LRUCache } from "lru-cache";
import { badRequest, goQuote, type UserInfo } from "#pkg/apimachinery/index.ts";
import { forbiddenError } from "../authz/index.ts";
import type { ApiRequest, Attributes, Authorizer } from "../contract.ts";
import { parseTarget } from "../http/target.ts";
import { attributesOf } from "../pipeline.ts";
import {
  constrainedQuestions,
  type ImpersonationMode,
  modesFor,
  type WantedIdentity,
} from "./constrained-impersonation.ts";
import { decodeExtraKey, headerLines } from "./client-certificate.ts";
import { serviceAccountGroups, splitServiceAccountUserName } from "./service-account.ts";
import { ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS } from "./token.ts";

const EXTRA_PREFIX = "impersonate-extra-";
const CACHED_IDENTITIES = 1024;
const NODES_GROUP = "system:nodes";

/** The identity as Go prints the struct that upstream reads the headers into. */
function goIdentity({ name, uid, groups, extra }: WantedIdentity): string {
  const texts = (values: readonly string[]) =>
    values.length === 0 ? "[]string(nil)" : `[]string{${values.map(goQuote).join(", ")}}`;
  const keys = Object.keys(extra).sort();
  const map = keys.map((key) => `${goQuote(key)}:${texts(extra[key]!)}`).join(", ");
  const extras = keys.length === 0 ? "map[string][]string(nil)" : `map[string][]string{${map}}`;
  return `&user.DefaultInfo{Name:${goQuote(name)}, UID:${goQuote(uid)}, Groups:${texts(groups)}, Extra:${extras}}`;
}

function wantedOf(request: ApiRequest): WantedIdentity | undefined {
  const { headers } = request;
  const extra: Record<string, string[]> = {};
  for (const header in headers) {
    if (header.startsWith(EXTRA_PREFIX))
      extra[decodeExtraKey(header.slice(EXTRA_PREFIX.length))] = headerLines(request, header);
  }
  const name = headers["impersonate-user"] ?? "";
  const uid = headers["impersonate-uid"] ?? "";
  const groups = headerLines(request, "impersonate-group");
  if (name === "" && (uid !== "" || groups.length > 0 || Object.keys(extra).length > 0)) {
    throw badRequest(`requested ${goIdentity({ name, uid, groups, extra })} without impersonating a user name`);
  }
  return name === "" ? undefined : { name, uid, groups, extra };
}

/** Everything that the legacy verb `impersonate` has to be allowed on, as upstream asks it. */
function* questions(user: UserInfo, wanted: WantedIdentity): Generator<Attributes> {
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

function identityOf(wanted: WantedIdentity, asNode: boolean): UserInfo {
  const account = splitServiceAccountUserName(wanted.name);
  const groups =
    wanted.groups.length === 0 && account !== undefined ? serviceAccountGroups(account.namespace) : [...wanted.groups];
  if (asNode) groups.push(NODES_GROUP);
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
    const mode = await this.#constrained(request, user, wanted);
    if (mode === undefined) {
      for (const attributes of questions(user, wanted)) {
        const decision = await this.#authorizer.authorize(attributes);
        if (decision.decision !== "allow") throw forbiddenError(attributes, decision.reason);
      }
    }
    const asNode = mode === "arbitrary-node" || mode === "associated-node";
    const key = JSON.stringify([wanted, asNode]);
    let identity = this.#identities.get(key);
    if (identity === undefined) this.#identities.set(key, (identity = identityOf(wanted, asNode)));
    return identity;
  }

  /** The first constrained mode that allows this action as that identity; undefined leaves it to the legacy verb. */
  async #constrained(
    request: ApiRequest,
    user: UserInfo,
    wanted: WantedIdentity,
  ): Promise<ImpersonationMode | undefined> {
    const modes = modesFor(user, wanted);
    if (modes.length === 0) return undefined;
    const action = attributesOf(user, parseTarget(request.method, request.url));
    for (const mode of modes) if (await this.#allowsAll(constrainedQuestions(mode, user, wanted, action))) return mode;
    return undefined;
  }

  async #allowsAll(all: Iterable<Attributes>): Promise<boolean> {
    for (const attributes of all) if ((await this.#authorizer.authorize(attributes)).decision !== "allow") return false;
    return true;
  }
}
