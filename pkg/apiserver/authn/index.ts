/**
 * Authentication: who makes a request. `createAuthenticator` puts all methods together; a request always gets a user
 * (system:anonymous at least) or a 401.
 *
 * Wiring (cmd/master):
 * ```ts
 * const issuer = new TokenIssuer({ issuers: ["https://kubernetes.default.svc.cluster.local"], signingKey: pki.serviceAccount.key, clock, random });
 * const sources = { serviceAccounts: source("", "serviceaccounts"), pods: source("", "pods"), secrets: source("", "secrets"), nodes: source("", "nodes") };
 * const authenticator = createAuthenticator({
 *   clock, clientCa: pki.ca.cert, requestHeader: { ...DEFAULT_REQUEST_HEADERS, ca: pki.frontProxyCa.cert, allowedNames: ["front-proxy-client"] },
 *   serviceAccounts: { issuer, sources }, bootstrapTokens: { secrets: sources.secrets },
 * });
 * const user = await authenticator.authenticate(request);
 * const impersonator = new Impersonator(authorizer);           // after authentication, before flow control
 * const actingAs = impersonator.requested(request) ? await impersonator.impersonate(request, user) : user;
 * const reviews = createAuthnReviews({ clock, tokens: authenticator.tokens, issuer, sources });
 * const document = issuer.oidcDiscovery(path);                 // /.well-known/openid-configuration, /openid/v1/jwks
 * ```
 * The TLS server must request client certificates with both CAs (`ca: pki.ca.cert + pki.frontProxyCa.cert`,
 * `rejectUnauthorized: false`) and pass the same DER buffer with every request of a connection.
 */
import { type AuthenticatorDeps, RequestAuthenticator } from "./authenticator.ts";
import type { RequestHeaderOptions } from "./client-certificate.ts";

/** Makes what finds out who sends a request: by certificate, token, or headers of a proxy. */
export function createAuthenticator(deps: AuthenticatorDeps): RequestAuthenticator {
  return new RequestAuthenticator(deps);
}

/** The header names of `--requestheader-*` as kubeadm sets them. */
export const DEFAULT_REQUEST_HEADERS: Omit<RequestHeaderOptions, "ca" | "allowedNames"> = Object.freeze({
  usernameHeaders: ["x-remote-user"],
  groupHeaders: ["x-remote-group"],
  uidHeaders: ["x-remote-uid"],
  extraHeaderPrefixes: ["x-remote-extra-"],
});

export { RequestAuthenticator, type AuthenticatorDeps } from "./authenticator.ts";
export type { RequestHeaderOptions } from "./client-certificate.ts";
export { Impersonator } from "./impersonation.ts";
export { TokenIssuer, type TokenIssuerOptions } from "./token-issuer.ts";
export { type NoteLegacyUse, type ServiceAccountSources, splitServiceAccountUserName } from "./service-account.ts";
export { createAuthnReviews, type AuthnReviewDeps } from "./reviews.ts";
export { InvalidTokenError, type TokenAuthenticator, type TokenResult, UnionTokenAuthenticator } from "./token.ts";
export type { ReviewContext, ReviewHandler } from "../review.ts";
export { TokenWebhook, type TokenWebhookDeps } from "./webhook.ts";
export type { ReviewWebhookConfig } from "../review-webhook.ts";
export { type FetchJson, type JwtIssuerOptions, OidcAuthenticator, type OidcDeps, type OidcOptions } from "./oidc.ts";
export { type AuthenticationSettings, parseAuthenticationConfiguration } from "./configuration.ts";
export { fetchJsonOverHttps } from "./fetch-json.ts";
