import {
  badRequest,
  conflict,
  type FieldError,
  invalid,
  type KubeObject,
  notFound,
  type UserInfo,
} from "#pkg/apimachinery/index.ts";
import type {
  TokenRequestSpec,
  TokenReviewSpec,
  TokenReviewStatus,
  UserInfo as WireUser,
} from "#pkg/api/types/authentication-v1.ts";
import type { Node, Pod, Secret, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import { type Clock, formatTime } from "#pkg/util/index.ts";
import type { Remarks } from "../contract.ts";
import type { ReviewContext, ReviewHandler } from "../review.ts";
import type { ServiceAccountSources } from "./service-account.ts";
import type { TokenIssuer } from "./token-issuer.ts";
import { InvalidTokenError, type TokenAuthenticator } from "./token.ts";

export interface AuthnReviewDeps {
  readonly clock: Clock;
  readonly tokens: TokenAuthenticator;
  readonly issuer: TokenIssuer;
  readonly sources: ServiceAccountSources;
  /** `--service-account-extend-token-expiration`, default true. */
  readonly extendTokenExpiration?: boolean;
  /** `--service-account-max-token-expiration` in seconds; unlimited when absent. */
  readonly maxTokenExpirationSeconds?: number;
}

function wireUser(user: UserInfo): WireUser {
  return {
    username: user.name,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: [...user.groups],
    ...(user.extra === undefined
      ? {}
      : { extra: Object.fromEntries(Object.entries(user.extra).map(([k, v]) => [k, [...v]])) }),
  };
}

/** Handlers of the authentication.k8s.io reviews and of serviceaccounts/token, by "group/plural[/subresource]". */
export function createAuthnReviews(deps: AuthnReviewDeps): ReadonlyMap<string, ReviewHandler> {
  return new Map<string, ReviewHandler>([
    ["authentication.k8s.io/tokenreviews", (object, context) => tokenReview(deps, object, context)],
    [
      "authentication.k8s.io/selfsubjectreviews",
      (object, { user }) => ({ ...object, status: { userInfo: wireUser(user) } }),
    ],
    ["/serviceaccounts/token", (object, context) => tokenRequest(deps, object, context)],
  ]);
}

async function tokenReview(
  { tokens, issuer }: AuthnReviewDeps,
  object: KubeObject,
  remarks: Remarks,
): Promise<KubeObject> {
  const spec = (object["spec"] ?? {}) as Partial<TokenReviewSpec>;
  if (spec.token === undefined || spec.token === "")
    throw badRequest("token is required for TokenReview in authentication");
  const audiences = spec.audiences === undefined || spec.audiences.length === 0 ? undefined : spec.audiences;
  let status: TokenReviewStatus;
  try {
    const result = await tokens.authenticateToken(spec.token, audiences, remarks);
    if (result === undefined) status = { user: {}, error: "invalid bearer token" };
    else {
      // A method without audiences vouches for the API server's own only.
      const granted =
        result.audiences ?? issuer.apiAudiences.filter((a) => audiences === undefined || audiences.includes(a));
      status =
        granted.length === 0
          ? { user: {}, error: "token audiences do not match the requested audiences" }
          : { authenticated: true, user: wireUser(result.user), audiences: [...granted] };
    }
  } catch (error) {
    if (!(error instanceof InvalidTokenError)) throw error;
    status = { user: {}, error: `[invalid bearer token, ${error.message}]` };
  }
  return { ...object, status };
}

const DEFAULT_EXPIRATION_SECONDS = 3600;
/** What a kubelet asks for when the pod did not say: such tokens are extended for clients that do not reload them. */
const WARN_ONLY_EXPIRATION_SECONDS = 3607;
const EXTENDED_EXPIRATION_SECONDS = 365 * 24 * 3600;

function checkExpiration(seconds: number): FieldError[] {
  const complain = (detail: string): FieldError[] => [
    { type: "FieldValueInvalid", field: "spec.expirationSeconds", message: `Invalid value: ${seconds}: ${detail}` },
  ];
  if (seconds < 600) return complain("may not specify a duration less than 10 minutes");
  if (seconds > 2 ** 32) return complain("may not specify a duration larger than 2^32 seconds");
  return [];
}

interface Bound {
  readonly pod?: Pod;
  readonly secret?: Secret;
  readonly node?: { readonly name: string; readonly uid?: string };
}

function boundObject(
  { sources }: AuthnReviewDeps,
  account: ServiceAccount,
  ref: NonNullable<TokenRequestSpec["boundObjectRef"]>,
): Bound {
  const namespace = account.metadata.namespace ?? "";
  const name = ref.name ?? "";
  const check = <T extends Pod | Secret | Node>(object: T | undefined, resource: string): T => {
    if (object === undefined) throw notFound({ group: "", resource }, name);
    if (ref.uid !== undefined && ref.uid !== "" && ref.uid !== object.metadata.uid) {
      const why = `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`;
      throw conflict({ group: "", resource: ref.kind ?? "" }, name, why);
    }
    return object;
  };
  const kind = `${ref.apiVersion ?? ""}/${ref.kind ?? ""}`;
  if (kind === "v1/Pod") {
    const pod = check(sources.pods.get(namespace, name), "pods");
    if (pod.spec?.serviceAccountName !== account.metadata.name) {
      throw badRequest(
        `cannot bind token for serviceaccount ${JSON.stringify(account.metadata.name)} to pod running with different serviceaccount name.`,
      );
    }
    const nodeName = pod.spec?.nodeName ?? "";
    if (nodeName === "") return { pod };
    const uid = sources.nodes.get("", nodeName)?.metadata.uid;
    return { pod, node: { name: nodeName, ...(uid === undefined ? {} : { uid }) } };
  }
  if (kind === "v1/Secret") return { secret: check(sources.secrets.get(namespace, name), "secrets") };
  if (kind === "v1/Node") {
    const node = check(sources.nodes.get("", name), "nodes");
    return { node: { name, uid: node.metadata.uid } };
  }
  // Go writes the core group's versions with the slash that stands before them.
  const groupVersion = `${ref.apiVersion?.includes("/") === true ? "" : "/"}${ref.apiVersion ?? ""}`;
  throw badRequest(
    `cannot bind token for serviceaccount ${JSON.stringify(account.metadata.name)} to type ${groupVersion}, Kind=${ref.kind ?? ""}`,
  );
}

async function tokenRequest(deps: AuthnReviewDeps, object: KubeObject, context: ReviewContext): Promise<KubeObject> {
  const { issuer, clock, sources } = deps;
  const { namespace, name } = context;
  const spec: TokenRequestSpec = { ...(object["spec"] as TokenRequestSpec | undefined) };
  spec.expirationSeconds ??= DEFAULT_EXPIRATION_SECONDS;
  const errors = checkExpiration(spec.expirationSeconds);
  if (errors.length > 0) throw invalid({ group: "authentication.k8s.io", kind: "TokenRequest" }, "", errors);
  const account = sources.serviceAccounts.get(namespace, name);
  if (account === undefined) throw notFound({ group: "", resource: "serviceaccounts" }, name);
  if (
    object.metadata?.uid !== undefined &&
    object.metadata.uid !== "" &&
    object.metadata.uid !== account.metadata.uid
  ) {
    const why = `the UID in the token request (${object.metadata.uid}) does not match the UID of the service account (${account.metadata.uid})`;
    throw conflict({ group: "", resource: "serviceaccounts" }, name, why);
  }
  if (spec.audiences === undefined || spec.audiences.length === 0) spec.audiences = [...issuer.apiAudiences];
  const { boundObjectRef } = spec;
  const isBound = boundObjectRef !== undefined && boundObjectRef !== null;
  const bound = isBound ? boundObject(deps, account, boundObjectRef) : {};
  const limit = deps.maxTokenExpirationSeconds;
  if (limit !== undefined && limit > 0 && spec.expirationSeconds > limit) {
    context.warn(`requested expiration of ${spec.expirationSeconds} seconds shortened to ${limit} seconds`);
    spec.expirationSeconds = limit;
  }
  const forTheApi = spec.audiences.every((audience) => issuer.apiAudiences.includes(audience));
  const extend =
    (deps.extendTokenExpiration ?? true) &&
    bound.pod !== undefined &&
    spec.expirationSeconds === WARN_ONLY_EXPIRATION_SECONDS &&
    forTheApi;
  const tokenId = issuer.newTokenId();
  const token = await issuer.issue(
    { serviceAccount: account, ...bound },
    {
      audiences: spec.audiences,
      tokenId,
      expirationSeconds: extend ? EXTENDED_EXPIRATION_SECONDS : spec.expirationSeconds,
      ...(extend ? { warnAfterSeconds: spec.expirationSeconds } : {}),
    },
  );
  context.annotate("authentication.kubernetes.io/issued-credential-id", `JTI=${tokenId}`);
  return {
    ...object,
    metadata: { ...object.metadata, name, namespace, creationTimestamp: formatTime(clock.now()) },
    spec,
    status: { token, expirationTimestamp: formatTime(clock.now() + spec.expirationSeconds * 1000) },
  };
}
