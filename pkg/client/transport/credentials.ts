import { readFile } from "node:fs/promises";
import type { Clock } from "#pkg/util/index.ts";

/** Where an API server is and how to prove who we are. PEM texts; `…File` paths are read again on every connection. */
export interface ConnectionConfig {
  /** e.g. https://10.0.0.1:6443 */
  readonly server: string;
  readonly ca?: string;
  readonly caFile?: string;
  readonly cert?: string;
  readonly certFile?: string;
  readonly key?: string;
  readonly keyFile?: string;
  /** Bearer token. */
  readonly token?: string;
  /** Read again every minute, since projected tokens rotate; wins over `token`. */
  readonly tokenFile?: string;
  readonly username?: string;
  readonly password?: string;
  /** Name to verify the server's certificate against, when it is not the host of `server`. */
  readonly tlsServerName?: string;
  readonly insecureSkipTlsVerify?: boolean;
  readonly impersonateUser?: string;
  readonly impersonateGroups?: readonly string[];
}

const TOKEN_REREAD_MS = 60_000;

export interface TlsMaterial {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** Reads the present certificates: file contents win over embedded texts. */
export async function readTlsMaterial(config: ConnectionConfig): Promise<TlsMaterial> {
  const text = (path: string | undefined, embedded: string | undefined) =>
    path === undefined ? Promise.resolve(embedded) : readFile(path, "utf8");
  const [ca, cert, key] = await Promise.all([
    text(config.caFile, config.ca),
    text(config.certFile, config.cert),
    text(config.keyFile, config.key),
  ]);
  return { ca, cert, key };
}

/** Makes the headers that authenticate a request. */
export class RequestCredentials {
  readonly #config: ConnectionConfig;
  readonly #clock: Clock;
  #token: { readonly text: string; readonly readAt: number } | undefined;

  constructor(config: ConnectionConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
  }
  async headers(): Promise<Record<string, string | string[]>> {
    const { token, tokenFile, username, password, impersonateUser, impersonateGroups } = this.#config;
    const headers: Record<string, string | string[]> = {};
    if (tokenFile !== undefined) headers["authorization"] = `Bearer ${await this.#readToken(tokenFile)}`;
    else if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    else if (username !== undefined) {
      headers["authorization"] = `Basic ${Buffer.from(`${username}:${password ?? ""}`).toString("base64")}`;
    }
    if (impersonateUser !== undefined) headers["impersonate-user"] = impersonateUser;
    if (impersonateGroups !== undefined && impersonateGroups.length > 0) {
      headers["impersonate-group"] = [...impersonateGroups];
    }
    return headers;
  }
  /** Forgets the token read last; the next request reads the file again (after a 401). */
  expire(): void {
    this.#token = undefined;
  }
  async #readToken(path: string): Promise<string> {
    const now = this.#clock.monotonic();
    if (this.#token !== undefined && now - this.#token.readAt < TOKEN_REREAD_MS) return this.#token.text;
    try {
      const text = (await readFile(path, "utf8")).trim();
      this.#token = { text, readAt: now };
      return text;
    } catch (error) {
      // While a token is being replaced the old one is still good.
      if (this.#token === undefined) throw error;
      return this.#token.text;
    }
  }
}
