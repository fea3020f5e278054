/**
 * Authorization: who may do what. An Authorizer answers synchronously where it can; `createAuthorizer` builds the chain
 * of `--authorization-mode` with system:masters in front.
 *
 * Wiring (cmd/master):
 * ```ts
 * const source = <T extends AnyObject>(group: string, plural: string) => new CacheSource<T>(registry.cache(group, plural), clock, signal);
 * const { authorizer, rbac } = createAuthorizer({
 *   modes: ["Node", "RBAC"],
 *   rbac: { roles: source(…), roleBindings: source(…), clusterRoles: source(…), clusterRoleBindings: source(…) },
 *   node: { pods: source("", "pods"), persistentVolumeClaims: …, persistentVolumes: …, volumeAttachments: …, resourceSlices: …, nodeRules: systemNodeRules() },
 * });
 * // before a request is served:
 * const decision = authorizer.authorize(attributes);            // Decision | Promise<Decision>
 * if (decision.decision !== "allow") throw forbiddenError(attributes, decision.reason);
 * const reviews = createAuthzReviews({ authorizer, rbac });     // "authorization.k8s.io/subjectaccessreviews" → handler
 * // and new RbacEscalation(rbac!, authorizer) goes to createAdmissionChain as an extra plugin (deps.rbacEscalation)
 * ```
 * `systemNodeRules` comes from `#pkg/apiserver/bootstrap/index.ts`.
 */
import type { Authorizer } from "../contract.ts";
import { NodeAuthorizer, type NodeAuthorizerDeps } from "./node.ts";
import { RbacAuthorizer, type RbacSources } from "./rbac.ts";
import { alwaysAllow, alwaysDeny, privilegedGroup, UnionAuthorizer } from "./union.ts";

/** Authorizers by their names in `--authorization-mode`. */
export type AuthorizationMode = "Node" | "RBAC" | "Webhook" | "AlwaysAllow" | "AlwaysDeny";

export interface AuthorizerDeps {
  /** In order. An authorizer of its own (a webhook) may stand among them. */
  readonly modes: readonly (Exclude<AuthorizationMode, "Webhook"> | Authorizer)[];
  readonly rbac?: RbacSources;
  readonly node?: NodeAuthorizerDeps;
}

export interface AuthorizerChain {
  readonly authorizer: Authorizer;
  readonly rbac: RbacAuthorizer | undefined;
  /** Is the Node authorizer in it? */
  readonly nodes: boolean;
  /** Takes other modes. What Node and RBAC authorizers know is kept. */
  use(modes: AuthorizerDeps["modes"]): void;
}

/** The authorizer of the given modes in order. @throws Error for a mode whose dependencies are missing. */
export function createAuthorizer(deps: AuthorizerDeps): AuthorizerChain {
  let rbac: RbacAuthorizer | undefined;
  let node: NodeAuthorizer | undefined;
  const authorizerOf = (mode: AuthorizerDeps["modes"][number]): Authorizer => {
    if (typeof mode === "object") return mode;
    if (mode === "AlwaysAllow") return alwaysAllow;
    if (mode === "AlwaysDeny") return alwaysDeny;
    if (mode === "RBAC" && deps.rbac !== undefined) return (rbac ??= new RbacAuthorizer(deps.rbac));
    if (mode === "Node" && deps.node !== undefined) return (node ??= new NodeAuthorizer(deps.node));
    throw new Error(`authorization mode ${mode} is not configured`);
  };
  const chainOf = (modes: AuthorizerDeps["modes"]): Authorizer[] => [privilegedGroup, ...modes.map(authorizerOf)];
  const authorizer = new UnionAuthorizer(chainOf(deps.modes));
  return { authorizer, rbac, nodes: node !== undefined, use: (modes) => authorizer.use(chainOf(modes)) };
}

export { forbiddenError, PRIVILEGED_GROUP, UnionAuthorizer } from "./union.ts";
export { RbacAuthorizer, type RbacSources } from "./rbac.ts";
export { nodeNameOf, type NodeAuthorizerDeps } from "./node.ts";
export { RbacEscalation } from "./escalation.ts";
export { createAuthzReviews, type AuthzReviewDeps } from "./reviews.ts";
export type { ReviewContext, ReviewHandler } from "../review.ts";
export { type AuthorizerSettings, parseAuthorizationConfiguration } from "./configuration.ts";
export { AuthorizationWebhook, type AuthorizationWebhookDeps } from "./webhook.ts";
export type { ReviewWebhookConfig } from "../review-webhook.ts";
