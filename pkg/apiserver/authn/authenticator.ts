import type { Secret } from "#pkg/api/types/core-v1.ts";
import { isStatusError, type StatusError, unauthorized, type UserInfo } from "#pkg/apimachinery/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { ApiRequest, Authenticator, Remarks } from "../contract.ts";
import type { ObjectSource } from "../source/index.ts";
import { BootstrapTokenAuthenticator } from "./bootstrap-token.ts";
import { ClientCertificateAuthenticator, type RequestHeaderOptions } from "./client-certificate.ts";
import { type NoteLegacyUse, ServiceAccountAuthenticator, type ServiceAccountSources } from "./service-account.ts";
import { StaticTokenAuthenticator } from "./static-token.ts";
import type { TokenIssuer } from "./token-issuer.ts";
import {
  ALL_UNAUTHENTICATED,
  ANONYMOUS,
  InvalidTokenError,
  type TokenAuthenticator,
  UnionTokenAuthenticator,
  withAuthenticated,
} from "./token.ts";

export interface AuthenticatorDeps {
  readonly clock: Clock;
  /** PEM bundle, `--client-ca-file`. */
  readonly clientCa?: string;
  readonly requestHeader?: RequestHeaderOptions;
  /** Contents of `--token-auth-file`. */
  readonly staticTokens?: string;
  readonly serviceAccounts?: {
    readonly issuer: TokenIssuer;
    readonly sources: ServiceAccountSources;
    readonly noteLegacyUse?: NoteLegacyUse;
  };
  /** Enables bootstrap tokens. */
  readonly bootstrapTokens?: { readonly secrets: ObjectSource<Secret> };
  /** Further token methods (webhook, OIDC), asked last. */
  readonly tokenAuthenticators?: readonly TokenAuthenticator[];
  /** `--anonymous-auth`, default true. */
  readonly anonymous?: boolean;
  /** Exact paths anonymous requests may use; all when absent. */
  readonly anonymousPaths?: readonly string[];
}

const ANONYMOUS_USER: UserInfo = Object.freeze({ name: ANONYMOUS, groups: Object.freeze([ALL_UNAUTHENTICATED]) });
const WEBSOCKET_TOKEN = "base64url.bearer.authorization.k8s.io.";

function pathOf(url: string): string {
  const mark = url.indexOf("?");
  return mark < 0 ? url : url.slice(0, mark);
}

/** The bearer token of a request: header, or the WebSocket subprotocol browsers have to use. */
function bearerToken({ headers }: ApiRequest): string | undefined {
  const header = headers["authorization"];
  if (header !== undefined) {
    const space = header.indexOf(" ");
    if (space < 0 || header.slice(0, space).toLowerCase() !== "bearer") return undefined;
    const token = header.slice(space + 1).trim();
    return token === "" ? undefined : token;
  }
  const protocols = headers["sec-websocket-protocol"];
  if (protocols === undefined) return undefined;
  const named = protocols
    .split(",")
    .map((protocol) => protocol.trim())
    .find((protocol) => protocol.startsWith(WEBSOCKET_TOKEN));
  return named === undefined
    ? undefined
    : Buffer.from(named.slice(WEBSOCKET_TOKEN.length), "base64url").toString("utf8");
}

/**
 * All methods in upstream's order: front proxy and client certificate, then bearer tokens, then anonymous. A credential
 * that is there but bad is 401 and never falls back to anonymous. Always returns a user or throws.
 */
export class RequestAuthenticator implements Authenticator {
  readonly #certificates: ClientCertificateAuthenticator | undefined;
  readonly tokens: TokenAuthenticator;
  readonly #serviceAccounts: ServiceAccountAuthenticator | undefined;
  readonly #anonymous: boolean;
  readonly #anonymousPaths: ReadonlySet<string> | undefined;
  readonly #inProcess = new WeakMap<UserInfo, UserInfo>();

  constructor(deps: AuthenticatorDeps) {
    if (deps.clientCa !== undefined || deps.requestHeader !== undefined) {
      this.#certificates = new ClientCertificateAuthenticator(deps.clientCa, deps.requestHeader, deps.clock);
    }
    const methods: TokenAuthenticator[] = [];
    if (deps.staticTokens !== undefined) methods.push(new StaticTokenAuthenticator(deps.staticTokens));
    if (deps.serviceAccounts !== undefined) {
      const { issuer, sources, noteLegacyUse } = deps.serviceAccounts;
      this.#serviceAccounts = new ServiceAccountAuthenticator(issuer, sources, deps.clock, noteLegacyUse);
      methods.push(this.#serviceAccounts);
    }
    if (deps.bootstrapTokens !== undefined)
      methods.push(new BootstrapTokenAuthenticator(deps.bootstrapTokens.secrets, deps.clock));
    this.tokens = new UnionTokenAuthenticator([...methods, ...(deps.tokenAuthenticators ?? [])]);
    this.#anonymous = deps.anonymous ?? true;
    this.#anonymousPaths = deps.anonymousPaths === undefined ? undefined : new Set(deps.anonymousPaths);
  }

  async authenticate(request: ApiRequest, remarks?: Remarks): Promise<UserInfo> {
    if (request.peer.user !== undefined) return this.#known(request.peer.user);
    let badCertificate: StatusError | undefined;
    try {
      const certified = this.#certificates?.authenticateNow(request);
      if (certified !== undefined) return certified;
    } catch (error) {
      if (!isStatusError(error)) throw error;
      // A certificate meant for somebody else (a browser's, a mesh's) must not spoil a good token.
      badCertificate = error;
    }
    const token = bearerToken(request);
    if (token !== undefined) return this.#byToken(token, remarks);
    if (badCertificate !== undefined) throw badCertificate;
    if (!this.#anonymous || this.#anonymousPaths?.has(pathOf(request.url)) === false) throw unauthorized();
    return ANONYMOUS_USER;
  }

  /** Prometheus text. */
  metrics(): string {
    return (this.#certificates?.metrics() ?? "") + (this.#serviceAccounts?.uses.metrics() ?? "");
  }

  async #byToken(token: string, remarks: Remarks | undefined): Promise<UserInfo> {
    try {
      const result = await this.tokens.authenticateToken(token, undefined, remarks);
      if (result !== undefined) return result.user;
    } catch (error) {
      if (!(error instanceof InvalidTokenError)) throw error;
    }
    throw unauthorized();
  }

  /** In-process callers bring their identity; it is completed once. */
  #known(user: UserInfo): UserInfo {
    let complete = this.#inProcess.get(user);
    if (complete === undefined) this.#inProcess.set(user, (complete = withAuthenticated(user)));
    return complete;
  }
}
