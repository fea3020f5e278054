import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { PRIVILEGED_GROUP } from "../authz/index.ts";
import type { Attributes } from "../contract.ts";
import { splitServiceAccountUserName } from "./service-account.ts";

/** An identity somebody asks to act as. */
export interface WantedIdentity {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** How an identity may be worn for certain actions only (KEP-5284). */
export type ImpersonationMode = "user-info" | "serviceaccount" | "arbitrary-node" | "associated-node";

const NODE_PREFIX = "system:node:";
const NODE_NAME_EXTRA = "authentication.kubernetes.io/node-name";
const GROUP = "authentication.k8s.io";

/** The modes in which `user` might wear the identity, the narrowest first; empty when only legacy rights can do. */
export function modesFor(user: UserInfo, wanted: WantedIdentity): ImpersonationMode[] {
  const bare = wanted.groups.length === 0 && wanted.uid === "" && Object.keys(wanted.extra).length === 0;
  if (splitServiceAccountUserName(wanted.name) !== undefined) return bare ? ["serviceaccount"] : [];
  if (wanted.name.startsWith(NODE_PREFIX)) {
    if (!bare) return [];
    // An agent that runs on a node, and says so in its token, may be confined to that node.
    const own = splitServiceAccountUserName(user.name) !== undefined ? user.extra?.[NODE_NAME_EXTRA] : undefined;
    return own?.includes(wanted.name.slice(NODE_PREFIX.length))
      ? ["associated-node", "arbitrary-node"]
      : ["arbitrary-node"];
  }
  return wanted.groups.includes(PRIVILEGED_GROUP) ? [] : ["user-info"];
}

/** What has to be allowed to `user` in a mode: wearing the identity, and the action itself while wearing it. */
export function* constrainedQuestions(
  mode: ImpersonationMode,
  user: UserInfo,
  wanted: WantedIdentity,
  action: Attributes,
): Generator<Attributes> {
  const identity = {
    user,
    resourceRequest: true,
    verb: `impersonate:${mode}`,
    namespace: "",
    apiGroup: GROUP,
    apiVersion: "v1",
    subresource: "",
  } as const;
  if (mode === "serviceaccount") {
    yield { ...identity, resource: "serviceaccounts", ...splitServiceAccountUserName(wanted.name)! };
  } else if (mode === "user-info") {
    yield { ...identity, resource: "users", name: wanted.name };
    for (const name of wanted.groups) yield { ...identity, resource: "groups", name };
    for (const [key, values] of Object.entries(wanted.extra)) {
      for (const name of values) yield { ...identity, resource: "userextras", subresource: key, name };
    }
    if (wanted.uid !== "") yield { ...identity, resource: "uids", name: wanted.uid };
  } else yield { ...identity, resource: "nodes", name: wanted.name.slice(NODE_PREFIX.length) };
  yield { ...action, user, verb: `impersonate-on:${mode}:${action.verb}` };
}
