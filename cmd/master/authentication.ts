import { readFileSync } from "node:fs";
import { secrets } from "#pkg/api/refs.ts";
import { decodeYaml } from "#pkg/apimachinery/index.ts";
import type { HttpsTransport } from "#pkg/apiserver/admission/index.ts";
import {
  type AuthenticationSettings,
  DEFAULT_REQUEST_HEADERS,
  type NoteLegacyUse,
  OidcAuthenticator,
  type OidcOptions,
  type TokenAuthenticator,
  type TokenIssuer,
  TokenWebhook,
  UnionTokenAuthenticator,
  createAuthenticator,
  fetchJsonOverHttps,
  parseAuthenticationConfiguration,
} from "#pkg/apiserver/authn/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { UsageError } from "#pkg/config/index.ts";
import type { BuildDeps } from "./build-deps.ts";
import { followFile } from "./follow-file.ts";
import { reviewWebhook } from "./review-webhook.ts";
import type { CoreSources } from "./security.ts";

/** All methods of authentication that the flags switch on. */
export async function buildAuthenticator(
  deps: BuildDeps,
  issuer: TokenIssuer,
  core: CoreSources,
  transport: HttpsTransport,
  own: () => Client,
) {
  const { flags, pki, clock, log } = deps;
  const noteLegacyUse: NoteLegacyUse = (secret, labels) => {
    own()
      .patch(secrets, secret, "merge", { metadata: { labels } })
      .catch((err: unknown) => log.warn({ secret, err }, "Use of a legacy service account token could not be noted"));
  };
  const tokenFile = flags["token-auth-file"];
  const file = flags["authentication-config"];
  const text = file === "" ? undefined : readFileSync(file, "utf8");
  const settings = settingsOf(deps, text);
  const { anonymousPaths } = settings;
  const issuers = new UnionTokenAuthenticator(providers(deps, settings));
  const authenticator = createAuthenticator({
    clock,
    clientCa: pki.ca.cert,
    requestHeader: { ...DEFAULT_REQUEST_HEADERS, ca: pki.frontProxyCa.cert, allowedNames: ["front-proxy-client"] },
    serviceAccounts: { issuer, sources: core, noteLegacyUse },
    bootstrapTokens: { secrets: core.secrets },
    anonymous: settings.anonymous ?? flags["anonymous-auth"],
    ...(anonymousPaths === undefined ? {} : { anonymousPaths }),
    tokenAuthenticators: [issuers, ...(await tokenWebhook(deps, transport))],
    ...(tokenFile === "" ? {} : { staticTokens: readFileSync(tokenFile, "utf8") }),
  });
  // Who may come in without credentials is settled at the start; only issuers change.
  const apply = async (changed: string): Promise<void> => issuers.use(providers(deps, settingsOf(deps, changed)));
  return { authenticator, reloader: followFile(deps, "authentication_config_controller", file, text, apply) };
}

/** What --authentication-config says, whose text is given. */
function settingsOf({ flags }: BuildDeps, text: string | undefined): AuthenticationSettings {
  if (text === undefined) return { issuers: [] };
  if (flags["oidc-issuer-url"] !== "") throw new UsageError("--authentication-config excludes the --oidc-* flags");
  return parseAuthenticationConfiguration(decodeYaml(text).value);
}

/** OpenID Connect providers whose ID tokens are accepted: those of the file, or the one of the --oidc-* flags. */
function providers(deps: BuildDeps, { issuers }: AuthenticationSettings): TokenAuthenticator[] {
  const { clock, log } = deps;
  const fetchJson = fetchJsonOverHttps(clock);
  const flagged = flaggedProvider(deps);
  const all = flagged === undefined ? issuers : [flagged];
  return all.map((options) => new OidcAuthenticator({ options, fetchJson, clock, log }));
}

function flaggedProvider({ flags }: BuildDeps): OidcOptions | undefined {
  const issuerUrl = flags["oidc-issuer-url"];
  if (issuerUrl === "") return undefined;
  if (flags["oidc-client-id"] === "") throw new UsageError("--oidc-issuer-url needs an --oidc-client-id");
  const optional = (name: "oidc-username-prefix" | "oidc-groups-claim" | "oidc-groups-prefix") =>
    flags[name] === "" ? undefined : flags[name];
  return {
    issuerUrl,
    clientId: flags["oidc-client-id"],
    ca: flags["oidc-ca-file"] === "" ? undefined : readFileSync(flags["oidc-ca-file"], "utf8"),
    usernameClaim: flags["oidc-username-claim"],
    usernamePrefix: optional("oidc-username-prefix"),
    groupsClaim: optional("oidc-groups-claim"),
    groupsPrefix: optional("oidc-groups-prefix"),
    requiredClaims: flags["oidc-required-claim"],
    signingAlgorithms: flags["oidc-signing-algs"],
  };
}

async function tokenWebhook(
  { flags, clock, log }: BuildDeps,
  transport: HttpsTransport,
): Promise<TokenAuthenticator[]> {
  const file = flags["authentication-token-webhook-config-file"];
  if (file === "") return [];
  const cacheTtlMs = flags["authentication-token-webhook-cache-ttl"];
  return [new TokenWebhook({ transport, config: await reviewWebhook(file), clock, log, cacheTtlMs })];
}
